//! The adapter for OpenAI-compatible chat completions: OpenAI, Groq, Ollama, vLLM and others.

mod calls;
mod plain;
mod stream;
mod wire;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Url};

pub(super) use self::stream::ChatCompletion;
use self::wire::{Message, Request, StreamOptions};
use super::http::Endpoint;
use super::prompt::{system_text, turns};
use super::{CompletionRequest, EventStream, Provider, ProviderError, Speaker};
use crate::config::models::{ModelEntry, ProviderSettings};

/// A model behind a chat completions API.
pub struct OpenAi {
    endpoint: Endpoint,
    takes_temperature: bool,
    is_vendor: bool,
    takes_stream_options: bool,
}

impl OpenAi {
    /// The adapter for a model of a provider.
    ///
    /// # Errors
    /// The key is not a valid header value; one line.
    pub fn new(client: Client, provider: &ProviderSettings, model: &ModelEntry) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &provider.api_key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                .map_err(|_| format!("the key of provider {:?} is not a valid header value", provider.name))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let url = format!("{}/chat/completions", provider.base_url);
        Ok(Self {
            endpoint: Endpoint { client, url, headers, key: provider.api_key.clone() },
            takes_temperature: model.temperature,
            is_vendor: provider.name == "openai" || is_vendors_host(&provider.base_url),
            // Mistral returns 422 for `include_usage`, and sends usage without it.
            takes_stream_options: host(&provider.base_url).as_deref() != Some("api.mistral.ai"),
        })
    }

    fn request<'a>(&self, request: &'a CompletionRequest) -> Request<'a> {
        let system = system_text(&request.system).map(|content| Message { role: "system", content });
        let talk = turns(&request.messages).into_iter().map(|(speaker, content)| Message {
            role: match speaker {
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            },
            content,
        });
        Request {
            model: &request.model,
            messages: system.into_iter().chain(talk).collect(),
            max_tokens: request.max_output_tokens.filter(|_| !self.is_vendor),
            max_completion_tokens: request.max_output_tokens.filter(|_| self.is_vendor),
            temperature: request.temperature.filter(|_| self.takes_temperature).map(|heat| heat.clamp(0.0, 2.0)),
            stream: true,
            stream_options: self.takes_stream_options.then_some(StreamOptions { include_usage: true }),
        }
    }
}

/// Whether the URL is that of OpenAI's own models. Newer ones refuse `max_tokens`; compatible servers may not support
/// `max_completion_tokens`.
fn is_vendors_host(base_url: &str) -> bool {
    let host = host(base_url).unwrap_or_default();
    let is_foundry = host.ends_with(".services.ai.azure.com") && base_url.ends_with("/openai/v1");
    host == "api.openai.com" || host.ends_with(".api.openai.com") || host.ends_with(".openai.azure.com") || is_foundry
}

fn host(base_url: &str) -> Option<String> {
    Url::parse(base_url).ok()?.host_str().map(str::to_owned)
}

#[async_trait]
impl Provider for OpenAi {
    async fn stream(&self, request: &CompletionRequest) -> Result<EventStream, ProviderError> {
        self.endpoint.post(&self.request(request), ChatCompletion::default()).await
    }
}

#[cfg(test)]
mod tests;
