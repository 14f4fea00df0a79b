//! The database: connections, transactions, and named queries by slice. A query is a plain `async fn` over any
//! `ConnectionTrait`, so that the domain owns the transaction.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ColumnTrait, ConnectOptions, ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExprTrait, RuntimeErr, SqliteTransactionMode, TransactionOptions, TransactionTrait, Value,
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub mod accounts;
pub mod audit;
pub mod boot_file;
pub mod branches;
pub mod characters;
pub mod chats;
pub mod directory;
pub mod idempotency;
pub mod login_failures;
pub mod messages;
pub mod migrations;
pub mod nodes;
pub mod page;
pub mod password_resets;
pub mod personal_access_tokens;
pub mod roles;
pub mod users;

/// How long a request waits for a connection before it is turned away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long PostgreSQL works on one statement: a request that gave up must not leave its query running.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// So much of a SQLite file is read through the system's page cache instead of being copied from it.
const MMAP_BYTES: &str = "134217728";
/// Rows that SQLite's thread reads ahead: at a full buffer it and the reader wake each other for every row.
const ROW_BUFFER: usize = 1_000;
/// How often SQLite's log is folded into its file.
const FOLD_INTERVAL: Duration = Duration::from_secs(1);
/// A log of so many pages of 4 KiB is folded by the next commit, which then begins it anew: under load, nobody else finds a moment
/// between two commits in which all of it is folded.
const MAX_LOG_PAGES: &str = "16384";
/// How long SQLite waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    /// Folds SQLite's log into its file.
    folder: Option<DatabaseConnection>,
}

impl Database {
    /// Connects: on SQLite one writer (the file is made when it is missing) and `max_connections` read-only readers in WAL
    /// mode, on PostgreSQL one pool of `max_connections`.
    ///
    /// # Errors
    /// When the address is malformed, or the database cannot be reached.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, DbErr> {
        if !url.starts_with("sqlite:") {
            let mut pooled = options(url, max_connections);
            pooled.statement_timeout(STATEMENT_TIMEOUT);
            let pool = sea_orm::Database::connect(pooled).await?;
            return Ok(Self { reader: pool.clone(), writer: pool, folder: None });
        }
        sqlite_file(url)?;
        let mut writing = options(url, 1);
        writing.map_sqlx_sqlite_opts(|file| {
            durable(file).create_if_missing(true).pragma("wal_autocheckpoint", MAX_LOG_PAGES)
        });
        let writer = sea_orm::Database::connect(writing).await?;
        let mut folding = options(url, 1);
        folding.map_sqlx_sqlite_opts(durable);
        let folder = Some(sea_orm::Database::connect(folding).await?);
        let mut reading = options(url, max_connections);
        reading.map_sqlx_sqlite_opts(|file| durable(file).read_only(true));
        let reader = sea_orm::Database::connect(reading).await?;
        Ok(Self { reader, writer, folder })
    }

    /// For queries outside a transaction.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Begins a write transaction; it is rolled back when dropped without a commit. On SQLite it holds the one writer from
    /// its first moment (`BEGIN IMMEDIATE`), so nothing foreign may be awaited inside it.
    ///
    /// # Errors
    /// When no connection is free in time.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let sqlite_transaction_mode = self.is_sqlite().then_some(SqliteTransactionMode::Immediate);
        self.writer.begin_with_options(TransactionOptions { sqlite_transaction_mode, ..Default::default() }).await
    }

    /// Folds SQLite's log into its file once a second, until `stop`. Otherwise the commit that finds the log full does it, and
    /// waits for the disk while it has the one writer. On PostgreSQL there is nothing to do.
    pub async fn fold_log_until(self, stop: CancellationToken) {
        let Some(folder) = &self.folder else { return stop.cancelled().await };
        let mut ticks = tokio::time::interval(FOLD_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // Beside readers and the writer: what they hold back is folded the next time.
            if let Err(cause) = folder.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await {
                tracing::warn!(error = &cause as &dyn std::error::Error, "the log of the database was not folded");
            }
        }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.reader.ping().await
    }

    /// Whether this is the embedded database, which one server has for itself.
    pub fn is_sqlite(&self) -> bool {
        self.writer.get_database_backend() == DbBackend::Sqlite
    }

    /// Closes every connection, the writer last, which folds SQLite's log into its file.
    ///
    /// # Errors
    /// When a connection does not close cleanly.
    pub async fn close(self) -> Result<(), DbErr> {
        if let Some(folder) = self.folder {
            folder.close().await?;
        }
        self.reader.close().await?;
        self.writer.close().await
    }
}

fn options(url: &str, max_connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire_if_idle_for(Duration::from_secs(30))
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}

fn durable(file: SqliteConnectOptions) -> SqliteConnectOptions {
    file.journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROW_BUFFER)
        .pragma("temp_store", "memory")
        .pragma("mmap_size", MMAP_BYTES)
}

/// The file that a `sqlite:` address names.
///
/// # Errors
/// When the address is malformed, or names a database in memory, which two pools cannot share.
pub fn sqlite_file(url: &str) -> Result<PathBuf, DbErr> {
    let malformed = |why: String| DbErr::Conn(RuntimeErr::Internal(why));
    let options: SqliteConnectOptions = url.parse().map_err(|cause| malformed(format!("{cause}")))?;
    let file = options.get_filename();
    if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
        return Err(malformed("a SQLite database must be a file".to_owned()));
    }
    Ok(file.to_owned())
}

/// Held by the one server that uses a SQLite file, beside which the lock file stands; the operating system lets go of it when
/// the process ends, however it ends.
#[derive(Debug)]
pub struct ServerLock {
    _file: Option<File>,
}

impl ServerLock {
    /// Takes the lock of a SQLite address; for PostgreSQL there is none to take.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be made.
    pub fn acquire(url: &str) -> Result<Self, DbErr> {
        if !url.starts_with("sqlite:") {
            return Ok(Self { _file: None });
        }
        let mut path = sqlite_file(url)?.into_os_string();
        path.push(".lock");
        let taken =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(|cause| cause.to_string());
        let file = taken.and_then(|file| match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => Err("another server uses this database".to_owned()),
            Err(std::fs::TryLockError::Error(cause)) => Err(cause.to_string()),
        });
        let file = file.map_err(|why| DbErr::Conn(RuntimeErr::Internal(why)))?;
        Ok(Self { _file: Some(file) })
    }
}

/// The text as a `LIKE` pattern that means just itself, with `\` as its escape.
fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// `(a, b) > (x, y)` or `(a, b) < (x, y)`: the row comparison that keyset pagination needs, and that indexes serve.
fn greater_than<C: ColumnTrait>(columns: [C; 2], values: [Value; 2], is_greater: bool) -> SimpleExpr {
    let row = Expr::tuple(columns.map(|column| Expr::col(column)));
    let place = Expr::tuple(values.map(Expr::value));
    if is_greater { row.gt(place) } else { row.lt(place) }
}
