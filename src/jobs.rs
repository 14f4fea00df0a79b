//! Periodic work: what has expired, and what was deleted.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::Result;
use crate::domain::idempotency;
use crate::graphql::context::State;
use crate::storage::{self, Database};

/// How often.
const INTERVAL: Duration = Duration::from_secs(10);

/// Works until `stop`.
pub async fn run_until(state: State, database: Database, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(cause) = run(&state, &database, &*clock, &stop).await {
            tracing::error!(error = &cause as &dyn std::error::Error, "periodic work failed");
        }
    }
}

async fn run(state: &State, database: &Database, clock: &dyn Clock, stop: &CancellationToken) -> Result<()> {
    state.chats.sweep(stop).await?;
    let now = clock.now();
    let tx = database.begin().await?;
    storage::idempotency::delete_older(&tx, now - idempotency::LIFETIME).await?;
    storage::accounts::delete_expired_sessions(&tx, now).await?;
    Ok(tx.commit().await?)
}
