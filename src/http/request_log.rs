//! Request ids, the headers of every response, and one log line per request.

use std::sync::Arc;
use std::time::Instant;

use async_graphql::ServerError;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, Span, field};

use crate::domain::Requester;
use crate::graphql::RequestId;
use crate::graphql::document::Operation;
use crate::graphql::error::code_of;
use crate::http::edge::Shared;
use crate::http::{client_ip, draining, security_headers, traces};
use crate::traces::Span as TraceSpan;

/// The maximum length of a path in the log, in characters.
const MAX_PATH: usize = 200;
/// The maximum length of the name of an operation in the log, in characters.
const MAX_NAME: usize = 64;

/// Wraps every request. The log line never contains a query string, a body or a header, because these contain tokens
/// and user content. Its fields have the names of OpenTelemetry's semantic conventions
/// (<https://opentelemetry.io/docs/specs/semconv/>).
pub(super) async fn log<E: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<E>>>,
    request: Request,
    next: Next,
) -> Response {
    let request_id = shared.new_request_id();
    let path: String = request.uri().path().chars().take(MAX_PATH).collect();
    let peer = client_ip::peer(request.extensions());
    let is_probe = draining::REPORTS.contains(&path.as_str());
    let span = tracing::info_span!(
        "request",
        duologue.request.id = %request_id,
        http.request.method = %request.method(),
        url.path = path,
        client.address = %client_ip::client_ip(&shared.edge.trusted_proxies, peer, request.headers()),
        graphql.operation.type = field::Empty,
        graphql.operation.name = field::Empty,
        user.id = field::Empty,
        error.type = field::Empty,
        trace_id = field::Empty,
    );
    let trace = match is_probe {
        true => TraceSpan::default(),
        false => traces::request(&shared.edge.traces, &request, request_id),
    };
    let work = trace.within(next.run(request_with_id(request, request_id)).instrument(span.clone()));
    let mut line = Line { span, trace, start: Instant::now(), status: None, is_probe };
    let mut response = work.await;
    line.status = Some(response.status());
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert("x-request-id", value);
    }
    security_headers::write(headers, shared.edge.is_tls);
    response
}

fn request_with_id(mut request: Request, request_id: RequestId) -> Request {
    request.extensions_mut().insert(request_id);
    request
}

/// Records the type and the name of an operation in the current span.
pub(super) fn record_operation(operation: &Operation) {
    let span = Span::current();
    span.record("graphql.operation.type", field::display(operation.kind()));
    if let Some(name) = operation.name() {
        span.record("graphql.operation.name", short(name).as_str());
    }
}

/// The name of an operation, cut to a maximum length: the parser restricts its characters but not its length.
pub(super) fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// Records the id of a trace in the current span.
pub(super) fn record_trace(trace: &TraceSpan) {
    if let Some(id) = trace.trace_id() {
        Span::current().record("trace_id", id);
    }
}

/// Records the user of an operation in the current span.
pub(super) fn record_user(requester: &Requester) {
    if let Requester::Viewer(viewer) = requester {
        Span::current().record("user.id", field::display(viewer.user_id));
    }
}

/// Records the code of the first error, if there is one, in the current span.
pub(super) fn record_error(errors: &[ServerError]) {
    if let Some(code) = errors.first().and_then(code_of) {
        Span::current().record("error.type", code.as_str());
    }
}

/// The time since `start` in seconds, rounded to a tenth of a millisecond.
pub(super) fn seconds(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 10_000.0).round() / 10_000.0
}

/// Writes the log line when the request ends, even if the client disconnects before the response.
struct Line {
    span: Span,
    trace: TraceSpan,
    start: Instant,
    status: Option<StatusCode>,
    /// Health checks and scrapes are frequent, and logged at `debug`.
    is_probe: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        let (parent, seconds) = (&self.span, seconds(self.start));
        if let Some(status) = self.status {
            traces::answered(&self.trace, status);
        }
        match self.status.map(|status| status.as_u16()) {
            Some(status) if self.is_probe => tracing::debug!(
                parent: parent,
                http.response.status_code = status,
                http.server.request.duration = seconds,
                "answered"
            ),
            Some(status) => tracing::info!(
                parent: parent,
                http.response.status_code = status,
                http.server.request.duration = seconds,
                "answered"
            ),
            None => tracing::info!(parent: parent, http.server.request.duration = seconds, "client disconnected"),
        }
    }
}
