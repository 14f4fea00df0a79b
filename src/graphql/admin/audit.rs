//! The audit log.

use std::borrow::Cow;

use async_graphql::{Context, ID, InputObject, Object};

use crate::domain::input::Checks;
use crate::domain::{Result, audit};
use crate::entity::audit_entry;
use crate::entity::ids::parse_any;
use crate::graphql::accounts::User;
use crate::graphql::budget::AnyJson;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;
use crate::storage::audit::Filter;

/// An entry of the audit log. Immutable; deleted after one year.
#[derive(Debug, Clone)]
pub struct AuditEntry(pub audit_entry::Model);

/// An entry of the audit log. Immutable; deleted after one year.
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

    /// The action, for example `user.login`, `user.login_failed`, `session.reuse_detected`, `role.updated` or
    /// `chat.read`.
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
    /// The exact action.
    action: Option<String>,
    /// The ID of the object of the action, of any type.
    subject_id: Option<ID>,
    /// The start of the time range, inclusive.
    from: Option<DateTime>,
    /// The end of the time range, exclusive.
    to: Option<DateTime>,
}

impl AuditFilter {
    pub(super) fn parse(self) -> Result<Filter> {
        let subject_id = self.subject_id.map(|id| id.0);
        if subject_id.as_deref().is_some_and(|id| parse_any(id).is_err()) {
            return Err(ids::malformed("filter.subjectId"));
        }
        let mut checks = Checks::default();
        checks.search("filter.action", self.action.as_deref().unwrap_or_default());
        checks.finish()?;
        Ok(Filter {
            actor_id: ids::parse_optional(self.actor_id.as_ref(), "filter.actorId")?,
            action: self.action,
            subject_id,
            from: self.from.map(|from| from.0),
            to: self.to.map(|to| to.0),
        })
    }
}
