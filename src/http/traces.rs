//! The spans of HTTP requests (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>) and of GraphQL
//! operations (<https://opentelemetry.io/docs/specs/semconv/graphql/graphql-spans/>).

use std::borrow::Cow;

use async_graphql::ServerError;
use async_graphql::parser::types::OperationType;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};

use crate::graphql::RequestId;
use crate::graphql::document::Operation;
use crate::graphql::error::code_of;
use crate::http::request_log;
use crate::traces::{Span, SpanKind, TraceHeaders, Traces};

/// The path of the assets of the playground, without their names.
const ASSETS: &str = "/graphql/assets/";

/// Starts the span of a request, which continues the trace that its headers name.
pub(super) fn request(traces: &Traces, request: &Request, request_id: RequestId) -> Span {
    let (method, route) = (method(request.method()), route(request.uri().path()));
    let headers = TraceHeaders {
        traceparent: header(request.headers(), "traceparent"),
        tracestate: header(request.headers(), "tracestate"),
    };
    let span = traces.continue_from(headers, SpanKind::Server, || match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    });
    span.set("http.request.method", || method);
    if let Some(route) = route {
        span.set("http.route", || route);
    }
    span.set("duologue.request.id", || request_id.to_string());
    span
}

/// Records the status of the response.
pub(super) fn answered(span: &Span, status: StatusCode) {
    span.set("http.response.status_code", || i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail(|| Cow::Owned(status.as_u16().to_string()));
    }
}

/// Starts the span of an operation. Over HTTP it is below the request; on a socket it starts a trace.
pub(super) fn operation(traces: &Traces, operation: &Operation, request_id: RequestId) -> Span {
    let kind = match operation.kind() {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    };
    let span = traces.start(SpanKind::Server, || kind);
    span.set("graphql.operation.type", || kind);
    if let Some(name) = operation.name() {
        span.set("graphql.operation.name", || request_log::short(name));
    }
    span.set("duologue.request.id", || request_id.to_string());
    request_log::record_trace(&span);
    span
}

/// Records the code of the first error, if there is one.
pub(super) fn ended(span: &Span, errors: &[ServerError]) {
    if let Some(code) = errors.first().and_then(code_of) {
        span.fail(|| Cow::Borrowed(code.as_str()));
    }
}

/// A header that occurs once.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    first.to_str().ok()
}

/// The method, or `_OTHER` if it is not one of HTTP's own: a client may send any name.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "_OTHER",
    }
}

/// The route of a path. A client may request any path, so others have none.
fn route(path: &str) -> Option<&'static str> {
    match path {
        "/" => Some("/"),
        "/graphql" => Some("/graphql"),
        path if path.starts_with(ASSETS) => Some("/graphql/assets/{name}"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_text_of_clients() {
        let made_up = Method::from_bytes(b"BREW").unwrap();
        assert_eq!((method(&Method::POST), method(&made_up)), ("POST", "_OTHER"));
        assert_eq!((route("/graphql"), route("/secret")), (Some("/graphql"), None));
        assert_eq!(route("/graphql/assets/index.js"), Some("/graphql/assets/{name}"));
    }

    #[test]
    fn a_repeated_header_is_ignored() {
        let mut headers = HeaderMap::new();
        headers.append("traceparent", "a".parse().unwrap());
        assert_eq!(header(&headers, "traceparent"), Some("a"));
        headers.append("traceparent", "b".parse().unwrap());
        assert_eq!((header(&headers, "traceparent"), header(&headers, "tracestate")), (None, None));
    }
}
