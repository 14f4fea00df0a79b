//! Applies and reverts migrations. Servers that start at the same time wait for each other.

use migration::{MigrationStatus, Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};

use super::{durable, options};

/// An arbitrary number that all versions of duologue share.
const ADVISORY_LOCK: i64 = 0x6475_6f6c_6f67_7565;

/// A migration command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Applies all pending migrations, or this many.
    Up(Option<u32>),
    /// Reverts this many migrations.
    Down(u32),
    /// Drops all tables and applies all migrations.
    Fresh,
}

/// Runs a command on its own connection, with PostgreSQL's advisory lock held.
///
/// # Errors
/// When the database cannot be reached or a migration fails. Each migration is a transaction, so none is applied
/// partially.
pub async fn run(url: &str, step: Step) -> Result<(), DbErr> {
    let connection = connect(url).await?;
    if connection.get_database_backend() == DbBackend::Postgres {
        connection.execute_unprepared("SET lock_timeout = '60s'").await?;
        connection.execute_unprepared(&format!("SELECT pg_advisory_lock({ADVISORY_LOCK})")).await?;
    }
    let outcome = match step {
        Step::Up(steps) => up(&connection, steps).await,
        Step::Down(steps) => Migrator::down(&connection, Some(steps)).await,
        Step::Fresh => Migrator::fresh(&connection).await,
    };
    connection.close().await?;
    outcome
}

async fn up(connection: &DatabaseConnection, steps: Option<u32>) -> Result<(), DbErr> {
    let pending = Migrator::get_pending_migrations(connection).await?.len();
    Migrator::up(connection, steps).await?;
    let applied = pending - Migrator::get_pending_migrations(connection).await?.len();
    if applied > 0 {
        tracing::info!(applied, "applied migrations");
    }
    Ok(())
}

/// The names of all migrations, and whether each is applied.
///
/// # Errors
/// When the database cannot be reached.
pub async fn status(url: &str) -> Result<Vec<(String, bool)>, DbErr> {
    let connection = connect(url).await?;
    let all = Migrator::get_migration_with_status_read_only(&connection).await?;
    connection.close().await?;
    Ok(all.iter().map(|one| (one.name().to_owned(), one.status() == MigrationStatus::Applied)).collect())
}

async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut one = options(url, 1);
    if url.starts_with("sqlite:") {
        super::sqlite_file(url)?;
        one.map_sqlx_sqlite_opts(|file| durable(file).create_if_missing(true));
    }
    sea_orm::Database::connect(one).await
}
