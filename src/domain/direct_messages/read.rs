//! The read position of a user in a conversation: a time up to which the user has read all messages.

use chrono::{DateTime, Utc};

use super::DirectMessages;
use crate::domain::{Error, Result, Viewer};
use crate::entity::conversation;
use crate::entity::ids::ConversationId;
use crate::events::Event;
use crate::storage;

impl DirectMessages {
    /// Marks the messages created up to `until` as read, or all. The position never moves back, and never beyond the
    /// newest message.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the viewer has no such conversation.
    pub async fn mark_read(
        &self,
        viewer: &Viewer,
        id: ConversationId,
        until: Option<DateTime<Utc>>,
    ) -> Result<conversation::Model> {
        let transaction = self.database.begin().await?;
        let rows = storage::conversations::lock(&transaction, id).await?;
        let (own, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.user_id == viewer.user_id);
        let mut own = own.into_iter().next().ok_or(Error::NotFound)?;
        let newest = own.active_at;
        let until = until.map_or(newest, |until| until.min(newest));
        if own.read_until >= Some(until) {
            return Ok(own);
        }
        own.read_until = Some(until);
        own.unread_count = if until == newest {
            0
        } else {
            let unread = storage::direct_messages::count_after(&transaction, id, own.other_id, until).await?;
            i32::try_from(unread).unwrap_or(i32::MAX)
        };
        storage::conversations::update(&transaction, own.clone()).await?;
        for other in others {
            let other = conversation::Model { other_read_until: Some(until), ..other };
            storage::conversations::update(&transaction, other).await?;
        }
        transaction.commit().await?;
        [own.user_id, own.other_id].iter().for_each(|user| self.bus.publish(*user, &[Event::ConversationRead(id)]));
        Ok(own)
    }
}
