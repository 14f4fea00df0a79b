//! Language models: what a provider is asked, what it answers, and how it fails.
//!
//! An adapter is a pure state machine over the provider's own events (bytes in, [`Event`]s out); [`driver`] has the timeouts,
//! retries and fallbacks; [`registry`] knows which models this server has.

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

/// What a model is asked to write.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// The model, as the provider calls it.
    pub model: String,
    /// Instructions that stand before the talk.
    pub system: Option<String>,
    /// The talk, oldest first; the last one is the user's.
    pub messages: Vec<PromptMessage>,
    /// The most tokens that the model may write.
    pub max_output_tokens: Option<u32>,
    /// From 0 (steady) to 2 (wild).
    pub temperature: Option<f32>,
}

/// One message of the talk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptMessage {
    /// Whose words these are.
    pub speaker: Speaker,
    /// The words.
    pub content: String,
}

/// Whose turn a prompt message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// What arrives while a model writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// More of the answer. Never empty.
    Text(String),
    /// More of the model's reasoning, where the provider shows it. Never empty.
    Reasoning(String),
    /// A tool call that has arrived whole.
    ToolCall {
        /// The provider's id of the call; unique within the reply.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        arguments: serde_json::Value,
        /// Blocks of reasoning that came before the call, signed or encrypted by the provider, which wants them back
        /// unchanged in the request that brings the call's result. Not for clients.
        reasoning_blocks: Vec<serde_json::Value>,
    },
    /// What a tool that the provider ran itself answered.
    ToolResult {
        /// The id of the call.
        id: String,
        /// What the tool gave, or why it failed.
        result: Result<serde_json::Value, String>,
    },
    /// Token counts so far; a later one replaces an earlier one.
    Usage(Usage),
    /// The provider's own end of the reply; nothing comes after it.
    Finished(FinishReason),
}

/// Token counts, as the provider reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens read, those from a cache included.
    pub input_tokens: u32,
    /// Tokens written, reasoning included.
    pub output_tokens: u32,
    /// Tokens read from the provider's cache; at most `input_tokens`.
    pub cached_input_tokens: u32,
}

impl Usage {
    /// From counts of any size; what does not fit is the greatest that does. xAI reports more cached tokens than it read.
    fn from_counts(input: u64, output: u64, cached: u64) -> Self {
        let fit = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Self { input_tokens: fit(input), output_tokens: fit(output), cached_input_tokens: fit(cached.min(input)) }
    }
}

/// Why a provider gave no reply, or half of one.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code:?}: {detail}")]
pub struct ProviderError {
    /// The kind that clients are told.
    pub code: ReplyErrorCode,
    /// When the provider allows another try, where it says so.
    pub retry_after: Option<Duration>,
    /// For the log alone; cut to 500 characters, without keys.
    pub detail: String,
}

/// Events of one reply. After an error, or after [`Event::Finished`], it yields nothing more. A stream that just ends was truncated.
pub type EventStream = BoxStream<'static, Result<Event, ProviderError>>;

/// A service that writes replies.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Sends the request once and answers with the stream of its events, as soon as the provider has accepted it.
    async fn stream(&self, request: &CompletionRequest) -> Result<EventStream, ProviderError>;
}
