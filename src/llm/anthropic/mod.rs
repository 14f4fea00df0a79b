//! Anthropic Messages.

mod wire;

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use self::wire::{Delta, Message, MessageDelta, Request, StreamEvent, Thinking};
use super::failure::Complaint;
use super::http::Endpoint;
use super::interpreter::{Interpreter, arguments, value_without_nul, without_nul};
use super::prompt::turns;
use super::sse::MAX_EVENT_BYTES;
use super::{CompletionRequest, Event, EventStream, Provider, ProviderError, Speaker, Usage};
use crate::config::models::{ModelEntry, ProviderSettings};
use crate::entity::enums::{FinishReason, ReplyErrorCode};

/// The API wants a limit in every request.
const DEFAULT_MAX_TOKENS: u32 = 8192;
/// A talk must open with the person's turn, so this stands before a greeting.
const OPENING: &str = "(The conversation starts.)";
/// Blocks that are open at once. Real streams have one.
const MAX_OPEN_BLOCKS: usize = 64;

/// A model behind Anthropic's Messages API.
pub struct Anthropic {
    endpoint: Endpoint,
    takes_temperature: bool,
    asks_reasoning: bool,
}

impl Anthropic {
    /// The adapter for one model of a provider.
    ///
    /// # Errors
    /// One line, when the key cannot stand in a header.
    pub fn new(client: Client, provider: &ProviderSettings, model: &ModelEntry) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        if let Some(key) = &provider.api_key {
            let mut value = HeaderValue::from_str(key.expose())
                .map_err(|_| format!("the key of provider {:?} cannot stand in a header", provider.name))?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-api-key"), value);
        }
        // The vendor's own base URL goes without the version, those of compatible servers often with it.
        let root = provider.base_url.strip_suffix("/v1").unwrap_or(&provider.base_url);
        Ok(Self {
            endpoint: Endpoint { client, url: format!("{root}/v1/messages"), headers, key: provider.api_key.clone() },
            takes_temperature: model.temperature,
            asks_reasoning: model.reasoning,
        })
    }

    fn request<'a>(&self, request: &'a CompletionRequest) -> Request<'a> {
        let mut messages: Vec<Message> = turns(&request.messages)
            .into_iter()
            .map(|(speaker, content)| Message {
                role: match speaker {
                    Speaker::User => "user",
                    Speaker::Assistant => "assistant",
                },
                content,
            })
            .collect();
        if messages.first().is_none_or(|first| first.role != "user") {
            messages.insert(0, Message { role: "user", content: OPENING.to_owned() });
        }
        Request {
            model: &request.model,
            max_tokens: request.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            system: request.system.as_deref().filter(|system| !system.trim().is_empty()),
            messages,
            // The API's range ends at 1.
            temperature: request.temperature.filter(|_| self.takes_temperature).map(|heat| heat.clamp(0.0, 1.0)),
            thinking: self.asks_reasoning.then_some(Thinking { kind: "adaptive", display: "summarized" }),
            stream: true,
        }
    }
}

#[async_trait]
impl Provider for Anthropic {
    async fn stream(&self, request: &CompletionRequest) -> Result<EventStream, ProviderError> {
        self.endpoint.post(&self.request(request), Messages::default()).await
    }
}

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Messages {
    open_calls: HashMap<u64, Call>,
    argument_bytes: usize,
    usage: wire::Usage,
    stop_reason: Option<String>,
    has_content: bool,
}

/// A tool call whose arguments are still arriving.
#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    input: Value,
    written: String,
}

impl Interpreter for Messages {
    fn interpret(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let event = match serde_json::from_str(data) {
            Ok(event) => event,
            Err(_) if serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok() => StreamEvent::Other,
            Err(cause) => return Err(ProviderError::truncated(&format!("an event is not JSON: {cause}"))),
        };
        match event {
            StreamEvent::MessageStart { message } => self.count(message.usage, events),
            StreamEvent::ContentBlockStart { index, content_block } => self.open_block(index, content_block, events)?,
            StreamEvent::ContentBlockDelta { index, delta } => self.add(index, delta, events)?,
            StreamEvent::ContentBlockStop { index } => self.close_block(index, events),
            StreamEvent::MessageDelta { delta: MessageDelta { stop_reason }, usage } => {
                self.stop_reason = stop_reason.or(self.stop_reason.take());
                self.count(usage, events);
            }
            StreamEvent::MessageStop => events.push_back(self.finish()?),
            StreamEvent::Error { error } => return Err(Complaint::from_value(&error).into_error(None)),
            StreamEvent::Other => {}
        }
        Ok(())
    }
}

impl Messages {
    fn open_block(&mut self, index: u64, mut block: Block, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let kind = text(&mut block, "type");
        match kind.as_str() {
            "text" => self.push(Event::Text, text(&mut block, "text"), events),
            "thinking" => self.push(Event::Reasoning, text(&mut block, "thinking"), events),
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                if self.open_calls.len() >= MAX_OPEN_BLOCKS {
                    return Err(too_much("tool calls at once"));
                }
                let (id, name) = (text(&mut block, "id"), text(&mut block, "name"));
                let call = Call { id, name, input: block.remove("input").unwrap_or_default(), written: String::new() };
                self.open_calls.insert(index, call);
            }
            result if result.ends_with("_tool_result") => {
                self.has_content = true;
                let id = text(&mut block, "tool_use_id");
                events.push_back(Event::ToolResult { id, result: tool_result(block) });
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, index: u64, delta: Delta, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        match delta {
            Delta::Text { text } => self.push(Event::Text, without_nul(text), events),
            Delta::Thinking { thinking } => self.push(Event::Reasoning, without_nul(thinking), events),
            Delta::InputJson { partial_json } => {
                if let Some(call) = self.open_calls.get_mut(&index) {
                    self.argument_bytes += partial_json.len();
                    if self.argument_bytes > MAX_EVENT_BYTES {
                        return Err(too_much("tool arguments"));
                    }
                    call.written.push_str(&partial_json);
                }
            }
            Delta::Other => {}
        }
        Ok(())
    }

    fn close_block(&mut self, index: u64, events: &mut VecDeque<Event>) {
        if let Some(Call { id, name, input, written }) = self.open_calls.remove(&index) {
            let arguments = match input {
                // The start of a call holds an empty object in place of what follows.
                Value::Object(fields) if written.is_empty() => value_without_nul(Value::Object(fields)),
                _ => arguments(written),
            };
            self.has_content = true;
            events.push_back(Event::ToolCall { id, name, arguments });
        }
    }

    fn push(&mut self, kind: fn(String) -> Event, text: String, events: &mut VecDeque<Event>) {
        if !text.is_empty() {
            self.has_content = true;
            events.push_back(kind(text));
        }
    }

    fn count(&mut self, counts: Option<wire::Usage>, events: &mut VecDeque<Event>) {
        let Some(counts) = counts else { return };
        let usage = &mut self.usage;
        usage.input_tokens = counts.input_tokens.or(usage.input_tokens);
        usage.cache_creation_input_tokens = counts.cache_creation_input_tokens.or(usage.cache_creation_input_tokens);
        usage.cache_read_input_tokens = counts.cache_read_input_tokens.or(usage.cache_read_input_tokens);
        usage.output_tokens = counts.output_tokens.or(usage.output_tokens);

        let cached = usage.cache_read_input_tokens.unwrap_or(0);
        let read = usage.input_tokens.unwrap_or(0).saturating_add(usage.cache_creation_input_tokens.unwrap_or(0));
        events.push_back(Event::Usage(Usage::from_counts(
            read.saturating_add(cached),
            usage.output_tokens.unwrap_or(0),
            cached,
        )));
    }

    /// A refusal before the first word is a failure; one in the middle is an end.
    fn finish(&self) -> Result<Event, ProviderError> {
        Ok(Event::Finished(match self.stop_reason.as_deref() {
            Some("end_turn" | "stop_sequence") => FinishReason::Stop,
            Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
            Some("tool_use") => FinishReason::ToolCalls,
            Some("refusal") if !self.has_content => {
                return Err(ProviderError::new(ReplyErrorCode::ContentFiltered, "the model refused to answer"));
            }
            Some("refusal") => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        }))
    }
}

type Block = Map<String, Value>;

fn text(block: &mut Block, field: &str) -> String {
    match block.remove(field) {
        Some(Value::String(text)) => without_nul(text),
        _ => String::new(),
    }
}

/// Server tools tell of a failure by a content of type `…_error`, MCP tools by `is_error`.
fn tool_result(mut block: Block) -> Result<Value, String> {
    let content = value_without_nul(block.remove("content").unwrap_or_default());
    let kind = content["type"].as_str().unwrap_or("");
    if kind.ends_with("_error") {
        return Err(content["error_code"].as_str().unwrap_or(kind).to_owned());
    }
    if block.get("is_error") == Some(&Value::Bool(true)) {
        return Err(content.as_str().map_or_else(|| content.to_string(), str::to_owned));
    }
    Ok(content)
}

fn too_much(what: &str) -> ProviderError {
    ProviderError::new(ReplyErrorCode::ProviderUnavailable, &format!("more {what} than a reply may hold"))
}

#[cfg(test)]
mod tests;
