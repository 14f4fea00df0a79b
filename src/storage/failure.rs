//! Classification of database errors: an outage is not caused by the request, and a retry may succeed.

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::sqlx::{self};
use sea_orm::{DbErr, RuntimeErr};

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>): INTERNAL, PERM, ABORT, BUSY, LOCKED, NOMEM,
/// READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
const SQLITE_OUTAGES: [u32; 12] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15];

/// Classes of SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): connection exceptions,
/// transaction rollbacks (deadlocks), insufficient resources, operator intervention (shutdown, statement timeout),
/// system errors.
const POSTGRES_OUTAGES: [&str; 5] = ["08", "40", "53", "57", "58"];

/// Single codes that are also outages: lock_not_available, idle_in_transaction_session_timeout,
/// read_only_sql_transaction (a failover).
const POSTGRES_OUTAGE_CODES: [&str; 3] = ["55P03", "25P03", "25006"];

/// Whether the database is down, full, locked, out of connections or too slow.
pub fn is_outage(cause: &DbErr) -> bool {
    match cause {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            match cause.as_ref() {
                sqlx::Error::Database(cause) => is_database_outage(cause.as_ref()),
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::BeginFailed
                | sqlx::Error::InvalidSavePointStatement => true,
                _ => false,
            }
        }
        _ => false,
    }
}

fn is_database_outage(cause: &dyn DatabaseError) -> bool {
    let Some(code) = cause.code() else { return false };
    if cause.try_downcast_ref::<SqliteError>().is_some() {
        // The lowest byte of an extended result code is the primary result code.
        return code.parse::<u32>().is_ok_and(|code| SQLITE_OUTAGES.contains(&(code & 0xff)));
    }
    POSTGRES_OUTAGES.iter().any(|class| code.starts_with(class)) || POSTGRES_OUTAGE_CODES.contains(&code.as_ref())
}
