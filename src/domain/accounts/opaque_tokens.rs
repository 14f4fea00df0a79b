//! Opaque tokens: long random texts, shown once, of which only a hash is kept. They need no salt and no slow hash: nobody
//! guesses 256 random bits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::domain::{Error, Result};

const SECRET_BYTES: usize = 32;

/// A new token that starts with `prefix`, by which people and secret scanners know it.
///
/// # Errors
/// When the machine has no randomness.
pub(super) fn make(prefix: &str) -> Result<String> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(Error::internal)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(secret)))
}

/// SHA-256 of a token's text: what the database holds.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
