//! The errors of the domain: about a dozen kinds. Only `graphql/error.rs` maps them to error codes.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::storage::failure::is_outage;

/// The time after which a client may retry when the database is unavailable.
const DATABASE_RETRY: Duration = Duration::from_secs(1);

/// The time after which a client may repeat a subscription whose events were read too slowly.
const SUBSCRIPTION_RETRY: Duration = Duration::from_secs(1);

/// The result of a domain function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request has no credentials, or invalid ones.
    #[error("Authentication required.")]
    Unauthenticated,
    /// The login, password or token in the input is wrong. The error is the same for every cause.
    #[error("Invalid credentials.")]
    InvalidCredentials,
    /// The viewer lacks a permission.
    #[error("Permission denied.")]
    Forbidden,
    /// The object does not exist, or the viewer may not see it. The two cases are indistinguishable.
    #[error("Not found.")]
    NotFound,
    /// The input breaks rules.
    #[error("{}", first_message(.0, "Invalid input."))]
    Invalid(Vec<FieldError>),
    /// The call conflicts with the current state: a name is taken, an idempotency key was used with other input, or a
    /// reply is still streaming.
    #[error("{message}")]
    Conflict {
        /// The conflict, in a sentence for users.
        message: &'static str,
        /// The conflicting fields, if any.
        fields: Vec<FieldError>,
    },
    /// Too many requests at once, or in a short time.
    #[error("{message}")]
    RateLimited {
        /// The limit, in a sentence for users.
        message: &'static str,
        /// The time after which a retry may succeed.
        retry_after: Option<Duration>,
    },
    /// Too many wrong passwords, at sign-ins or as the current password.
    #[error("Too many wrong passwords. Try again later.")]
    LockedOut {
        /// The time after which a retry may succeed.
        retry_after: Duration,
    },
    /// The user's monthly quota does not allow another reply.
    #[error("Your monthly quota does not allow another reply.")]
    QuotaExceeded {
        /// The time until the next month begins.
        retry_after: Duration,
    },
    /// The request is more complex than the limit.
    #[error("The query is too complex. Request fewer fields or smaller pages.")]
    TooComplex,
    /// The server is overloaded or shutting down, or a dependency is down.
    #[error("{message}")]
    Unavailable {
        /// The problem, in a sentence for users, without internals.
        message: &'static str,
        /// The time after which a retry may succeed.
        retry_after: Option<Duration>,
    },
    /// An internal error. The cause is logged and never sent to a client.
    #[error("internal error")]
    Internal(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An error with one invalid field.
    pub fn invalid(field: &str, code: FieldErrorCode, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }

    /// A subscription whose events are read too slowly.
    pub fn lagged() -> Self {
        let message = "The events were read too slowly, so changes were missed. Subscribe again, and query again.";
        Self::Unavailable { message, retry_after: Some(SUBSCRIPTION_RETRY) }
    }

    /// An internal error whose cause is a sentence.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into().into())
    }
}

impl From<sea_orm::DbErr> for Error {
    #[track_caller]
    fn from(source: sea_orm::DbErr) -> Self {
        let is_outage = is_outage(&source);
        let failure = DatabaseFailure { source, caller: Location::caller() };
        if !is_outage {
            return Self::Internal(Arc::new(failure));
        }
        tracing::warn!(error = &failure as &dyn std::error::Error, "the database is unavailable");
        Self::Unavailable { message: "The database is unavailable. Try again.", retry_after: Some(DATABASE_RETRY) }
    }
}

/// A failed query with the source location of its caller.
#[derive(Debug, thiserror::Error)]
#[error("query at {caller} failed")]
struct DatabaseFailure {
    source: sea_orm::DbErr,
    caller: &'static Location<'static>,
}

/// An error at one input field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path of field names below `input`, in camel case.
    pub path: Vec<String>,
    /// The kind of error.
    pub code: FieldErrorCode,
    /// A sentence for users.
    pub message: String,
}

impl FieldError {
    /// An error at `path`, whose elements are separated by dots (`newChat.title`).
    pub fn new(path: &str, code: FieldErrorCode, message: impl Into<String>) -> Self {
        Self { path: path.split('.').map(str::to_owned).collect(), code, message: message.into() }
    }
}

/// The kinds of errors of an input field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldErrorCode {
    /// A required value is missing.
    Required,
    /// The value is shorter than allowed.
    TooShort,
    /// The value is longer than allowed.
    TooLong,
    /// The password is easy to guess.
    TooWeak,
    /// The value has the wrong format.
    Malformed,
    /// The value is already in use.
    Taken,
    /// The number is out of range.
    OutOfRange,
    /// The value refers to an object that does not exist.
    Unknown,
    /// The value is not allowed here.
    NotAllowed,
}

fn first_message<'a>(fields: &'a [FieldError], otherwise: &'a str) -> &'a str {
    fields.first().map_or(otherwise, |field| &field.message)
}
