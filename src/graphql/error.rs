//! The only mapping from errors to error codes.
//!
//! A resolver returns [`domain::Error`] unchanged. async-graphql keeps it as the source of the error, which is never
//! serialised, and [`finish`] replaces it with a code, a message and the request ID before the response leaves the
//! process. An error without a source or code comes from the framework (a document that does not parse or validate) or
//! is internal.

use std::any::Any;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Enum, ErrorExtensionValues, ID, Response, ServerError, SimpleObject, Value, value};

use crate::domain;
use crate::graphql::RequestId;

/// The maximum number of errors in the response to a request that was not executed.
const MAX_REQUEST_ERRORS: usize = 5;
/// The maximum length of a message from the framework, in characters. Such messages contain names from the document.
const MAX_MESSAGE_CHARS: usize = 300;

/// The code of an error, in `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ErrorCode {
    /// The credentials are missing, expired or invalid. Sign in or refresh the session.
    Unauthenticated,
    /// The password, login or token in the input is wrong. Do not refresh the session.
    InvalidCredentials,
    /// The viewer is signed in, but does not have the required permission.
    Forbidden,
    /// The object does not exist or is not visible to the viewer. The response is identical in both cases.
    NotFound,
    /// The input is invalid. `fields` lists the affected input fields.
    InvalidInput,
    /// The GraphQL document fails parsing or validation.
    InvalidDocument,
    /// The server has no document with this hash. Send the request again with the document.
    PersistedQueryNotFound,
    /// The request conflicts with the current state: a unique name is taken, an idempotency key was used with different
    /// input, or a reply is still streaming.
    Conflict,
    /// Too many requests in a period of time, or too many concurrent requests.
    RateLimited,
    /// Too many attempts with a wrong password, at sign-in or where the current password is required.
    LockedOut,
    /// The viewer's quota is exhausted.
    QuotaExceeded,
    /// The request exceeds the size limit.
    PayloadTooLarge,
    /// The request exceeds a limit on depth, complexity, aliases, tokens, batching or response size.
    QueryTooComplex,
    /// The request timed out. A mutation may still complete.
    Timeout,
    /// The server is shutting down or overloaded, or a dependency is down.
    Unavailable,
    /// An internal error of the server.
    Internal,
}

impl ErrorCode {
    /// The code in the response.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::InvalidInput => "INVALID_INPUT",
            Self::InvalidDocument => "INVALID_DOCUMENT",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::RateLimited => "RATE_LIMITED",
            Self::LockedOut => "LOCKED_OUT",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::Timeout => "TIMEOUT",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// The `extensions` of an error. Included in the schema for code generators; no field returns this type.
#[derive(Debug, Clone, SimpleObject)]
pub struct ErrorExtensions {
    /// The error code.
    pub code: ErrorCode,
    /// The ID of the request in the server's log.
    pub request_id: ID,
    /// The affected input fields. Present with INVALID_INPUT and CONFLICT.
    pub fields: Option<Vec<FieldError>>,
    /// The number of seconds to wait before a retry. Present with RATE_LIMITED, LOCKED_OUT, QUOTA_EXCEEDED and
    /// UNAVAILABLE.
    pub retry_after_seconds: Option<i32>,
}

/// An error in one input field.
#[derive(Debug, Clone, SimpleObject)]
pub struct FieldError {
    /// The path to the field below `input`, for example `["newChat", "title"]`. `input` itself is not part of it.
    pub path: Vec<String>,
    /// The code of the error.
    pub code: FieldErrorCode,
    /// A message for developers and users.
    pub message: String,
}

/// The code of an error in one input field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::FieldErrorCode")]
pub enum FieldErrorCode {
    /// A required value is missing.
    Required,
    /// The value is too short.
    TooShort,
    /// The value is too long.
    TooLong,
    /// The password is easy to guess.
    TooWeak,
    /// The value does not have the expected format.
    Malformed,
    /// The value must be unique and is already taken.
    Taken,
    /// The number is outside the allowed range.
    OutOfRange,
    /// The value refers to an object that does not exist.
    Unknown,
    /// The field or value is not allowed here.
    NotAllowed,
}

/// An error created by the HTTP layer or the document layer, before or instead of execution.
pub fn request_error(code: ErrorCode, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    set(&mut error, "code", code.as_str());
    error
}

/// Adds the number of seconds to wait before a retry.
pub fn set_retry_after(error: &mut ServerError, time: Duration) {
    set(error, "retryAfterSeconds", whole_seconds(time));
}

/// The code of a finished error.
pub fn code_of(error: &ServerError) -> Option<ErrorCode> {
    let code = error.extensions.as_ref()?.get("code")?;
    let items = <ErrorCode as async_graphql::resolver_utils::EnumType>::items();
    items.iter().find(|item| *code == Value::from(item.name)).map(|item| item.value)
}

/// Whether nothing was executed. Such a response has no `data` key (GraphQL specification, 7.1, "Request errors").
pub fn is_request_error(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// Sets the message and `extensions` of every error, and logs internal errors. Must be called once on every response
/// that leaves the process.
pub fn finish(response: &mut Response, request_id: RequestId) {
    if is_request_error(response) {
        response.errors.truncate(MAX_REQUEST_ERRORS);
    }
    for error in &mut response.errors {
        finish_error(error, request_id);
    }
}

/// [`finish`] for one error.
pub fn finish_error(error: &mut ServerError, request_id: RequestId) {
    if let Some(source) = error.source.take() {
        finish_source(error, &source, request_id);
    } else if !has_code(error) {
        finish_framework(error, request_id);
    }
    set(error, "requestId", request_id.to_string());
}

fn finish_source(error: &mut ServerError, source: &Arc<dyn Any + Send + Sync>, request_id: RequestId) {
    let cause = source
        .downcast_ref::<domain::Error>()
        .or_else(|| source.downcast_ref::<Arc<domain::Error>>().map(AsRef::as_ref));
    match cause {
        Some(domain::Error::Internal(cause)) => internal(error, &chain(cause.as_ref()), request_id),
        Some(cause) => {
            error.message = cause.to_string();
            describe(error, cause);
        }
        None => internal_unless_coded(error, request_id),
    }
}

/// Sets the code and `extensions` for an error of the domain. The caller handles [`domain::Error::Internal`].
fn describe(error: &mut ServerError, cause: &domain::Error) {
    use domain::Error as E;
    let (code, fields, retry_after) = match cause {
        E::Unauthenticated => (ErrorCode::Unauthenticated, None, None),
        E::InvalidCredentials => (ErrorCode::InvalidCredentials, None, None),
        E::Forbidden => (ErrorCode::Forbidden, None, None),
        E::NotFound => (ErrorCode::NotFound, None, None),
        E::Invalid(fields) => (ErrorCode::InvalidInput, Some(fields), None),
        E::Conflict { fields, .. } => (ErrorCode::Conflict, Some(fields), None),
        E::RateLimited { retry_after, .. } => (ErrorCode::RateLimited, None, *retry_after),
        E::LockedOut { retry_after } => (ErrorCode::LockedOut, None, Some(*retry_after)),
        E::QuotaExceeded { retry_after } => (ErrorCode::QuotaExceeded, None, Some(*retry_after)),
        E::TooComplex => (ErrorCode::QueryTooComplex, None, None),
        E::Unavailable { retry_after, .. } => (ErrorCode::Unavailable, None, *retry_after),
        E::Internal(_) => (ErrorCode::Internal, None, None),
    };
    set(error, "code", code.as_str());
    if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
        set(error, "fields", Value::List(fields.iter().map(field_value).collect()));
    }
    if let Some(retry_after) = retry_after {
        set_retry_after(error, retry_after);
    }
}

/// Classifies an error of the framework, which has no source, by its message.
fn finish_framework(error: &mut ServerError, request_id: RequestId) {
    let message = error.message.as_str();
    if message.starts_with(" --> ") {
        error.message = syntax_message(message);
        set(error, "code", ErrorCode::InvalidDocument.as_str());
    } else if let Some(type_name) = rejected_type(message) {
        error.message = format!("Invalid value for type \"{type_name}\".");
        set(error, "code", ErrorCode::InvalidInput.as_str());
    } else if error.path.is_empty() {
        let code = if is_limit(message) { ErrorCode::QueryTooComplex } else { ErrorCode::InvalidDocument };
        error.message = without_values(message);
        set(error, "code", code.as_str());
    } else {
        internal_unless_coded(error, request_id);
    }
}

fn internal_unless_coded(error: &mut ServerError, request_id: RequestId) {
    if !has_code(error) {
        let cause = std::mem::take(&mut error.message);
        internal(error, &cause, request_id);
    }
}

fn internal(error: &mut ServerError, cause: &str, request_id: RequestId) {
    let path = error.path.iter().fold(String::new(), |mut path, segment| {
        let separator = if path.is_empty() { "" } else { "." };
        let _infallible = match segment {
            async_graphql::PathSegment::Field(name) => write!(path, "{separator}{name}"),
            async_graphql::PathSegment::Index(index) => write!(path, "{separator}{index}"),
        };
        path
    });
    tracing::error!(
        duologue.request.id = %request_id,
        graphql.path = path,
        exception.message = cause,
        "internal error"
    );
    error.message = format!("Internal server error (request {request_id}).");
    error.extensions = None;
    set(error, "code", ErrorCode::Internal.as_str());
}

/// The error and its chain of sources, for the log.
fn chain(cause: &(dyn std::error::Error + 'static)) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        let _infallible = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

fn has_code(error: &ServerError) -> bool {
    error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some())
}

fn set(error: &mut ServerError, name: &str, value: impl Into<Value>) {
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set(name, value);
}

fn field_value(field: &domain::FieldError) -> Value {
    let code = async_graphql::InputType::to_value(&FieldErrorCode::from(field.code));
    value!({ "path": field.path.clone(), "code": code, "message": field.message.clone() })
}

/// Rounded up, so that a client that waits this long does not retry too early.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// The parser's message echoes a line of the document. Only the list of expected tokens is kept.
fn syntax_message(message: &str) -> String {
    match message.rsplit_once("= expected ") {
        Some((_, expected)) => format!("Syntax error: expected {}.", expected.trim_end()),
        None => "Syntax error.".to_owned(),
    }
}

/// The type of the argument value that coercion rejected. The rest of such a message echoes the value.
fn rejected_type(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("Failed to parse \"").or_else(|| message.strip_prefix("Expected input type \""))?;
    rest.split_once('"').map(|(type_name, _)| type_name)
}

fn is_limit(message: &str) -> bool {
    message == "Query is too complex."
        || message == "Query is nested too deep."
        || message == "recursion limit exceeded."
        || message.starts_with("The recursion depth of the query cannot be greater than")
        || message.starts_with("The number of directives on the field")
}

/// Removes values of the document from a message. Names are kept, because they help.
fn without_values(message: &str) -> String {
    match message.split_once(", enumeration type \"") {
        Some((argument, rest)) => {
            let enumeration = rest.split('"').next().unwrap_or_default();
            format!("{argument}, not a value of enumeration type \"{enumeration}\"")
        }
        None => message.to_owned(),
    }
    .chars()
    .take(MAX_MESSAGE_CHARS)
    .collect()
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};

    use super::*;

    struct Query;

    #[Object]
    impl Query {
        async fn hidden(&self) -> domain::Result<Option<i32>> {
            Err(domain::Error::internal("password is hunter2"))
        }

        async fn plain(&self) -> async_graphql::Result<Option<i32>> {
            Err(async_graphql::Error::new("table users is locked"))
        }

        async fn taken(&self) -> domain::Result<Option<i32>> {
            let taken = domain::FieldError::new("newUser.username", domain::FieldErrorCode::Taken, "It is taken.");
            Err(domain::Error::Conflict { message: "The username is taken.", fields: vec![taken] })
        }

        async fn busy(&self) -> domain::Result<Option<i32>> {
            Err(domain::Error::RateLimited { message: "Slower.", retry_after: Some(Duration::from_millis(1_500)) })
        }

        async fn echo(&self, number: i32, code: Option<FieldErrorCode>) -> i32 {
            if code.is_some() { -number } else { number }
        }
    }

    const ID: RequestId = RequestId(uuid::Uuid::nil());

    fn response_to(document: &str) -> serde_json::Value {
        let schema = Schema::build(Query, EmptyMutation, EmptySubscription).limit_depth(5).finish();
        let request = async_graphql::Request::new(document)
            .variables(async_graphql::Variables::from_json(serde_json::json!({ "big": 5_000_000_000_u64 })));
        let mut response = futures_util::FutureExt::now_or_never(schema.execute(request)).unwrap();
        finish(&mut response, ID);
        serde_json::to_value(&response).unwrap()
    }

    fn first(document: &str) -> (String, String) {
        let error = &response_to(document)["errors"][0];
        assert_eq!(error["extensions"]["requestId"], ID.to_string());
        (error["extensions"]["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn internal_errors_are_hidden() {
        for field in ["hidden", "plain"] {
            let (code, message) = first(&format!("{{ {field} }}"));
            assert_eq!(code, "INTERNAL");
            assert_eq!(message, "Internal server error (request 00000000000000000000000000000000).");
        }
    }

    #[test]
    fn conflicts_have_fields_and_rate_limits_have_a_retry_time() {
        let conflict = &response_to("{ taken }")["errors"][0]["extensions"];
        assert_eq!(
            conflict["fields"],
            serde_json::json!([{ "path": ["newUser", "username"], "code": "TAKEN", "message": "It is taken." }])
        );
        assert_eq!(conflict["code"], "CONFLICT");
        assert_eq!(response_to("{ busy }")["errors"][0]["extensions"]["retryAfterSeconds"], 2);
    }

    #[test]
    fn framework_errors_have_codes_and_echo_no_values() {
        let deep = format!("{{ __schema {} {{ name }} {} }}", "{ types { fields { type ".repeat(2), "} } }".repeat(2));
        for (document, code, word) in [
            ("{ hunter2(", "INVALID_DOCUMENT", "Syntax error: expected "),
            ("{ unknownField }", "INVALID_DOCUMENT", "unknownField"),
            ("{ echo(number: \"hunter2\") }", "INVALID_DOCUMENT", "number"),
            ("{ echo(number: 1, code: HUNTER2) }", "INVALID_DOCUMENT", "FieldErrorCode"),
            ("query ($big: Int!) { echo(number: $big) }", "INVALID_INPUT", "Int"),
            (&deep, "QUERY_TOO_COMPLEX", "deep"),
        ] {
            let (found, message) = first(document);
            assert_eq!(found, code, "{document}: {message}");
            assert!(message.contains(word), "{message}");
            assert!(!message.to_lowercase().contains("hunter2") && !message.contains("5000000000"), "{message}");
        }
    }

    #[test]
    fn every_code_is_the_name_of_its_enum_value() {
        for item in <ErrorCode as async_graphql::resolver_utils::EnumType>::items() {
            assert_eq!(item.name, item.value.as_str());
        }
    }

    #[test]
    fn number_and_length_of_messages_are_bounded() {
        let fields: String = (0..100).map(|n| format!("{}{n} ", "x".repeat(1_000))).collect();
        let response = response_to(&format!("{{ {fields} }}"));
        let errors = response["errors"].as_array().unwrap();
        assert_eq!(errors.len(), MAX_REQUEST_ERRORS);
        assert!(errors.iter().all(|error| error["message"].as_str().unwrap().chars().count() <= MAX_MESSAGE_CHARS));
    }
}
