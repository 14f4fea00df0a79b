//! Language models: requests, reply events and errors of providers.
//!
//! An adapter is a pure state machine over the provider's events (bytes in, [`Event`]s out). [`driver`] implements
//! timeouts, retries and fallbacks; [`registry`] contains the models of this server.

pub mod anthropic;
pub mod demo;
pub mod driver;
pub mod openai;
pub mod registry;

mod failure;
mod http;
mod interpreter;
mod json;
mod prompt;
mod sse;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use self::http::http_client;
use crate::entity::enums::{FinishReason, ReplyErrorCode};

/// A request for a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// The model's name at the provider.
    pub model: String,
    /// The parts of the system prompt, in order.
    pub system: Vec<String>,
    /// The conversation, oldest message first; the last one is from the user.
    pub messages: Vec<PromptMessage>,
    /// Maximum number of output tokens.
    pub max_output_tokens: Option<u32>,
    /// From 0 (most deterministic) to 2.
    pub temperature: Option<f32>,
}

/// A message of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptMessage {
    /// The author.
    pub speaker: Speaker,
    /// The text.
    pub content: String,
}

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// An event of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Text of the reply. Never empty.
    Text(String),
    /// The model's reasoning, if the provider returns it. Never empty.
    Reasoning(String),
    /// A complete tool call.
    ToolCall {
        /// The provider's id of the call, unique in the reply.
        id: String,
        /// The name of the tool.
        name: String,
        /// Its arguments.
        arguments: serde_json::Value,
        /// Reasoning before the call, signed or encrypted by the provider. The request with the call's result must
        /// return it unchanged. Not for clients.
        reasoning_blocks: Vec<serde_json::Value>,
    },
    /// The result of a tool that the provider ran itself.
    ToolResult {
        /// The id of the call.
        id: String,
        /// The result, or the error.
        result: Result<serde_json::Value, String>,
    },
    /// Token counts so far; they replace earlier ones.
    Usage(Usage),
    /// The provider's end event; nothing follows it.
    Finished(FinishReason),
}

/// Token counts as reported by the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input tokens, including cached ones.
    pub input_tokens: u32,
    /// Output tokens, including reasoning.
    pub output_tokens: u32,
    /// Input tokens from the provider's cache; at most `input_tokens`.
    pub cached_input_tokens: u32,
}

impl Usage {
    /// From counts of any size, which saturate. xAI reports more cached tokens than input tokens.
    fn from_counts(input: u64, output: u64, cached: u64) -> Self {
        let fit = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Self { input_tokens: fit(input), output_tokens: fit(output), cached_input_tokens: fit(cached.min(input)) }
    }
}

/// Why a reply failed or is incomplete.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code:?}: {detail}")]
pub struct ProviderError {
    /// The code for clients.
    pub code: ReplyErrorCode,
    /// When the provider allows a retry, if it says so.
    pub retry_after: Option<Duration>,
    /// For the log only; at most 500 characters, without keys.
    pub detail: String,
}

/// The events of a reply. Nothing follows an error or [`Event::Finished`]. A stream that ends without either was
/// truncated.
pub type EventStream = BoxStream<'static, Result<Event, ProviderError>>;

/// A service that generates replies.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Sends the request once and returns the stream of its events when the provider has accepted it.
    async fn stream(&self, request: &CompletionRequest) -> Result<EventStream, ProviderError>;
}
