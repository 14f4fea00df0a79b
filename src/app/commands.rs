//! The commands other than `serve`.

use std::path::Path;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{StartError, accounts, create_data_dir, refused, secrets};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::config::command_line::{CreateUser, MigrateCommand};
use crate::domain::accounts::NewUser;
use crate::graphql::schema;
use crate::storage::migrations::{self, Step};
use crate::storage::{Database, Location, ServerLock, backup};

/// Runs a migration command and returns its output.
///
/// # Errors
/// The database cannot be reached or used, or a migration fails.
pub async fn migrate(settings: &Settings, command: MigrateCommand) -> Result<String, StartError> {
    let step = match command {
        MigrateCommand::Up { n } => Some(Step::Up(n)),
        MigrateCommand::Down { n } => Some(Step::Down(n)),
        MigrateCommand::Fresh => Some(Step::Fresh),
        MigrateCommand::Status => None,
    };
    create_data_dir(settings)?;
    let (url, _) = database(settings)?;
    let failed = |cause| StartError::new("DATABASE_URL: the migration failed", cause);
    if let Some(step) = step {
        let _lock = ServerLock::acquire(&url).map_err(|cause| StartError::new("DATABASE_URL", cause))?;
        migrations::run(&url, step).await.map_err(failed)?;
    }
    let all = migrations::status(&url).await.map_err(failed)?;
    let line =
        |(name, is_applied): &(String, bool)| format!("{name} {}\n", if *is_applied { "applied" } else { "pending" });
    Ok(all.iter().map(line).collect())
}

/// Creates a user, also while a server is running on the database, and returns the output.
///
/// # Errors
/// The database cannot be reached, or the user is invalid.
pub async fn create_user(settings: &Settings, user: CreateUser, password: String) -> Result<String, StartError> {
    create_data_dir(settings)?;
    let (url, _) = database(settings)?;
    let failed = |cause| StartError::new("DATABASE_URL: cannot use the database", cause);
    migrations::run(&url, Step::Up(None)).await.map_err(failed)?;
    let database = Database::connect(&url, 1).await.map_err(failed)?;
    let accounts =
        accounts(settings, &secrets(settings)?, &database, Arc::new(SystemClock), Arc::default(), TaskTracker::new())?;
    let CreateUser { username, email, admin } = user;
    let new = NewUser { username, email, password, full_name: None };
    let created = accounts.create_user(new, admin).await.map_err(|cause| refused("cannot create the user", &cause))?;
    database.close().await;
    Ok(format!("created {} ({})\n", created.username, created.id))
}

/// Copies a SQLite database into a new file, also while a server is running on it, and returns the output.
///
/// # Errors
/// The database is not a SQLite file, or the file exists or cannot be written.
pub async fn backup(settings: &Settings, file: &Path) -> Result<String, StartError> {
    let (url, location) = database(settings)?;
    if matches!(location, Location::Postgres(_)) {
        let advice = "use pg_dump, such as `pg_dump --format=custom --file=FILE DATABASE`";
        return Err(StartError::new(&format!("backup: {location} is not a SQLite file"), advice));
    }
    location.check().await.map_err(|cause| StartError::new(&format!("DATABASE_URL: {location}"), cause))?;
    backup::copy(&url, file).await.map_err(|cause| StartError::new("backup", cause))?;
    Ok(format!("copied the {location} to {file:?}\n"))
}

/// Returns the schema as SDL.
pub fn schema() -> String {
    schema::sdl()
}

fn database(settings: &Settings) -> Result<(String, Location), StartError> {
    let url = settings.database_url();
    let location = Location::of(url.expose()).map_err(|cause| StartError::new("DATABASE_URL", cause))?;
    Ok((url.expose().to_owned(), location))
}
