//! A connection borrowed from a pool. It is returned only while its state is known.
//!
//! sqlx tracks the transaction depth of a connection itself. When SQLite rolls a transaction back on its own (a full
//! disk, an I/O error: <https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction>), sqlx's
//! `ROLLBACK` fails and its depth stays at 1. Every later transaction on that connection is then a savepoint inside a
//! transaction that is never committed: its writes are acknowledged and lost. `tests/it/storage.rs` shows it. Therefore
//! a connection is closed and replaced after any error except a constraint violation, and when a task is dropped while
//! it waits for an answer.

use std::io;
use std::time::Duration;

use deadpool::managed::Object;
use sea_orm::sea_query::Values;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection as _, Executor as _, Postgres, SqlSafeStr as _, Sqlite};
use sea_orm::{DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sea_query_sqlx::SqlxValues;
use sqlx_core::transaction::TransactionManager;

use super::pool::Manager;

/// How long the rollback of a transaction may take. If it takes longer, the connection is closed.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(5);

type SqliteTransactionManager = <Sqlite as sqlx::Database>::TransactionManager;
type PgTransactionManager = <Postgres as sqlx::Database>::TransactionManager;

/// A connection borrowed from its pool. On drop it is returned, or closed if its state is unknown.
pub(super) struct Connection {
    raw: Option<Raw>,
    /// The timeout of one statement.
    limit: Duration,
    /// Set while an answer is awaited. Stays set if there was no answer, or if the answer leaves the state unknown.
    is_in_doubt: bool,
    is_in_transaction: bool,
    /// Whether a statement of this transaction failed. PostgreSQL then answers COMMIT with a rollback and without an
    /// error.
    has_failed: bool,
}

/// The purpose of a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    Write,
    /// Only reads. All of them see the same state of the database.
    Snapshot,
}

pub(super) enum Raw {
    Sqlite(Object<Manager<Sqlite>>),
    Postgres(Object<Manager<Postgres>>),
}

impl Connection {
    pub(super) fn new(raw: Raw, limit: Duration) -> Self {
        Self { raw: Some(raw), limit, is_in_doubt: false, is_in_transaction: false, has_failed: false }
    }

    /// Begins a transaction on a connection that has none open: sqlx refuses an explicit BEGIN if its depth is not 0,
    /// and the database refuses it inside of a transaction.
    pub(super) async fn begin(&mut self, access: Access) -> Result<(), DbErr> {
        let limit = self.limit;
        let (sqlite, postgres) = match access {
            Access::Write => ("BEGIN IMMEDIATE", "BEGIN"),
            Access::Snapshot => ("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        };
        let begin = async |raw: &mut Raw| match raw {
            Raw::Sqlite(raw) => SqliteTransactionManager::begin(raw, Some(AssertSqlSafe(sqlite).into_sql_str())).await,
            Raw::Postgres(raw) => PgTransactionManager::begin(raw, Some(AssertSqlSafe(postgres).into_sql_str())).await,
        };
        let answer = tokio::time::timeout(limit, begin(self.start()?)).await;
        self.finish(answer).map_err(query_error)?;
        self.is_in_transaction = true;
        Ok(())
    }

    /// Commits. After an error, the transaction may or may not have been committed.
    pub(super) async fn commit(&mut self) -> Result<(), DbErr> {
        if self.has_failed {
            return Err(DbErr::Exec(RuntimeErr::Internal("a statement of this transaction failed".to_owned())));
        }
        let limit = self.limit;
        let commit = async |raw: &mut Raw| match raw {
            Raw::Sqlite(raw) => SqliteTransactionManager::commit(&mut **raw).await,
            Raw::Postgres(raw) => PgTransactionManager::commit(&mut **raw).await,
        };
        let answer = tokio::time::timeout(limit, commit(self.start()?)).await;
        let answer = self.finish(answer);
        // After a failed COMMIT, only the database knows the state, even if a deferred constraint failed.
        self.is_in_doubt |= answer.is_err();
        answer.map_err(query_error)?;
        self.is_in_transaction = false;
        Ok(())
    }

    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<ExecResult, DbErr> {
        let limit = self.limit;
        let execute = async |raw: &mut Raw| {
            Ok(match raw {
                Raw::Sqlite(raw) => query(statement).execute(&mut **raw).await?.into(),
                Raw::Postgres(raw) => query(statement).execute(&mut **raw).await?.into(),
            })
        };
        let answer = tokio::time::timeout(limit, execute(self.start()?)).await;
        self.finish(answer).map_err(|cause| DbErr::Exec(RuntimeErr::SqlxError(cause.into())))
    }

    pub(super) async fn execute_unprepared(&mut self, sql: &str) -> Result<ExecResult, DbErr> {
        let limit = self.limit;
        let sql = AssertSqlSafe(sql.to_owned());
        let execute = async |raw: &mut Raw| {
            Ok(match raw {
                Raw::Sqlite(raw) => raw.execute(sql).await?.into(),
                Raw::Postgres(raw) => raw.execute(sql).await?.into(),
            })
        };
        let answer = tokio::time::timeout(limit, execute(self.start()?)).await;
        self.finish(answer).map_err(|cause| DbErr::Exec(RuntimeErr::SqlxError(cause.into())))
    }

    pub(super) async fn query_one(&mut self, statement: &Statement) -> Result<Option<QueryResult>, DbErr> {
        let limit = self.limit;
        let fetch = async |raw: &mut Raw| {
            Ok(match raw {
                Raw::Sqlite(raw) => query(statement).fetch_optional(&mut **raw).await?.map(Into::into),
                Raw::Postgres(raw) => query(statement).fetch_optional(&mut **raw).await?.map(Into::into),
            })
        };
        let answer = tokio::time::timeout(limit, fetch(self.start()?)).await;
        self.finish(answer).map_err(query_error)
    }

    pub(super) async fn query_all(&mut self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        let limit = self.limit;
        let fetch = async |raw: &mut Raw| {
            Ok(match raw {
                Raw::Sqlite(raw) => query(statement).fetch_all(&mut **raw).await?.into_iter().map(Into::into).collect(),
                Raw::Postgres(raw) => {
                    query(statement).fetch_all(&mut **raw).await?.into_iter().map(Into::into).collect()
                }
            })
        };
        let answer = tokio::time::timeout(limit, fetch(self.start()?)).await;
        self.finish(answer).map_err(query_error)
    }

    /// Marks the state as unknown until [`Self::finish`], which does not run if the waiting task is dropped.
    fn start(&mut self) -> Result<&mut Raw, DbErr> {
        if self.is_in_doubt {
            return Err(DbErr::Conn(RuntimeErr::Internal("this connection is in doubt".to_owned())));
        }
        self.is_in_doubt = true;
        self.raw.as_mut().ok_or_else(|| DbErr::Conn(RuntimeErr::Internal("this connection is closed".to_owned())))
    }

    fn finish<T>(
        &mut self,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, sqlx::Error> {
        let answer = answer.unwrap_or_else(|_| {
            let message = format!("no answer from the database within {:?}", self.limit);
            Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message)))
        });
        self.has_failed |= answer.is_err();
        self.is_in_doubt = answer.as_ref().is_err_and(|cause| !is_constraint_violation(cause));
        if let Err(cause) = &answer
            && self.is_in_doubt
        {
            tracing::warn!(
                exception.message = cause as &dyn std::error::Error,
                "a database connection is closed after an error"
            );
        }
        answer
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(raw) = self.raw.take() else { return };
        match raw {
            Raw::Sqlite(raw) => self.give_back(raw),
            Raw::Postgres(raw) => self.give_back(raw),
        }
    }
}

impl Connection {
    fn give_back<DB: sqlx::Database>(&self, mut raw: Object<Manager<DB>>) {
        if self.is_in_doubt {
            // Closed without a termination message, which could block on an unresponsive connection.
            drop(Object::take(raw));
        } else if self.is_in_transaction {
            DB::TransactionManager::start_rollback(&mut raw);
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(roll_back(raw))),
                Err(_) => drop(Object::take(raw)),
            }
        }
    }
}

/// Waits for the rollback that was started, and returns the connection to its pool if it succeeded.
async fn roll_back<DB: sqlx::Database>(mut raw: Object<Manager<DB>>) {
    // The answer follows that of the rollback. For PostgreSQL, this sends it.
    let answer = tokio::time::timeout(ROLLBACK_LIMIT, raw.ping()).await;
    if !matches!(answer, Ok(Ok(()))) || raw.is_in_transaction() {
        drop(Object::take(raw));
    }
}

fn query<DB: sqlx::Database>(statement: &Statement) -> sqlx::query::Query<'_, DB, SqlxValues>
where
    SqlxValues: sqlx::IntoArguments<DB>,
{
    let values = statement.values.clone().unwrap_or(Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

fn query_error(cause: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(cause.into()))
}

fn is_constraint_violation(cause: &sqlx::Error) -> bool {
    use sqlx::error::ErrorKind as Kind;
    cause.as_database_error().is_some_and(|cause| {
        matches!(
            cause.kind(),
            Kind::UniqueViolation | Kind::ForeignKeyViolation | Kind::NotNullViolation | Kind::CheckViolation
        )
    })
}
