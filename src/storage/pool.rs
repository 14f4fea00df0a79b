//! Connection pools. A pool is a `ConnectionTrait` that runs each statement on its own connection; a [`Transaction`]
//! keeps one connection until it ends.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _, PgPool, SqlitePool};
use sea_orm::{ConnAcquireErr, ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use tokio::sync::Mutex;

use super::connection::{Access, Connection, Raw};

/// A connection that was idle for longer than this is tested before it is used.
const TEST_AFTER: Duration = Duration::from_secs(10);
/// The timeout of that test. A connection that fails it is replaced.
const TEST_LIMIT: Duration = Duration::from_secs(1);

/// The limits of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolLimits {
    /// The most connections.
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
    statement_limit: Duration,
}

#[derive(Debug, Clone)]
enum Kind {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    /// Opens a pool and verifies it by opening one connection.
    pub(super) async fn sqlite(file: SqliteConnectOptions, limits: PoolLimits) -> Result<Self, DbErr> {
        let pool = pool_options(limits).connect_with(file.disable_statement_logging()).await.map_err(acquire_error)?;
        Ok(Self { kind: Kind::Sqlite(pool), statement_limit: limits.statement })
    }

    /// Opens a pool and verifies it by opening one connection.
    pub(super) async fn postgres(server: PgConnectOptions, limits: PoolLimits) -> Result<Self, DbErr> {
        let pool =
            pool_options(limits).connect_with(server.disable_statement_logging()).await.map_err(acquire_error)?;
        Ok(Self { kind: Kind::Postgres(pool), statement_limit: limits.statement })
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
            Kind::Sqlite(pool) => pool.close().await,
            Kind::Postgres(pool) => pool.close().await,
        }
    }

    /// The number of connections: open, idle, and at most.
    pub(super) fn connections(&self) -> PoolConnections {
        let of = |size: u32, idle: usize, most: u32| PoolConnections { open: size, idle: idle as u32, most };
        match &self.kind {
            Kind::Sqlite(pool) => of(pool.size(), pool.num_idle(), pool.options().get_max_connections()),
            Kind::Postgres(pool) => of(pool.size(), pool.num_idle(), pool.options().get_max_connections()),
        }
    }

    async fn acquire(&self) -> Result<Connection, DbErr> {
        let raw = match &self.kind {
            Kind::Sqlite(pool) => pool.acquire().await.map(Raw::Sqlite),
            Kind::Postgres(pool) => pool.acquire().await.map(Raw::Postgres),
        };
        Ok(Connection::new(raw.map_err(acquire_error)?, self.statement_limit))
    }
}

fn pool_options<DB: sqlx::Database>(limits: PoolLimits) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(limits.connections)
        .acquire_timeout(limits.acquire)
        .test_before_acquire(false)
        .before_acquire(|raw: &mut DB::Connection, usage| {
            Box::pin(async move {
                if raw.is_in_transaction() {
                    return Err(sqlx::Error::Protocol("a rollback failed; the connection is replaced".to_owned()));
                }
                if usage.idle_for >= TEST_AFTER {
                    tokio::time::timeout(TEST_LIMIT, raw.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                }
                Ok(true)
            })
        })
}

fn acquire_error(cause: sqlx::Error) -> DbErr {
    match cause {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        cause => DbErr::Conn(RuntimeErr::SqlxError(cause.into())),
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
