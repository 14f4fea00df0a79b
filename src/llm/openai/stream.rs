//! Interprets the chunks of a chat completion from OpenAI and compatible servers. Each field is read separately, in
//! each form that servers are known to send.
//!
//! See <https://platform.openai.com/docs/api-reference/chat-streaming>; `docs/providers.md` lists the servers and
//! sources.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::calls::Calls;
use super::plain::added_text;
use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::failure::Complaint;
use crate::llm::interpreter::{Interpreter, without_nul};
use crate::llm::json::{self, count, take, text};
use crate::llm::{Event, ProviderError, Usage};

/// The fields of a delta that contain reasoning: DeepSeek and llama.cpp; Groq, Ollama, OpenRouter and vLLM; some
/// gateways. Servers that are renaming the field send two of them with the same text.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];
/// The fields of a part that contain its text.
const WORDS: [&str; 6] = ["text", "thinking", "reasoning", "refusal", "content", "summary"];

/// The state of one stream.
#[derive(Debug, Default)]
pub(in crate::llm) struct ChatCompletion {
    calls: Calls,
    finish_reason: Option<String>,
    has_content: bool,
    /// Whether a part of the reply could not be read.
    is_incomplete: bool,
}

impl Interpreter for ChatCompletion {
    fn interpret(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if let Some(text) = added_text(data) {
            self.say(Event::Text, Value::String(text), events);
            return Ok(());
        }
        if data.trim() == "[DONE]" {
            return self.finish(events);
        }
        self.interpret_any(data, events)
    }

    fn is_finishing(&self) -> bool {
        self.finish_reason.is_some()
    }

    fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        self.finish_calls(events);
        if self.is_incomplete {
            return Err(ProviderError::truncated("a chunk with a part of the reply could not be read"));
        }
        events.push_back(Event::Finished(self.meaning()?));
        Ok(())
    }
}

impl ChatCompletion {
    /// Interprets a chunk of any form.
    pub(super) fn interpret_any(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let mut chunk = json::parse(data)?;
        if let Some(error) = error(&mut chunk) {
            return Err(Complaint::from_value(&error).into_error(None));
        }
        match take(&mut chunk, "choices") {
            Value::Null => {}
            Value::Array(choices) => {
                for choice in choices {
                    self.choose(choice, events)?;
                }
            }
            _ => self.is_incomplete = true,
        }
        let usage = usage(&chunk["usage"]).or_else(|| usage(&chunk["x_groq"]["usage"]));
        events.extend(usage.map(Event::Usage));
        Ok(())
    }

    fn choose(&mut self, mut choice: Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if count(&choice["index"]).is_some_and(|index| index > 0) || choice.is_null() {
            return Ok(());
        }
        let mut delta = take(&mut choice, "delta");
        if delta.is_null() && !self.has_content {
            // The whole reply as one chunk. Perplexity sends the reply so far beside each delta.
            delta = take(&mut choice, "message");
        }
        match delta {
            Value::Object(_) => self.add(delta, events)?,
            Value::Null if choice.is_object() => {}
            // An empty object as encoded by PHP.
            Value::Array(fields) if fields.is_empty() => {}
            _ => self.is_incomplete = true,
        }
        let reason = match take(&mut choice, "finish_reason") {
            Value::Null | Value::Bool(false) => None,
            Value::String(reason) if reason.trim().is_empty() => None,
            reason => Some(text(reason).unwrap_or_default()),
        };
        if reason.is_some() {
            self.finish_calls(events);
            self.finish_reason = reason;
        }
        Ok(())
    }

    fn add(&mut self, mut delta: Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let before = events.len();
        for name in REASONING {
            let reasoning = take(&mut delta, name);
            if events.len() == before && !reasoning.is_boolean() {
                self.say(Event::Reasoning, reasoning, events);
            }
        }
        self.say(Event::Text, take(&mut delta, "content"), events);
        self.say(Event::Text, take(&mut delta, "refusal"), events);
        match take(&mut delta, "tool_calls") {
            Value::Null => {}
            Value::Array(parts) => {
                for part in parts {
                    self.call(part)?;
                }
            }
            part => self.call(part)?,
        }
        match take(&mut delta, "function_call") {
            // The format of 2023: one call without an id.
            Value::Object(function) => self.call(json!({ "index": 0, "function": function })),
            _ => Ok(()),
        }
    }

    /// Adds the text of a value: a string, or parts, of which Mistral's contain reasoning and text.
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
            Value::Number(number) => self.say(kind, Value::String(number.to_string()), events),
            Value::Array(parts) => parts.into_iter().for_each(|part| self.say(kind, part, events)),
            Value::Object(mut part) => {
                let name = part.get("type").and_then(Value::as_str).map(str::to_owned);
                let is_reasoning =
                    name.as_deref().is_some_and(|name| name == "thinking" || name.starts_with("reasoning"));
                let kind = if is_reasoning { Event::Reasoning } else { kind };
                let has_no_words = name.is_some_and(|name| name != "text");
                let mut fields = WORDS.iter().filter_map(|field| part.remove(*field)).peekable();
                // Without such a field: a reference or an image.
                self.is_incomplete |= fields.peek().is_none() && !has_no_words;
                if let Some(words) = fields.find(|words| !words.is_null()) {
                    self.say(kind, words, events);
                }
            }
            Value::Bool(_) => self.is_incomplete = true,
        }
    }

    fn call(&mut self, part: Value) -> Result<(), ProviderError> {
        match part {
            Value::Null => Ok(()),
            Value::Object(_) => self.calls.add(part),
            _ => {
                self.is_incomplete = true;
                Ok(())
            }
        }
    }

    fn finish_calls(&mut self, events: &mut VecDeque<Event>) {
        self.has_content |= self.calls.finish(events);
    }

    /// A refusal before any text is a failure; after text it ends the reply.
    fn meaning(&self) -> Result<FinishReason, ProviderError> {
        let failed = |code, detail| Err(ProviderError::new(code, detail));
        Ok(match self.finish_reason.as_deref() {
            Some("stop") => FinishReason::Stop,
            // `model_length` is from Mistral.
            Some("length" | "model_length") => FinishReason::Length,
            Some("tool_calls" | "function_call") => FinishReason::ToolCalls,
            Some("content_filter") if !self.has_content => {
                return failed(ReplyErrorCode::ContentFiltered, "the filter refused the answer");
            }
            // From Mistral and OpenRouter.
            Some("error") => return failed(ReplyErrorCode::ProviderUnavailable, "the provider failed while it wrote"),
            // From DeepSeek.
            Some("insufficient_system_resource") => {
                return failed(ReplyErrorCode::ProviderOverloaded, "the provider ran out of resources while it wrote");
            }
            Some("content_filter") => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        })
    }
}

/// The error in a chunk, in any of the known forms.
fn error(chunk: &mut Value) -> Option<Value> {
    if chunk["object"] == "error" {
        return Some(chunk.take());
    }
    let error = take(chunk, "error");
    let is_none = match &error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    (!is_none).then_some(error)
}

/// The token counts, unless all are zero or absent. `prompt_tokens` includes cached tokens and `completion_tokens`
/// includes reasoning, except for xAI and Gemini, which include reasoning in the total only.
fn usage(usage: &Value) -> Option<Usage> {
    let field = |name: &str| count(&usage[name]);
    let (written, total) = (field("completion_tokens").unwrap_or(0), field("total_tokens").unwrap_or(0));
    let input = field("prompt_tokens").unwrap_or(total.saturating_sub(written));
    let output = written.max(total.saturating_sub(input));
    let cached = count(&usage["prompt_tokens_details"]["cached_tokens"]).or_else(|| field("prompt_cache_hit_tokens"));
    (input > 0 || output > 0).then(|| Usage::from_counts(input, output, cached.unwrap_or(0)))
}
