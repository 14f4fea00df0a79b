//! Jobs: remove old data, and index old messages.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::accounts::Accounts;
use crate::domain::audit::{AuditLog, MAX_FAILURES};
use crate::domain::characters::Characters;
use crate::domain::chats::Chats;
use crate::domain::direct_messages::DirectMessages;
use crate::domain::search::Search;
use crate::domain::{Error, Result};

/// The interval between two runs.
const INTERVAL: Duration = Duration::from_secs(10);

/// The time between two batches of messages that are added to the search index.
const INDEX_PAUSE: Duration = Duration::from_millis(100);

/// Runs the jobs periodically until `stop`. If one fails, the others still run.
pub async fn run_until(
    accounts: Accounts,
    characters: Characters,
    chats: Chats,
    direct_messages: DirectMessages,
    audit: AuditLog,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        log_failure("sweep of deleted chats", chats.sweep(&stop).await);
        log_failure(
            "sweep of deleted accounts",
            accounts.sweep_deleted(&chats, &characters, &direct_messages, &stop).await,
        );
        log_failure("sweep of deleted characters", characters.sweep(&stop).await);
        log_failure("removal of old idempotency keys", chats.forget_old_keys().await);
        log_failure("removal of old audit entries", audit.sweep(MAX_FAILURES, &stop).await);
        log_failure("removal of old failed sign-ins", accounts.forget_old_failures().await);
        log_failure("removal of expired sessions and tokens", accounts.delete_expired().await);
    }
}

/// Indexes the messages that were written before the search index existed, until `stop`. Pauses between batches, so
/// that other writers do not wait.
pub async fn index_until(search: Search, stop: CancellationToken) {
    let mut is_unfinished = true;
    while is_unfinished && !stop.is_cancelled() {
        let indexed = search.backfill().await;
        let pause = if indexed.is_ok() { INDEX_PAUSE } else { INTERVAL };
        is_unfinished = *indexed.as_ref().unwrap_or(&true);
        log_failure("indexing of old messages", indexed.map(drop));
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    stop.cancelled().await;
}

fn log_failure(job: &str, outcome: Result<()>) {
    match outcome {
        Ok(()) => {}
        Err(cause @ Error::Unavailable { .. }) => {
            tracing::warn!(
                job,
                exception.message = &cause as &dyn std::error::Error,
                "periodic job failed; it is tried again"
            );
        }
        Err(cause) => {
            tracing::error!(
                job,
                exception.message = &cause as &dyn std::error::Error,
                "periodic job failed; it is tried again"
            );
        }
    }
}
