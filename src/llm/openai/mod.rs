//! OpenAI-compatible chat completions: OpenAI, Groq, Ollama, vLLM and the like.

mod wire;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Url};

use self::wire::{Chunk, Delta, Message, Request, StreamOptions, ToolCall};
use super::failure::Complaint;
use super::http::Endpoint;
use super::interpreter::{Interpreter, arguments, without_nul};
use super::prompt::turns;
use super::sse::MAX_EVENT_BYTES;
use super::{CompletionRequest, Event, EventStream, Provider, ProviderError, Speaker, Usage};
use crate::config::models::{ModelEntry, ProviderSettings};
use crate::entity::enums::{FinishReason, ReplyErrorCode};

const MAX_TOOL_CALLS: usize = 64;

/// A model behind a chat completions API.
pub struct OpenAi {
    endpoint: Endpoint,
    takes_temperature: bool,
    is_vendor: bool,
}

impl OpenAi {
    /// The adapter for one model of a provider.
    ///
    /// # Errors
    /// One line, when the key cannot stand in a header.
    pub fn new(client: Client, provider: &ProviderSettings, model: &ModelEntry) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &provider.api_key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                .map_err(|_| format!("the key of provider {:?} cannot stand in a header", provider.name))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let url = format!("{}/chat/completions", provider.base_url);
        Ok(Self {
            endpoint: Endpoint { client, url, headers, key: provider.api_key.clone() },
            takes_temperature: model.temperature,
            is_vendor: provider.name == "openai" || is_vendors_host(&provider.base_url),
        })
    }

    fn request<'a>(&self, request: &'a CompletionRequest) -> Request<'a> {
        let system = request.system.as_deref().filter(|system| !system.trim().is_empty());
        let system = system.map(|system| Message { role: "system", content: Cow::Borrowed(system) });
        let talk = turns(&request.messages).into_iter().map(|(speaker, content)| Message {
            role: match speaker {
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            },
            content: Cow::Owned(content),
        });
        Request {
            model: &request.model,
            messages: system.into_iter().chain(talk).collect(),
            max_tokens: request.max_output_tokens.filter(|_| !self.is_vendor),
            max_completion_tokens: request.max_output_tokens.filter(|_| self.is_vendor),
            temperature: request.temperature.filter(|_| self.takes_temperature).map(|heat| heat.clamp(0.0, 2.0)),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        }
    }
}

/// OpenAI's newer models refuse `max_tokens`; compatible servers may not know `max_completion_tokens`.
fn is_vendors_host(base_url: &str) -> bool {
    let url = Url::parse(base_url);
    let host = url.as_ref().ok().and_then(Url::host_str).unwrap_or("");
    host == "api.openai.com" || host.ends_with(".api.openai.com") || host.ends_with(".openai.azure.com")
}

#[async_trait]
impl Provider for OpenAi {
    async fn stream(&self, request: &CompletionRequest) -> Result<EventStream, ProviderError> {
        self.endpoint.post(&self.request(request), ChatCompletion::default()).await
    }
}

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct ChatCompletion {
    calls: BTreeMap<u64, Call>,
    argument_bytes: usize,
    finish_reason: Option<String>,
    has_content: bool,
}

/// A tool call whose arguments are still arriving.
#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Interpreter for ChatCompletion {
    fn interpret(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if data.trim() == "[DONE]" {
            self.finish_calls(events);
            events.push_back(self.finish()?);
            return Ok(());
        }
        let chunk: Chunk = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            Err(_) if serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok() => return Ok(()),
            Err(cause) => return Err(ProviderError::truncated(&format!("an event is not JSON: {cause}"))),
        };
        if let Some(error) = chunk.error {
            return Err(Complaint::from_value(&error).into_error(None));
        }
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            self.add(choice.delta, events)?;
            if choice.finish_reason.is_some() {
                self.finish_calls(events);
                self.finish_reason = choice.finish_reason;
            }
        }
        if let Some(usage) = chunk.usage.or(chunk.x_groq.and_then(|groq| groq.usage)) {
            let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
            events.push_back(Event::Usage(Usage::from_counts(
                usage.prompt_tokens.unwrap_or(0),
                usage.completion_tokens.unwrap_or(0),
                cached,
            )));
        }
        Ok(())
    }
}

impl ChatCompletion {
    fn add(&mut self, delta: Delta, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        // Servers that are changing the name of the field send both, with the same text.
        let reasoning = delta.reasoning_content.filter(|text| !text.is_empty()).or(delta.reasoning);
        self.push(Event::Reasoning, reasoning, events);
        self.push(Event::Text, delta.content, events);
        self.push(Event::Text, delta.refusal, events);
        for part in delta.tool_calls {
            self.collect(part)?;
        }
        Ok(())
    }

    fn push(&mut self, kind: fn(String) -> Event, text: Option<String>, events: &mut VecDeque<Event>) {
        let text = without_nul(text.unwrap_or_default());
        if !text.is_empty() {
            self.has_content = true;
            events.push_back(kind(text));
        }
    }

    fn collect(&mut self, part: ToolCall) -> Result<(), ProviderError> {
        let function = part.function;
        let (name, text) = function.map_or((None, None), |function| (function.name, function.arguments));
        let text = text.unwrap_or_default();
        self.argument_bytes += text.len();
        let call = self.calls.entry(part.index).or_default();
        call.arguments.push_str(&text);
        if let Some(id) = part.id.filter(|id| !id.is_empty()) {
            call.id = without_nul(id);
        }
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            call.name = without_nul(name);
        }
        if self.calls.len() > MAX_TOOL_CALLS || self.argument_bytes > MAX_EVENT_BYTES {
            let detail = "more tool calls than a reply may hold";
            return Err(ProviderError::new(ReplyErrorCode::ProviderUnavailable, detail));
        }
        Ok(())
    }

    fn finish_calls(&mut self, events: &mut VecDeque<Event>) {
        for (index, Call { id, name, arguments: text }) in std::mem::take(&mut self.calls) {
            self.has_content = true;
            let id = if id.is_empty() { format!("call_{index}") } else { id };
            events.push_back(Event::ToolCall { id, name, arguments: arguments(text) });
        }
    }

    /// A refusal before the first word is a failure; one in the middle is an end.
    fn finish(&self) -> Result<Event, ProviderError> {
        Ok(Event::Finished(match self.finish_reason.as_deref() {
            Some("stop") => FinishReason::Stop,
            Some("length") => FinishReason::Length,
            Some("tool_calls" | "function_call") => FinishReason::ToolCalls,
            Some("content_filter") if !self.has_content => {
                return Err(ProviderError::new(ReplyErrorCode::ContentFiltered, "the filter refused the answer"));
            }
            Some("content_filter") => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        }))
    }
}

#[cfg(test)]
mod tests;
