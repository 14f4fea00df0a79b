//! Reading one branch of a chat, page by page. A page of the longest branch costs what a page of a short one costs.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::chats::Chats;
use crate::domain::{ChatAccess, Error, FieldErrorCode, Result};
use crate::entity::ids::{ChatId, MessageId};
use crate::entity::message;
use crate::storage::branches::{self, BranchPart, Spot};
use crate::storage::page::{Page, Window};

/// Where a message stands in the branch that a cursor was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The message.
    pub id: MessageId,
    /// Its depth.
    pub depth: i32,
    /// The end of the branch, as it was then.
    pub leaf_id: MessageId,
}

/// The most pages of branches that are read at once.
pub const MAX_BRANCHES: usize = branches::MAX_PARTS;
/// The statements that they take at most: where messages stand, the newest leaves (two), ancestors, and the messages.
pub const MAX_BRANCH_STATEMENTS: u64 = 5;

/// Which page of which branch is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BranchQuery {
    /// The chat.
    pub chat_id: ChatId,
    /// The end of its active branch.
    pub leaf_id: Option<MessageId>,
    /// A message of the wanted branch; without it, the active one is wanted.
    pub through: Option<MessageId>,
    /// The page.
    pub window: Window<Place>,
}

/// A page of a branch, oldest first.
#[derive(Debug, Clone)]
pub struct BranchPage {
    /// The messages.
    pub page: Page<Arc<message::Model>>,
    /// The end of the branch; none when the chat is empty.
    pub leaf_id: Option<MessageId>,
    /// How many messages the whole branch has.
    pub total: i32,
}

impl BranchPage {
    fn new(leaf: Option<Spot>) -> Self {
        let page = Page { rows: Vec::new(), has_previous: false, has_next: false };
        Self { page, leaf_id: leaf.map(|leaf| leaf.id), total: leaf.map_or(0, |leaf| leaf.depth + 1) }
    }
}

impl BranchQuery {
    fn cursor(&self) -> Option<Place> {
        if self.through.is_some() { None } else { self.window.after.or(self.window.before) }
    }

    /// The depths of the page in a branch of `total` messages: the first, and the one after the last.
    fn depths(&self, total: i32) -> (i32, i32) {
        let window = &self.window;
        let limit = i32::try_from(window.limit).unwrap_or(i32::MAX);
        let from = window.after.map_or(0, |place| place.depth.saturating_add(1)).clamp(0, total);
        let to = window.before.map_or(total, |place| place.depth).clamp(from, total);
        if window.from_end {
            (from.max(to.saturating_sub(limit)), to)
        } else {
            (from, to.min(from.saturating_add(limit)))
        }
    }
}

/// Where messages stand.
type Spots = HashMap<MessageId, Spot>;

impl Chats {
    /// Pages of branches, one for each query: of the branch through a message, else of the active one. A cursor pages its own
    /// branch: the active one as long as its message stands on it, else the one that it was given for. A branch through what is
    /// no message of the chat is empty: one dead id must not spoil the chat. A query with a cursor of another chat has no page.
    ///
    /// At most [`MAX_BRANCHES`] queries; they take [`MAX_BRANCH_STATEMENTS`] at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn branches(
        &self,
        access: ChatAccess,
        queries: &[BranchQuery],
        max_bytes: u64,
    ) -> Result<Vec<Option<BranchPage>>> {
        let db = self.db.reader();
        let ids = queries.iter().flat_map(|query| {
            [query.through, query.leaf_id, query.cursor().map(|cursor| cursor.leaf_id)].into_iter().flatten()
        });
        let ids: Vec<MessageId> = ids.collect();
        let spots = branches::spots(db, access.readable(), &ids).await?;
        let spots: Spots = spots.into_iter().map(|spot| (spot.id, spot)).collect();
        let leaves = self.leaves(queries, &spots).await?;

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

    /// The end of the branch of each query: none where the branch is empty, and no answer for a cursor of another chat.
    async fn leaves(&self, queries: &[BranchQuery], spots: &Spots) -> Result<Vec<Option<Option<Spot>>>> {
        let db = self.db.reader();
        let in_chat = |query: &BranchQuery, id: Option<MessageId>| {
            spots.get(&id?).copied().filter(|spot| spot.chat_id == query.chat_id)
        };
        let through = |query: &BranchQuery| query.through.and_then(|id| in_chat(query, Some(id)));
        let targets: Vec<MessageId> = queries.iter().filter_map(through).map(|spot| spot.id).collect();
        let newest = branches::newest_leaves_below(db, &targets).await?;

        let active = |query: &BranchQuery| {
            let (cursor, active) = (query.cursor()?, in_chat(query, query.leaf_id)?);
            (0..=active.depth).contains(&cursor.depth).then_some((active.id, cursor.depth))
        };
        let climbs: Vec<(usize, (MessageId, i32))> =
            queries.iter().enumerate().filter_map(|(number, query)| Some((number, active(query)?))).collect();
        let of: Vec<(MessageId, i32)> = climbs.iter().map(|(_, climb)| *climb).collect();
        let found = branches::ancestors(db, &of).await?;
        let on_active: HashMap<usize, MessageId> =
            found.into_iter().filter_map(|(part, id)| Some((climbs.get(part)?.0, id))).collect();

        let leaf = |(number, query): (usize, &BranchQuery)| {
            if query.through.is_some() {
                return Some(through(query).and_then(|spot| newest.get(&spot.id).copied()));
            }
            match query.cursor() {
                None => Some(in_chat(query, query.leaf_id)),
                // What a client made up may name any depth.
                Some(cursor) if !(0..i32::MAX).contains(&cursor.depth) => None,
                Some(cursor) if on_active.get(&number) == Some(&cursor.id) => Some(in_chat(query, query.leaf_id)),
                Some(cursor) => in_chat(query, Some(cursor.leaf_id)).map(Some),
            }
        };
        Ok(queries.iter().enumerate().map(leaf).collect())
    }
}

/// Why a query has no page.
pub fn unknown_cursor() -> Error {
    Error::invalid("after", FieldErrorCode::Unknown, "The cursor is of another list.")
}
