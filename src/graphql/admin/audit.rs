//! The audit log.

use std::borrow::Cow;

use async_graphql::{Context, ID, InputObject, Object};

use crate::domain::input::Checks;
use crate::domain::{self, AuditCursor, Result, audit};
use crate::entity::audit_entry;
use crate::entity::ids::parse_any;
use crate::graphql::accounts::User;
use crate::graphql::budget::AnyJson;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::pagination::{Connection, PageArguments, total_if_requested};
use crate::graphql::scalars::DateTime;

/// An entry of the audit log. It never changes, except for the `count` of a failure that repeats within a minute.
/// Deleted after one year.
#[derive(Debug, Clone)]
pub struct AuditEntry(pub audit_entry::Model);

/// An entry of the audit log. It never changes, except for the `count` of a failure that repeats within a minute.
/// Deleted after one year.
#[Object]
impl AuditEntry {
    /// The entry's ID, with the prefix `audit`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// The time of the action. For failures that repeat within a minute, the time of the first one.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// The user who performed the action. Null if unknown, or if the account was deleted.
    async fn actor(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let Some(id) = self.0.actor_id else { return Ok(None) };
        Ok(ctx.loaders().load_one(id).await?.map(User::from))
    }

    /// The action. One of `user.registered`, `user.login`, `user.login_failed`, `user.locked_out`, `user.unlocked`,
    /// `user.logout`, `user.logout_everywhere`, `session.reuse_detected`, `session.revoked`, `user.password_changed`,
    /// `user.password_check_failed`, `user.password_reset_issued`, `user.password_reset`, `user.password_reset_failed`,
    /// `user.profile_changed`, `user.email_changed`, `user.created`, `user.deactivated`, `user.activated`,
    /// `user.deleted`, `user.roles_set`, `user.quota_set`, `user.sessions_ended`, `personal_access_token.created`,
    /// `personal_access_token.revoked`, `role.created`, `role.updated`, `role.deleted`, `character.published`,
    /// `character.updated`, `character.deleted`, `prompt.created`, `prompt.updated`, `prompt.deleted`, `chat.listed`
    /// and `chat.read`. A later version may add actions.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// The ID of the object of the action. The object may have been deleted since.
    async fn subject_id(&self) -> Option<ID> {
        self.0.subject_id.as_ref().map(ids::show)
    }

    /// The IP address of the client.
    async fn ip_address(&self) -> Option<&str> {
        self.0.ip_address.as_deref()
    }

    /// Further details: a JSON object without secrets. For a failure, `count` is the number of occurrences.
    async fn detail(&self) -> AnyJson<'static> {
        AnyJson(Cow::Owned(audit::detail(&self.0)))
    }
}

/// A filter for audit log entries. An entry must match every field that is given.
#[derive(Debug, Clone, Default, InputObject)]
pub struct AuditFilter {
    /// The ID of the user who performed the action.
    actor_id: Option<ID>,
    /// The exact action; see `AuditEntry.action` for its values.
    action: Option<String>,
    /// The ID of the object of the action, of any type.
    subject_id: Option<ID>,
    /// The start of the time range, inclusive.
    from: Option<DateTime>,
    /// The end of the time range, exclusive.
    to: Option<DateTime>,
}

impl AuditFilter {
    fn parse(self) -> Result<domain::AuditFilter> {
        let subject_id = self.subject_id.map(|id| id.0);
        if subject_id.as_deref().is_some_and(|id| parse_any(id).is_err()) {
            return Err(ids::malformed("filter.subjectId"));
        }
        let mut checks = Checks::default();
        checks.search("filter.action", self.action.as_deref().unwrap_or_default());
        checks.finish()?;
        Ok(domain::AuditFilter {
            actor_id: ids::parse_optional(self.actor_id.as_ref(), "filter.actorId")?,
            action: self.action,
            subject_id,
            from: self.from.map(|from| from.0),
            to: self.to.map(|to| to.0),
        })
    }
}

/// The fields of `Admin` for the audit log.
#[derive(Debug, Default)]
pub struct AdminAudit;

#[Object]
impl AdminAudit {
    /// The audit log, newest entries first: administrative actions and security events. Requires AUDIT_READ.
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns only entries that match this filter. If absent, all entries are returned.")]
        filter: Option<AuditFilter>,
    ) -> Result<Option<Connection<AuditEntry>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<AuditCursor>(false)?;
        let filter = filter.unwrap_or_default().parse()?;
        ctx.budget().statements(1)?;
        let log = &ctx.state().audit;
        let page = log.page(viewer, &filter, window).await?;
        let total = total_if_requested(ctx, log.count(viewer, &filter)).await?;
        Ok(Some(Connection::new(page, |entry| AuditCursor::from(entry), AuditEntry, total)))
    }
}
