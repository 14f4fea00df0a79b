//! Parsing and formatting of IDs.

use std::fmt::Display;
use std::str::FromStr;

use async_graphql::ID;

use crate::domain::{Error, FieldErrorCode, Result};
use crate::entity::ids::MalformedId;

/// Parses an ID of one type.
///
/// # Errors
/// [`Error::Invalid`] at `path` if the ID is malformed or of another type.
pub fn parse<T: FromStr<Err = MalformedId>>(id: &ID, path: &str) -> Result<T> {
    id.parse().map_err(|MalformedId| malformed(path))
}

/// Parses an ID that may be absent.
///
/// # Errors
/// As [`parse`].
pub fn parse_optional<T: FromStr<Err = MalformedId>>(id: Option<&ID>, path: &str) -> Result<Option<T>> {
    id.map(|id| parse(id, path)).transpose()
}

/// Formats an ID.
pub fn show(id: impl Display) -> ID {
    ID(id.to_string())
}

/// The error for an ID that is malformed or of another type.
pub fn malformed(path: &str) -> Error {
    Error::invalid(path, FieldErrorCode::Malformed, "Not an ID of the expected type.")
}
