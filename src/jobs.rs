//! Periodic work: what has expired, and what was deleted.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::Result;
use crate::domain::accounts::Accounts;
use crate::domain::audit::{AuditLog, MAX_FAILURES};
use crate::domain::chats::Chats;

/// How often.
const INTERVAL: Duration = Duration::from_secs(10);

/// Works until `stop`.
pub async fn run_until(accounts: Accounts, chats: Chats, audit: AuditLog, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(cause) = run(&accounts, &chats, &audit, &stop).await {
            tracing::error!(error = &cause as &dyn std::error::Error, "periodic work failed");
        }
    }
}

async fn run(accounts: &Accounts, chats: &Chats, audit: &AuditLog, stop: &CancellationToken) -> Result<()> {
    chats.sweep(stop).await?;
    accounts.sweep_deleted(chats, stop).await?;
    chats.forget_old_keys().await?;
    audit.sweep(MAX_FAILURES, stop).await?;
    accounts.forget_old_failures().await?;
    accounts.delete_expired().await
}
