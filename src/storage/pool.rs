//! Connection pools. A pool is a `ConnectionTrait` that runs each statement on its own connection; a [`Transaction`]
//! keeps one connection until it ends.
//!
//! sqlx's own pool pings a connection each time it is returned: one more switch to the thread of a SQLite connection,
//! or one more round trip to PostgreSQL, for every statement. [`Connection`] returns a connection only while its state
//! is known, so these pools test it only after a rollback and after a long idle time.

use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::{self, Metrics, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult};
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions, Connection as _, Database, Postgres, Sqlite};
use sea_orm::{ConnAcquireErr, ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use tokio::sync::Mutex;

use super::connection::{Access, Connection, Raw};

/// A connection that was idle for longer than this is tested before it is used.
const TEST_AFTER: Duration = Duration::from_secs(10);
/// The timeout of that test. A connection that fails it is replaced.
const TEST_LIMIT: Duration = Duration::from_secs(1);
/// The age at which a connection is replaced.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
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
}

impl<DB: Database> managed::Manager for Manager<DB> {
    type Type = DB::Connection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<DB::Connection, sqlx::Error> {
        self.options.connect().await
    }

    async fn recycle(&self, raw: &mut DB::Connection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if metrics.age() >= MAX_AGE {
            return Err(RecycleError::message("the connection is too old"));
        }
        if raw.is_in_transaction() {
            return Err(RecycleError::message("the rollback did not end"));
        }
        if metrics.last_used() >= TEST_AFTER {
            tokio::time::timeout(TEST_LIMIT, raw.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        }
        Ok(())
    }
}

impl Pool {
    /// Opens a pool and verifies it by opening one connection.
    pub(super) async fn sqlite(file: SqliteConnectOptions, limits: PoolLimits) -> Result<Self, DbErr> {
        let kind = Kind::Sqlite(pool(file.disable_statement_logging(), limits)?);
        Self { kind, limits }.verified().await
    }

    /// Opens a pool and verifies it by opening one connection.
    pub(super) async fn postgres(server: PgConnectOptions, limits: PoolLimits) -> Result<Self, DbErr> {
        let kind = Kind::Postgres(pool(server.disable_statement_logging(), limits)?);
        Self { kind, limits }.verified().await
    }

    async fn verified(self) -> Result<Self, DbErr> {
        self.acquire().await?;
        Ok(self)
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

    /// Closes all connections once they are returned.
    pub(super) async fn close(&self) {
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
    let pool = managed::Pool::builder(Manager { options }).config(config).build();
    pool.map_err(|cause| DbErr::Conn(RuntimeErr::Internal(cause.to_string())))
}

async fn close<DB: Database>(pool: &managed::Pool<Manager<DB>>) {
    loop {
        for raw in pool.retain(|_, _| false).removed {
            // A connection that cannot be closed is dropped.
            let _ = raw.close().await;
        }
        if pool.status().size == 0 {
            return pool.close();
        }
        tokio::time::sleep(CLOSE_INTERVAL).await;
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
