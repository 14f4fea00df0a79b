//! Which run of the server used a `DATA_DIR` last. The file is locked for as long as its server lives, so who gets the lock
//! knows that the run named in it is dead, and need not wait for its lease to run out.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use uuid::Uuid;

use crate::entity::ids::BootId;

/// The file's name in `DATA_DIR`.
const NAME: &str = "server.lock";

/// The claim of a running server on its `DATA_DIR`; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct BootFile {
    _locked: File,
    /// The run that died here before, if its name was kept.
    pub predecessor: Option<BootId>,
}

impl BootFile {
    /// Claims the folder for `boot`; none while another server lives in it.
    ///
    /// # Errors
    /// When the file cannot be made, read or written.
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
    fn the_next_run_learns_who_died_here() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = [1, 2].map(|number| BootId(Uuid::from_u128(number)));
        let first = BootFile::claim(folder.path(), one).unwrap().unwrap();
        assert_eq!(first.predecessor, None);
        assert!(BootFile::claim(folder.path(), two).unwrap().is_none(), "somebody lives here");
        drop(first);
        assert_eq!(BootFile::claim(folder.path(), two).unwrap().unwrap().predecessor, Some(one));
    }
}
