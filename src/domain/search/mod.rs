//! Full-text search over the messages of a user. A message is indexed in the transaction that completes it.
//!
//! Matches are ranked in blocks of [`BLOCK`], the newest block first. Ranking all matches of a common word would read
//! most messages of a user.

mod query;
mod words;

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};

use crate::domain::replies::parts;
use crate::domain::{Result, Viewer};
use crate::entity::enums::MessageStatus;
use crate::entity::ids::{CharacterId, ChatId, MessageId};
use crate::entity::message;
use crate::storage::Database;
use crate::storage::page::{Page, Window};
use crate::storage::search::{self as rows, Document};

pub use query::Query;
pub use words::{MATCH_END, MATCH_START};

/// The number of matches that are ranked together. Greater than the largest page, so that two blocks fill any page.
const BLOCK: u64 = 101;
/// The maximum number of words of a message that are indexed.
const MAX_WORDS: usize = 10_000;
/// The maximum number of statements of one search: two for each of two blocks.
pub const MAX_STATEMENTS: u64 = 4;
/// Messages that the backfill indexes in one transaction, and their size in bytes.
const BACKFILL_BATCH: u64 = 100;
const BACKFILL_BYTES: u64 = 1024 * 1024;

/// A cursor in the result of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchCursor {
    /// The newest message of the block.
    block: i64,
    /// The score of the message.
    score: u32,
    /// The message.
    key: i64,
}

/// The messages that are searched.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this chat.
    pub chat_id: Option<ChatId>,
    /// In chats with this character.
    pub character_id: Option<CharacterId>,
    /// Created at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub to: Option<DateTime<Utc>>,
}

/// A message that matches, and its place in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// The message.
    pub message_id: MessageId,
    /// Its place.
    pub cursor: SearchCursor,
}

/// Searches messages. Cheap to clone.
#[derive(Clone)]
pub struct Search {
    /// The database.
    pub database: Database,
}

impl Search {
    /// A page of the viewer's messages that match, best match of the newest matches first. `window` pages forward.
    /// Takes at most [`MAX_STATEMENTS`] statements.
    ///
    /// # Errors
    /// When the database fails. The same holds for the methods below.
    pub async fn page(
        &self,
        viewer: &Viewer,
        query: &Query,
        filter: &Filter,
        window: &Window<SearchCursor>,
    ) -> Result<Page<Hit>> {
        let filter = rows::Filter {
            owner_id: viewer.user_id,
            phrases: query.phrases().to_vec(),
            chat_id: filter.chat_id,
            character_id: filter.character_id,
            from: filter.from,
            to: filter.to,
        };
        let limit = window.limit as usize;
        let (mut hits, mut after) = (Vec::new(), window.after);
        let mut block = after.map(|cursor| cursor.block);
        loop {
            let newest = block.unwrap_or(i64::MAX);
            let mut found = rows::find(self.database.reader(), &filter, newest, BLOCK + 1).await?;
            let next = found.get(BLOCK as usize).map(|first| first.key);
            found.truncate(BLOCK as usize);
            // From now on, newer messages do not change the block.
            let newest = block.or(found.first().map(|first| first.key)).unwrap_or(newest);
            let mut ranked: Vec<Hit> = found.iter().map(|found| hit(query, newest, found)).collect();
            ranked.sort_by_key(|hit| place(&hit.cursor));
            hits.extend(ranked.into_iter().filter(|hit| after.is_none_or(|after| place(&hit.cursor) > place(&after))));
            (block, after) = (next, None);
            if hits.len() > limit || block.is_none() {
                break;
            }
        }
        let has_next = hits.len() > limit;
        hits.truncate(limit);
        Ok(Page { rows: hits, has_previous: window.after.is_some(), has_next })
    }

    /// Indexes a batch of the messages that were written before the index existed. Returns false if there are none
    /// left.
    pub async fn backfill(&self) -> Result<bool> {
        let transaction = self.database.begin().await?;
        let Some(before) = rows::lock_backfill(&transaction).await? else { return Ok(false) };
        let messages = rows::messages_before(&transaction, before, BACKFILL_BATCH, BACKFILL_BYTES).await?;
        let last = messages.last().map(|message| message.id);
        rows::insert_older(&transaction, messages.iter().filter_map(document).collect()).await?;
        rows::set_backfill(&transaction, last).await?;
        transaction.commit().await?;
        Ok(last.is_some())
    }
}

/// Indexes messages that are in their final state, in the transaction that wrote them.
///
/// # Errors
/// When the database fails.
pub async fn index(db: &impl ConnectionTrait, messages: impl IntoIterator<Item = &message::Model>) -> Result<()> {
    Ok(rows::insert(db, messages.into_iter().filter_map(document).collect()).await?)
}

/// The document of a message. None while it is streaming.
fn document(message: &message::Model) -> Option<Document> {
    if message.status == MessageStatus::Streaming {
        return None;
    }
    let content = parts::content(message);
    let mut words_of = String::new();
    for word in words::words(&words::normal(&content)).take(MAX_WORDS) {
        if !words_of.is_empty() {
            words_of.push(' ');
        }
        words_of.push_str(&word.text);
    }
    Some(Document { message_id: message.id, chat_id: message.chat_id, created_at: message.created_at, words: words_of })
}

fn hit(query: &Query, block: i64, found: &rows::Match) -> Hit {
    // The first two words are the owner and the chat.
    let document = found.words.match_indices(' ').nth(1).map_or("", |(place, _)| &found.words[place..]);
    let cursor = SearchCursor { block, score: query.score(document), key: found.key };
    Hit { message_id: found.message_id, cursor }
}

/// The order within a block: better matches first, then newer ones.
fn place(cursor: &SearchCursor) -> (Reverse<u32>, Reverse<i64>) {
    (Reverse(cursor.score), Reverse(cursor.key))
}
