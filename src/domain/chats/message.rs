//! Messages: reading them by id or by parent, and new ones.

use chrono::{DateTime, Utc};

use super::{ChatAccess, Chats};
use crate::domain::Result;
use crate::entity::enums::{MessageRole, MessageStatus};
use crate::entity::ids::{ChatId, MessageId};
use crate::entity::message;
use crate::storage;

/// The most messages in a list without pagination.
pub const MAX_SIBLINGS: u64 = 100;
/// The overhead of a message in addition to its text, in tokens.
const MESSAGE_TOKENS: i32 = 4;

impl Chats {
    /// The readable ones of these messages. This and the methods below stop reading once the result has more than
    /// `max_bytes`; a caller that receives more must treat its request as too large.
    pub async fn messages(&self, access: ChatAccess, ids: &[MessageId], max_bytes: u64) -> Result<Vec<message::Model>> {
        Ok(storage::messages::find_within(self.database.reader(), access.readable(), ids, max_bytes).await?)
    }

    /// The direct children of each of these messages, oldest first, at most [`MAX_SIBLINGS`] each.
    pub async fn children(
        &self,
        access: ChatAccess,
        parents: &[MessageId],
        max_bytes: u64,
    ) -> Result<Vec<message::Model>> {
        let (db, readable) = (self.database.reader(), access.readable());
        Ok(storage::messages::children(db, readable, parents, MAX_SIBLINGS, max_bytes).await?)
    }

    /// The messages without a parent in each of these chats, oldest first, at most [`MAX_SIBLINGS`] each.
    pub async fn roots(&self, access: ChatAccess, chats: &[ChatId], max_bytes: u64) -> Result<Vec<message::Model>> {
        let (db, readable) = (self.database.reader(), access.readable());
        Ok(storage::messages::roots(db, readable, chats, MAX_SIBLINGS, max_bytes).await?)
    }
}

/// A new, complete message with the position of a root; [`tree::append`] sets another one. `parent` is only used for the
/// token estimate of the branch.
///
/// [`tree::append`]: super::tree::append
pub fn message(
    id: MessageId,
    chat_id: ChatId,
    role: MessageRole,
    content: &str,
    parent: Option<&message::Model>,
    now: DateTime<Utc>,
) -> message::Model {
    message::Model {
        id,
        chat_id,
        parent_id: None,
        depth: 0,
        jump_id: id,
        jump_depth: 0,
        is_leaf: true,
        role,
        status: MessageStatus::Complete,
        body: content.to_owned(),
        layout: None,
        branch_tokens: parent.map_or(0, |parent| parent.branch_tokens).saturating_add(message_tokens(content)),
        idempotency_key: None,
        boot_id: None,
        is_stop_requested: false,
        model_id: None,
        finish_reason: None,
        error_code: None,
        input_tokens: None,
        output_tokens: None,
        cached_input_tokens: None,
        is_usage_estimate: false,
        cost_nanodollars: None,
        time_to_first_token_ms: None,
        duration_ms: None,
        created_at: now,
        completed_at: Some(now),
    }
}

/// Estimates the tokens of a text: one per four ASCII characters, and one per other character. For code and most
/// languages the estimate is too high, so that context windows and quotas are not exceeded.
pub fn estimate_tokens(text: &str) -> i32 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().count() - ascii;
    i32::try_from(ascii.div_ceil(4) + others).unwrap_or(i32::MAX)
}

/// Estimates the tokens of a message.
pub fn message_tokens(content: &str) -> i32 {
    estimate_tokens(content).saturating_add(MESSAGE_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_err_on_the_high_side() {
        assert_eq!(estimate_tokens(""), 0);
        assert_eq!(estimate_tokens("Hello, world!"), 4);
        assert_eq!(estimate_tokens("日本語"), 3);
    }
}
