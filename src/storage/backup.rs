//! A consistent copy of a SQLite database, also while a server uses it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sea_orm::DbErr;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};

use super::location::PRIVATE;
use super::{BUSY_TIMEOUT, malformed_url};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Backups never overwrite a file.
    #[error("{0:?} already exists")]
    Exists(PathBuf),
    /// The copy cannot be written.
    #[error("cannot write {0:?}: {1}")]
    Write(PathBuf, io::Error),
    /// The database cannot be read, or the copy cannot be written.
    #[error("cannot copy the database: {0}")]
    Copy(DbErr),
}

/// Writes a copy of the database as it is when this begins: it contains every transaction that was committed before.
/// The server continues to read and write meanwhile. The copy has mode 0600, and gets its name only when it is complete
/// and on the disk.
///
/// # Errors
/// See [`BackupError`]. Nothing is left behind.
pub async fn copy(url: &str, target: &Path) -> Result<(), BackupError> {
    let draft = Draft::create(target)?;
    write(url, &draft.path).await.map_err(BackupError::Copy)?;
    draft.publish(target)
}

/// `VACUUM INTO` reads one snapshot (<https://www.sqlite.org/lang_vacuum.html#vacuuminto>) and accepts an empty file.
async fn write(url: &str, path: &Path) -> Result<(), DbErr> {
    let path = path.to_str().ok_or_else(|| malformed_url("the name of the file is not valid UTF-8"))?;
    let file: SqliteConnectOptions = url.parse().map_err(malformed_url)?;
    let file = file.read_only(true).create_if_missing(false).busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    let failed = |cause: sqlx::Error| DbErr::Query(sea_orm::RuntimeErr::SqlxError(cause.into()));
    let mut connection = file.connect().await.map_err(failed)?;
    sqlx::query("VACUUM INTO ?").bind(path).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// The file that is being written, in the folder of the target. It is removed unless it was published.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn create(target: &Path) -> Result<Self, BackupError> {
        let exists = fs::symlink_metadata(target).is_ok();
        let Some(name) = target.file_name().filter(|_| !exists) else {
            return Err(BackupError::Exists(target.to_owned()));
        };
        let failed = |cause| BackupError::Write(target.to_owned(), cause);
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}.partial", std::process::id()));
        // SQLite would read a relative path that begins with `file:` as a URI.
        let path = std::path::absolute(target.with_file_name(draft)).map_err(failed)?;
        File::options().write(true).create_new(true).mode(PRIVATE).open(&path).map_err(failed)?;
        Ok(Self { path })
    }

    fn publish(self, target: &Path) -> Result<(), BackupError> {
        let published = || {
            File::open(&self.path)?.sync_all()?;
            // Unlike a rename, a link does not overwrite. Some file systems have no links.
            match fs::hard_link(&self.path, target) {
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Err(cause),
                Err(_) if fs::symlink_metadata(target).is_ok() => return Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => fs::rename(&self.path, target)?,
                Ok(()) => {}
            }
            let folder = self.path.parent().unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        published().map_err(|cause: io::Error| match cause.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(target.to_owned()),
            _ => BackupError::Write(target.to_owned(), cause),
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}
