//! The adapter for Anthropic Messages.

mod stream;
mod wire;

use async_trait::async_trait;
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

pub(super) use self::stream::Messages;
use self::wire::{Message, Request, Thinking};
use super::http::Endpoint;
use super::prompt::{system_text, turns};
use super::{CompletionRequest, EventStream, Provider, ProviderError, Speaker};
use crate::config::models::{ModelEntry, ProviderSettings};

/// The API requires a limit in every request.
const DEFAULT_MAX_TOKENS: u32 = 8192;
/// A conversation must start with a user message, so this precedes a greeting.
const OPENING: &str = "(The conversation starts.)";

/// A model behind Anthropic's Messages API.
pub struct Anthropic {
    endpoint: Endpoint,
    takes_temperature: bool,
    asks_reasoning: bool,
}

impl Anthropic {
    /// The adapter for a model of a provider.
    ///
    /// # Errors
    /// The key is not a valid header value; one line.
    pub fn new(client: Client, provider: &ProviderSettings, model: &ModelEntry) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        if let Some(key) = &provider.api_key {
            let mut value = HeaderValue::from_str(key.expose())
                .map_err(|_| format!("the key of provider {:?} is not a valid header value", provider.name))?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-api-key"), value);
        }
        // The vendor's base URL has no version, those of compatible servers often have one.
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
            system: system_text(&request.system),
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

#[cfg(test)]
mod tests;
