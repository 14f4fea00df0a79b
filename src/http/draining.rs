//! Requests during the graceful shutdown: the listener stays open while replies run, so that a proxy and its clients
//! get a response that tells them to use another node, instead of a refused connection.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::graphql::RequestId;
use crate::graphql::error::ErrorCode;
use crate::http::answer::Refusal;
use crate::http::edge::Shared;
use crate::http::media::Media;

/// When a client should try again: another node, or this one after its restart.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Paths that report the state of the server. They are also served during the shutdown.
pub(super) const REPORTS: [&str; 3] = ["/health/live", "/health/ready", "/metrics"];

/// Refuses requests that arrive during the graceful shutdown, and closes their connections. Requests that arrived
/// before are not affected.
pub(super) async fn refuse<E: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<E>>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if shared.edge.draining.is_cancelled() && !REPORTS.contains(&request.uri().path()) {
        let message = "The server is shutting down. Try again.";
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message);
        let request_id = request.extensions().get::<RequestId>().copied().unwrap_or_else(|| shared.new_request_id());
        refusal.retry_after(RETRY_AFTER).into_response(Media::negotiate(request.headers()), request_id)
    } else {
        next.run(request).await
    };
    if shared.edge.draining.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
