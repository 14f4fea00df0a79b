//! What every adapter must hold: [`conformance`] over plain bytes, [`forms`] for the forms of single providers, [`exchange`]
//! over real HTTP.

mod conformance;
mod dialects;
mod exchange;
mod forms;
mod server;

pub(super) use self::dialects::tool_call;
use super::{CompletionRequest, PromptMessage, Speaker, http_client};

/// The client as the server builds it.
pub(super) fn client() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    http_client().unwrap()
}

/// A short question to a model that the provider calls `model`.
pub(super) fn question(model: &str) -> CompletionRequest {
    CompletionRequest {
        model: model.to_owned(),
        system: Some("Be brief.".to_owned()),
        messages: vec![PromptMessage { speaker: Speaker::User, content: "Hello?".to_owned() }],
        max_output_tokens: Some(100),
        temperature: Some(0.5),
    }
}
