//! Liveness and readiness endpoints.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::edge::Shared;

/// The time limit of the readiness check; a slower dependency counts as unavailable.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

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
