//! HTTP responses: the GraphQL response of an operation, or the refusal of a request before execution. Every body is a
//! GraphQL response.

use std::time::Duration;

use async_graphql::{Response, ServerError, Value};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::graphql::RequestId;
use crate::graphql::error::{ErrorCode, finish_error, is_request_error, request_error, set_retry_after};
use crate::http::media::Media;
use crate::http::request_log;

/// The refusal of an HTTP request that is not executed.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: ErrorCode,
    message: &'static str,
    allow: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: ErrorCode, message: &'static str) -> Self {
        Self { status, code, message, allow: None, retry_after: None }
    }

    /// The code of its error.
    pub(super) fn code(&self) -> ErrorCode {
        self.code
    }

    /// With the time after which the client should try again, in the error and in `Retry-After` (RFC 9110, section
    /// 10.2.3).
    pub(super) fn retry_after(self, time: Duration) -> Self {
        Self { retry_after: Some(time), ..self }
    }

    /// 405 with the allowed methods (RFC 9110, section 15.5.6).
    pub(super) fn method(allow: &'static str, message: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::InvalidInput, message) }
    }

    pub(super) fn into_response(self, media: Media, request_id: RequestId) -> axum::response::Response {
        let mut error = request_error(self.code, self.message);
        if let Some(time) = self.retry_after {
            set_retry_after(&mut error, time);
        }
        finish_error(&mut error, request_id);
        request_log::record_error(std::slice::from_ref(&error));
        let mut response = respond(self.status, media, &Answer { data: None, errors: &[error] });
        if let Some(time) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(time.as_secs()));
        }
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// The JSON form of a response.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    /// Absent if nothing was executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[ServerError]>::is_empty")]
    errors: &'a [ServerError],
}

impl<'a> From<&'a Response> for Answer<'a> {
    fn from(response: &'a Response) -> Self {
        Self { data: (!is_request_error(response)).then_some(&response.data), errors: &response.errors }
    }
}

/// The HTTP response for an operation's response, whose errors are finished.
pub(super) fn answer(media: Media, response: &Response) -> axum::response::Response {
    let status = match media {
        Media::GraphqlResponse if is_request_error(response) => request_error_status(response),
        _ => StatusCode::OK,
    };
    request_log::record_error(&response.errors);
    respond(status, media, &Answer::from(response))
}

fn request_error_status(response: &Response) -> StatusCode {
    let extensions = response.errors.first().and_then(|error| error.extensions.as_ref());
    match extensions.and_then(|extensions| extensions.get("code")) {
        Some(Value::String(code)) if code == ErrorCode::Timeout.as_str() => StatusCode::GATEWAY_TIMEOUT,
        Some(Value::String(code)) if code == ErrorCode::RateLimited.as_str() => StatusCode::TOO_MANY_REQUESTS,
        Some(Value::String(code)) if code == ErrorCode::Internal.as_str() => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn respond(status: StatusCode, media: Media, answer: &Answer<'_>) -> axum::response::Response {
    // Serialization only fails for maps with non-string keys, which GraphQL values do not have.
    let body = serde_json::to_vec(answer).unwrap_or_default();
    // Without spare capacity, because the client may read the body slowly.
    let mut response = axum::response::Response::new(Body::from(Bytes::from(body.into_boxed_slice())));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(media.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    // The response depends on both headers, so shared caches must distinguish them.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, authorization"));
    response
}
