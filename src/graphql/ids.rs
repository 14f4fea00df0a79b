//! Ids as clients see them.

use std::fmt::Display;
use std::str::FromStr;

use async_graphql::ID;

use crate::domain::{Error, FieldErrorCode, Result};
use crate::entity::ids::MalformedId;

/// Reads an id of one type.
///
/// # Errors
/// [`Error::Invalid`] at `path` when it is malformed or of another type.
pub fn parse<T: FromStr<Err = MalformedId>>(id: &ID, path: &str) -> Result<T> {
    id.parse().map_err(|MalformedId| malformed(path))
}

/// Reads an id that may be absent.
///
/// # Errors
/// As [`parse`].
pub fn parse_optional<T: FromStr<Err = MalformedId>>(id: Option<&ID>, path: &str) -> Result<Option<T>> {
    id.map(|id| parse(id, path)).transpose()
}

/// Shows an id.
pub fn show(id: impl Display) -> ID {
    ID(id.to_string())
}

/// The error of an id that is none.
pub fn malformed(path: &str) -> Error {
    Error::invalid(path, FieldErrorCode::Malformed, "This is not an id of the type that is wanted here.")
}
