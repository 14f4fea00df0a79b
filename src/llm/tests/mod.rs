//! Tests for all adapters: [`conformance`] with plain bytes, [`forms`] with the streams of single providers, and
//! [`exchange`] over real HTTP.

mod conformance;
mod dialects;
mod exchange;
mod forms;
mod server;

pub(super) use self::dialects::tool_call;
use super::{CompletionRequest, PromptMessage, Speaker, http_client};

/// The HTTP client with the settings of the server.
pub(super) fn client() -> reqwest::Client {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    http_client().unwrap()
}

/// A short question to a model that the provider calls `model`.
pub(super) fn question(model: &str) -> CompletionRequest {
    CompletionRequest {
        model: model.to_owned(),
        system: vec!["Be brief.".to_owned()],
        messages: vec![PromptMessage { speaker: Speaker::User, content: "Hello?".to_owned() }],
        max_output_tokens: Some(100),
        temperature: Some(0.5),
    }
}
