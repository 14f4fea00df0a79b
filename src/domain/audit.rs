//! The audit log: administrative actions and security events. An entry is written in its action's transaction, so that
//! both or neither are committed. Only the count of a repeated failure changes. Entries contain no secrets and no login
//! text, which may be a password typed into the wrong field.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, EnumIter};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, IdGenerator};
use crate::domain::{Result, Viewer};
use crate::entity::audit_entry::Model;
use crate::entity::enums::Permission;
use crate::entity::ids::{AuditEntryId, UserId};
use crate::storage::audit::{AuditCursor, Filter};
use crate::storage::page::{Page, Window};
use crate::storage::{self, Database};

/// How long entries are kept.
const LIFETIME: TimeDelta = TimeDelta::days(365);
/// The maximum number of failure entries that are kept. The oldest are removed first. Without a limit, anyone could
/// fill the log.
pub const MAX_FAILURES: u64 = 100_000;
/// Entries that a sweep removes in one transaction.
const SWEEP_BATCH: u64 = 500;
/// Repeated failures of one account and source within this time share one entry.
const REPEAT_WINDOW: TimeDelta = TimeDelta::minutes(1);

/// The action that an entry records. docs/operations.md lists the actions for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter)]
pub enum Action {
    /// A user registered.
    UserRegistered,
    /// A user signed in.
    UserLoggedIn,
    /// A sign-in failed: wrong login, wrong password or deactivated account. A failure.
    UserLoginFailed,
    /// An account was locked for a source after too many failures. A failure.
    UserLockedOut,
    /// An admin lifted the locks of an account.
    UserUnlocked,
    /// A user ended the current session.
    UserLoggedOut,
    /// A user ended all of their sessions.
    UserLoggedOutEverywhere,
    /// A refresh token was used twice, which indicates theft. The session was ended.
    SessionReuseDetected,
    /// A user ended one of their sessions.
    SessionRevoked,
    /// A user changed their password.
    PasswordChanged,
    /// A wrong current password was given for a change that requires it. A failure.
    PasswordCheckFailed,
    /// An admin issued a password reset token.
    PasswordResetIssued,
    /// A user set a new password with a reset token.
    PasswordReset,
    /// An invalid password reset token was given. A failure.
    PasswordResetFailed,
    /// A user changed their profile, except for the e-mail address.
    ProfileChanged,
    /// A user changed their e-mail address, and possibly other profile fields.
    EmailChanged,
    /// An admin created an account.
    UserCreated,
    /// An account was deactivated by its user or an admin. It can be activated again.
    UserDeactivated,
    /// An admin activated an account.
    UserActivated,
    /// An account and all of its data were deleted by its user or an admin.
    UserDeleted,
    /// An admin changed the roles of a user.
    UserRolesSet,
    /// An admin changed the quota of a user.
    UserQuotaSet,
    /// An admin ended all sessions of a user.
    UserSessionsEnded,
    /// A user created a personal access token.
    PersonalAccessTokenCreated,
    /// A user revoked a personal access token.
    PersonalAccessTokenRevoked,
    /// An admin created a role.
    RoleCreated,
    /// An admin changed a role.
    RoleUpdated,
    /// An admin deleted a role.
    RoleDeleted,
    /// A public character was created, or a private one was made public.
    CharacterPublished,
    /// A public character was changed, or made private.
    CharacterUpdated,
    /// A public character was deleted.
    CharacterDeleted,
    /// A prompt was created.
    PromptCreated,
    /// A prompt was changed.
    PromptUpdated,
    /// A prompt was deleted.
    PromptDeleted,
    /// An admin listed chats.
    ChatsListed,
    /// An admin read a chat of another user.
    ChatRead,
}

impl Action {
    /// The name that is stored and shown to clients.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserRegistered => "user.registered",
            Self::UserLoggedIn => "user.login",
            Self::UserLoginFailed => "user.login_failed",
            Self::UserLockedOut => "user.locked_out",
            Self::UserUnlocked => "user.unlocked",
            Self::UserLoggedOut => "user.logout",
            Self::UserLoggedOutEverywhere => "user.logout_everywhere",
            Self::SessionReuseDetected => "session.reuse_detected",
            Self::SessionRevoked => "session.revoked",
            Self::PasswordChanged => "user.password_changed",
            Self::PasswordCheckFailed => "user.password_check_failed",
            Self::PasswordResetIssued => "user.password_reset_issued",
            Self::PasswordReset => "user.password_reset",
            Self::PasswordResetFailed => "user.password_reset_failed",
            Self::ProfileChanged => "user.profile_changed",
            Self::EmailChanged => "user.email_changed",
            Self::UserCreated => "user.created",
            Self::UserDeactivated => "user.deactivated",
            Self::UserActivated => "user.activated",
            Self::UserDeleted => "user.deleted",
            Self::UserRolesSet => "user.roles_set",
            Self::UserQuotaSet => "user.quota_set",
            Self::UserSessionsEnded => "user.sessions_ended",
            Self::PersonalAccessTokenCreated => "personal_access_token.created",
            Self::PersonalAccessTokenRevoked => "personal_access_token.revoked",
            Self::RoleCreated => "role.created",
            Self::RoleUpdated => "role.updated",
            Self::RoleDeleted => "role.deleted",
            Self::CharacterPublished => "character.published",
            Self::CharacterUpdated => "character.updated",
            Self::CharacterDeleted => "character.deleted",
            Self::PromptCreated => "prompt.created",
            Self::PromptUpdated => "prompt.updated",
            Self::PromptDeleted => "prompt.deleted",
            Self::ChatsListed => "chat.listed",
            Self::ChatRead => "chat.read",
        }
    }

    /// Whether unauthenticated clients can cause this action any number of times. The number of such entries is
    /// limited.
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::UserLoginFailed | Self::UserLockedOut | Self::PasswordCheckFailed | Self::PasswordResetFailed
        )
    }
}

/// A new entry.
#[derive(Debug, Clone)]
pub struct Entry {
    id: AuditEntryId,
    created_at: DateTime<Utc>,
    action: Action,
    actor_id: Option<UserId>,
    subject_id: Option<String>,
    source: Option<IpAddr>,
    detail: Value,
}

impl Entry {
    /// An entry for an action at `now`.
    pub fn new(action: Action, ids: &IdGenerator, now: DateTime<Utc>) -> Self {
        let (id, detail) = (AuditEntryId(ids.next(now)), Value::Object(serde_json::Map::new()));
        Self { id, created_at: now, action, actor_id: None, subject_id: None, source: None, detail }
    }

    /// Sets the user that performed the action.
    #[must_use]
    pub fn by(mut self, actor: UserId) -> Self {
        self.actor_id = Some(actor);
        self
    }

    /// Sets the object of the action: a typed id.
    #[must_use]
    pub fn on(mut self, subject: impl Display) -> Self {
        self.subject_id = Some(subject.to_string());
        self
    }

    /// Sets the address that the request came from.
    #[must_use]
    pub fn from(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets further details: an object with few, short values and without secrets.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }
}

/// Writes an entry in this transaction. A failure that repeats within a minute, with the same account and source,
/// increments the count of the first entry instead.
///
/// # Errors
/// When the database fails.
pub async fn record(db: &impl ConnectionTrait, entry: Entry) -> Result<()> {
    record_all(db, vec![entry]).await
}

/// Writes several entries in one statement, as [`record`] does. No two failures among them may have the same key.
///
/// # Errors
/// When the database fails.
pub async fn record_all(db: &impl ConnectionTrait, entries: Vec<Entry>) -> Result<()> {
    Ok(storage::audit::insert_all(db, entries.into_iter().map(row).collect()).await?)
}

fn row(entry: Entry) -> Model {
    let repeat_key = entry.action.is_failure().then(|| repeat_key(&entry));
    Model {
        id: entry.id,
        created_at: entry.created_at,
        actor_id: entry.actor_id,
        action: entry.action.as_str().to_owned(),
        subject_id: entry.subject_id,
        ip_address: entry.source.map(|ip| ip.to_canonical().to_string()),
        detail: entry.detail.to_string(),
        repeat_key,
        occurrences: 1,
    }
}

/// Writes the entry of a failure in its own transaction, because the transaction of the failed action is rolled back or
/// was never begun. Errors are logged only: the caller already returns the error of the action.
pub async fn record_failure(database: &Database, entry: Entry) {
    let action = entry.action.as_str();
    let recorded: Result<()> = async {
        let transaction = database.begin().await?;
        record(&transaction, entry).await?;
        Ok(transaction.commit().await?)
    }
    .await;
    if let Err(cause) = recorded {
        tracing::error!(
            action,
            exception.message = &cause as &dyn std::error::Error,
            "failure not recorded in the audit log"
        );
    }
}

/// The details of an entry, as JSON. For failures it includes the number of occurrences as `count`.
pub fn detail(row: &Model) -> Value {
    let mut detail = serde_json::from_str(&row.detail).unwrap_or(Value::Null);
    if let (Some(fields), true) = (detail.as_object_mut(), row.repeat_key.is_some()) {
        fields.insert("count".to_owned(), row.occurrences.into());
    }
    detail
}

/// Reads and sweeps the audit log. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl AuditLog {
    /// A page of the log, newest first.
    ///
    /// # Errors
    /// [`crate::domain::Error::Forbidden`] without AUDIT_READ.
    pub async fn page(&self, viewer: &Viewer, filter: &Filter, window: Window<AuditCursor>) -> Result<Page<Model>> {
        viewer.require(Permission::AuditRead)?;
        Ok(storage::audit::page(self.database.reader(), filter, window).await?)
    }

    /// The number of entries that match the filter.
    ///
    /// # Errors
    /// As [`AuditLog::page`].
    pub async fn count(&self, viewer: &Viewer, filter: &Filter) -> Result<u64> {
        viewer.require(Permission::AuditRead)?;
        Ok(storage::audit::count(self.database.reader(), filter).await?)
    }

    /// Entries by id. None without AUDIT_READ.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_all(&self, viewer: &Viewer, ids: &[AuditEntryId]) -> Result<Vec<Model>> {
        if !viewer.may(Permission::AuditRead) {
            return Ok(Vec::new());
        }
        Ok(storage::audit::find_all(self.database.reader(), ids).await?)
    }

    /// Removes entries older than a year and all but the newest `max_failures` failures, in batches, until `stop`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, max_failures: u64, stop: &CancellationToken) -> Result<()> {
        let (reader, expired) = (self.database.reader(), self.clock.now() - LIFETIME);
        while !stop.is_cancelled() {
            let mut batch = storage::audit::older(reader, expired, SWEEP_BATCH).await?;
            if batch.is_empty() {
                let Some(last) = storage::audit::failure_beyond(reader, max_failures).await? else { break };
                batch = storage::audit::failures_up_to(reader, last, SWEEP_BATCH).await?;
            }
            let transaction = self.database.begin().await?;
            storage::audit::delete(&transaction, batch).await?;
            transaction.commit().await?;
        }
        Ok(())
    }
}

fn repeat_key(entry: &Entry) -> String {
    let minute = entry.created_at.timestamp() / REPEAT_WINDOW.num_seconds();
    let subject = entry.subject_id.as_deref().unwrap_or("-");
    let source = entry.source.map_or_else(|| "-".to_owned(), network);
    format!("{} {subject} {source} {minute}", entry.action.as_str())
}

/// The part of an address that identifies a source: a whole IPv4 address, or the /64 prefix of an IPv6 address, because
/// a host can choose any address within its /64 (RFC 4291, section 2.5.4).
fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use sea_orm::Iterable as _;

    use super::*;

    fn key(action: Action, subject: Option<&str>, ip: &str, second: i64) -> String {
        let now = DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap();
        let mut entry = Entry::new(action, &IdGenerator::default(), now).from(IpAddr::from_str(ip).unwrap());
        entry.subject_id = subject.map(str::to_owned);
        repeat_key(&entry)
    }

    #[test]
    fn failures_of_one_account_source_and_minute_share_a_key() {
        let action = Action::UserLoginFailed;
        let first = key(action, Some("user_1"), "192.0.2.7", 0);
        assert_eq!(first, key(action, Some("user_1"), "::ffff:192.0.2.7", 59));
        for other in [
            key(action, Some("user_1"), "192.0.2.7", 60),
            key(action, Some("user_1"), "192.0.2.8", 0),
            key(action, Some("user_2"), "192.0.2.7", 0),
            key(action, None, "192.0.2.7", 0),
            key(Action::UserLockedOut, Some("user_1"), "192.0.2.7", 0),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(key(action, None, "2001:db8:1:2::1", 0), key(action, None, "2001:db8:1:2:ffff::9", 0));
        assert_ne!(key(action, None, "2001:db8:1:2::1", 0), key(action, None, "2001:db8:1:3::1", 0));
    }

    #[test]
    fn action_names_are_lower_case_with_one_dot() {
        for action in Action::iter() {
            let name = action.as_str();
            assert!(name.split('.').count() == 2 && name.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c)));
        }
    }

    #[test]
    fn the_schema_names_every_action() {
        let schema = include_str!("../../schema.graphql");
        let entry = schema.split_once("\ntype AuditEntry ").unwrap().1;
        let description = entry.split_once("\n\taction: ").unwrap().0;
        for action in Action::iter() {
            assert!(description.contains(&format!("`{}`", action.as_str())), "{}", action.as_str());
        }
    }

    #[test]
    fn the_documentation_lists_every_action_and_no_other() {
        let page = include_str!("../../docs/operations.md");
        let section = page.split("\n## ").find(|section| section.starts_with("Audit log\n")).unwrap();
        let row = |line: &str| {
            let (name, meaning) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((name.to_owned(), meaning.starts_with("**Failure.**")))
        };
        let mut listed: Vec<_> = section.lines().filter_map(row).collect();
        let mut known: Vec<_> =
            Action::iter().map(|action| (action.as_str().to_owned(), action.is_failure())).collect();
        listed.sort();
        known.sort();
        assert_eq!(listed, known);
        let thousands = format!("{},{:03}", MAX_FAILURES / 1_000, MAX_FAILURES % 1_000);
        assert!(section.contains(&format!("{} days", LIFETIME.num_days())) && section.contains(&thousands));
    }
}
