//! The composition root: builds every part once, starts and stops them.

use std::fmt::Display;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::clock::{Clock, IdGenerator, SystemClock};
use crate::config::Settings;
use crate::config::command_line::{CreateUser, MigrateCommand};
use crate::domain::accounts::{Accounts, NewUser};
use crate::domain::{Error, FieldError};
use crate::storage::migrations::{self, Step};
use crate::storage::{Database, ServerLock};

/// Why a command came to nothing, in one line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    fn new(what: &str, cause: impl Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}

/// Brings the tables up or down; answers what to print.
///
/// # Errors
/// When the database cannot be reached or used, or a migration fails.
pub async fn migrate(settings: &Settings, command: MigrateCommand) -> Result<String, StartError> {
    let url = database_url(settings)?;
    let failed = |cause| StartError::new("DATABASE_URL: the migration failed", cause);
    let step = match command {
        MigrateCommand::Up { n } => Some(Step::Up(n)),
        MigrateCommand::Down { n } => Some(Step::Down(n)),
        MigrateCommand::Fresh => Some(Step::Fresh),
        MigrateCommand::Status => None,
    };
    if let Some(step) = step {
        let _lock = ServerLock::acquire(&url).map_err(|cause| StartError::new("DATABASE_URL", cause))?;
        migrations::run(&url, step).await.map_err(failed)?;
    }
    let all = migrations::status(&url).await.map_err(failed)?;
    let line =
        |(name, is_applied): &(String, bool)| format!("{name} {}\n", if *is_applied { "applied" } else { "pending" });
    Ok(all.iter().map(line).collect())
}

/// Makes a user, on a running server's database too; answers what to print.
///
/// # Errors
/// When the database cannot be reached, or the user breaks a rule.
pub async fn create_user(settings: &Settings, user: CreateUser, password: String) -> Result<String, StartError> {
    let url = database_url(settings)?;
    let failed = |cause| StartError::new("DATABASE_URL: cannot use the database", cause);
    migrations::run(&url, Step::Up(None)).await.map_err(failed)?;
    let database = Database::connect(&url, 1).await.map_err(failed)?;
    let accounts = accounts(settings, &database, Arc::new(SystemClock), Arc::default(), TaskTracker::new())?;
    let CreateUser { username, email, admin } = user;
    let new = NewUser { username, email, password, full_name: None };
    let created = accounts.create_user(new, admin).await.map_err(|cause| refused("the user is not created", &cause))?;
    database.close().await.map_err(failed)?;
    Ok(format!("created {} ({})\n", created.username, created.id))
}

/// The accounts of this process.
fn accounts(
    settings: &Settings,
    database: &Database,
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    tracker: TaskTracker,
) -> Result<Accounts, StartError> {
    let secrets = settings
        .auth
        .signing_secrets(&settings.server.data_dir)
        .map_err(|cause| StartError::new("DATA_DIR: the secret can be neither read nor made", cause))?;
    Accounts::new(database.clone(), clock, ids, tracker, &secrets, &settings.auth)
        .map_err(|cause| refused("JWT_SECRET", &cause))
}

/// Makes `DATA_DIR`, for the file that may stand in it.
fn database_url(settings: &Settings) -> Result<String, StartError> {
    let folder = &settings.server.data_dir;
    std::fs::create_dir_all(folder).map_err(|cause| {
        StartError::new(&format!("DATA_DIR: cannot make {:?}", folder.display().to_string()), cause)
    })?;
    Ok(settings.database_url().expose().to_owned())
}

/// Every mistake of an input in one line, or the cause of what went wrong here.
fn refused(what: &str, cause: &Error) -> StartError {
    let fields =
        |fields: &[FieldError]| fields.iter().map(|field| field.message.as_str()).collect::<Vec<_>>().join(" ");
    match cause {
        Error::Invalid(mistakes) | Error::Conflict { fields: mistakes, .. } => StartError::new(what, fields(mistakes)),
        Error::Internal(source) => StartError::new(what, source),
        other => StartError::new(what, other),
    }
}
