//! Automatic persisted queries, as Apollo's clients and servers have them
//! (<https://www.apollographql.com/docs/apollo-server/performance/apq>): a request brings the hash of its document instead of
//! the text, and the text too once it is told that the server does not know the hash.
//!
//! There is no store beside the cache: what is there is found by its hash, whoever sent the text, and what was pushed out is
//! asked for again.

use async_graphql::{Extensions, ServerError, Value};
use sha2::{Digest as _, Sha256};

use crate::graphql::error::{ErrorCode, request_error};

/// The name of the protocol among a request's `extensions`.
const EXTENSION: &str = "persistedQuery";

/// The SHA-256 of a document's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DocumentHash([u8; 32]);

impl DocumentHash {
    pub(super) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// The hash that a request names; none when it does not use the protocol.
    ///
    /// # Errors
    /// INVALID_INPUT for another version of the protocol, and for what is no hash.
    pub(super) fn named_in(extensions: &Extensions) -> Result<Option<Self>, ServerError> {
        let invalid = |message| request_error(ErrorCode::InvalidInput, message);
        let persisted = match extensions.get(EXTENSION) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(persisted)) => persisted,
            Some(_) => return Err(invalid("The extension `persistedQuery` must be a map.")),
        };
        if persisted.get("version") != Some(&Value::from(1)) {
            return Err(invalid("The extension `persistedQuery` is known in version 1 only."));
        }
        let hash = match persisted.get("sha256Hash") {
            Some(Value::String(hash)) => Self::from_hex(hash),
            _ => None,
        };
        hash.map(Some).ok_or_else(|| invalid("The `sha256Hash` of a persisted query must be 64 hexadecimal digits."))
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut digits = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        let mut hash = [0; 32];
        for byte in &mut hash {
            *byte = digits.next()?? << 4 | digits.next()??;
        }
        digits.next().is_none().then_some(Self(hash))
    }
}

/// Whether a request says which document it means by a hash.
pub fn names_document(extensions: &Extensions) -> bool {
    extensions.get(EXTENSION).is_some_and(|persisted| *persisted != Value::Null)
}

/// Clients know this refusal by its message, or by its code, and send the text then.
pub(super) fn not_found() -> ServerError {
    request_error(ErrorCode::PersistedQueryNotFound, "PersistedQueryNotFound")
}

pub(super) fn mismatch() -> ServerError {
    request_error(ErrorCode::InvalidInput, "The `sha256Hash` of the persisted query is not that of the query.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_digits() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(DocumentHash::from_hex(empty), Some(DocumentHash::of("")));
        assert_eq!(DocumentHash::from_hex(&empty.to_uppercase()), Some(DocumentHash::of("")));
        for bad in ["", &empty[1..], &format!("{empty}0"), &empty.replace('e', "g"), &empty.replace('e', "é")] {
            assert_eq!(DocumentHash::from_hex(bad), None, "{bad}");
        }
    }
}
