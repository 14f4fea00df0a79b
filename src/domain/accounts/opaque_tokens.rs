//! The texts of personal access tokens and of password reset tokens: random, shown once, and stored only as a hash. The
//! hash needs neither salt nor a slow function, because 256 random bits cannot be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::domain::{Error, Result};

const SECRET_BYTES: usize = 32;

/// A new token with a prefix by which people and secret scanners recognize it.
///
/// # Errors
/// When the operating system provides no randomness.
pub(super) fn make(prefix: &str) -> Result<String> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(Error::internal)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(secret)))
}

/// The SHA-256 hash of a token, which is stored in the database.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
