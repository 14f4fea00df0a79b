//! A small disk that a test can fill: a file system in memory, in a separate mount namespace.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The namespace exists as long as a process in it, which waits for the end of its input.
pub(crate) struct SmallDisk {
    keeper: Child,
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts a disk. Without the privilege to mount, prints a message and returns none; with `CI=true`, fails.
    pub(crate) fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"mount -t tmpfs -o "size=$1m" tmpfs "$2" && echo mounted && exec cat"#;
        let keeper = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", &mebibytes.to_string()])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut answer = [0; 7];
        if let Ok(mut keeper) = keeper {
            if keeper.stdout.as_mut().unwrap().read_exact(&mut answer).is_ok() {
                return Some(Self { keeper, folder });
            }
            keeper.wait().unwrap();
        }
        assert!(std::env::var("CI").is_err(), "no mount namespace for the tests of a full disk");
        // Written to the stream, because the test runner hides what passing tests print.
        std::io::stderr()
            .write_all(b"skipped: a test of a full disk, which needs root for a mount namespace\n")
            .unwrap();
        None
    }

    /// The path of the disk for processes in the namespace.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of the disk for this process.
    pub(crate) fn seen_from_outside(&self) -> PathBuf {
        Path::new("/proc")
            .join(self.keeper.id().to_string())
            .join("root")
            .join(self.folder().strip_prefix("/").unwrap())
    }

    /// A command that starts its arguments in the namespace.
    pub(crate) fn launcher(&self) -> Vec<String> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.keeper.id());
        // Without `--wdns`, the server would start in the root folder.
        ["nsenter", &namespace, "--wdns=."].map(str::to_owned).to_vec()
    }

    /// Fills the disk to its last byte.
    pub(crate) fn fill(&self) {
        let mut filler = std::fs::File::create(self.seen_from_outside().join("filler")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while filler.write(&vec![1; size]).is_ok_and(|written| written > 0) {}
        }
    }

    /// Frees the space.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.seen_from_outside().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
