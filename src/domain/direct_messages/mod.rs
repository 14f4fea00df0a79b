//! Direct messages between two users: conversations, sending, read positions, blocks and events.
//!
//! Every query has the viewer as a condition, so it finds only the viewer's conversations. Each user's row of a
//! conversation has the number of messages that this user has not read. The number changes only while the rows of the
//! conversation are locked, so it cannot differ from the messages.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, IdGenerator};
use crate::domain::{Result, Viewer};
use crate::entity::ids::{ConversationId, DirectMessageId, UserId};
use crate::entity::{conversation, direct_message};
use crate::events::Bus;
use crate::storage::page::{Page, Window};
use crate::storage::{self, Database};

mod blocks;
mod events;
mod read;
mod send;

pub use blocks::MAX_BLOCKED;
pub use events::DirectMessageEvent;
pub use send::NewDirectMessage;

// Types of the storage that the layers above use.
pub use crate::storage::conversations::ConversationCursor;
pub use crate::storage::direct_messages::{DirectMessageCursor, MessagesQuery};

/// The maximum number of pages of messages that one call reads.
pub const MAX_PAGES: usize = storage::direct_messages::MAX_PAGES;
/// The maximum number of messages that a sweep removes in one transaction.
const SWEEP_BATCH: u64 = 500;
/// The smallest difference between the times of two messages of a conversation: the precision of the clock.
const TICK: TimeDelta = TimeDelta::milliseconds(1);

/// Reads and writes direct messages. Cheap to clone.
#[derive(Clone)]
pub struct DirectMessages {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Generates ids.
    pub ids: Arc<IdGenerator>,
    /// Carries changes to subscribers.
    pub bus: Arc<dyn Bus>,
    /// The longest message, in Unicode characters.
    pub max_length: usize,
}

impl DirectMessages {
    /// Those of these conversations that the viewer takes part in.
    ///
    /// # Errors
    /// When the database fails. The same holds for the methods below.
    pub async fn conversations(&self, viewer: &Viewer, ids: &[ConversationId]) -> Result<Vec<conversation::Model>> {
        Ok(storage::conversations::find_all(self.database.reader(), viewer.user_id, ids).await?)
    }

    /// The viewer's conversation with another user. None before the first message.
    pub async fn conversation_with(&self, viewer: &Viewer, other: UserId) -> Result<Option<conversation::Model>> {
        Ok(storage::conversations::find_with(self.database.reader(), viewer.user_id, other).await?)
    }

    /// A page of the viewer's conversations, most recently active first.
    pub async fn page(&self, viewer: &Viewer, window: Window<ConversationCursor>) -> Result<Page<conversation::Model>> {
        Ok(storage::conversations::page(self.database.reader(), viewer.user_id, window).await?)
    }

    /// The number of the viewer's conversations.
    pub async fn count(&self, viewer: &Viewer) -> Result<u64> {
        Ok(storage::conversations::count(self.database.reader(), viewer.user_id).await?)
    }

    /// Those of these messages that the viewer sent or received. This and [`Self::pages`] stop reading once the result
    /// has more than `max_bytes`; a caller that receives more must treat its request as too large.
    pub async fn messages(
        &self,
        viewer: &Viewer,
        ids: &[DirectMessageId],
        max_bytes: u64,
    ) -> Result<Vec<direct_message::Model>> {
        Ok(storage::direct_messages::find_all(self.database.reader(), viewer.user_id, ids, max_bytes).await?)
    }

    /// A page for each of at most [`MAX_PAGES`] queries, oldest message first, with one statement. Pages of
    /// conversations of others are empty.
    pub async fn pages(
        &self,
        viewer: &Viewer,
        queries: &[MessagesQuery],
        max_bytes: u64,
    ) -> Result<Vec<Page<direct_message::Model>>> {
        Ok(storage::direct_messages::pages(self.database.reader(), viewer.user_id, queries, max_bytes).await?)
    }

    /// Removes a deleted user from all conversations. A conversation without the other user is removed with its
    /// messages, in batches, so that SQLite's only writer is never held for long.
    pub async fn sweep(&self, user: UserId, stop: &CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            let transaction = self.database.begin().await?;
            let Some(id) = storage::conversations::find_any(&transaction, user).await? else { return Ok(()) };
            let rows = storage::conversations::lock(&transaction, id).await?;
            let is_shared = rows.iter().any(|row| row.user_id != user);
            if is_shared || !storage::direct_messages::delete_some(&transaction, id, SWEEP_BATCH).await? {
                storage::conversations::delete(&transaction, id, user).await?;
            }
            transaction.commit().await?;
        }
        Ok(())
    }
}
