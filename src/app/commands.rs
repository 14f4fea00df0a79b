//! The commands other than `serve`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{StartError, accounts, console, create_data_dir, database, refused, secrets};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::config::command_line::{CreateUser, MigrateCommand};
use crate::domain::accounts::NewUser;
use crate::graphql::schema;
use crate::http;
use crate::storage::migrations::{self, Step};
use crate::storage::{Database, Location, ServerLock, backup};

/// Runs a migration command and returns its output.
///
/// # Errors
/// The database cannot be reached or used, the loss of data is not confirmed, or a migration fails.
pub async fn migrate(settings: &Settings, command: MigrateCommand) -> Result<String, StartError> {
    let (url, location) = database(settings)?;
    let step = match command {
        MigrateCommand::Up { n } => Some(Step::Up(n)),
        MigrateCommand::Down { n, .. } => Some(Step::Down(n)),
        MigrateCommand::Fresh { .. } => Some(Step::Fresh),
        MigrateCommand::Status => None,
    };
    match step {
        Some(Step::Up(_) | Step::Fresh) if matches!(location, Location::Sqlite(_)) => create_data_dir(settings)?,
        _ => require(&location).await?,
    }
    if let Some((loss, is_confirmed)) = command.loss() {
        console::confirm(&format!("{loss} in the {location}"), is_confirmed, settings.server.environment)?;
    }
    let failed = |cause| StartError::new(&format!("DATABASE_URL: migrating the {location} failed"), cause);
    if let Some(step) = step {
        let _lock = ServerLock::acquire(&location).map_err(|cause| StartError::new("DATABASE_URL", cause))?;
        migrations::run(&url, step).await.map_err(failed)?;
    }
    let all = migrations::status(&url).await.map_err(failed)?;
    let line =
        |(name, is_applied): &(String, bool)| format!("{name} {}\n", if *is_applied { "applied" } else { "pending" });
    Ok(all.iter().map(line).collect())
}

/// Creates a user, also while a server is running on the database, and returns the output. The password is read when
/// the database is known to be usable.
///
/// # Errors
/// There is no database, its migrations are not applied, or the user is invalid.
pub async fn create_user(settings: &Settings, user: CreateUser) -> Result<String, StartError> {
    let (url, location) = database(settings)?;
    require(&location).await?;
    let failed = |cause| StartError::new(&format!("DATABASE_URL: cannot use the {location}"), cause);
    let is_pending = |(_, is_applied): &(String, bool)| !is_applied;
    match migrations::status(&url).await.map_err(failed)?.iter().filter(|one| is_pending(one)).count() {
        0 => {}
        pending => {
            let why = format!("{pending} migrations are pending; run `duologue migrate up` or start the server first");
            return Err(StartError::new(&format!("DATABASE_URL: {location}"), why));
        }
    }
    create_data_dir(settings)?;
    let password = console::read_password().map_err(|cause| StartError::new("cannot read the password", cause))?;
    let database = Database::connect(&url, 1).await.map_err(failed)?;
    let accounts =
        accounts(settings, &secrets(settings)?, &database, Arc::new(SystemClock), Arc::default(), TaskTracker::new())?;
    let CreateUser { username, email, admin } = user;
    let new = NewUser { username, email, password, full_name: None };
    let created = accounts.create_user(new, admin).await.map_err(|cause| refused("cannot create the user", &cause))?;
    database.close().await;
    Ok(format!("created {} ({}) in the {location}\n", created.username, created.id))
}

/// Copies a SQLite database into a new file, also while a server is running on it, and returns the output.
///
/// # Errors
/// The database is not a SQLite file, or the file exists or cannot be written.
pub async fn backup(settings: &Settings, file: &Path) -> Result<String, StartError> {
    let (url, location) = database(settings)?;
    if matches!(location, Location::Postgres(_)) {
        let advice = "use pg_dump, such as `pg_dump --format=custom --file=FILE DATABASE`";
        return Err(StartError::new(&format!("backup: the {location} is not a SQLite file"), advice));
    }
    require(&location).await?;
    backup::copy(&url, file).await.map_err(|cause| StartError::new("backup", cause))?;
    Ok(format!("copied the {location} to {file:?}\n"))
}

/// Asks the server of these settings on this machine whether it is ready, and returns the output.
///
/// # Errors
/// It is not ready, does not respond, or its port is not known.
pub async fn health(settings: &Settings) -> Result<String, StartError> {
    let wanted = settings.server.listen_address();
    if wanted.port() == 0 {
        return Err(StartError::new("PORT", "0 picks a free port; set the port of the running server"));
    }
    // A server that listens on every address also listens on the loopback address.
    let ip = match wanted.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, wanted.port());
    let is_tls = settings.protection.tls_files().is_some();
    http::ask_ready(address, is_tls)
        .await
        .map_err(|cause| StartError::new(&format!("{address} is not ready"), cause))?;
    Ok(format!("{address} is ready\n"))
}

/// Returns the schema as SDL.
pub fn schema() -> String {
    schema::sdl()
}

/// Requires that there is a database.
async fn require(location: &Location) -> Result<(), StartError> {
    location.check().await.map_err(|cause| StartError::new(&format!("DATABASE_URL: {location}"), cause))
}
