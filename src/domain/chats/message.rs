//! Messages: reading them by id or by parent, rating them, and new ones.

use chrono::{DateTime, Utc};

use super::{ChatAccess, Chats};
use crate::domain::tokens::{Ratio, message_tokens};
use crate::domain::{Error, FieldErrorCode, Result, Viewer};
use crate::entity::enums::{MessageRole, MessageStatus, Rating};
use crate::entity::ids::{ChatId, MessageId};
use crate::entity::message;
use crate::events::Event;
use crate::storage;

/// The maximum number of messages in a list without pagination.
pub const MAX_SIBLINGS: u64 = 100;

impl Chats {
    /// The readable ones of these messages that have at most `max_bytes` each.
    pub async fn short_messages(
        &self,
        access: ChatAccess,
        ids: &[MessageId],
        max_bytes: u64,
    ) -> Result<Vec<message::Model>> {
        Ok(storage::messages::find_short(self.database.reader(), access.readable(), ids, max_bytes).await?)
    }

    /// The readable ones of these messages. This and the methods below stop reading once the result has more than
    /// `max_bytes`; a caller that receives more must treat its request as too large.
    pub async fn messages(&self, access: ChatAccess, ids: &[MessageId], max_bytes: u64) -> Result<Vec<message::Model>> {
        Ok(storage::messages::find_within(self.database.reader(), access.readable(), ids, max_bytes).await?)
    }

    /// The direct children of each of these messages, oldest first, at most the newest [`MAX_SIBLINGS`] each.
    pub async fn children(
        &self,
        access: ChatAccess,
        parents: &[MessageId],
        max_bytes: u64,
    ) -> Result<Vec<message::Model>> {
        let (db, readable) = (self.database.reader(), access.readable());
        Ok(storage::messages::children(db, readable, parents, MAX_SIBLINGS, max_bytes).await?)
    }

    /// The messages without a parent in each of these chats, oldest first, at most the newest [`MAX_SIBLINGS`] each.
    pub async fn roots(&self, access: ChatAccess, chats: &[ChatId], max_bytes: u64) -> Result<Vec<message::Model>> {
        let (db, readable) = (self.database.reader(), access.readable());
        Ok(storage::messages::roots(db, readable, chats, MAX_SIBLINGS, max_bytes).await?)
    }

    /// Rates a message of the assistant, or removes its rating.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the message is not in a chat of the viewer; [`Error::Invalid`] for a message of the user.
    pub async fn rate_message(&self, viewer: &Viewer, id: MessageId, rating: Option<Rating>) -> Result<message::Model> {
        let transaction = self.database.begin().await?;
        storage::messages::rate(&transaction, viewer.user_id, id, rating).await?;
        let message = storage::messages::find(&transaction, viewer.user_id, id).await?.ok_or(Error::NotFound)?;
        if message.role != MessageRole::Assistant {
            let why = "Only the assistant's messages can be rated.";
            return Err(Error::invalid("messageId", FieldErrorCode::NotAllowed, why));
        }
        transaction.commit().await?;
        self.bus.publish(viewer.user_id, &[Event::MessageChanged(message.chat_id, id)]);
        Ok(message)
    }
}

/// A new, complete message with the position of a root; [`tree::append`] sets another one. `parent` is only used for
/// what a branch passes on: its tokens, their ratio, and its checkpoint.
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
        checkpoint_id: parent.and_then(|parent| parent.checkpoint_id),
        token_ratio: parent.map_or(Ratio::ONE.per_thousand(), |parent| parent.token_ratio),
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
        rating: None,
        created_at: now,
        completed_at: Some(now),
    }
}
