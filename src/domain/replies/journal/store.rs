//! The database operations of the journal. Each call is one transaction. After an error, it may or may not have been
//! committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::super::parts::Piece;
use super::lease::LEASE;
use crate::clock::Clock;
use crate::domain::{Result, search};
use crate::entity::ids::{BootId, CharacterId, ChatId, MessageId, UserId};
use crate::entity::{ledger_entry, message, reply_chunk, tool_call};
use crate::events::{Bus, Event};
use crate::storage::{self, Database, Transaction};

/// The time that a node has for each batch of a dead node's replies before another node may claim them.
const CLAIM: Duration = Duration::from_secs(30);

/// The final state of a reply. It is saved only if the reply is still STREAMING and owned by `owner`.
#[derive(Debug)]
pub(in super::super) struct FinalReply {
    pub(in super::super) owner: Option<BootId>,
    pub(in super::super) row: message::Model,
    pub(in super::super) calls: Vec<tool_call::Model>,
    /// The entry for the usage ledger.
    pub(in super::super) entry: ledger_entry::Model,
    /// The title that the chat gets if it is due for one.
    pub(in super::super) excerpt: Option<String>,
}

/// A STREAMING reply that no task writes, with its saved content.
#[derive(Debug)]
pub(in super::super) struct Abandoned {
    pub(in super::super) reply: message::Model,
    pub(in super::super) pieces: Vec<Piece>,
    /// The owner of its chat.
    pub(in super::super) user_id: UserId,
    /// The character of its chat.
    pub(in super::super) character_id: Option<CharacterId>,
}

/// The result of saving an ending.
#[derive(Debug)]
pub(in super::super) enum Ended {
    /// The final row was saved.
    Saved,
    /// The reply already had this final row: from another node, or the same row after a lost answer.
    Before(Box<message::Model>),
    /// The reply was deleted.
    Gone,
}

/// The database as the journal uses it. Tests replace it.
#[async_trait]
pub(in super::super) trait Store: Send + Sync {
    /// Whether other nodes use this database. Without them there is no lease.
    fn has_other_nodes(&self) -> bool;

    /// Extends a node's lease to [`LEASE`] from now, by the database's clock.
    async fn renew(&self, boot: BootId) -> Result<()>;

    /// Removes a node's lease.
    async fn forget(&self, boot: BootId) -> Result<()>;

    /// The replies of a node for which a stop was requested.
    async fn stop_requests(&self, boot: BootId) -> Result<Vec<MessageId>>;

    /// Saves chunks and tool calls of those replies that are STREAMING and owned by `boot`, and returns the ids of
    /// these replies. Chunks that exist are left unchanged.
    async fn append(
        &self,
        boot: BootId,
        chunks: Vec<reply_chunk::Model>,
        calls: Vec<tool_call::Model>,
    ) -> Result<Vec<MessageId>>;

    /// Saves final rows and returns the result for each.
    async fn end(&self, replies: &[Arc<FinalReply>]) -> Result<Vec<Ended>>;

    /// The nodes that own STREAMING replies. None stands for replies without an owner.
    async fn owners(&self) -> Result<Vec<Option<BootId>>>;

    /// Up to `limit` STREAMING replies of an owner, by id, after the id `after`.
    async fn abandoned(&self, owner: Option<BootId>, after: Option<MessageId>, limit: u64) -> Result<Vec<Abandoned>>;

    /// Inserts an expired lease for each of these nodes that has no lease row.
    async fn adopt(&self, nodes: &[BootId]) -> Result<()>;

    /// Claims one node whose lease has expired. No other node can claim it for [`CLAIM`].
    async fn claim(&self) -> Result<Option<BootId>>;

    /// Saves final rows for replies of a claimed node, as [`Self::end`] does. Returns false and saves nothing if the
    /// node has renewed its lease meanwhile.
    async fn end_claimed(&self, dead: BootId, replies: &[Arc<FinalReply>]) -> Result<bool>;

    /// Removes a claimed node, unless it has renewed its lease meanwhile.
    async fn forget_claimed(&self, dead: BootId) -> Result<()>;
}

/// The owners of chats.
type Owners = HashMap<ChatId, UserId>;

/// The SQL database.
pub(in super::super) struct DatabaseStore {
    pub(in super::super) database: Database,
    pub(in super::super) clock: Arc<dyn Clock>,
    /// Carries the ends of replies to subscribers.
    pub(in super::super) bus: Arc<dyn Bus>,
}

impl DatabaseStore {
    /// Saves final rows. Also returns the owners of their chats, for [`Self::publish`].
    async fn end_in(&self, transaction: &Transaction, replies: &[Arc<FinalReply>]) -> Result<(Vec<Ended>, Owners)> {
        // The chats before the messages, as in every transaction that writes to a tree.
        let mut chats: Vec<ChatId> = replies.iter().map(|reply| reply.row.chat_id).collect();
        chats.sort_unstable();
        chats.dedup();
        let owners = storage::chats::lock_all(transaction, &chats).await?.into_iter().collect();
        // By id, the order in which a checkpoint locks them. Otherwise the two can wait for each other (a deadlock).
        let mut by_id: Vec<&Arc<FinalReply>> = replies.iter().collect();
        by_id.sort_unstable_by_key(|reply| reply.row.id);
        let (mut saved, mut others) = (Vec::new(), Vec::new());
        for reply in by_id {
            let is_saved = storage::messages::finish(transaction, reply.owner, &reply.row).await?;
            if is_saved { saved.push(reply) } else { others.push(reply.row.id) }
        }
        if !saved.is_empty() {
            let ids: Vec<MessageId> = saved.iter().map(|reply| reply.row.id).collect();
            storage::reply_chunks::delete(transaction, &ids).await?;
            storage::quotas::release(transaction, &ids).await?;
            let calls = saved.iter().flat_map(|reply| reply.calls.iter().cloned()).collect();
            storage::messages::insert_calls(transaction, calls).await?;
            search::index(transaction, saved.iter().map(|reply| &reply.row)).await?;
            let mut chats: Vec<ChatId> = saved.iter().map(|reply| reply.row.chat_id).collect();
            chats.dedup();
            let now = self.clock.now();
            storage::chats::touch(transaction, &chats, now).await?;
            for reply in saved {
                if let Some(excerpt) = &reply.excerpt {
                    storage::chats::set_excerpt(transaction, reply.row.chat_id, excerpt, now).await?;
                }
            }
        }
        let mut before = match others.is_empty() {
            true => Vec::new(),
            false => storage::messages::find_any_of(transaction, &others).await?,
        };
        // The call of a deleted reply is entered too. Its entry has the id of the reply, so that it is entered once.
        let entries = replies.iter().filter(|reply| before.iter().all(|row| row.id != reply.row.id));
        storage::usage::record(transaction, entries.map(|reply| reply.entry.clone()).collect()).await?;
        let ended = replies
            .iter()
            .map(|reply| {
                let id = reply.row.id;
                if !others.contains(&id) {
                    return Ended::Saved;
                }
                match before.iter().position(|row| row.id == id).map(|place| before.swap_remove(place)) {
                    Some(row) if row.status != crate::entity::enums::MessageStatus::Streaming => {
                        Ended::Before(Box::new(row))
                    }
                    _ => Ended::Gone,
                }
            })
            .collect();
        Ok((ended, owners))
    }

    /// Publishes the ends of replies after their commit; again for a repeated step, because the answer to the first
    /// may have been lost.
    fn publish(&self, replies: &[Arc<FinalReply>], owners: &Owners) {
        for reply in replies {
            let row = &reply.row;
            let Some(owner) = owners.get(&row.chat_id) else { continue };
            self.bus.publish(*owner, &[Event::MessageChanged(row.chat_id, row.id)]);
            if reply.excerpt.is_some() {
                self.bus.publish(*owner, &[Event::ChatChanged(row.chat_id)]);
            }
        }
    }
}

#[async_trait]
impl Store for DatabaseStore {
    fn has_other_nodes(&self) -> bool {
        !self.database.is_sqlite()
    }

    async fn renew(&self, boot: BootId) -> Result<()> {
        Ok(storage::nodes::renew(self.database.journal(), boot, LEASE).await?)
    }

    async fn forget(&self, boot: BootId) -> Result<()> {
        Ok(storage::nodes::delete(self.database.journal(), boot).await?)
    }

    async fn stop_requests(&self, boot: BootId) -> Result<Vec<MessageId>> {
        // On SQLite, all stops come from this process, which cancels the reply directly.
        if !self.has_other_nodes() {
            return Ok(Vec::new());
        }
        Ok(storage::messages::stop_requests(self.database.journal(), boot).await?)
    }

    async fn append(
        &self,
        boot: BootId,
        mut chunks: Vec<reply_chunk::Model>,
        mut calls: Vec<tool_call::Model>,
    ) -> Result<Vec<MessageId>> {
        let mut ids: Vec<MessageId> = chunks.iter().map(|chunk| chunk.message_id).collect();
        ids.dedup();
        let transaction = self.database.begin_for_journal().await?;
        let owned = storage::messages::lock_owned(&transaction, boot, &ids).await?;
        chunks.retain(|chunk| owned.contains(&chunk.message_id));
        calls.retain(|call| owned.contains(&call.message_id));
        storage::reply_chunks::append(&transaction, &chunks).await?;
        storage::messages::insert_calls(&transaction, calls).await?;
        transaction.commit().await?;
        Ok(owned)
    }

    async fn end(&self, replies: &[Arc<FinalReply>]) -> Result<Vec<Ended>> {
        let transaction = self.database.begin_for_journal().await?;
        let (ended, owners) = self.end_in(&transaction, replies).await?;
        transaction.commit().await?;
        self.publish(replies, &owners);
        Ok(ended)
    }

    async fn owners(&self) -> Result<Vec<Option<BootId>>> {
        Ok(storage::messages::running_owners(self.database.journal_reader()).await?)
    }

    async fn abandoned(&self, owner: Option<BootId>, after: Option<MessageId>, limit: u64) -> Result<Vec<Abandoned>> {
        let db = self.database.journal_reader();
        let replies = storage::messages::find_running(db, owner, after, limit).await?;
        if replies.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<MessageId> = replies.iter().map(|reply| reply.id).collect();
        let mut chunks = storage::reply_chunks::of_all(db, &ids).await?;
        let chats: Vec<ChatId> = replies.iter().map(|reply| reply.chat_id).collect();
        let chats = storage::chats::subjects(db, &chats).await?;
        let abandoned = replies.into_iter().filter_map(|reply| {
            let (own, others) = std::mem::take(&mut chunks).into_iter().partition(|chunk| chunk.message_id == reply.id);
            chunks = others;
            let &(_, user_id, character_id) = chats.iter().find(|(chat, _, _)| *chat == reply.chat_id)?;
            Some(Abandoned { reply, pieces: super::super::parts::from_chunks(own, 0), user_id, character_id })
        });
        Ok(abandoned.collect())
    }

    async fn adopt(&self, nodes: &[BootId]) -> Result<()> {
        Ok(storage::nodes::adopt(self.database.journal(), nodes).await?)
    }

    async fn claim(&self) -> Result<Option<BootId>> {
        Ok(storage::nodes::claim_expired(self.database.journal(), CLAIM).await?)
    }

    async fn end_claimed(&self, dead: BootId, replies: &[Arc<FinalReply>]) -> Result<bool> {
        let transaction = self.database.begin_for_journal().await?;
        if !storage::nodes::extend_claim(&transaction, dead, CLAIM).await? {
            return Ok(false);
        }
        let (_, owners) = self.end_in(&transaction, replies).await?;
        transaction.commit().await?;
        self.publish(replies, &owners);
        Ok(true)
    }

    async fn forget_claimed(&self, dead: BootId) -> Result<()> {
        let transaction = self.database.begin_for_journal().await?;
        if storage::nodes::extend_claim(&transaction, dead, CLAIM).await? {
            storage::nodes::delete(&transaction, dead).await?;
        }
        Ok(transaction.commit().await?)
    }
}
