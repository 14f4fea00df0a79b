//! The one table of error codes.
//!
//! A resolver returns [`domain::Error`] as it is: async-graphql carries it as the source of the error, which is never
//! serialised, and [`finish`] turns it into a code, a sentence and the request's id before anything leaves the process. An
//! error without a code is the framework's own (a document that does not parse or validate) or a fault of this server.

use std::any::Any;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Enum, ErrorExtensionValues, ID, Response, ServerError, SimpleObject, Value, value};

use crate::domain;
use crate::graphql::RequestId;

/// The most errors that an answer names for a request that was not executed.
const MAX_REQUEST_ERRORS: usize = 5;
/// The longest message of the framework that is passed on, in characters; names in it are the client's.
const MAX_MESSAGE_CHARS: usize = 300;

/// `extensions.code` of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ErrorCode {
    /// No credentials, or dead ones: sign in or refresh.
    Unauthenticated,
    /// A wrong password, login or token in the input: do not refresh.
    InvalidCredentials,
    /// Signed in, but without the permission.
    Forbidden,
    /// Not there, or not visible to the viewer; the two never differ.
    NotFound,
    /// Input that breaks a rule; `fields` says which.
    InvalidInput,
    /// The GraphQL document does not parse or validate.
    InvalidDocument,
    /// The server does not know the document of this hash (any more): send the text along.
    PersistedQueryNotFound,
    /// Something is in the way: a name is taken, an idempotency key was used for other input, a reply is still streaming.
    Conflict,
    /// Too many requests, or too many at once.
    RateLimited,
    /// Too many wrong passwords, at sign-in or where the current one is asked for.
    LockedOut,
    /// The viewer's quota is used up.
    QuotaExceeded,
    /// The request is larger than the server takes.
    PayloadTooLarge,
    /// The request goes beyond a limit: depth, complexity, aliases, tokens, batch, the size of its answer.
    QueryTooComplex,
    /// It took too long. A mutation may still take effect.
    Timeout,
    /// Shutting down, overloaded, or a dependency is down.
    Unavailable,
    /// A fault of this server.
    Internal,
}

impl ErrorCode {
    /// The code as clients see it.
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

/// What `extensions` of an error holds. In the schema for code generators; no field returns it.
#[derive(Debug, Clone, SimpleObject)]
pub struct ErrorExtensions {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// Names the request in the server's log.
    pub request_id: ID,
    /// What is wrong with which input field. With INVALID_INPUT and CONFLICT.
    pub fields: Option<Vec<FieldError>>,
    /// In how many seconds another try may pass. With RATE_LIMITED, LOCKED_OUT, QUOTA_EXCEEDED, UNAVAILABLE.
    pub retry_after_seconds: Option<i32>,
}

/// What is wrong with one input field.
#[derive(Debug, Clone, SimpleObject)]
pub struct FieldError {
    /// Input field names from `input` down.
    pub path: Vec<String>,
    /// The kind of mistake, for programs.
    pub code: FieldErrorCode,
    /// The mistake, for people.
    pub message: String,
}

/// The kinds of mistake that one input field can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::FieldErrorCode")]
pub enum FieldErrorCode {
    /// It must be there.
    Required,
    /// Shorter than allowed.
    TooShort,
    /// Longer than allowed.
    TooLong,
    /// A password that is easily guessed.
    TooWeak,
    /// Not of the wanted form.
    Malformed,
    /// Somebody has it already.
    Taken,
    /// A number outside its bounds.
    OutOfRange,
    /// It names something that does not exist.
    Unknown,
    /// It may not be given here.
    NotAllowed,
}

/// An error that the edge itself makes, before or instead of execution.
pub fn request_error(code: ErrorCode, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    set(&mut error, "code", code.as_str());
    error
}

/// Whether nothing was executed: such an answer has no `data` key (GraphQL specification, 7.1, "Request errors").
pub fn is_request_error(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// Gives every error its sentence and its `extensions`, and logs what is internal. To be called once on every response that
/// leaves the process.
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

/// Codes for what the domain can say. [`domain::Error::Internal`] is handled by the caller.
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
        E::TooComplex => (ErrorCode::QueryTooComplex, None, None),
        E::Unavailable { retry_after, .. } => (ErrorCode::Unavailable, None, *retry_after),
        E::Internal(_) => (ErrorCode::Internal, None, None),
    };
    set(error, "code", code.as_str());
    if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
        set(error, "fields", Value::List(fields.iter().map(field_value).collect()));
    }
    if let Some(retry_after) = retry_after {
        set(error, "retryAfterSeconds", whole_seconds(retry_after));
    }
}

/// An error that names no cause: the framework's, by its wording.
fn finish_framework(error: &mut ServerError, request_id: RequestId) {
    let message = error.message.as_str();
    if message.starts_with(" --> ") {
        error.message = syntax_message(message);
        set(error, "code", ErrorCode::InvalidDocument.as_str());
    } else if let Some(type_name) = refused_type(message) {
        error.message = format!("This is not a valid value of type \"{type_name}\".");
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
    tracing::error!(%request_id, path, cause, "internal error");
    error.message = format!("Something went wrong on our side (request {request_id}).");
    error.extensions = None;
    set(error, "code", ErrorCode::Internal.as_str());
}

/// A cause and what lies beneath it, for the log.
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

/// Rounded up, so that a client that waits so long is never early.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// The parser's message draws the line that it stumbled over; only what it expected there is its own.
fn syntax_message(message: &str) -> String {
    match message.rsplit_once("= expected ") {
        Some((_, expected)) => format!("Syntax error: expected {}.", expected.trim_end()),
        None => "Syntax error.".to_owned(),
    }
}

/// The type whose value was refused while a field's arguments were read. The rest of such a message echoes the value.
fn refused_type(message: &str) -> Option<&str> {
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

/// Names are fine and help; a value that the document holds is not passed back.
fn without_values(message: &str) -> String {
    match message.split_once(", enumeration type \"") {
        Some((argument, rest)) => {
            let enumeration = rest.split('"').next().unwrap_or_default();
            format!("{argument}, no such value of enumeration type \"{enumeration}\"")
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

    fn answer(document: &str) -> serde_json::Value {
        let schema = Schema::build(Query, EmptyMutation, EmptySubscription).limit_depth(5).finish();
        let request = async_graphql::Request::new(document)
            .variables(async_graphql::Variables::from_json(serde_json::json!({ "big": 5_000_000_000_u64 })));
        let mut response = futures_util::FutureExt::now_or_never(schema.execute(request)).unwrap();
        finish(&mut response, ID);
        serde_json::to_value(&response).unwrap()
    }

    fn first(document: &str) -> (String, String) {
        let error = &answer(document)["errors"][0];
        assert_eq!(error["extensions"]["requestId"], ID.to_string());
        (error["extensions"]["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn what_is_internal_stays_inside() {
        for field in ["hidden", "plain"] {
            let (code, message) = first(&format!("{{ {field} }}"));
            assert_eq!(code, "INTERNAL");
            assert_eq!(message, "Something went wrong on our side (request 00000000000000000000000000000000).");
        }
    }

    #[test]
    fn fields_and_waits_are_said() {
        let conflict = &answer("{ taken }")["errors"][0]["extensions"];
        assert_eq!(
            conflict["fields"],
            serde_json::json!([{ "path": ["newUser", "username"], "code": "TAKEN", "message": "It is taken." }])
        );
        assert_eq!(conflict["code"], "CONFLICT");
        assert_eq!(answer("{ busy }")["errors"][0]["extensions"]["retryAfterSeconds"], 2);
    }

    #[test]
    fn the_frameworks_errors_have_codes_and_echo_no_values() {
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
    fn messages_and_their_number_are_bounded() {
        let fields: String = (0..100).map(|n| format!("{}{n} ", "x".repeat(1_000))).collect();
        let answer = answer(&format!("{{ {fields} }}"));
        let errors = answer["errors"].as_array().unwrap();
        assert_eq!(errors.len(), MAX_REQUEST_ERRORS);
        assert!(errors.iter().all(|error| error["message"].as_str().unwrap().chars().count() <= MAX_MESSAGE_CHARS));
    }
}
