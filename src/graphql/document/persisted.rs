//! Automatic persisted queries (<https://www.apollographql.com/docs/apollo-server/performance/apq>): a client sends the
//! hash of a document instead of its text. If the server does not have the document, the client sends the hash and the
//! text.
//!
//! There is no store besides the document cache: a cached document is found by its hash, whichever client sent it; an
//! evicted document is requested again.

use async_graphql::{Extensions, ServerError, Value};
use sha2::{Digest as _, Sha256};

use crate::graphql::error::{ErrorCode, request_error};

/// The key of the protocol in a request's `extensions`.
const EXTENSION: &str = "persistedQuery";

/// The SHA-256 hash of a document's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DocumentHash([u8; 32]);

impl DocumentHash {
    pub(super) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Returns the hash in a request's extensions, or `None` if the request does not use the protocol.
    ///
    /// # Errors
    /// INVALID_INPUT for another version of the protocol and for a malformed hash.
    pub(super) fn named_in(extensions: &Extensions) -> Result<Option<Self>, ServerError> {
        let invalid = |message| request_error(ErrorCode::InvalidInput, message);
        let persisted = match extensions.get(EXTENSION) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(persisted)) => persisted,
            Some(_) => return Err(invalid("The extension `persistedQuery` must be a map.")),
        };
        if persisted.get("version") != Some(&Value::from(1)) {
            return Err(invalid("The extension `persistedQuery` is supported in version 1 only."));
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

/// Whether a request identifies its document by a hash.
pub fn names_document(extensions: &Extensions) -> bool {
    extensions.get(EXTENSION).is_some_and(|persisted| *persisted != Value::Null)
}

/// The error by whose message or code clients recognize that they must send the text.
pub(super) fn not_found() -> ServerError {
    request_error(ErrorCode::PersistedQueryNotFound, "PersistedQueryNotFound")
}

pub(super) fn mismatch() -> ServerError {
    request_error(ErrorCode::InvalidInput, "The `sha256Hash` of the persisted query does not match the query.")
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
