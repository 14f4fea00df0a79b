//! The file that identifies the last run of the server with a `DATA_DIR`. A server locks the file while it runs. A
//! server that gets the lock therefore knows that the run named in the file has ended, and does not need to wait for
//! its lease to expire.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use uuid::Uuid;

use crate::entity::ids::BootId;

/// The name of the file in `DATA_DIR`.
const NAME: &str = "server.lock";

/// The lock of a running server on its `DATA_DIR`. The operating system releases it when the process ends.
#[derive(Debug)]
pub struct BootFile {
    _locked: File,
    /// The previous run, if the file names it.
    pub predecessor: Option<BootId>,
}

impl BootFile {
    /// Locks the directory for `boot`. None if another server has locked it.
    ///
    /// # Errors
    /// When the file cannot be created, read or written.
    pub fn claim(data_dir: &Path, boot: BootId) -> io::Result<Option<Self>> {
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(data_dir.join(NAME))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
        let mut name = String::new();
        (&file).take(64).read_to_string(&mut name)?;
        let predecessor = Uuid::try_parse(name.trim()).ok().map(BootId);
        file.rewind()?;
        file.set_len(0)?;
        writeln!(file, "{}", boot.0)?;
        file.sync_all()?;
        Ok(Some(Self { _locked: file, predecessor }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_learns_its_predecessor() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = [1, 2].map(|number| BootId(Uuid::from_u128(number)));
        let first = BootFile::claim(directory.path(), one).unwrap().unwrap();
        assert_eq!(first.predecessor, None);
        assert!(BootFile::claim(directory.path(), two).unwrap().is_none(), "another server has the lock");
        drop(first);
        assert_eq!(BootFile::claim(directory.path(), two).unwrap().unwrap().predecessor, Some(one));
    }
}
