//! Liveness and readiness endpoints, and a client for the latter.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::edge::Shared;

/// The time limit of the readiness check; a slower dependency counts as unavailable.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long [`ask_ready`] waits for a response: longer than the check.
const ASK_TIMEOUT: Duration = Duration::from_secs(4);

/// Returns 200 while the process responds to requests.
pub(super) async fn live() -> Response {
    status(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// Returns 200 if the database responds and the server is not shutting down, otherwise 503.
pub(super) async fn ready<E>(State(shared): State<Arc<Shared<E>>>) -> Response {
    if shared.edge.draining.is_cancelled() {
        return status(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"shutting down"}"#);
    }
    match tokio::time::timeout(READY_TIMEOUT, (shared.edge.ready)()).await {
        Ok(true) => status(StatusCode::OK, r#"{"status":"ok"}"#),
        Ok(false) | Err(_) => status(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"unavailable"}"#),
    }
}

fn status(status: StatusCode, body: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Requests `/health/ready` from a server on this machine. Its certificate is not verified: it names the public host,
/// and nothing secret is sent.
///
/// # Errors
/// The server does not respond, or is not ready; one line.
pub async fn ask_ready(address: SocketAddr, is_tls: bool) -> Result<(), String> {
    let told = |cause: reqwest::Error| {
        // The cause at the end of the chain is the one of the system, such as "connection refused".
        let mut last: &dyn std::error::Error = &cause;
        while let Some(source) = last.source() {
            last = source;
        }
        if cause.is_timeout() { "no response in time".to_owned() } else { last.to_string() }
    };
    let client = reqwest::Client::builder().no_proxy().timeout(ASK_TIMEOUT).tls_certs_only([]);
    let client = client.tls_danger_accept_invalid_certs(true).build().map_err(told)?;
    let scheme = if is_tls { "https" } else { "http" };
    let response = client.get(format!("{scheme}://{address}/health/ready")).send().await.map_err(told)?;
    match response.status() {
        StatusCode::OK => Ok(()),
        status => Err(format!("it answered {status}: {}", response.text().await.unwrap_or_default())),
    }
}
