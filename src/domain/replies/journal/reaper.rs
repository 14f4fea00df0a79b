//! The reaper: ends replies that no task writes any more as INTERRUPTED, with their saved content. These are the
//! replies of dead nodes, and replies of this node whose insertion was committed although its answer was lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::end::interrupted;
use super::super::report;
use super::store::{Abandoned, Ended, FinalReply};
use super::{Journal, step};
use crate::domain::Result;
use crate::entity::ids::BootId;

/// The interval between two runs.
const INTERVAL: Duration = Duration::from_secs(5);
/// Every this many runs, the reaper also looks for replies whose owner has no lease row.
const ORPHANS_EVERY: u64 = 12;
/// The maximum number of replies that are ended in one transaction.
const BATCH: u64 = 20;

impl Journal {
    /// Ends abandoned replies until `stop`.
    pub(super) async fn reap_until(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(cause) = self.interrupt_running(Some(self.boot)).await {
                tracing::warn!(exception.message = &cause as &dyn std::error::Error, "own replies not ended");
            }
            if self.lease.may_judge() {
                if let Err(cause) = self.reap(looks % ORPHANS_EVERY == 0).await {
                    tracing::warn!(
                        exception.message = &cause as &dyn std::error::Error,
                        "replies of dead nodes not ended"
                    );
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
                let finals = self.finals(batch);
                if !self.lease.may_judge() || !step(self.store.end_claimed(dead, &finals)).await? {
                    return Ok(());
                }
                finals.iter().for_each(|reply| report::ended(&reply.row, &self.models, &self.metrics));
            }
            step(self.store.forget_claimed(dead)).await?;
            tracing::warn!(node = %dead.0, replies = count, "ended the replies of a dead node");
        }
        Ok(())
    }

    /// Ends the running replies of an owner that no task of this process writes. A reply stays registered from before
    /// its row is committed until its end is saved, so a STREAMING row of this node without a registration has lost its
    /// task.
    pub(super) async fn interrupt_running(&self, owner: Option<BootId>) -> Result<()> {
        let (mut count, mut after) = (0, None);
        loop {
            let mut batch = step(self.store.abandoned(owner, after, BATCH)).await?;
            let Some(last) = batch.last() else { break };
            after = Some(last.reply.id);
            batch.retain(|abandoned| self.running.get(abandoned.reply.id).is_none());
            if !batch.is_empty() {
                count += batch.len();
                let finals = self.finals(batch);
                let ended = step(self.store.end(&finals)).await?;
                for (reply, _) in finals.iter().zip(ended).filter(|(_, ended)| matches!(ended, Ended::Saved)) {
                    report::ended(&reply.row, &self.models, &self.metrics);
                }
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
