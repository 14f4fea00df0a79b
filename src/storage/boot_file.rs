//! Which run of the server uses a data folder.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use uuid::Uuid;

use crate::entity::ids::BootId;

const NAME: &str = "boot";

/// A file in the data folder that is locked as long as a server lives and names its run. The operating system lets go of the
/// lock when the process ends, however it ends: so whoever holds it knows that the run before is dead, at once, without waiting
/// for its lease to run out.
#[derive(Debug)]
pub struct BootFile {
    file: File,
    /// The run before; none on the first start.
    pub previous: Option<BootId>,
}

impl BootFile {
    /// Takes the file of a folder; none while another server that shares the folder holds it.
    ///
    /// # Errors
    /// When the file can be neither read nor made.
    pub fn acquire(folder: &Path) -> io::Result<Option<Self>> {
        let path = folder.join(NAME);
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(cause)) => return Err(cause),
        }
        let mut text = Vec::new();
        (&mut file).take(64).read_to_end(&mut text)?;
        let previous = str::from_utf8(&text).ok().and_then(|text| Uuid::parse_str(text.trim()).ok()).map(BootId);
        Ok(Some(Self { file, previous }))
    }

    /// Names the run that uses the folder now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn name(&mut self, boot: BootId) -> io::Result<()> {
        self.file.rewind()?;
        // The text always has the same length: what stood there before is covered.
        self.file.write_all(format!("{}\n", boot.0).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_at_a_time_and_learns_who_did_before() {
        let folder = tempfile::tempdir().unwrap();
        let take = || BootFile::acquire(folder.path()).unwrap();
        let mut first = take().unwrap();
        assert_eq!(first.previous, None);
        first.name(BootId(Uuid::from_u128(1))).unwrap();
        assert!(take().is_none(), "held");
        drop(first);
        let mut second = take().unwrap();
        assert_eq!(second.previous, Some(BootId(Uuid::from_u128(1))));
        second.name(BootId(Uuid::from_u128(2))).unwrap();
        drop(second);
        assert_eq!(take().unwrap().previous, Some(BootId(Uuid::from_u128(2))));
        std::fs::write(folder.path().join(NAME), [0xff; 100]).unwrap();
        assert_eq!(take().unwrap().previous, None, "nonsense is nobody");
    }
}
