//! The reaper: replies that no task writes any more become INTERRUPTED, with the text that had been saved. These are the replies of
//! dead nodes, and replies of this node whose commit succeeded without an answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::end::interrupted;
use super::store::{Abandoned, FinalReply};
use super::{Journal, step};
use crate::domain::Result;
use crate::entity::ids::BootId;

/// How often the reaper looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// At the first of every how many looks it also finds replies whose owner has no lease at all.
const ORPHANS_EVERY: u64 = 12;
/// Replies that are ended in one transaction.
const BATCH: u64 = 20;

impl Journal {
    /// Ends abandoned replies until `stop`.
    pub(super) async fn reap_until(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(cause) = self.interrupt_running(Some(self.boot)).await {
                tracing::warn!(error = &cause as &dyn std::error::Error, "lost replies not ended");
            }
            if self.lease.may_judge() {
                if let Err(cause) = self.reap(looks % ORPHANS_EVERY == 0).await {
                    tracing::warn!(error = &cause as &dyn std::error::Error, "replies of dead nodes not ended");
                }
                looks += 1;
            }
        }
    }

    async fn reap(&self, with_orphans: bool) -> Result<()> {
        if with_orphans {
            let owners: Vec<BootId> = step(self.store.owners()).await?.into_iter().flatten().collect();
            step(self.store.adopt(&owners)).await?;
        }
        while let Some(dead) = step(self.store.claim()).await? {
            let (mut count, mut after) = (0, None);
            loop {
                let batch = step(self.store.abandoned(Some(dead), after, BATCH)).await?;
                let Some(last) = batch.last() else { break };
                after = Some(last.reply.id);
                count += batch.len();
                if !self.lease.may_judge() || !step(self.store.end_claimed(dead, &self.finals(batch))).await? {
                    return Ok(());
                }
            }
            step(self.store.forget_claimed(dead)).await?;
            tracing::warn!(node = %dead.0, replies = count, "ended the replies of a dead node");
        }
        Ok(())
    }

    /// Ends the running replies of an owner that no task here writes. A reply is registered before its row is
    /// committed and until its end is, so a STREAMING row of this node without a registration is lost.
    pub(super) async fn interrupt_running(&self, owner: Option<BootId>) -> Result<()> {
        let (mut count, mut after) = (0, None);
        loop {
            let mut batch = step(self.store.abandoned(owner, after, BATCH)).await?;
            let Some(last) = batch.last() else { break };
            after = Some(last.reply.id);
            batch.retain(|abandoned| self.running.get(abandoned.reply.id).is_none());
            if !batch.is_empty() {
                count += batch.len();
                step(self.store.end(&self.finals(batch))).await?;
            }
        }
        if count > 0 {
            tracing::warn!(replies = count, "ended replies that were left unfinished");
        }
        Ok(())
    }

    fn finals(&self, batch: Vec<Abandoned>) -> Vec<Arc<FinalReply>> {
        let now = self.clock.now();
        batch.into_iter().map(|abandoned| Arc::new(interrupted(abandoned, &self.models, now))).collect()
    }
}
