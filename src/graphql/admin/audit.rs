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

/// Something that was done, for the record. Never changed; kept for a year.
#[derive(Debug, Clone)]
pub struct AuditEntry(pub audit_entry::Model);

/// Something that was done, for the record. Never changed; kept for a year.
#[Object]
impl AuditEntry {
    /// Its id, with the prefix `audit`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// When it was done; of failures that repeat within a minute, when the first one was.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// Who did it; null when that is not known, or the account is gone.
    async fn actor(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let Some(id) = self.0.actor_id else { return Ok(None) };
        Ok(ctx.loaders().load_one(id).await?.map(User::from))
    }

    /// What was done, such as `user.login`, `user.login_failed`, `session.reuse_detected`, `role.updated` or `chat.read`.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// To what, which may be gone by now.
    async fn subject_id(&self) -> Option<ID> {
        self.0.subject_id.as_ref().map(ids::show)
    }

    /// The address that it came from.
    async fn ip_address(&self) -> Option<&str> {
        self.0.ip_address.as_deref()
    }

    /// What else there is to say: an object without secrets. A failure has here how often it happened, as `count`.
    async fn detail(&self) -> AnyJson<'static> {
        AnyJson(Cow::Owned(audit::detail(&self.0)))
    }
}

/// Which entries of the audit log are wanted. Every field that is given must fit.
#[derive(Debug, Clone, Default, InputObject)]
pub struct AuditFilter {
    /// Done by this user.
    actor_id: Option<ID>,
    /// Exactly this action.
    action: Option<String>,
    /// Done to this, of whatever type.
    subject_id: Option<ID>,
    /// From then on.
    from: Option<DateTime>,
    /// Before then.
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
