//! Lockout after failed sign-ins.
//!
//! After a number of failures, an account is locked for the source of the sign-ins (a network) and for no other, so
//! that nobody can lock the owner out of other networks. Failures from many sources slow the account down for networks
//! without a recent sign-in: one attempt per [`SLOW_INTERVAL`] for all of them together. Unknown logins are counted by
//! their text, so that accounts that do not exist lock and slow down in the same way. Accounts are counted by id,
//! because a person with access to an open session could rename the account and continue to guess.
//!
//! An attempt is checked against the lock twice: before the password hash, which saves the cost of hashing, and
//! afterwards by counting it. The database counts attempts one by one, on every node, so concurrent attempts reveal no
//! more results than sequential ones.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::Accounts;
use super::administration::lock_subject;
use super::tokens::LoginName;
use crate::config::AuthSettings;
use crate::domain::audit::{self, Action, Entry};
use crate::domain::{Client, Error, Result, Viewer};
use crate::entity::enums::Permission;
use crate::entity::ids::UserId;
use crate::entity::{login_failure, login_network, user};
use crate::storage::login_failures;

/// An account becomes slow after this multiple of the failures that lock one source.
const SLOW_FACTOR: i32 = 10;
/// The interval between two attempts at a slow account from unknown networks.
const SLOW_INTERVAL: TimeDelta = TimeDelta::seconds(10);
/// The maximum number of pairs of account and source that are counted. Beyond that, the oldest are deleted.
const MAX_PAIRS: u64 = 100_000;
/// The maximum number of known networks of an account.
const KNOWN_NETWORKS: u64 = 20;
/// How long a network stays known after the last sign-in from it.
const KNOWN_FOR: TimeDelta = TimeDelta::days(90);

/// The limits of failed sign-ins.
#[derive(Debug, Clone, Copy)]
pub(super) struct LockoutPolicy {
    attempts: i32,
    lasts: TimeDelta,
}

/// A sign-in attempt, as it is counted.
pub(super) struct Attempt {
    account_key: [u8; 32],
    source: String,
    user_id: Option<UserId>,
}

/// The result of counting an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Yes,
    /// This attempt reached the limit and locked the account.
    Last,
    /// Not counted: the account is locked or slow for this source.
    Refused,
}

impl LockoutPolicy {
    /// None if the settings disable lockout.
    pub(super) fn new(settings: &AuthSettings) -> Option<Self> {
        let attempts = i32::try_from(settings.login_lockout_attempts).unwrap_or(i32::MAX);
        let lasts = TimeDelta::minutes(settings.login_lockout_minutes.into());
        (attempts > 0 && !lasts.is_zero()).then_some(Self { attempts, lasts })
    }
}

impl Accounts {
    /// An attempt to sign in with this folded login. `user` is none if the login is unknown.
    pub(super) fn attempt(&self, login: &str, user: Option<&user::Model>, client: &Client) -> Attempt {
        let tokens = &self.0.tokens;
        let account_key = match user {
            Some(user) if login == user.email_key => tokens.account_key(user.id, LoginName::Email),
            Some(user) => tokens.account_key(user.id, LoginName::Username),
            None => tokens.login_key(login),
        };
        Attempt { account_key, source: client.network().to_string(), user_id: user.map(|user| user.id) }
    }

    /// # Errors
    /// [`Error::LockedOut`] if the account is locked or slow for this source.
    pub(super) async fn check_lock(&self, db: &impl ConnectionTrait, attempt: &Attempt) -> Result<()> {
        let Some(policy) = self.0.lockout else { return Ok(()) };
        let now = self.0.clock.now();
        let mut locked_until = None;
        let mut slow_until = None;
        for row in login_failures::find(db, &attempt.account_key, &attempt.source, now).await? {
            if row.source != login_failures::EVERYWHERE && row.failures >= policy.attempts {
                locked_until = Some(row.expires_at);
            }
            if row.source == login_failures::EVERYWHERE && row.failures >= policy.attempts.saturating_mul(SLOW_FACTOR) {
                slow_until = Some(row.expires_at - policy.lasts + SLOW_INTERVAL).filter(|until| *until > now);
            }
        }
        if slow_until.is_some() && self.knows(db, attempt).await? {
            slow_until = None;
        }
        match locked_until.max(slow_until) {
            Some(until) => Err(Error::LockedOut { retry_after: (until - now).to_std().unwrap_or_default() }),
            None => Ok(()),
        }
    }

    /// Counts a failed sign-in, records it in the audit log, and returns the error for the client. The attempt that
    /// reaches the limit gets the same error as the ones before it.
    pub(super) async fn login_failed(&self, attempt: &Attempt, client: &Client) -> Error {
        let entry = on_user(self.audit(Action::UserLoginFailed, client), attempt);
        self.password_failed(attempt, entry, client).await
    }

    /// Counts a wrong password, writes this audit entry, and returns the error for the client.
    pub(super) async fn password_failed(&self, attempt: &Attempt, entry: Entry, client: &Client) -> Error {
        self.count_failure(attempt, entry, client).await.unwrap_or_else(|cause| cause)
    }

    async fn count_failure(&self, attempt: &Attempt, entry: Entry, client: &Client) -> Result<Error> {
        let transaction = self.0.database.begin().await?;
        let counted = match self.count(&transaction, attempt).await? {
            Counted::Refused => {
                drop(transaction);
                audit::record_failure(&self.0.database, entry).await;
                return Ok(self.locked_out(attempt).await);
            }
            counted => counted,
        };
        if counted == Counted::Last {
            let entry = on_user(self.audit(Action::UserLockedOut, client), attempt);
            audit::record(&transaction, entry).await?;
        }
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        Ok(Error::InvalidCredentials)
    }

    /// Checks that an attempt with the right password is within the limits. It is counted like a failure, and the count
    /// is rolled back.
    ///
    /// # Errors
    /// [`Error::LockedOut`] after too many failures.
    pub(super) async fn check_attempt_limit(&self, attempt: &Attempt) -> Result<()> {
        let transaction = self.0.database.begin().await?;
        let counted = self.count(&transaction, attempt).await?;
        drop(transaction);
        if counted == Counted::Refused { Err(self.locked_out(attempt).await) } else { Ok(()) }
    }

    /// Counts an attempt for its source and for all sources, unless the account is locked or slow for it.
    async fn count(&self, transaction: &impl ConnectionTrait, attempt: &Attempt) -> Result<Counted> {
        let Some(policy) = self.0.lockout else { return Ok(Counted::Yes) };
        let now = self.0.clock.now();
        let failure = |source: &str| login_failure::Model {
            account_key: attempt.account_key.to_vec(),
            source: source.to_owned(),
            user_id: attempt.user_id,
            failures: 1,
            expires_at: now + policy.lasts,
        };
        let here = login_failures::count(transaction, failure(&attempt.source), policy.attempts, now, now).await?;
        let (limit, quiet) = if self.knows(transaction, attempt).await? {
            (i32::MAX, now)
        } else {
            (policy.attempts.saturating_mul(SLOW_FACTOR), now + policy.lasts - SLOW_INTERVAL)
        };
        let everywhere =
            login_failures::count(transaction, failure(login_failures::EVERYWHERE), limit, quiet, now).await?;
        Ok(match (here, everywhere) {
            (Some(failures), Some(_)) if failures == policy.attempts => Counted::Last,
            (Some(_), Some(_)) => Counted::Yes,
            _ => Counted::Refused,
        })
    }

    /// Whether the account has been signed in to from the network of the attempt.
    async fn knows(&self, db: &impl ConnectionTrait, attempt: &Attempt) -> Result<bool> {
        // Queried for unknown logins too, so that the response time does not reveal whether an account exists.
        let user_id = attempt.user_id.unwrap_or(UserId(Uuid::nil()));
        Ok(login_failures::is_known_network(db, user_id, &attempt.source).await?)
    }

    /// The error for an attempt that was not counted.
    async fn locked_out(&self, attempt: &Attempt) -> Error {
        let lock = self.check_lock(self.0.database.reader(), attempt).await;
        // The lock may have been lifted since.
        lock.err().unwrap_or(Error::LockedOut { retry_after: std::time::Duration::from_secs(1) })
    }

    /// Deletes the failures that a successful sign-in clears, and records its network as known.
    pub(super) async fn login_succeeded(
        &self,
        db: &impl ConnectionTrait,
        attempt: &Attempt,
        user_id: UserId,
    ) -> Result<()> {
        if self.0.lockout.is_some() {
            login_failures::forget(db, &attempt.account_key, &attempt.source).await?;
        }
        self.know_network(db, user_id, &attempt.source).await
    }

    /// Records a network as known to the user.
    pub(super) async fn know_network(&self, db: &impl ConnectionTrait, user_id: UserId, network: &str) -> Result<()> {
        let last_used_at = self.0.clock.now();
        let row = login_network::Model { user_id, network: network.to_owned(), last_used_at };
        Ok(login_failures::know_network(db, row, KNOWN_NETWORKS).await?)
    }

    /// The time until which each of these users is locked, for the source with the longest lock. Users without a lock
    /// are left out. The caller checks with [`account_of`](super::account_of) which users the viewer may see.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn locked_until(&self, users: &[UserId]) -> Result<Vec<(UserId, DateTime<Utc>)>> {
        let Some(policy) = self.0.lockout else { return Ok(Vec::new()) };
        let now = self.0.clock.now();
        Ok(login_failures::locked_until(self.0.database.reader(), users, policy.attempts, now).await?)
    }

    /// Lifts all locks of an account and deletes the failures that led to them.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without USERS_WRITE, for a user with a permission that the viewer lacks, and with a
    /// personal access token; [`Error::NotFound`].
    pub async fn unlock_user(&self, viewer: &Viewer, user_id: UserId, client: &Client) -> Result<user::Model> {
        viewer.require_in_session(Permission::UsersWrite)?;
        let transaction = self.0.database.begin().await?;
        let (user, _) = lock_subject(&transaction, viewer, user_id).await?;
        login_failures::forget_user(&transaction, user_id).await?;
        let entry = self.audit(Action::UserUnlocked, client).by(viewer.user_id).on(user_id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// Deletes expired failures and locks, and networks that are no longer used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_old_failures(&self) -> Result<()> {
        let now = self.0.clock.now();
        let transaction = self.0.database.begin().await?;
        login_failures::sweep(&transaction, MAX_PAIRS, now).await?;
        login_failures::forget_networks(&transaction, now - KNOWN_FOR).await?;
        Ok(transaction.commit().await?)
    }
}

fn on_user(entry: Entry, attempt: &Attempt) -> Entry {
    match attempt.user_id {
        Some(user_id) => entry.on(user_id),
        None => entry,
    }
}
