//! Checkpoints: one flusher a server saves what all its replies have written since the last time, in one transaction. A token
//! costs its own bytes, never the reply's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::end::registered;
use super::running::Running;
use super::{Engine, Replies};
use crate::domain::Result;
use crate::entity::reply_chunk;
use crate::storage;

/// How often checkpoints are made: what a crash may lose of a reply.
const INTERVAL: Duration = Duration::from_millis(500);

impl Replies {
    /// Makes checkpoints until `stop`, which comes when nothing is written any more.
    pub async fn checkpoint_until(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(cause) = self.0.checkpoint().await {
                tracing::error!(error = &cause as &dyn std::error::Error, "checkpoint failed");
            }
        }
    }
}

impl Engine {
    async fn checkpoint(&self) -> Result<()> {
        let running: Vec<Arc<Running>> = self.running.all();
        let has_news = running.iter().any(|reply| reply.log.has_unsaved());
        // Only another server can have asked for a stop through the database, and SQLite serves one.
        if running.is_empty() || (self.db.is_sqlite() && !has_news) {
            return Ok(());
        }
        let tx = self.db.begin().await?;
        let ours: HashMap<_, _> = storage::messages::lock_running(&tx, self.boot)
            .await?
            .into_iter()
            .map(|row| (row.id, row.is_stop_requested))
            .collect();
        let (mut chunks, mut calls, mut saved) = (Vec::new(), Vec::new(), Vec::new());
        for reply in &running {
            if ours.get(&reply.id).is_none_or(|is_stop_requested| *is_stop_requested) {
                // Stopped through another server, or ended by one that held this one for dead.
                reply.stop.cancel();
                continue;
            }
            let (pieces, end) = reply.log.unsaved();
            for (start, piece) in pieces {
                calls.extend(registered(reply.id, &piece));
                chunks.push(reply_chunk::Model { message_id: reply.id, start, kind: piece.kind, body: piece.body });
            }
            saved.push((reply, end));
        }
        storage::messages::insert_chunks(&tx, chunks, calls).await?;
        tx.commit().await?;
        for (reply, end) in saved {
            reply.log.mark_saved(end);
        }
        Ok(())
    }
}
