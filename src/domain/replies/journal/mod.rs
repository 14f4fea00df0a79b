//! The journal saves the state of a node's replies in the database. It renews the node's lease (`lease`), saves the
//! content of running replies (`chunks`), saves the final row of each reply that ended (`endings`), and ends the
//! replies of dead nodes (`reaper`).
//!
//! It has its own small connection pool, so that requests do not delay it, and a deadline for each step that is well
//! below the lease. A failed step may have been committed, because the answer can be lost. Therefore every step can be
//! repeated, and changes only replies that are STREAMING and owned by the node that it names.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::running::{Registration, RunningReplies};
use crate::clock::Clock;
use crate::domain::{Error, Result};
use crate::entity::ids::BootId;
use crate::llm::registry::Registry;
use crate::metrics::Metrics;

mod chunks;
mod endings;
mod lease;
mod reaper;
mod store;
#[cfg(test)]
mod tests;

use endings::Endings;
use lease::Lease;
use store::Store;
pub(super) use store::{Abandoned, DatabaseStore, FinalReply};

/// The deadline of one step. After it, the step is abandoned and its connection is closed.
const STEP_LIMIT: Duration = Duration::from_secs(4);
/// The time that the last endings have after the hard stop.
const HARD_STOP_LIMIT: Duration = Duration::from_secs(5);

/// The journal of one run of a node.
pub(super) struct Journal {
    boot: BootId,
    store: Box<dyn Store>,
    lease: Lease,
    endings: Endings,
    running: RunningReplies,
    models: Arc<Registry>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    hard_stop: CancellationToken,
}

/// The dependencies of a journal.
pub(super) struct JournalParts {
    pub(super) boot: BootId,
    pub(super) store: Box<dyn Store>,
    pub(super) running: RunningReplies,
    pub(super) models: Arc<Registry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) hard_stop: CancellationToken,
}

impl Journal {
    pub(super) fn new(parts: JournalParts) -> Self {
        let JournalParts { boot, store, running, models, clock, metrics, hard_stop } = parts;
        let lease = Lease::new(store.has_other_nodes());
        Self { boot, store, lease, endings: Endings::default(), running, models, clock, metrics, hard_stop }
    }

    /// Acquires the lease, and ends the replies that cannot be running any more: on SQLite all of them, on PostgreSQL
    /// those of `predecessor`, the previous run with the same DATA_DIR. The reaper ends those of other dead nodes.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn recover(&self, predecessor: Option<BootId>) -> Result<()> {
        if !self.store.has_other_nodes() {
            for owner in step(self.store.owners()).await? {
                self.interrupt_running(owner).await?;
            }
            return Ok(());
        }
        self.renew().await?;
        let Some(dead) = predecessor else { return Ok(()) };
        self.interrupt_running(Some(dead)).await?;
        step(self.store.forget(dead)).await
    }

    /// The tasks of the journal. Cancel `stop` once no reply is being written. The tasks then save all remaining
    /// endings and release the lease.
    pub(super) fn tasks(self: &Arc<Self>, stop: CancellationToken) -> [(&'static str, BoxFuture<'static, ()>); 4] {
        let drained = CancellationToken::new();
        let [endings, chunks, lease, reaper] = [(); 4].map(|()| Arc::clone(self));
        let [until_chunks, until_lease, until_reaper] = [(); 3].map(|()| drained.clone());
        [
            (
                "endings",
                Box::pin(async move {
                    endings.save_endings_until(stop).await;
                    drained.cancel();
                }),
            ),
            ("checkpoints", Box::pin(async move { chunks.save_chunks_until(until_chunks).await })),
            ("lease", Box::pin(async move { lease.renew_until(until_lease).await })),
            ("reaper", Box::pin(async move { reaper.reap_until(until_reaper).await })),
        ]
    }

    /// Accepts the final row of a reply. The journal saves it and notifies the readers as soon as the database is
    /// available.
    pub(super) fn end(&self, registration: Registration, reply: FinalReply) {
        self.endings.push(registration, reply);
    }

    /// Whether this node holds its lease. Without it, no reply may begin here.
    pub(super) fn is_lease_held(&self) -> bool {
        self.lease.is_held()
    }

    /// Waits until this node holds its lease. Output that a reply receives without it must not be shown, because
    /// another node may have ended the reply.
    pub(super) async fn lease_held(&self) {
        self.lease.held().await;
    }
}

/// Runs a step of the journal with its deadline.
async fn step<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let timed_out =
        Error::Unavailable { message: "The database does not answer in time.", retry_after: Some(STEP_LIMIT) };
    tokio::time::timeout(STEP_LIMIT, work).await.unwrap_or(Err(timed_out))
}
