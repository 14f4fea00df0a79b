//! Connection pools. A pool is a `ConnectionTrait` that runs each statement on its own connection; a [`Transaction`]
//! keeps one connection until it ends.
//!
//! sqlx's own pool pings a connection each time it is returned: one more switch to the thread of a SQLite connection,
//! or one more round trip to PostgreSQL, for every statement. [`Connection`] returns a connection only while its state
//! is known, so these pools test it only after a rollback, and when it was last lent some time ago.

use std::sync::{Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deadpool::managed::{self, Metrics, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult};
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions, Connection as _, Database, Postgres, Sqlite};
use sea_orm::{ConnAcquireErr, ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::connection::{Access, Connection, Raw};

/// A connection that was last lent longer ago than this is tested before it is lent again.
const TEST_AFTER: Duration = Duration::from_secs(10);
/// The timeout of that test. A connection that fails it is replaced.
const TEST_LIMIT: Duration = Duration::from_secs(1);
/// The delays between attempts to connect to a database that is starting or has too many connections: the first, which
/// is doubled for each further one, and the longest.
const CONNECT_BACKOFF: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];
/// Idle connections are closed at this age, and this long after they were last lent.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
const MAX_IDLE: Duration = Duration::from_secs(10 * 60);
/// The interval at which a pool that is being closed looks for returned connections.
const CLOSE_INTERVAL: Duration = Duration::from_millis(10);

/// The limits of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolLimits {
    /// The maximum number of connections.
    pub(super) connections: u32,
    /// How long a caller waits for a connection.
    pub(super) acquire: Duration,
    /// The timeout of a statement, a BEGIN or a COMMIT. The connection is closed when it is exceeded.
    pub(super) statement: Duration,
}

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConnections {
    /// Open connections.
    pub open: u32,
    /// Open connections that no statement uses.
    pub idle: u32,
    /// The limit.
    pub most: u32,
}

/// A pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    kind: Kind,
    limits: PoolLimits,
    /// Cancelled when the pool is being closed. It lends no connections from then on.
    closing: CancellationToken,
}

#[derive(Debug, Clone)]
enum Kind {
    Sqlite(managed::Pool<Manager<Sqlite>>),
    Postgres(managed::Pool<Manager<Postgres>>),
}

type Options<DB> = <<DB as Database>::Connection as sqlx::Connection>::Options;

/// Opens and tests the connections of a pool.
#[derive(Debug)]
pub(super) struct Manager<DB: Database> {
    options: Options<DB>,
    /// When a connection last failed its test. Those that were last lent before are replaced without a test, because
    /// each test may take [`TEST_LIMIT`].
    failed_test: SyncMutex<Option<Instant>>,
}

impl<DB: Database> managed::Manager for Manager<DB> {
    type Type = DB::Connection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<DB::Connection, sqlx::Error> {
        let [mut delay, longest] = CONNECT_BACKOFF;
        // The caller limits the time.
        loop {
            match self.options.connect().await {
                Err(cause) if is_temporary(&cause) => tokio::time::sleep(delay).await,
                outcome => return outcome,
            }
            delay = longest.min(delay * 2);
        }
    }

    async fn recycle(&self, raw: &mut DB::Connection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if raw.is_in_transaction() {
            return Err(RecycleError::message("the rollback did not end"));
        }
        let lent = metrics.recycled.unwrap_or(metrics.created);
        if self.failed_test().is_some_and(|failed| lent < failed) {
            return Err(RecycleError::message("another connection failed its test"));
        }
        if lent.elapsed() < TEST_AFTER {
            return Ok(());
        }
        let tested = tokio::time::timeout(TEST_LIMIT, raw.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        tested.map_err(|cause| {
            *self.failed_test() = Some(Instant::now());
            tracing::warn!(
                exception.message = &cause as &dyn std::error::Error,
                "idle database connections are replaced after a failed test"
            );
            cause.into()
        })
    }
}

impl<DB: Database> Manager<DB> {
    fn failed_test(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed_test.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the database is starting, or has too many connections.
fn is_temporary(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Io(cause) => cause.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(cause) => cause.is_transient_in_connect_phase(),
        _ => false,
    }
}

impl Pool {
    /// Opens a pool and verifies it by opening one connection.
    pub(super) async fn sqlite(file: SqliteConnectOptions, limits: PoolLimits) -> Result<Self, DbErr> {
        let kind = Kind::Sqlite(pool(file.disable_statement_logging(), limits)?);
        Self::verified(kind, limits).await
    }

    /// Opens a pool and verifies it by opening one connection.
    pub(super) async fn postgres(server: PgConnectOptions, limits: PoolLimits) -> Result<Self, DbErr> {
        let kind = Kind::Postgres(pool(server.disable_statement_logging(), limits)?);
        Self::verified(kind, limits).await
    }

    async fn verified(kind: Kind, limits: PoolLimits) -> Result<Self, DbErr> {
        let pool = Self { kind, limits, closing: CancellationToken::new() };
        pool.acquire().await?;
        Ok(pool)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When no connection becomes free in time, or the database refuses.
    pub(super) async fn begin(&self, access: Access) -> Result<Transaction, DbErr> {
        let mut connection = self.acquire().await?;
        connection.begin(access).await?;
        Ok(Transaction { backend: self.get_database_backend(), connection: Mutex::new(connection) })
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub(super) async fn ping(&self) -> Result<(), DbErr> {
        self.acquire().await?.execute_unprepared("SELECT 1").await.map(drop)
    }

    /// Closes idle connections that are old, or that were last lent long ago.
    pub(super) async fn retire(&self) {
        let is_fresh = |metrics: Metrics| metrics.age() < MAX_AGE && metrics.last_used() < MAX_IDLE;
        match &self.kind {
            Kind::Sqlite(pool) => close_idle(pool, is_fresh).await,
            Kind::Postgres(pool) => close_idle(pool, is_fresh).await,
        }
    }

    /// Closes all connections once they are returned. None is lent from now on.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        match &self.kind {
            Kind::Sqlite(pool) => close(pool).await,
            Kind::Postgres(pool) => close(pool).await,
        }
    }

    /// The number of connections: open, idle, and at most.
    pub(super) fn connections(&self) -> PoolConnections {
        let status = match &self.kind {
            Kind::Sqlite(pool) => pool.status(),
            Kind::Postgres(pool) => pool.status(),
        };
        PoolConnections { open: status.size as u32, idle: status.available as u32, most: self.limits.connections }
    }

    async fn acquire(&self) -> Result<Connection, DbErr> {
        if self.closing.is_cancelled() {
            return Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed));
        }
        let acquired = async {
            match &self.kind {
                Kind::Sqlite(pool) => pool.get().await.map(Raw::Sqlite),
                Kind::Postgres(pool) => pool.get().await.map(Raw::Postgres),
            }
        };
        let raw = tokio::time::timeout(self.limits.acquire, acquired).await;
        let raw = raw.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?.map_err(acquire_error)?;
        Ok(Connection::new(raw, self.limits.statement))
    }
}

/// A pool that prefers the connections that were used last, whose caches are warm.
fn pool<DB: Database>(options: Options<DB>, limits: PoolLimits) -> Result<managed::Pool<Manager<DB>>, DbErr> {
    let config = PoolConfig { queue_mode: QueueMode::Lifo, ..PoolConfig::new(limits.connections as usize) };
    let pool = managed::Pool::builder(Manager { options, failed_test: SyncMutex::default() }).config(config).build();
    pool.map_err(|cause| DbErr::Conn(RuntimeErr::Internal(cause.to_string())))
}

async fn close<DB: Database>(pool: &managed::Pool<Manager<DB>>) {
    loop {
        close_idle(pool, |_| false).await;
        let status = pool.status();
        // A caller that is still connecting is counted as waiting.
        if status.size + status.waiting == 0 {
            return pool.close();
        }
        tokio::time::sleep(CLOSE_INTERVAL).await;
    }
}

async fn close_idle<DB: Database>(pool: &managed::Pool<Manager<DB>>, keeps: impl Fn(Metrics) -> bool) {
    for raw in pool.retain(|_, metrics| keeps(metrics)).removed {
        // A connection that cannot be closed is dropped.
        let _ = raw.close().await;
    }
}

fn acquire_error(cause: PoolError<sqlx::Error>) -> DbErr {
    match cause {
        PoolError::Closed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        PoolError::Backend(cause) => DbErr::Conn(RuntimeErr::SqlxError(cause.into())),
        cause => DbErr::Conn(RuntimeErr::Internal(cause.to_string())),
    }
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        match self.kind {
            Kind::Sqlite(_) => DbBackend::Sqlite,
            Kind::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.acquire().await?.execute(&statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.acquire().await?.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.acquire().await?.query_one(&statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.acquire().await?.query_all(&statement).await
    }
}

/// A transaction. It is rolled back if it is dropped without a commit.
pub struct Transaction {
    backend: DbBackend,
    connection: Mutex<Connection>,
}

impl Transaction {
    /// Commits.
    ///
    /// # Errors
    /// If a statement of this transaction failed before, nothing is committed. After any other error, the transaction
    /// may or may not have been committed.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.connection.into_inner().commit().await
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.connection.lock().await.execute(&statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.connection.lock().await.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.connection.lock().await.query_one(&statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.connection.lock().await.query_all(&statement).await
    }
}
