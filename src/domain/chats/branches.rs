//! The branches of a chat: reading one page by page, and selecting one. The cost of a page does not depend on the
//! length of the branch.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ChatAccess, Chats};
use crate::domain::{Error, FieldErrorCode, Result, Viewer};
use crate::entity::ids::{ChatId, MessageId};
use crate::entity::{chat, message};
use crate::events::Event;
use crate::storage;
use crate::storage::branches::{self, BranchPart, MessageDepth};
use crate::storage::page::{Page, Window};

/// A cursor in a branch: a message, and the branch that the cursor was created for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BranchCursor {
    /// The message.
    pub id: MessageId,
    /// The depth of the message.
    pub depth: i32,
    /// The last message of the branch at the time the cursor was created.
    pub leaf_id: MessageId,
}

/// The maximum number of pages that one call reads. Each has at most two cursors.
pub const MAX_BRANCHES: usize = branches::MAX_PARTS / 2;
/// The maximum number of statements that one call takes: message positions, newest leaves, ancestors, and messages.
pub const MAX_BRANCH_STATEMENTS: u64 = 4;

/// A request for one page of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BranchQuery {
    /// The chat.
    pub chat_id: ChatId,
    /// The last message of the chat's active branch.
    pub leaf_id: Option<MessageId>,
    /// A message of the requested branch. If none, the active branch is read.
    pub through: Option<MessageId>,
    /// The requested page.
    pub window: Window<BranchCursor>,
}

/// A page of a branch, oldest message first.
#[derive(Debug, Clone)]
pub struct BranchPage {
    /// The messages.
    pub page: Page<Arc<message::Model>>,
    /// The last message of the branch. None if the chat is empty.
    pub leaf_id: Option<MessageId>,
    /// The number of messages in the whole branch.
    pub total: i32,
}

impl BranchPage {
    fn new(leaf: Option<MessageDepth>) -> Self {
        let page = Page { rows: Vec::new(), has_previous: false, has_next: false };
        Self { page, leaf_id: leaf.map(|leaf| leaf.id), total: leaf.map_or(0, |leaf| leaf.depth + 1) }
    }
}

impl BranchQuery {
    fn cursors(&self) -> impl Iterator<Item = BranchCursor> + use<> {
        self.window.after.into_iter().chain(self.window.before)
    }

    /// The cursor that the page continues from, on the branch that it was created for.
    fn cursor(&self) -> Option<BranchCursor> {
        self.cursors().next().filter(|_| self.through.is_none())
    }

    /// The range of depths of the page in a branch of `total` messages: the first one, and one past the last.
    fn depths(&self, total: i32) -> (i32, i32) {
        let window = &self.window;
        let limit = i32::try_from(window.limit).unwrap_or(i32::MAX);
        let from = window.after.map_or(0, |cursor| cursor.depth.saturating_add(1)).clamp(0, total);
        let to = window.before.map_or(total, |cursor| cursor.depth).clamp(from, total);
        if window.from_end {
            (from.max(to.saturating_sub(limit)), to)
        } else {
            (from, to.min(from.saturating_add(limit)))
        }
    }
}

/// The positions of messages in their trees, by id.
type Depths = HashMap<MessageId, MessageDepth>;

impl Chats {
    /// Reads a page for each query: of the branch through the given message, or of the active branch. A cursor
    /// continues on the active branch as long as its message is part of it, otherwise on the branch that it was created
    /// for (if that was deleted, on the active one). The page is empty if `through` is not a message of the chat, so
    /// that one invalid id does not fail the whole chat. The page is none if a cursor belongs to another chat, or is
    /// not on the branch through `through`.
    ///
    /// Accepts at most [`MAX_BRANCHES`] queries and takes at most [`MAX_BRANCH_STATEMENTS`] statements.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn branches(
        &self,
        access: ChatAccess,
        queries: &[BranchQuery],
        max_bytes: u64,
    ) -> Result<Vec<Option<BranchPage>>> {
        let db = self.database.reader();
        let ids = queries.iter().flat_map(|query| {
            let leaves = query.cursors().map(|cursor| cursor.leaf_id);
            query.through.into_iter().chain(query.leaf_id).chain(leaves)
        });
        let ids: Vec<MessageId> = ids.collect();
        let depths = branches::depths(db, access.readable(), &ids).await?;
        let depths: Depths = depths.into_iter().map(|message| (message.id, message)).collect();
        let leaves = self.leaves(queries, &depths).await?;

        let mut pages: Vec<Option<BranchPage>> = leaves.iter().map(|leaf| leaf.map(BranchPage::new)).collect();
        let (mut parts, mut owners) = (Vec::new(), Vec::new());
        for ((number, query), page) in queries.iter().enumerate().zip(&mut pages) {
            let Some(page) = page else { continue };
            let (from, to) = query.depths(page.total);
            (page.page.has_previous, page.page.has_next) = (from > 0, to < page.total);
            if let Some(below) = page.leaf_id.filter(|_| from < to) {
                parts.push(BranchPart { below, from, to });
                owners.push(number);
            }
        }
        for (part, row) in branches::branches(db, &parts, max_bytes).await? {
            if let Some(page) = owners.get(part).and_then(|number| pages.get_mut(*number)?.as_mut()) {
                page.page.rows.push(Arc::new(row));
            }
        }
        Ok(pages)
    }

    /// The last message of each query's branch. The inner option is none if the branch is empty, the outer one if a
    /// cursor belongs to another branch or chat.
    async fn leaves(&self, queries: &[BranchQuery], depths: &Depths) -> Result<Vec<Option<Option<MessageDepth>>>> {
        let db = self.database.reader();
        let in_chat = |query: &BranchQuery, id: Option<MessageId>| {
            depths.get(&id?).copied().filter(|message| message.chat_id == query.chat_id)
        };
        let through = |query: &BranchQuery| query.through.and_then(|id| in_chat(query, Some(id)));
        let targets: Vec<MessageId> = queries.iter().filter_map(through).map(|message| message.id).collect();
        let newest = branches::newest_leaves_below(db, &targets).await?;
        // The branch that a query wants, unless its cursors are of another one.
        let wanted = |query: &BranchQuery| match query.through {
            Some(_) => through(query).and_then(|message| newest.get(&message.id).copied()),
            None => in_chat(query, query.leaf_id),
        };

        let mut climbs: Vec<(MessageId, BranchCursor)> = Vec::new();
        for query in queries {
            let Some(leaf) = wanted(query) else { continue };
            // A forged cursor can contain any depth.
            climbs.extend(query.cursors().filter(|at| (0..=leaf.depth).contains(&at.depth)).map(|at| (leaf.id, at)));
        }
        let of: Vec<(MessageId, i32)> = climbs.iter().map(|(leaf, cursor)| (*leaf, cursor.depth)).collect();
        let found = branches::ancestors(db, &of).await?;
        let found = found.into_iter().filter_map(|(part, id)| Some((*climbs.get(part)?, id)));
        let is_on: HashSet<(MessageId, MessageId, i32)> =
            found.filter(|((_, cursor), id)| cursor.id == *id).map(|((leaf, at), id)| (leaf, id, at.depth)).collect();

        let leaf = |query: &BranchQuery| {
            let leaf = wanted(query);
            // A cursor whose branch was deleted is still a position.
            let is_gone = |cursor: BranchCursor| !depths.contains_key(&cursor.leaf_id);
            let are_on = leaf.is_some_and(|leaf| {
                query.cursors().all(|at| is_on.contains(&(leaf.id, at.id, at.depth)) || is_gone(at))
            });
            match query.cursor() {
                None if leaf.is_none() || are_on => Some(leaf),
                None => None,
                Some(cursor) if !(0..i32::MAX).contains(&cursor.depth) => None,
                Some(_) if are_on => Some(leaf),
                Some(cursor) => in_chat(query, Some(cursor.leaf_id)).map(Some),
            }
        };
        Ok(queries.iter().map(leaf).collect())
    }

    /// Makes the branch through a message the active branch of its chat: it ends in the newest message below it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the viewer has no such chat, or if the message is not in it.
    pub async fn select_branch(&self, viewer: &Viewer, chat: ChatId, through: MessageId) -> Result<chat::Model> {
        let transaction = self.database.begin().await?;
        let mut chat = storage::chats::lock(&transaction, viewer.user_id, chat).await?.ok_or(Error::NotFound)?;
        let newest = branches::newest_leaves_below(&transaction, &[through]).await?;
        let leaf = newest.get(&through).filter(|leaf| leaf.chat_id == chat.id).ok_or(Error::NotFound)?;
        if chat.leaf_id == Some(leaf.id) {
            return Ok(chat);
        }
        chat.leaf_id = Some(leaf.id);
        storage::chats::update(&transaction, chat.clone()).await?;
        transaction.commit().await?;
        self.bus.publish(viewer.user_id, &[Event::ChatChanged(chat.id)]);
        Ok(chat)
    }
}

/// The error for a query without a page.
pub fn unknown_cursor() -> Error {
    Error::invalid("after", FieldErrorCode::Unknown, "The cursor belongs to another list.")
}
