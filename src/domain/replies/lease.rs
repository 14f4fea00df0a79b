//! Who is alive: a server, not a reply, has a lease. What a dead server was writing becomes INTERRUPTED, with the text that
//! had been saved.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Engine, Replies};
use crate::domain::Result;
use crate::entity::ids::BootId;
use crate::storage;

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
            let interrupted = self.0.interrupt_all(None, Duration::ZERO).await?;
            if interrupted > 0 {
                tracing::warn!(interrupted, "replies were interrupted by the last stop of the server");
            }
            return Ok(());
        }
        self.0.renew().await?;
        if let Some(dead) = predecessor {
            self.0.end_server(dead).await?;
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
        self.interrupt_all(Some(self.boot), LOST_AFTER).await?;
        Ok(())
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
        for boot in storage::nodes::expired(self.db.reader()).await? {
            self.end_server(boot).await?;
        }
        Ok(())
    }

    /// Ends what a dead server left, and forgets the server. One that only slept finds its replies ended, and is known again
    /// at its next renewal.
    async fn end_server(&self, boot: BootId) -> Result<()> {
        let interrupted = self.interrupt_all(Some(boot), Duration::ZERO).await?;
        if interrupted > 0 {
            tracing::warn!(interrupted, "a server died; its replies are interrupted");
        }
        let tx = self.db.begin().await?;
        storage::nodes::delete(&tx, boot).await?;
        Ok(tx.commit().await?)
    }

    /// Ends every reply of a server (of all, without one) that is older than `age` and that no task here writes.
    async fn interrupt_all(&self, boot: Option<BootId>, age: Duration) -> Result<usize> {
        let before = self.clock.now() - age;
        let (mut count, mut after) = (0, None);
        loop {
            let batch = storage::messages::find_running(self.db.reader(), boot, before, after, BATCH).await?;
            let Some(last) = batch.last() else { return Ok(count) };
            after = Some(last.id);
            for reply in batch {
                if self.running.get(reply.id).is_none() && self.interrupt(reply).await? {
                    count += 1;
                }
            }
        }
    }
}
