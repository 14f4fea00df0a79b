//! Deleting a message and its descendants.
//!
//! The messages are moved to a new chat that is marked as deleted, so that no reader finds them, and
//! [`Chats::sweep`] removes them with that chat. A transaction moves at most [`BATCH`] messages, parents before their
//! children. The first one removes the message from the tree; a larger deletion continues until nothing is left, also
//! after a restart.

use super::Chats;
use crate::domain::{Error, Result, Viewer};
use crate::entity::ids::{ChatId, MessageId};
use crate::entity::{chat, message};
use crate::events::Event;
use crate::storage::{self, Transaction, branches, subtrees};

/// The maximum number of messages that one transaction moves.
const BATCH: u64 = 500;

/// A deletion: the topmost message of it, and the deleted chat to which the messages are moved.
struct Deletion {
    top: message::Model,
    bin: ChatId,
}

impl Chats {
    /// Deletes a message and everything below it, and returns the chat. Replies that are streaming among them are
    /// stopped. If the active branch ended in them, it ends in the newest message below their parent (or in the newest
    /// one of the chat if a root was deleted).
    ///
    /// # Errors
    /// [`Error::NotFound`] if the message is not in a chat of the viewer.
    pub async fn delete_message(&self, viewer: &Viewer, id: MessageId) -> Result<chat::Model> {
        let now = self.clock.now();
        let transaction = self.database.begin().await?;
        let chat = storage::chats::lock_of_message(&transaction, viewer.user_id, id).await?;
        let mut chat = chat.ok_or(Error::NotFound)?;
        let top = storage::messages::find_any(&transaction, id).await?.filter(|top| top.chat_id == chat.id);
        let top = top.ok_or(Error::NotFound)?;
        let bin = ChatId(self.ids.next(now));
        let deleted = chat::Model { id: bin, message_count: 0, leaf_id: None, deleted_at: Some(now), ..chat.clone() };
        storage::chats::insert(&transaction, deleted).await?;

        let is_active = match chat.leaf_id {
            Some(leaf) => branches::ancestors(&transaction, &[(leaf, top.depth)]).await?.contains(&(0, id)),
            None => false,
        };
        let mut messages = subtrees::below(&transaction, chat.id, &[id], BATCH - 1).await?;
        messages.push(id);
        let deletion = Deletion { top, bin };
        deletion.take(&transaction, &mut chat, &messages, is_active).await?;
        if let Some(parent) = deletion.top.parent_id {
            subtrees::mark_leaf(&transaction, chat.id, parent).await?;
        }
        let streaming = storage::messages::streaming_in(&transaction, bin).await?;
        transaction.commit().await?;
        self.running.stop(&streaming);
        let chat_event = is_active.then_some(Event::ChatChanged(chat.id));
        let removed = Event::MessageRemoved(chat.id, id);
        self.bus.publish(viewer.user_id, &chat_event.into_iter().chain([removed]).collect::<Vec<_>>());
        if messages.len() as u64 >= BATCH {
            self.complete_deletion(bin).await?;
            let now = storage::chats::find(self.database.reader(), viewer.user_id, chat.id).await?;
            return now.ok_or(Error::NotFound);
        }
        Ok(chat)
    }

    /// Moves what is left below the messages of a deleted chat to that chat.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn complete_deletion(&self, bin: ChatId) -> Result<()> {
        // A batch may add messages that come before others in the order of this loop, so it runs until one run moves
        // nothing.
        while self.continue_deletion(bin).await? {}
        Ok(())
    }

    /// Returns whether it has moved anything.
    async fn continue_deletion(&self, bin: ChatId) -> Result<bool> {
        let db = self.database.reader();
        let (mut after, mut has_moved) = (None, false);
        loop {
            let page = subtrees::by_depth(db, bin, after, BATCH).await?;
            let Some(last) = page.last().copied() else { return Ok(has_moved) };
            let parents: Vec<MessageId> = page.iter().map(|(_, id)| *id).collect();
            while let Some(chat) = subtrees::chat_of_children(db, bin, &parents).await? {
                self.move_below(bin, chat, &parents).await?;
                has_moved = true;
            }
            after = Some(last);
        }
    }

    /// Moves a batch of the messages below these ones.
    async fn move_below(&self, bin: ChatId, chat: ChatId, parents: &[MessageId]) -> Result<()> {
        let transaction = self.database.begin().await?;
        let Some(mut chat) = storage::chats::lock_any(&transaction, chat).await? else { return Ok(()) };
        let top = subtrees::by_depth(&transaction, bin, None, 1).await?;
        let Some((_, top)) = top.first().copied() else { return Ok(()) };
        let Some(top) = storage::messages::find_any(&transaction, top).await? else { return Ok(()) };
        let messages = subtrees::below(&transaction, chat.id, parents, BATCH).await?;
        let is_active = chat.leaf_id.is_some_and(|leaf| messages.contains(&leaf));
        Deletion { top, bin }.take(&transaction, &mut chat, &messages, is_active).await?;
        let streaming = storage::messages::streaming_in(&transaction, bin).await?;
        transaction.commit().await?;
        self.running.stop(&streaming);
        Ok(())
    }
}

impl Deletion {
    /// Moves these messages out of the chat, which the caller has locked. `is_active` if the active branch ends in the
    /// deleted messages.
    async fn take(
        &self,
        transaction: &Transaction,
        chat: &mut chat::Model,
        messages: &[MessageId],
        is_active: bool,
    ) -> Result<()> {
        subtrees::move_to(transaction, self.bin, messages).await?;
        storage::messages::request_stop_in(transaction, self.bin).await?;
        let count = i32::try_from(messages.len()).unwrap_or(i32::MAX);
        chat.message_count = chat.message_count.saturating_sub(count);
        if is_active {
            let parent = self.top.parent_id.map(|parent| (parent, self.top.depth - 1));
            let newest = branches::newest_leaf_below_children(transaction, chat.id, parent).await?;
            chat.leaf_id = newest.or(self.top.parent_id);
        }
        Ok(storage::chats::update(transaction, chat.clone()).await?)
    }
}
