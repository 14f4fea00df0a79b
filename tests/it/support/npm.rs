//! The npm packages of the client tests.

use std::path::{Path, PathBuf};

/// The folder `tests/clients`, in which Node finds `package`. Without it, the test is skipped with a message; with
/// `CI=true`, it fails.
#[expect(clippy::print_stdout, reason = "says that a test is skipped")]
pub(crate) fn folder_with(package: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    if folder.join("node_modules").join(package).exists() {
        return Some(folder);
    }
    assert!(std::env::var("CI").is_err(), "run `npm ci` in tests/clients first");
    println!("skipped: run `npm ci` in tests/clients first");
    None
}
