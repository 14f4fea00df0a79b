//! Interprets the events of a message stream. Each field is read separately; unknown events and fields are skipped.
//!
//! See <https://platform.claude.com/docs/en/build-with-claude/streaming>.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::failure::Complaint;
use crate::llm::interpreter::{Interpreter, arguments, value_without_nul, without_nul};
use crate::llm::json::{self, count, take, text};
use crate::llm::sse::MAX_EVENT_BYTES;
use crate::llm::{Event, ProviderError, Usage};

/// Maximum number of open blocks. Real streams have one.
const MAX_OPEN_BLOCKS: usize = 64;

/// Maximum size of the reasoning kept for the next request, in bytes; more than a reply may have.
const MAX_REASONING_BYTES: usize = 4 * 1024 * 1024;
/// The approximate memory of a block in addition to its text, in bytes.
const BLOCK_BYTES: usize = 64;

/// The state of one stream.
#[derive(Debug, Default)]
pub(in crate::llm) struct Messages {
    open_calls: HashMap<u64, Call>,
    argument_bytes: usize,
    open_thoughts: HashMap<u64, Thought>,
    /// Signed and encrypted reasoning since the last call, for the next request.
    reasoning_blocks: Vec<Value>,
    reasoning_bytes: usize,
    counts: Counts,
    stop_reason: Option<String>,
    has_content: bool,
    /// Whether a part of the reply could not be read.
    is_incomplete: bool,
}

/// A tool call whose arguments are being received.
#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    input: Value,
    written: String,
}

/// A reasoning block. Its signature covers its text, and is received after it.
#[derive(Debug, Default)]
struct Thought {
    text: String,
    signature: String,
}

/// Token counts so far. `input_tokens` excludes cached tokens.
#[derive(Debug, Default)]
struct Counts {
    input: Option<u64>,
    cache_creation: Option<u64>,
    cache_read: Option<u64>,
    output: Option<u64>,
}

impl Interpreter for Messages {
    fn interpret(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let mut event = json::parse(data)?;
        let kind = text(take(&mut event, "type")).unwrap_or_default();
        let index = count(&event["index"]).unwrap_or(0);
        match kind.as_str() {
            "message_start" => self.count(&event["message"]["usage"], events),
            "content_block_start" => self.open_block(index, take(&mut event, "content_block"), events)?,
            "content_block_delta" => self.add(index, take(&mut event, "delta"), events)?,
            "content_block_stop" => self.close_block(index, events),
            "message_delta" => {
                let mut delta = take(&mut event, "delta");
                self.stop_reason = text(take(&mut delta, "stop_reason")).or(self.stop_reason.take());
                self.count(&event["usage"], events);
            }
            "message_stop" => self.finish(events)?,
            "error" => return Err(Complaint::from_value(&take(&mut event, "error")).into_error(None)),
            // `ping`, and events of later API versions.
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if self.is_incomplete {
            return Err(ProviderError::truncated("an event with a part of the reply could not be read"));
        }
        events.push_back(Event::Finished(self.meaning()?));
        Ok(())
    }
}

impl Messages {
    fn open_block(&mut self, index: u64, mut block: Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let kind = block["type"].as_str().unwrap_or("").to_owned();
        match kind.as_str() {
            "text" => self.say(Event::Text, take(&mut block, "text"), events),
            "thinking" => {
                if self.open_thoughts.len() >= MAX_OPEN_BLOCKS {
                    return Err(too_much("blocks of reasoning at once"));
                }
                self.hold(BLOCK_BYTES)?;
                self.open_thoughts.insert(index, Thought::default());
                self.think(index, take(&mut block, "thinking"), events)?;
                self.sign(index, &block["signature"])?;
            }
            "redacted_thinking" => {
                self.hold(BLOCK_BYTES + block["data"].as_str().map_or(0, str::len))?;
                self.reasoning_blocks.push(block);
            }
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                if self.open_calls.len() >= MAX_OPEN_BLOCKS {
                    return Err(too_much("tool calls at once"));
                }
                let [id, name] = ["id", "name"].map(|field| text(take(&mut block, field)).unwrap_or_default());
                let call = Call { id, name, input: take(&mut block, "input"), written: String::new() };
                self.open_calls.insert(index, call);
            }
            result if result.ends_with("_tool_result") => {
                self.has_content = true;
                let id = text(take(&mut block, "tool_use_id")).unwrap_or_default();
                events.push_back(Event::ToolResult { id, result: tool_result(block) });
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, index: u64, mut delta: Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let kind = text(take(&mut delta, "type")).unwrap_or_default();
        match kind.as_str() {
            "text_delta" => self.say(Event::Text, take(&mut delta, "text"), events),
            "thinking_delta" => self.think(index, take(&mut delta, "thinking"), events)?,
            "signature_delta" => self.sign(index, &delta["signature"])?,
            "input_json_delta" => {
                let written = match take(&mut delta, "partial_json") {
                    Value::String(text) => text,
                    Value::Null => String::new(),
                    value => value.to_string(),
                };
                if let Some(call) = self.open_calls.get_mut(&index) {
                    self.argument_bytes += written.len();
                    if self.argument_bytes > MAX_EVENT_BYTES {
                        return Err(too_much("tool arguments"));
                    }
                    call.written.push_str(&written);
                }
            }
            // Citations, and deltas of later API versions.
            _ => {}
        }
        Ok(())
    }

    fn close_block(&mut self, index: u64, events: &mut VecDeque<Event>) {
        if let Some(Thought { text, signature }) = self.open_thoughts.remove(&index)
            && !signature.is_empty()
        {
            let block = json!({ "type": "thinking", "thinking": text, "signature": signature });
            self.reasoning_blocks.push(block);
        }
        if let Some(Call { id, name, input, written }) = self.open_calls.remove(&index) {
            let arguments = match input {
                // The start of a call has an empty object as placeholder for the arguments.
                Value::Object(fields) if written.is_empty() => value_without_nul(Value::Object(fields)),
                _ => arguments(written),
            };
            self.has_content = true;
            let reasoning_blocks = std::mem::take(&mut self.reasoning_blocks);
            events.push_back(Event::ToolCall { id, name, arguments, reasoning_blocks });
        }
    }

    fn think(&mut self, index: u64, thinking: Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        // Unchanged, because the signature covers it.
        if let (Some(thought), Some(text)) = (self.open_thoughts.get_mut(&index), thinking.as_str()) {
            thought.text.push_str(text);
            self.hold(text.len())?;
        }
        self.say(Event::Reasoning, thinking, events);
        Ok(())
    }

    fn sign(&mut self, index: u64, signature: &Value) -> Result<(), ProviderError> {
        if let (Some(thought), Some(text)) = (self.open_thoughts.get_mut(&index), signature.as_str()) {
            thought.signature.push_str(text);
            self.hold(text.len())?;
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), ProviderError> {
        self.reasoning_bytes += bytes;
        if self.reasoning_bytes > MAX_REASONING_BYTES { Err(too_much("reasoning")) } else { Ok(()) }
    }

    fn say(&mut self, kind: fn(String) -> Event, words: Value, events: &mut VecDeque<Event>) {
        match words {
            Value::Null => {}
            Value::String(text) => {
                let text = without_nul(text);
                if !text.is_empty() {
                    self.has_content = true;
                    events.push_back(kind(text));
                }
            }
            _ => self.is_incomplete = true,
        }
    }

    fn count(&mut self, usage: &Value, events: &mut VecDeque<Event>) {
        if !usage.is_object() {
            return;
        }
        let counts = &mut self.counts;
        counts.input = count(&usage["input_tokens"]).or(counts.input);
        counts.cache_creation = count(&usage["cache_creation_input_tokens"]).or(counts.cache_creation);
        counts.cache_read = count(&usage["cache_read_input_tokens"]).or(counts.cache_read);
        counts.output = count(&usage["output_tokens"]).or(counts.output);

        let cached = counts.cache_read.unwrap_or(0);
        let read = counts.input.unwrap_or(0).saturating_add(counts.cache_creation.unwrap_or(0));
        events.push_back(Event::Usage(Usage::from_counts(
            read.saturating_add(cached),
            counts.output.unwrap_or(0),
            cached,
        )));
    }

    /// A refusal before any text is a failure; after text it ends the reply.
    fn meaning(&self) -> Result<FinishReason, ProviderError> {
        Ok(match self.stop_reason.as_deref() {
            Some("end_turn" | "stop_sequence") => FinishReason::Stop,
            Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
            Some("tool_use") => FinishReason::ToolCalls,
            Some("refusal") if !self.has_content => {
                return Err(ProviderError::new(ReplyErrorCode::ContentFiltered, "the model refused to answer"));
            }
            Some("refusal") => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        })
    }
}

/// Server tools report an error by a content of type `…_error`, MCP tools by `is_error`.
fn tool_result(mut block: Value) -> Result<Value, String> {
    let content = value_without_nul(take(&mut block, "content"));
    let kind = content["type"].as_str().unwrap_or("");
    if kind.ends_with("_error") {
        return Err(content["error_code"].as_str().unwrap_or(kind).to_owned());
    }
    if block["is_error"] == true {
        return Err(content.as_str().map_or_else(|| content.to_string(), str::to_owned));
    }
    Ok(content)
}

fn too_much(what: &str) -> ProviderError {
    ProviderError::new(ReplyErrorCode::ProviderUnavailable, &format!("more {what} than a reply may hold"))
}
