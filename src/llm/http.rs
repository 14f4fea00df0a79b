//! HTTP requests to providers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Response, redirect};
use serde::Serialize;

use super::failure::{Complaint, retry_after};
use super::interpreter::{Interpreter, interpret};
use super::{EventStream, ProviderError};
use crate::config::models::Secret;

/// Timeout for name resolution, the TCP connection and the TLS handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Creates the client that all providers share. It does not retry and follows no redirects, because either could send
/// the key or the chat to an unintended server. It does not use HTTP/2, because streams would share one connection.
///
/// Without CA certificates on the machine, only plain http works, and a warning is logged; demo and local models need
/// no more. A TLS provider must be installed in the process first.
///
/// # Errors
/// TLS cannot be set up; one line.
pub fn http_client() -> Result<Client, String> {
    if let Ok(client) = builder().build() {
        return Ok(client);
    }
    let client = builder()
        .tls_certs_only([])
        .build()
        .map_err(|cause| format!("cannot create the HTTP client for providers: {cause}"))?;
    tracing::warn!("no CA certificates were found, so providers over https cannot be reached; install ca-certificates");
    Ok(client)
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("duologue/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_idle_timeout(Duration::from_secs(60))
        .pool_max_idle_per_host(64)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
}

/// The URL of a provider's API and its key.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) key: Option<Secret>,
}

impl Endpoint {
    /// Sends `body` once and returns the events when the provider has accepted it.
    pub(super) async fn post(
        &self,
        body: &impl Serialize,
        interpreter: impl Interpreter,
    ) -> Result<EventStream, ProviderError> {
        let request = self.client.post(&self.url).headers(self.headers.clone());
        let request = request.header(ACCEPT, HeaderValue::from_static("text/event-stream")).json(body);
        let response = request.send().await.map_err(ProviderError::unsent)?;
        let is_stream = !is_document(&response);
        if !response.status().is_success() || !is_stream {
            return Err(self.refused(response).await);
        }
        Ok(interpret(response.bytes_stream().map_err(ProviderError::unread).boxed(), interpreter))
    }

    async fn refused(&self, response: Response) -> ProviderError {
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let body = self.hide_key(read_start(response).await);
        // A document instead of a stream is the response of a gateway, whatever its status.
        let status = if status.is_success() { 502 } else { status.as_u16() };
        Complaint::from_body(status, body.as_bytes()).into_error(wait)
    }

    /// Some servers repeat the rejected key.
    fn hide_key(&self, body: Bytes) -> String {
        let text = String::from_utf8_lossy(&body);
        match &self.key {
            Some(key) => text.replace(key.expose(), "[secret]"),
            None => text.into_owned(),
        }
    }
}

/// Servers may omit the content type of a stream, but these two types are never a stream.
fn is_document(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    content_type.starts_with("application/json") || content_type.starts_with("text/html")
}

async fn read_start(mut response: Response) -> Bytes {
    let mut body = Vec::new();
    while body.len() < MAX_ERROR_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(MAX_ERROR_BYTES);
    body.into()
}
