//! Errors of documents and variables. Messages contain names of the schema and of the document, never values.

use async_graphql::{Pos, ServerError};

use crate::graphql::error::{ErrorCode, request_error};

/// One error. Boxed because it is large and rare.
pub(super) type Refusal = Box<ServerError>;

/// The maximum length of a message, in characters; messages contain names from the client.
const MAX_MESSAGE_CHARS: usize = 300;
/// The maximum number of errors in a response.
pub(super) const MAX_REFUSALS: usize = 20;

fn refusal(code: ErrorCode, message: &str, pos: Option<Pos>) -> Refusal {
    let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
    let mut error = request_error(code, message);
    error.locations.extend(pos);
    Box::new(error)
}

pub(super) fn invalid(message: impl AsRef<str>, pos: Pos) -> Refusal {
    refusal(ErrorCode::InvalidDocument, message.as_ref(), Some(pos))
}

pub(super) fn syntax(expected: &str, pos: Pos) -> Refusal {
    invalid(format!("Syntax error: expected {expected}."), pos)
}

pub(super) fn too_complex(message: &str, pos: Option<Pos>) -> Refusal {
    refusal(ErrorCode::QueryTooComplex, message, pos)
}

pub(super) fn invalid_input(message: impl AsRef<str>, pos: Pos) -> Refusal {
    refusal(ErrorCode::InvalidInput, message.as_ref(), Some(pos))
}

/// Collects errors, up to [`MAX_REFUSALS`].
#[derive(Default)]
pub(super) struct Refusals(Vec<ServerError>);

impl Refusals {
    pub(super) fn push(&mut self, refusal: ServerError) {
        if self.0.len() < MAX_REFUSALS {
            self.0.push(refusal);
        }
    }

    pub(super) fn invalid(&mut self, message: impl AsRef<str>, pos: Pos) {
        if self.0.len() < MAX_REFUSALS {
            self.push(*invalid(message, pos));
        }
    }

    /// # Errors
    /// The collected errors, if there are any.
    pub(super) fn finish(self) -> Result<(), Vec<ServerError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
