//! Request ids, the headers of every response, and one log line per request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, Span, field};

use crate::http::edge::Shared;
use crate::http::security_headers;

/// The maximum length of a path in the log, in characters.
const MAX_PATH: usize = 200;

/// Wraps every request. The log line never contains a query string, a body or a header, because these contain tokens
/// and user content.
pub(super) async fn log<E: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<E>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = shared.new_request_id();
    let path: String = request.uri().path().chars().take(MAX_PATH).collect();
    let span = tracing::info_span!(
        "request",
        %request_id,
        method = %request.method(),
        path,
        operation = field::Empty,
        user = field::Empty,
    );
    let mut line = Line { span: span.clone(), start: Instant::now(), status: None };
    request.extensions_mut().insert(request_id);
    let mut response = next.run(request).instrument(span).await;
    line.status = Some(response.status());
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert("x-request-id", value);
    }
    security_headers::write(headers, shared.edge.is_tls);
    response
}

/// The time since `start` in milliseconds, rounded to a tenth.
pub(super) fn milliseconds(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}

/// Writes the log line when the request ends, even if the client disconnects before the response.
struct Line {
    span: Span,
    start: Instant,
    status: Option<StatusCode>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let milliseconds = milliseconds(self.start);
        match self.status {
            Some(status) => tracing::info!(parent: &self.span, status = status.as_u16(), milliseconds, "answered"),
            None => tracing::info!(parent: &self.span, milliseconds, "client disconnected"),
        }
    }
}
