//! The `Host` header (RFC 9112, section 3.2).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::graphql::RequestId;
use crate::graphql::error::ErrorCode;
use crate::http::answer::Refusal;
use crate::http::edge::Shared;
use crate::http::media::Media;

/// Refuses an HTTP/1.1 request without a `Host` header and any request with several: a proxy may have routed it by a
/// different one.
pub(super) async fn require<E: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<E>>>,
    request: Request,
    next: Next,
) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11) {
        return next.run(request).await;
    }
    let request_id = request.extensions().get::<RequestId>().copied().unwrap_or_else(|| shared.new_request_id());
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidInput, "Send exactly one Host header.");
    refusal.into_response(Media::negotiate(request.headers()), request_id)
}
