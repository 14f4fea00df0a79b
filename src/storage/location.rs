//! The location of a database, and its checks before any pool is opened.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sea_orm::DbErr;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::{ACQUIRE_TIMEOUT, malformed_url, sqlite_file};

/// The mode of all database files: only the account of the server reads and writes them.
pub(super) const PRIVATE: u32 = 0o600;
/// The interval between two attempts to reach a PostgreSQL server that is starting.
const RETRY: Duration = Duration::from_millis(250);

/// The location of a database. Displayed without user and password.
#[derive(Clone)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
}

impl Location {
    /// The location that a `DATABASE_URL` names.
    ///
    /// # Errors
    /// When the URL is malformed.
    pub fn of(url: &str) -> Result<Self, DbErr> {
        if url.starts_with("sqlite:") {
            return sqlite_file(url).map(Self::Sqlite);
        }
        Ok(Self::Postgres(Box::new(url.parse().map_err(malformed_url)?)))
    }

    /// Checks that there is a database, without creating one.
    ///
    /// # Errors
    /// The reason: there is no file, or the server cannot be reached or refuses the connection.
    pub async fn check(&self) -> Result<(), String> {
        match self {
            Self::Sqlite(file) => match fs::metadata(file) {
                Ok(_) => Ok(()),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err("it does not exist".to_owned()),
                Err(cause) => Err(cause.to_string()),
            },
            Self::Postgres(server) => reach(server).await,
        }
    }

    /// Creates a missing SQLite file, and makes its files private.
    ///
    /// # Errors
    /// The file cannot be created or changed.
    pub fn prepare(&self) -> io::Result<()> {
        let Self::Sqlite(file) = self else { return Ok(()) };
        File::options().create(true).append(true).mode(PRIVATE).open(file)?;
        for suffix in ["", "-wal", "-shm"] {
            make_private(&with_suffix(file, suffix))?;
        }
        Ok(())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "SQLite file {file:?}"),
            Self::Postgres(server) => {
                let database = server.get_database().unwrap_or(server.get_username());
                match server.get_socket() {
                    Some(socket) => write!(f, "PostgreSQL database {database:?} at {}", socket.display()),
                    None => {
                        write!(f, "PostgreSQL database {database:?} at {}:{}", server.get_host(), server.get_port())
                    }
                }
            }
        }
    }
}

/// The path with a suffix after its file name.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn make_private(file: &Path) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            fs::set_permissions(file, Permissions::from_mode(PRIVATE))
        }
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Opens and closes one connection. A pool would try until its timeout and then report only the timeout. A server that
/// refuses connections may be starting, so it is tried again for a while.
async fn reach(server: &PgConnectOptions) -> Result<(), String> {
    let deadline = Instant::now() + ACQUIRE_TIMEOUT;
    loop {
        match timeout_at(deadline, server.connect()).await {
            Ok(Ok(connection)) => {
                // The connection works; an error while it is closed does not matter.
                let _closed = timeout_at(deadline, connection.close()).await;
                return Ok(());
            }
            Ok(Err(cause)) if is_starting(&cause) && Instant::now() + RETRY < deadline => sleep(RETRY).await,
            Ok(Err(sqlx::Error::Io(cause))) => return Err(cause.to_string()),
            Ok(Err(sqlx::Error::Database(cause))) => return Err(cause.message().to_owned()),
            Ok(Err(cause)) => return Err(cause.to_string()),
            Err(_) => return Err(format!("no response within {} s", ACQUIRE_TIMEOUT.as_secs())),
        }
    }
}

/// Whether the server may be starting: nothing listens yet, or it reports `cannot_connect_now`
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn is_starting(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Io(cause) => cause.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_shows_neither_user_nor_password() {
        for (url, shown) in [
            ("sqlite:data/a.db?mode=rwc", "SQLite file \"data/a.db\""),
            ("postgres://ada:hunter2@db.example.com:5433/chat", "PostgreSQL database \"chat\" at db.example.com:5433"),
            ("postgres:///chat?host=/run/postgresql", "PostgreSQL database \"chat\" at /run/postgresql"),
        ] {
            assert_eq!(Location::of(url).unwrap().to_string(), shown);
        }
        assert!(Location::of("sqlite::memory:").is_err());
    }

    #[test]
    fn database_files_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let location = Location::Sqlite(file.clone());
        location.prepare().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), PRIVATE);
        let log = with_suffix(&file, "-wal");
        fs::write(&log, "").unwrap();
        for path in [&file, &log] {
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        }
        location.prepare().unwrap();
        assert_eq!((mode(&file), mode(&log)), (PRIVATE, PRIVATE), "those of an earlier version too");
    }
}
