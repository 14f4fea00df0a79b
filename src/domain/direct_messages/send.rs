//! Sending a direct message: one transaction inserts it and updates both users' rows of the conversation.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use super::{DirectMessages, TICK};
use crate::domain::idempotency::{self, Key};
use crate::domain::input::{Checks, Lines};
use crate::domain::{Client, Error, FieldErrorCode, Result, Viewer};
use crate::entity::ids::{ConversationId, DirectMessageId, UserId};
use crate::entity::{conversation, direct_message};
use crate::events::Event;
use crate::storage;

/// The input for sending a direct message.
#[derive(Debug, Clone)]
pub struct NewDirectMessage {
    /// The recipient.
    pub recipient_id: UserId,
    /// The text.
    pub content: String,
    /// The message of the same conversation that it replies to.
    pub parent_id: Option<DirectMessageId>,
    /// The idempotency key. A repeated call with the same key returns the same message.
    pub idempotency_key: Option<String>,
}

impl DirectMessages {
    /// Sends a direct message. The first message between two users begins their conversation.
    ///
    /// # Errors
    /// [`Error::Invalid`], also for a message to oneself; [`Error::NotFound`] for a recipient that does not exist or a
    /// parent in another conversation; [`Error::Forbidden`] if either user has blocked the other; [`Error::Conflict`]
    /// if the idempotency key was used with other input.
    pub async fn send(
        &self,
        viewer: &Viewer,
        input: NewDirectMessage,
        client: &Client,
    ) -> Result<direct_message::Model> {
        let (sender, recipient) = (viewer.user_id, input.recipient_id);
        let mut checks = Checks::default();
        if sender == recipient {
            checks.fail("recipientId", FieldErrorCode::NotAllowed, "You cannot send a message to yourself.");
        }
        checks.text("content", &input.content, 1..=self.max_length, Lines::Many);
        idempotency::check(&mut checks, input.idempotency_key.as_deref());
        checks.finish()?;
        let now = self.clock.now();
        let id = DirectMessageId(self.ids.next(now));

        let transaction = self.database.begin().await?;
        if let Some(key) = key(viewer, &input)
            && let Some(first) = idempotency::take(&transaction, key, id, now).await?
        {
            let found = storage::direct_messages::find_all(&transaction, sender, &[first], u64::MAX).await?;
            return found.into_iter().next().ok_or(Error::NotFound);
        }
        if storage::users::find_all(&transaction, &[recipient]).await?.is_empty() {
            return Err(Error::NotFound);
        }
        let mut rows = self.lock_or_begin(&transaction, sender, recipient, now).await?;
        // After the lock, which blocking a user takes too: no message arrives after `blockUser` has returned.
        if storage::user_blocks::is_between(&transaction, sender, recipient).await? {
            return Err(Error::Forbidden);
        }
        let Some(own) = rows.iter().find(|row| row.user_id == sender) else {
            return Err(Error::internal("a conversation without its sender"));
        };
        let conversation_id = own.id;
        if let Some(parent) = input.parent_id {
            storage::direct_messages::find_in(&transaction, conversation_id, parent).await?.ok_or(Error::NotFound)?;
        }
        let message = direct_message::Model {
            id,
            conversation_id,
            sender_id: sender,
            content: input.content,
            parent_id: input.parent_id,
            idempotency_key: input.idempotency_key,
            // Later than all others also when the clocks of nodes differ, so that a time is a position.
            created_at: if own.message_count == 0 { now } else { now.max(own.active_at + TICK) },
        };
        storage::direct_messages::insert(&transaction, message.clone()).await?;
        for row in &mut rows {
            row.last_message_id = Some(id);
            row.message_count = row.message_count.saturating_add(1);
            row.unread_count = row.unread_count.saturating_add(i32::from(row.user_id == recipient));
            row.active_at = message.created_at;
            storage::conversations::update(&transaction, row.clone()).await?;
        }
        transaction.commit().await?;
        let event = Event::DirectMessageSent { id, from: client.connection };
        [sender, recipient].iter().for_each(|user| self.bus.publish(*user, &[event]));
        Ok(message)
    }

    /// Both rows of the conversation between two users, locked. Inserts them if there are none.
    async fn lock_or_begin(
        &self,
        transaction: &impl ConnectionTrait,
        one: UserId,
        other: UserId,
        now: DateTime<Utc>,
    ) -> Result<Vec<conversation::Model>> {
        let rows = storage::conversations::lock_between(transaction, one, other).await?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        let id = ConversationId(self.ids.next(now));
        let row = |user_id, other_id| conversation::Model {
            id,
            user_id,
            other_id,
            last_message_id: None,
            message_count: 0,
            unread_count: 0,
            read_until: None,
            other_read_until: None,
            active_at: now,
        };
        storage::conversations::insert(transaction, vec![row(one, other), row(other, one)]).await?;
        // The other user may have begun the conversation at the same time.
        Ok(storage::conversations::lock_between(transaction, one, other).await?)
    }
}

fn key(viewer: &Viewer, input: &NewDirectMessage) -> Option<Key> {
    let key = input.idempotency_key.clone()?;
    let (recipient, parent) = (input.recipient_id.to_string(), input.parent_id.map(|id| id.to_string()));
    let input_hash = idempotency::fingerprint(&[Some(&recipient), parent.as_deref(), Some(&input.content)]);
    Some(Key { user_id: viewer.user_id, field: "sendDirectMessage", key, input_hash })
}
