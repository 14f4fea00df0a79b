//! The file that identifies the last run of the server with a `DATA_DIR`. A server locks the file while it runs. A
//! server that gets the lock therefore knows that the run named in the file has ended, and does not need to wait for
//! its lease to expire.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use uuid::Uuid;

use super::location::PRIVATE;
use crate::entity::ids::BootId;

/// The name of the file in `DATA_DIR`.
const NAME: &str = "server.lock";

/// The lock of a running server on its `DATA_DIR`. The operating system releases it when the process ends.
#[derive(Debug)]
pub struct BootFile {
    locked: File,
}

impl BootFile {
    /// Locks the directory. The file still names the previous run.
    ///
    /// # Errors
    /// Another server has locked it, or the file cannot be created; one line.
    pub fn lock(data_dir: &Path) -> Result<Self, String> {
        let file =
            File::options().create(true).truncate(false).read(true).write(true).mode(PRIVATE).open(data_dir.join(NAME));
        let locked = file.map_err(|cause| format!("cannot write to {data_dir:?}: {cause}"))?;
        match locked.try_lock() {
            Ok(()) => Ok(Self { locked }),
            Err(TryLockError::WouldBlock) => Err(format!("another server uses {data_dir:?}, or is still stopping")),
            Err(TryLockError::Error(cause)) => Err(format!("cannot lock {data_dir:?}: {cause}")),
        }
    }

    /// Writes the id of this run and returns that of the previous one, if the file names it.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn replace(&self, boot: BootId) -> io::Result<Option<BootId>> {
        let mut file = &self.locked;
        let mut name = String::new();
        file.rewind()?;
        file.take(64).read_to_string(&mut name)?;
        file.rewind()?;
        file.set_len(0)?;
        writeln!(file, "{}", boot.0)?;
        file.sync_all()?;
        Ok(Uuid::try_parse(name.trim()).ok().map(BootId))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_learns_its_predecessor() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = [1, 2].map(|number| BootId(Uuid::from_u128(number)));
        let first = BootFile::lock(directory.path()).unwrap();
        assert_eq!(first.replace(one).unwrap(), None);
        let refused = BootFile::lock(directory.path()).unwrap_err();
        assert_eq!(refused, format!("another server uses {:?}, or is still stopping", directory.path()));
        drop(first);
        // A start that fails before it writes its id does not hide the predecessor.
        drop(BootFile::lock(directory.path()).unwrap());
        assert_eq!(BootFile::lock(directory.path()).unwrap().replace(two).unwrap(), Some(one));
    }
}
