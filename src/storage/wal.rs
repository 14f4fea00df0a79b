//! Checkpoints of SQLite's write-ahead log (WAL, <https://www.sqlite.org/wal.html#checkpointing>).
//!
//! Without them, the commit that finds the WAL full checkpoints it, and waits for the disk while it holds the only
//! writer.

use std::error::Error;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, Statement};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Pool;

/// The interval between checkpoints.
const INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of checkpoints beside the writer in one interval.
const ROUNDS: usize = 3;
/// The number of pages that these checkpoints may leave in the WAL.
const REST: i32 = 64;
/// The size of the WAL, in pages of 4 KiB, from which its last pages are checkpointed on the writer, so that it is
/// written from its start again. While transactions are written, a checkpoint beside them rarely reaches the end.
const RESTART: i32 = 4_096;
/// The maximum number of pages that are checkpointed on the writer.
const MAX_REST: i32 = 1_024;
/// The size of the WAL, in pages, from which each commit checkpoints it. It is reached only if readers prevent the
/// restart.
pub(super) const MAX_PAGES: &str = "16384";

/// Checkpoints the WAL every second until `stop`.
pub(super) async fn checkpoint_until(checkpointer: &Pool, writer: &Pool, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(cause) = checkpoint(checkpointer, writer).await {
            tracing::warn!(exception.message = &cause as &dyn Error, "WAL checkpoint failed");
        }
    }
}

/// Checkpoints the WAL beside the writer, and repeats this while many pages were added meanwhile. If the WAL is large,
/// its last pages are checkpointed on the writer's connection, so that the next transaction can write to the start of
/// the file again. Transactions wait until these pages and the database file are synced.
async fn checkpoint(checkpointer: &Pool, writer: &Pool) -> Result<(), DbErr> {
    let mut wal = Wal::checkpoint(checkpointer).await?;
    for _ in 1..ROUNDS {
        if wal.rest() > REST {
            wal = Wal::checkpoint(checkpointer).await?;
        }
    }
    if wal.pages >= RESTART && (1..=MAX_REST).contains(&wal.rest()) {
        Wal::checkpoint(writer).await?;
    }
    Ok(())
}

/// The state of SQLite's WAL after a checkpoint.
#[derive(Debug, Clone, Copy)]
struct Wal {
    /// The number of pages in it.
    pages: i32,
    /// The number of those that are in the database file.
    checkpointed: i32,
}

impl Wal {
    /// Writes the pages to the database file that no reader needs in the WAL, without waiting for readers and writers
    /// (<https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>).
    async fn checkpoint(pool: &Pool) -> Result<Self, DbErr> {
        let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(PASSIVE)");
        let row = pool.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("the result of a checkpoint".to_owned()))?;
        Ok(Self { pages: row.try_get_by_index(1)?, checkpointed: row.try_get_by_index(2)? })
    }

    fn rest(self) -> i32 {
        self.pages - self.checkpointed
    }
}
