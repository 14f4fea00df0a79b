//! Checkpoints: save the new content of running replies as chunks. The cost of a token does not depend on the length of
//! its reply. A checkpoint is a series of short transactions, so that no request waits long for SQLite's only writer.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::end::call_row;
use super::super::running::RunningReply;
use super::{Journal, step};
use crate::domain::Result;
use crate::entity::reply_chunk;

/// The interval between checkpoints. A crash loses at most this much of a reply.
const INTERVAL: Duration = Duration::from_millis(500);
/// The maximum number of replies in one transaction.
const MAX_REPLIES: usize = 32;
/// The maximum number of bytes in one transaction, and of one reply in it.
const MAX_BYTES: usize = 64 * 1024;

impl Journal {
    /// Makes checkpoints until `stop`.
    pub(super) async fn save_chunks_until(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(cause) = self.save_chunks().await {
                tracing::warn!(
                    exception.message = &cause as &dyn std::error::Error,
                    "checkpoint failed; it is tried again"
                );
            }
        }
    }

    pub(super) async fn save_chunks(&self) -> Result<()> {
        let running = self.running.all();
        if running.is_empty() {
            return Ok(());
        }
        for stopped in step(self.store.stop_requests(self.boot)).await? {
            if let Some(reply) = self.running.get(stopped) {
                reply.stop.cancel();
            }
        }
        let mut unsaved: VecDeque<Arc<RunningReply>> =
            running.into_iter().filter(|reply| reply.log.has_unsaved()).collect();
        while !unsaved.is_empty() {
            self.save_batch(&mut unsaved).await?;
        }
        Ok(())
    }

    async fn save_batch(&self, unsaved: &mut VecDeque<Arc<RunningReply>>) -> Result<()> {
        let (mut batch, mut chunks, mut calls, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        while batch.len() < MAX_REPLIES && bytes < MAX_BYTES {
            let Some(reply) = unsaved.pop_front() else { break };
            let proposal = reply.log.propose(MAX_BYTES);
            for (start, piece) in proposal.pieces {
                bytes += piece.body.len();
                calls.extend(call_row(reply.id, &piece));
                let end_position = start.saturating_add(piece.span());
                let (message_id, kind, body) = (reply.id, piece.kind, piece.body);
                chunks.push(reply_chunk::Model { message_id, start, end_position, kind, body });
            }
            batch.push((reply, proposal.end, proposal.is_all));
        }
        let owned: HashSet<_> = step(self.store.append(self.boot, chunks, calls)).await?.into_iter().collect();
        for (reply, end, is_all) in batch {
            if !owned.contains(&reply.id) {
                // Another node has ended the reply, because this node's lease expired. The end of the reply will find
                // that final row.
                reply.stop.cancel();
                continue;
            }
            reply.log.mark_saved(end);
            if !is_all {
                unsaved.push_back(reply);
            }
        }
        Ok(())
    }
}
