//! Idempotency keys: for 24 hours, a repeated call with the same key and input returns the result of the first call and
//! has no effect.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::ConnectionTrait;
use sha2::{Digest as _, Sha256};

use crate::domain::input::{Checks, Lines};
use crate::domain::{Error, FieldError, FieldErrorCode, Result};
use crate::entity::idempotency_key::Model;
use crate::entity::ids::{ChatId, DirectMessageId, MessageId, UserId};
use crate::storage;

/// How long a key is remembered.
pub const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// The longest key, in characters.
const MAX_LENGTH: usize = 255;

/// A client's idempotency key for one call of a mutation.
#[derive(Debug, Clone)]
pub struct Key {
    /// The caller.
    pub user_id: UserId,
    /// The mutation.
    pub field: &'static str,
    /// The key that the client chose.
    pub key: String,
    /// The hash of the parsed input, from [`fingerprint`].
    pub input_hash: [u8; 32],
}

/// The ids that make up the result of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The chat.
    pub chat_id: ChatId,
    /// The user's message.
    pub message_id: Option<MessageId>,
    /// The reply.
    pub reply_id: Option<MessageId>,
}

/// A result of a call, as it is stored with its key.
pub trait Stored: Sized {
    /// Writes the ids into the row of the key.
    fn write(&self, row: &mut Model);

    /// The ids in a row of the same mutation.
    fn read(row: &Model) -> Option<Self>;
}

impl Stored for Answer {
    fn write(&self, row: &mut Model) {
        (row.chat_id, row.message_id, row.reply_id) = (Some(self.chat_id), self.message_id, self.reply_id);
    }

    fn read(row: &Model) -> Option<Self> {
        Some(Self { chat_id: row.chat_id?, message_id: row.message_id, reply_id: row.reply_id })
    }
}

impl Stored for DirectMessageId {
    fn write(&self, row: &mut Model) {
        row.direct_message_id = Some(*self);
    }

    fn read(row: &Model) -> Option<Self> {
        row.direct_message_id
    }
}

/// Checks the format of a key.
pub fn check(checks: &mut Checks, key: Option<&str>) {
    if let Some(key) = key {
        checks.text("idempotencyKey", key, 1..=MAX_LENGTH, Lines::One);
    }
}

/// A hash of input values. The encoding is unambiguous about the boundaries between values and about absent values.
pub fn fingerprint(values: &[Option<&str>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for value in values {
        match value {
            None => hash.update([0]),
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            }
        }
    }
    hash.finalize().into()
}

/// Reserves the key in this transaction for `answer`. Concurrent calls with the same key wait here for each other; the
/// later ones receive the answer of the first. If the transaction is rolled back, nothing is stored.
///
/// # Errors
/// [`Error::Conflict`] if the key was used with other input.
pub async fn take<A: Stored>(db: &impl ConnectionTrait, key: Key, answer: A, now: DateTime<Utc>) -> Result<Option<A>> {
    let mut row = Model {
        user_id: key.user_id,
        field: key.field.to_owned(),
        key: key.key,
        input_hash: key.input_hash.to_vec(),
        chat_id: None,
        message_id: None,
        reply_id: None,
        direct_message_id: None,
        created_at: now,
    };
    answer.write(&mut row);
    let Some(first) = storage::idempotency::take(db, row, now - LIFETIME).await? else { return Ok(None) };
    if first.input_hash != key.input_hash {
        let message = "This idempotency key was used with other input.";
        let field = FieldError::new("idempotencyKey", FieldErrorCode::Taken, message);
        return Err(Error::Conflict { message, fields: vec![field] });
    }
    A::read(&first).map(Some).ok_or_else(|| Error::internal("an idempotency key without its result"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_distinguish_boundaries_and_absent_values() {
        let inputs: [&[Option<&str>]; 5] = [
            &[Some("ab"), Some("c")],
            &[Some("a"), Some("bc")],
            &[Some("abc"), None],
            &[None, Some("abc")],
            &[Some("abc"), Some("")],
        ];
        let hashes: std::collections::HashSet<[u8; 32]> = inputs.iter().map(|input| fingerprint(input)).collect();
        assert_eq!(hashes.len(), inputs.len());
    }
}
