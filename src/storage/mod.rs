//! The database: connections, transactions, and named queries, in one module per subject. A query is an `async fn` over
//! any `ConnectionTrait`, so that the domain controls transactions.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectOptions, ConnectionTrait as _, DbBackend, DbErr, EntityTrait, ExprTrait,
    Iterable as _, PrimaryKeyToColumn as _, RuntimeErr, Value,
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub mod audit;
pub mod backup;
pub mod boot_file;
pub mod branches;
pub mod characters;
pub mod chats;
mod connection;
pub mod contexts;
pub mod conversations;
pub mod direct_messages;
pub mod failure;
pub mod idempotency;
mod location;
pub mod login_failures;
pub mod messages;
pub mod migrations;
pub mod nodes;
pub mod page;
pub mod password_resets;
pub mod personal_access_tokens;
mod pool;
pub mod prompts;
pub mod quotas;
pub mod reply_chunks;
pub mod roles;
pub mod search;
pub mod sessions;
pub mod statistics;
pub mod subtrees;
pub mod usage;
pub mod user_blocks;
pub mod users;
mod wal;

use connection::Access;
pub use location::Location;
use pool::PoolLimits;
pub use pool::{Pool, PoolConnections, Transaction};

/// How long a request waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout of one statement. Longer than the database's own statement timeout, which does not cost the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
/// PostgreSQL's timeouts for our sessions (<https://www.postgresql.org/docs/current/runtime-config-client.html>), in
/// milliseconds. A node that freezes inside of a transaction loses its row locks after
/// `idle_in_transaction_session_timeout`. Without `jit`: its compilation can take longer than any of our statements,
/// and PostgreSQL decides on it by estimates.
const SESSION_SETTINGS: [(&str, &str); 5] = [
    ("jit", "off"),
    ("statement_timeout", "10000"),
    ("lock_timeout", "5000"),
    ("idle_in_transaction_session_timeout", "10000"),
    ("tcp_user_timeout", "15000"),
];
/// The limits of the journal's pool, which serves the lease, the chunks and the endings.
const JOURNAL_LIMITS: PoolLimits =
    PoolLimits { connections: 3, acquire: Duration::from_secs(2), statement: Duration::from_secs(4) };
const JOURNAL_SESSION_SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "3000"),
    ("lock_timeout", "2000"),
    ("idle_in_transaction_session_timeout", "5000"),
    ("tcp_user_timeout", "5000"),
];
/// The part of a SQLite file that is read through a memory mapping instead of being copied, in bytes.
const MMAP_BYTES: &str = "134217728";
/// The number of rows that SQLite's thread reads ahead. When this buffer is full, the thread and the reader wake each
/// other for every row.
const ROW_BUFFER: usize = 1_000;
/// The maximum number of rows of one INSERT. SQLite accepts at most 32,766 values.
const INSERT_ROWS: usize = 500;
/// The interval between searches for idle connections to close.
const RETIRE_INTERVAL: Duration = Duration::from_secs(60);
/// How long SQLite waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all connections may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    reader: Pool,
    writer: Pool,
    journal: Pool,
    /// The connection that checkpoints SQLite's WAL.
    wal_checkpointer: Option<Pool>,
}

impl Database {
    /// Connects. SQLite: one writer and `max_connections` read-only readers, in WAL mode; the file is created if it is
    /// missing. PostgreSQL: one pool of `max_connections` and a small one for the journal.
    ///
    /// # Errors
    /// When the URL is malformed or the database cannot be reached.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, DbErr> {
        let limits = |connections| PoolLimits { connections, acquire: ACQUIRE_TIMEOUT, statement: ANSWER_TIMEOUT };
        if !url.starts_with("sqlite:") {
            let server: PgConnectOptions = url.parse().map_err(malformed_url)?;
            let general = Pool::postgres(server.clone().options(SESSION_SETTINGS), limits(max_connections)).await?;
            let journal = Pool::postgres(server.options(JOURNAL_SESSION_SETTINGS), JOURNAL_LIMITS).await?;
            return Ok(Self { reader: general.clone(), writer: general, journal, wal_checkpointer: None });
        }
        sqlite_file(url)?;
        let file: SqliteConnectOptions = url.parse().map_err(malformed_url)?;
        let writing = durable(file.clone()).create_if_missing(true).pragma("wal_autocheckpoint", wal::MAX_PAGES);
        let writer = Pool::sqlite(writing, limits(1)).await?;
        let wal_checkpointer = Some(Pool::sqlite(durable(file.clone()), limits(1)).await?);
        let reader = Pool::sqlite(durable(file).read_only(true), limits(max_connections)).await?;
        // A second writer would only wait for the lock of the first, in no defined order.
        Ok(Self { reader, journal: writer.clone(), writer, wal_checkpointer })
    }

    /// The connections for queries outside of a transaction.
    pub fn reader(&self) -> &Pool {
        &self.reader
    }

    /// The connections for single write statements. A statement must not return rows: sqlx does not report a failed
    /// commit after the first row.
    pub fn writer(&self) -> &Pool {
        &self.writer
    }

    /// Begins a write transaction, which is rolled back if it is dropped without a commit. On SQLite it holds the only
    /// writer from the beginning (`BEGIN IMMEDIATE`), so it must await nothing except the database.
    ///
    /// # Errors
    /// When no connection becomes free in time, or the database refuses.
    pub async fn begin(&self) -> Result<Transaction, DbErr> {
        self.writer.begin(Access::Write).await
    }

    /// Begins a write transaction of the journal, which does not wait for requests.
    ///
    /// # Errors
    /// When no connection becomes free in time, or the database refuses.
    pub async fn begin_for_journal(&self) -> Result<Transaction, DbErr> {
        self.journal.begin(Access::Write).await
    }

    /// Begins a transaction of reads that all see the same state of the database. It needs no commit.
    ///
    /// # Errors
    /// When no connection becomes free in time, or the database refuses.
    pub async fn snapshot(&self) -> Result<Transaction, DbErr> {
        self.reader.begin(Access::Snapshot).await
    }

    /// The connections for single write statements of the journal.
    pub fn journal(&self) -> &Pool {
        &self.journal
    }

    /// The connections for queries of the journal outside of a transaction.
    pub fn journal_reader(&self) -> &Pool {
        if self.is_sqlite() { &self.reader } else { &self.journal }
    }

    /// Checkpoints SQLite's WAL periodically until `stop`. Does nothing on PostgreSQL.
    pub async fn checkpoint_wal_until(self, stop: CancellationToken) {
        match &self.wal_checkpointer {
            Some(checkpointer) => wal::checkpoint_until(checkpointer, &self.writer, stop).await,
            None => stop.cancelled().await,
        }
    }

    /// Closes idle connections that are no longer needed, every minute until `stop`.
    pub async fn retire_connections_until(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(RETIRE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            for pool in [&self.reader, &self.writer, &self.journal].into_iter().chain(&self.wal_checkpointer) {
                pool.retire().await;
            }
        }
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.reader.ping().await
    }

    /// The connections of each pool, by its name.
    pub fn pools(&self) -> Vec<(&'static str, PoolConnections)> {
        if self.is_sqlite() {
            return vec![("reader", self.reader.connections()), ("writer", self.writer.connections())];
        }
        vec![("general", self.reader.connections()), ("journal", self.journal.connections())]
    }

    /// Whether the database is SQLite, which only one server uses.
    pub fn is_sqlite(&self) -> bool {
        self.writer.get_database_backend() == DbBackend::Sqlite
    }

    /// Closes all connections, within a time limit. The writer is last, because closing it checkpoints SQLite's WAL;
    /// without that, the next start reads the WAL.
    pub async fn close(self) {
        let closed = tokio::time::timeout(CLOSE_LIMIT, async {
            if let Some(checkpointer) = self.wal_checkpointer {
                checkpointer.close().await;
            }
            self.reader.close().await;
            self.journal.close().await;
            self.writer.close().await;
        });
        if closed.await.is_err() {
            tracing::warn!("the database did not close in time");
        }
    }
}

/// The options of SeaORM's own pool, which the migrations use.
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
        .pragma("secure_delete", "on")
        .pragma("temp_store", "memory")
        .pragma("mmap_size", MMAP_BYTES)
}

/// The file of a `sqlite:` URL.
///
/// # Errors
/// When the URL is malformed, or names an in-memory database, which two pools cannot share.
pub fn sqlite_file(url: &str) -> Result<PathBuf, DbErr> {
    let options: SqliteConnectOptions = url.parse().map_err(malformed_url)?;
    let file = options.get_filename();
    if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
        return Err(malformed_url("a SQLite database must be a file"));
    }
    Ok(file.to_owned())
}

fn malformed_url(cause: impl ToString) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(cause.to_string()))
}

/// The lock of the server that uses a SQLite file. The lock file is next to the database file. The operating system
/// releases the lock when the process ends.
#[derive(Debug)]
pub struct ServerLock {
    _file: Option<File>,
}

impl ServerLock {
    /// Acquires the lock of a SQLite file. Does nothing for PostgreSQL.
    ///
    /// # Errors
    /// Another process holds the lock, or the lock file cannot be created; one line.
    pub fn acquire(location: &Location) -> Result<Self, String> {
        let Location::Sqlite(database) = location else { return Ok(Self { _file: None }) };
        let path = location::with_suffix(database, ".lock");
        let file = File::options().create(true).truncate(false).write(true).mode(location::PRIVATE).open(&path);
        let file = file.map_err(|cause| format!("cannot write {path:?}: {cause}"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(format!("another server uses the {location}, or is still stopping"))
            }
            Err(std::fs::TryLockError::Error(cause)) => Err(format!("cannot lock {path:?}: {cause}")),
        }
    }
}

/// The columns of a row for an update by its key: all except the key. When an update sets a primary key, even to the
/// same value, SQLite visits every row that refers to it, such as all messages of a chat.
fn without_key<A: ActiveModelTrait>(row: A) -> A {
    let mut row = row.reset_all();
    for key in <A::Entity as EntityTrait>::PrimaryKey::iter() {
        row.not_set(key.into_column());
    }
    row
}

/// A `LIKE` pattern that matches this text literally, with `\` as its escape character.
fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// `(a, b) > (x, y)` or `(a, b) < (x, y)`: the row comparison of keyset pagination, which can use indexes.
fn greater_than<C: ColumnTrait>(columns: [C; 2], values: [Value; 2], is_greater: bool) -> SimpleExpr {
    let row = Expr::tuple(columns.map(|column| Expr::col(column)));
    let place = Expr::tuple(values.map(Expr::value));
    if is_greater { row.gt(place) } else { row.lt(place) }
}
