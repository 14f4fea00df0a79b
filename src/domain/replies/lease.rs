//! Who is alive: a server, not a reply, has a lease. What a dead server was writing becomes INTERRUPTED, with the text that
//! had been saved.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{Engine, Replies};
use crate::domain::Result;
use crate::entity::ids::BootId;
use crate::storage;
use crate::storage::messages::Writers;

/// How long a server is held for alive after its last sign.
const LEASE: Duration = Duration::from_secs(15);
/// How often it gives one.
const RENEWAL: Duration = Duration::from_secs(5);
/// After this a reply that is owned by this server but written by no task has been lost.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// Replies that are ended at a time.
const BATCH: u64 = 100;

impl Replies {
    /// Takes this server's lease and ends what dead servers left: `predecessor`, and those whose lease has run out. On SQLite
    /// every other server is dead.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recover(&self, predecessor: Option<BootId>) -> Result<()> {
        if self.0.db.is_sqlite() {
            return self.0.interrupt_all(Writers::All, None).await;
        }
        self.0.renew().await?;
        if let Some(dead) = predecessor {
            self.0.interrupt_all(Writers::One(dead), None).await?;
        }
        self.0.end_dead().await
    }

    /// Renews the lease and ends what is dead, until `stop`; then gives the lease back.
    pub async fn hold_lease_until(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(RENEWAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(cause) = self.0.look_after_replies().await {
                tracing::error!(error = &cause as &dyn std::error::Error, "lease not renewed");
            }
        }
        if let Err(cause) = self.0.give_back().await {
            tracing::error!(error = &cause as &dyn std::error::Error, "lease not given back");
        }
    }
}

impl Engine {
    async fn look_after_replies(&self) -> Result<()> {
        if !self.db.is_sqlite() {
            self.renew().await?;
            self.end_dead().await?;
        }
        let lost = self.clock.now() - LOST_AFTER;
        self.interrupt_all(Writers::One(self.boot), Some(lost)).await
    }

    async fn renew(&self) -> Result<()> {
        let tx = self.db.begin().await?;
        storage::nodes::renew(&tx, self.boot, LEASE).await?;
        Ok(tx.commit().await?)
    }

    async fn give_back(&self) -> Result<()> {
        if self.db.is_sqlite() {
            return Ok(());
        }
        let tx = self.db.begin().await?;
        storage::nodes::delete(&tx, self.boot).await?;
        Ok(tx.commit().await?)
    }

    async fn end_dead(&self) -> Result<()> {
        self.interrupt_all(Writers::Dead, None).await?;
        let tx = self.db.begin().await?;
        storage::nodes::delete_expired(&tx).await?;
        Ok(tx.commit().await?)
    }

    /// Ends every reply of these servers that was made until `before` and that no task here writes.
    async fn interrupt_all(&self, writers: Writers, before: Option<DateTime<Utc>>) -> Result<()> {
        let (mut interrupted, mut after) = (0, None);
        loop {
            let batch = storage::messages::find_running(self.db.reader(), writers, before, after, BATCH).await?;
            let Some(last) = batch.last() else { break };
            after = Some(last.id);
            for reply in batch {
                if self.running.get(reply.id).is_none() && self.interrupt(reply).await? {
                    interrupted += 1;
                }
            }
        }
        if interrupted > 0 {
            tracing::warn!(interrupted, "replies that a dead server was writing are interrupted");
        }
        Ok(())
    }
}
