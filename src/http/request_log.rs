//! Request ids, the headers that every answer has, and one log line a request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, Span, field};

use crate::http::edge::Shared;
use crate::http::security_headers;

/// The longest path that the log shows, in characters.
const MAX_PATH: usize = 200;

/// Wraps every request. The line never holds a query string, a body or a header: tokens and people's words are in them.
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

/// How long it has been since `start`, to a tenth of a millisecond: more digits would only be noise in the log.
pub(super) fn milliseconds(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}

/// Writes the line when the request is over, also when the client did not wait for the end.
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
            None => tracing::info!(parent: &self.span, milliseconds, "the client went away"),
        }
    }
}
