//! Is the process alive, and can it do its work?

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::edge::Shared;

/// A dependency that answers later than this is as good as down.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// 200 as long as the process answers at all.
pub(super) async fn live() -> Response {
    status(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// 200 while the server can do its work: its database answers, and it is not shutting down. 503 otherwise.
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
