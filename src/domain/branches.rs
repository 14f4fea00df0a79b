//! Reading one branch of a chat, page by page. A page of the longest branch costs what a page of a short one costs.

use serde::{Deserialize, Serialize};

use crate::domain::chats::Chats;
use crate::domain::{ChatAccess, Error, FieldErrorCode, Result};
use crate::entity::ids::MessageId;
use crate::entity::{chat, message};
use crate::storage::{
    self,
    page::{Page, Window},
};

/// Where a message stands in the branch that a cursor was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The message.
    pub id: MessageId,
    /// Its depth.
    pub depth: i32,
    /// The end of the branch, as it was then.
    pub leaf_id: MessageId,
}

/// A page of a branch, oldest first.
#[derive(Debug, Clone)]
pub struct BranchPage {
    /// The messages.
    pub page: Page<message::Model>,
    /// The end of the branch; none when the chat is empty.
    pub leaf_id: Option<MessageId>,
    /// How many messages the whole branch has.
    pub total: i32,
}

impl Chats {
    /// A page of a branch of a chat: of the one through a message, else the active one. A cursor pages its own branch: the
    /// active one as long as its message stands on it, else the one that it was given for. A branch through what is no message
    /// of the chat has none: one dead id must not spoil the chat.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor of another chat.
    pub async fn branch(
        &self,
        access: ChatAccess,
        chat: &chat::Model,
        through: Option<MessageId>,
        window: Window<Place>,
    ) -> Result<BranchPage> {
        let leaf = match (through, window.after.or(window.before)) {
            (Some(through), _) => self.branch_through(access, chat, through).await?,
            (None, Some(cursor)) => self.branch_of_cursor(access, chat, cursor).await?,
            (None, None) => self.leaf(access, chat, chat.leaf_id).await?,
        };
        let Some(leaf) = leaf else {
            let page = Page { rows: Vec::new(), has_previous: false, has_next: false };
            return Ok(BranchPage { page, leaf_id: None, total: 0 });
        };
        let total = leaf.depth + 1;
        let limit = i32::try_from(window.limit).unwrap_or(i32::MAX);
        let mut from = window.after.map_or(0, |place| place.depth.saturating_add(1)).clamp(0, total);
        let mut to = window.before.map_or(total, |place| place.depth).clamp(from, total);
        if window.from_end {
            from = from.max(to.saturating_sub(limit));
        } else {
            to = to.min(from.saturating_add(limit));
        }
        let rows = storage::messages::branch(self.db.reader(), leaf.id, from, to).await?;
        let page = Page { rows, has_previous: from > 0, has_next: to < total };
        Ok(BranchPage { page, leaf_id: Some(leaf.id), total })
    }

    async fn branch_through(
        &self,
        access: ChatAccess,
        chat: &chat::Model,
        id: MessageId,
    ) -> Result<Option<message::Model>> {
        let Some(through) = self.leaf(access, chat, Some(id)).await? else { return Ok(None) };
        let leaf = storage::messages::newest_leaf_below(self.db.reader(), &through).await?;
        self.leaf(access, chat, Some(leaf)).await
    }

    async fn branch_of_cursor(
        &self,
        access: ChatAccess,
        chat: &chat::Model,
        cursor: Place,
    ) -> Result<Option<message::Model>> {
        let unknown = || Error::invalid("after", FieldErrorCode::Unknown, "The cursor is of another list.");
        // What a client made up may name any depth; a look-up ends only for one that a tree can have.
        if !(0..i32::MAX).contains(&cursor.depth) {
            return Err(unknown());
        }
        if let Some(active) = self.leaf(access, chat, chat.leaf_id).await? {
            let there = storage::messages::ancestor(self.db.reader(), active.id, cursor.depth).await?;
            if there.is_some_and(|message| message.id == cursor.id) {
                return Ok(Some(active));
            }
        }
        let leaf = self.leaf(access, chat, Some(cursor.leaf_id)).await?;
        leaf.map(Some).ok_or_else(unknown)
    }

    async fn message(&self, access: ChatAccess, id: MessageId) -> Result<Option<message::Model>> {
        Ok(self.messages(access, &[id]).await?.pop())
    }

    async fn leaf(
        &self,
        access: ChatAccess,
        chat: &chat::Model,
        id: Option<MessageId>,
    ) -> Result<Option<message::Model>> {
        let Some(id) = id else { return Ok(None) };
        Ok(self.message(access, id).await?.filter(|message| message.chat_id == chat.id))
    }
}
