//! Everything that can go wrong for a caller, in about a dozen kinds. `graphql/error.rs` alone turns kinds into codes.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::storage::failure::is_outage;

/// When a client may try again after the database was unavailable.
const DATABASE_RETRY: Duration = Duration::from_secs(1);

/// What a domain function answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No credentials, or dead ones.
    #[error("Sign in to do this.")]
    Unauthenticated,
    /// A wrong login, password or refresh token in the input. One answer for every cause.
    #[error("The credentials are wrong.")]
    InvalidCredentials,
    /// Signed in, but without the permission.
    #[error("You do not have the permission to do this.")]
    Forbidden,
    /// Not there, or not the viewer's: the two never differ.
    #[error("There is no such thing, or it is not yours.")]
    NotFound,
    /// Input that breaks a rule.
    #[error("{}", first_message(.0, "The input is not valid."))]
    Invalid(Vec<FieldError>),
    /// Something is in the way: a name is taken, a key was used for other input, a reply is still streaming.
    #[error("{message}")]
    Conflict {
        /// What is in the way, for people.
        message: &'static str,
        /// The fields that collide, where fields do.
        fields: Vec<FieldError>,
    },
    /// Too many at once or too fast.
    #[error("{message}")]
    RateLimited {
        /// Which limit, for people.
        message: &'static str,
        /// When another try may pass.
        retry_after: Option<Duration>,
    },
    /// Too many failed sign-ins.
    #[error("Too many failed sign-ins. Wait a little, or sign in from where you did before.")]
    LockedOut {
        /// When another try may pass.
        retry_after: Duration,
    },
    /// The request asks for more than one request may.
    #[error("The request asks for too much at once.")]
    TooComplex,
    /// Overloaded, shutting down, or a dependency is down.
    #[error("{message}")]
    Unavailable {
        /// What is the matter, for people; never internals.
        message: &'static str,
        /// When another try may pass.
        retry_after: Option<Duration>,
    },
    /// A fault of this server. The cause goes to the log and never to a client.
    #[error("internal error")]
    Internal(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// One field's error.
    pub fn invalid(field: &str, code: FieldErrorCode, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }

    /// A fault of this server that has only a sentence as its cause.
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

/// A query that failed, and where it was asked.
#[derive(Debug, thiserror::Error)]
#[error("query at {caller} failed")]
struct DatabaseFailure {
    source: sea_orm::DbErr,
    caller: &'static Location<'static>,
}

/// What is wrong with one input field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Field names from `input` down, in camel case.
    pub path: Vec<String>,
    /// The kind of mistake.
    pub code: FieldErrorCode,
    /// For people.
    pub message: String,
}

impl FieldError {
    /// An error at `path`, whose steps are separated by dots (`newChat.title`).
    pub fn new(path: &str, code: FieldErrorCode, message: impl Into<String>) -> Self {
        Self { path: path.split('.').map(str::to_owned).collect(), code, message: message.into() }
    }
}

/// The kinds of mistake that one field can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

fn first_message<'a>(fields: &'a [FieldError], otherwise: &'a str) -> &'a str {
    fields.first().map_or(otherwise, |field| &field.message)
}
