//! Passwords: rules for their strength, hashing, and the limits of its cost.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Semaphore, oneshot};
use zxcvbn::{Score, zxcvbn};

use crate::domain::{Error, FieldErrorCode, Result};

/// The shortest password, in Unicode characters (OWASP Authentication Cheat Sheet).
const MIN_LENGTH: usize = 8;
/// The longest password, in Unicode characters.
const MAX_LENGTH: usize = 128;
/// The number of characters of each text that the strength check reads. The running time of the check grows faster than
/// the length.
const CHECKED_LENGTH: usize = 100;
/// The longest time that a request waits for a free hashing thread.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// The number of unused 19 MiB buffers that are kept.
const IDLE_BUFFERS: usize = 4;
/// The largest memory parameter that is accepted in a stored hash, in KiB. Larger than any that this server has
/// written.
const MAX_STORED_MEMORY: u32 = 64 * 1024;
/// The nice value of the hashing threads: about a tenth of a core when other threads need it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Hashes passwords and checks their strength on threads of low priority, with a limit on their number. Cheap to clone.
#[derive(Clone)]
pub struct PasswordHasher(Arc<Inner>);

struct Inner {
    permits: Arc<Semaphore>,
    /// The number of permits.
    threads: usize,
    /// The number of callers that wait for a permit.
    waiting: AtomicUsize,
    idle: Mutex<Vec<Vec<Block>>>,
}

impl Default for PasswordHasher {
    /// One concurrent hash per core, except for one core, which stays free for other work.
    fn default() -> Self {
        let threads = (std::thread::available_parallelism().map_or(1, NonZero::get) - 1).max(1);
        let (permits, waiting) = (Arc::new(Semaphore::new(threads)), AtomicUsize::default());
        Self(Arc::new(Inner { permits, threads, waiting, idle: Mutex::default() }))
    }
}

/// Counts a waiting caller until it is dropped, also if the caller is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PasswordHasher {
    /// The number of callers that wait for a thread, and of threads that are working.
    pub fn queue(&self) -> (usize, usize) {
        let working = self.0.threads.saturating_sub(self.0.permits.available_permits());
        (self.0.waiting.load(Ordering::Relaxed), working)
    }

    /// Hashes a password with argon2id and a random salt, in PHC string format.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no thread becomes free in time.
    pub async fn hash(&self, password: String) -> Result<String> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(Error::internal)?;
        self.run(move |memory| {
            let params = current_params()?;
            let output = argon2id(&params, password.as_bytes(), &salt, memory)?;
            let hash = PasswordHash {
                algorithm: ARGON2ID_IDENT,
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params).map_err(Error::internal)?,
                salt: Some(Salt::new(&salt).map_err(Error::internal)?),
                hash: Some(output),
            };
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password matches the hash. Without a hash (for an unknown login) it takes the same time and returns
    /// false.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no thread becomes free in time; [`Error::Internal`] if the stored hash is malformed.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool> {
        self.run(move |memory| {
            let Some(stored) = stored else {
                argon2id(&current_params()?, password.as_bytes(), &[0; SALT_BYTES], memory)?;
                return Ok(false);
            };
            let stored = PasswordHash::new(&stored).map_err(Error::internal)?;
            let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
                return Err(Error::internal("a stored password hash lacks its salt or its output"));
            };
            let params = Params::try_from(&stored).map_err(Error::internal)?;
            if stored.algorithm != ARGON2ID_IDENT || params.m_cost() > MAX_STORED_MEMORY {
                return Err(Error::internal("a stored password hash has unsupported parameters"));
            }
            let output = argon2id(&params, password.as_bytes(), &salt, memory)?;
            Ok(bool::from(output.as_bytes().ct_eq(expected.as_bytes())))
        })
        .await
    }

    /// Checks a new password, and returns why it is unacceptable, if it is. `known` are texts that an attacker would
    /// try first: the user's own names.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no thread becomes free in time.
    pub async fn check_strength(&self, password: &str, known: &[&str]) -> Result<Option<(FieldErrorCode, String)>> {
        if let Some(mistake) = check_length(password) {
            return Ok(Some(mistake));
        }
        let cut = |text: &str| -> String { text.chars().take(CHECKED_LENGTH).collect() };
        let (password, known) = (cut(password), known.iter().map(|text| cut(text)).collect::<Vec<_>>());
        self.run(move |_| {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            Ok(advice(&password, &known).map(|advice| (FieldErrorCode::TooWeak, advice)))
        })
        .await
    }

    /// Waits for a permit and runs `work` on a thread of low priority. The permit and the buffer move to the thread, so
    /// that a cancelled caller does not release them early.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let overloaded =
            |_| Error::Unavailable { message: "Too many concurrent sign-ins. Try again.", retry_after: Some(MAX_WAIT) };
        let permit = Arc::clone(&self.0.permits).acquire_owned();
        let waiting = Waiting::new(&self.0.waiting);
        let permit = tokio::time::timeout(MAX_WAIT, permit).await.map_err(overloaded)?.map_err(Error::internal)?;
        drop(waiting);
        let inner = Arc::clone(&self.0);
        let (answer, outcome) = oneshot::channel();
        // A new thread per call: starting it takes a thousandth of the time of a hash, and an unprivileged thread
        // cannot raise its priority again.
        let thread = std::thread::Builder::new().name("password".to_owned()).spawn(move || {
            lower_priority();
            let mut memory = inner.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let outcome = work(&mut memory);
            let mut idle = inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_BUFFERS && !memory.is_empty() {
                idle.push(memory);
            }
            drop((idle, permit));
            // The caller may have been cancelled.
            let _ = answer.send(outcome);
        });
        thread.map_err(Error::internal)?;
        outcome.await.map_err(Error::internal)?
    }
}

/// Lowers the priority of the current thread, so that many sign-ins do not slow down the requests of signed-in users.
/// On Linux, the priority belongs to the thread.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(cause) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%cause, "priority of a hashing thread not lowered");
    }
}

fn check_length(password: &str) -> Option<(FieldErrorCode, String)> {
    match password.chars().count() {
        0 => Some((FieldErrorCode::Required, "A password is required.".to_owned())),
        length if length < MIN_LENGTH => {
            Some((FieldErrorCode::TooShort, format!("A password must have at least {MIN_LENGTH} characters.")))
        }
        length if length > MAX_LENGTH => {
            Some((FieldErrorCode::TooLong, format!("A password can have at most {MAX_LENGTH} characters.")))
        }
        _ => None,
    }
}

/// Why a password is easy to guess, and advice. None for a score of 3 or more, for which zxcvbn has no advice.
fn advice(password: &str, known: &[&str]) -> Option<String> {
    let entropy = zxcvbn(password, known);
    if entropy.score() >= Score::Three {
        return None;
    }
    let mut sentences = vec!["This password is easy to guess.".to_owned()];
    if let Some(feedback) = entropy.feedback() {
        sentences.extend(feedback.warning().map(|warning| warning.to_string()));
        sentences.extend(feedback.suggestions().iter().map(ToString::to_string));
    }
    Some(sentences.join(" "))
}

/// The OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, two passes and one lane.
fn current_params() -> Result<Params> {
    Params::new(19 * 1024, 2, 1, Some(HASH_BYTES)).map_err(Error::internal)
}

fn argon2id(params: &Params, password: &[u8], salt: &[u8], memory: &mut Vec<Block>) -> Result<Output> {
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::default());
    }
    let mut output = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password, salt, &mut output, memory.as_mut_slice())
        .map_err(Error::internal)?;
    Output::new(&output).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn verifies_only_the_hashed_password() {
        let hasher = PasswordHasher::default();
        let stored = hasher.hash("velvet otter".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(hasher.verify("velvet otter".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!hasher.verify("velvet otters".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!hasher.verify("velvet otter".to_owned(), None).await.unwrap());
        assert_ne!(hasher.hash("velvet otter".to_owned()).await.unwrap(), stored, "each has its own salt");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashing_threads_have_low_priority() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let hashing = PasswordHasher::default().run(move |_| Ok(niceness())).await.unwrap();
        assert!(hashing > niceness(), "{hashing}");
    }

    #[tokio::test]
    async fn verifies_hashes_of_the_reference_implementation() {
        // A test vector of the reference implementation: `hashtest(version, 2, 16, 1, "password", "somesalt", …,
        // Argon2_id)`.
        let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hasher = PasswordHasher::default();
        assert!(hasher.verify("password".to_owned(), Some(reference.to_owned())).await.unwrap());
    }

    #[tokio::test]
    async fn a_malformed_stored_hash_is_an_internal_error() {
        let greedy = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let other = "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        for stored in ["", "plain", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ", greedy, other] {
            let outcome = PasswordHasher::default().verify("password".to_owned(), Some(stored.to_owned())).await;
            assert!(matches!(outcome, Err(Error::Internal(_))), "{stored}");
        }
    }

    #[tokio::test]
    async fn a_long_wait_is_refused() {
        let hasher = PasswordHasher::default();
        let all = u32::try_from(hasher.0.permits.available_permits()).unwrap();
        let held = Arc::clone(&hasher.0.permits).acquire_many_owned(all).await.unwrap();
        let outcome = hasher.hash("velvet otter".to_owned()).await;
        assert!(matches!(outcome, Err(Error::Unavailable { retry_after: Some(_), .. })));
        drop(held);
        assert!(hasher.hash("velvet otter".to_owned()).await.is_ok());
    }

    #[tokio::test]
    async fn buffers_are_reused() {
        let hasher = PasswordHasher::default();
        for _ in 0..3 {
            hasher.hash("velvet otter".to_owned()).await.unwrap();
        }
        assert_eq!(hasher.0.idle.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn checks_length_and_strength() {
        let hasher = PasswordHasher::default();
        let names = ["adalovelace", "ada@lovelace.example"];
        for (password, code) in [
            ("", Some(FieldErrorCode::Required)),
            ("7 chars", Some(FieldErrorCode::TooShort)),
            ("ééééééé", Some(FieldErrorCode::TooShort)),
            ("password", Some(FieldErrorCode::TooWeak)),
            ("qwertyuiop", Some(FieldErrorCode::TooWeak)),
            ("Passw0rd!", Some(FieldErrorCode::TooWeak)),
            ("adalovelace", Some(FieldErrorCode::TooWeak)),
            ("correct horse battery staple", None),
            ("пять слонов и велосипед", None),
            (&"aB3$ éß".repeat(18), None),
            (&"x".repeat(129), Some(FieldErrorCode::TooLong)),
        ] {
            let mistake = hasher.check_strength(password, &names).await.unwrap();
            assert_eq!(mistake.as_ref().map(|(code, _)| *code), code, "{password}: {mistake:?}");
        }
        let (_, advice) = hasher.check_strength("qwertyuiop", &names).await.unwrap().unwrap();
        assert!(advice.len() > "This password is easy to guess.".len(), "{advice}");
    }

    #[test]
    fn checks_the_longest_texts_in_bounded_time() {
        let start = std::time::Instant::now();
        for nasty in ["a".repeat(128), "1a".repeat(64), "qwer1234".repeat(16), "@$1l".repeat(32)] {
            let cut: String = nasty.chars().take(CHECKED_LENGTH).collect();
            advice(&cut, &[&cut, &cut]);
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}
