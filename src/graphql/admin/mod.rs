//! Administration: users, roles, chats of other users, and the audit log.

mod audit;
mod roles;
mod users;

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use futures_util::future::BoxFuture;

pub use audit::AuditEntry;
pub use roles::RoleMutations;
pub use users::UserMutations;

use crate::domain::Result;
use crate::domain::accounts::may_administer;
use crate::graphql::accounts::{Role, User};
use crate::graphql::budget::List;
use crate::graphql::chats::Chat;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::pagination::{Connection, PageArguments, Total};
use crate::storage::{audit as audit_rows, chats as chat_rows, directory};
use audit::AuditFilter;
use users::UserFilter;

/// The query for administration.
#[derive(Debug, Default)]
pub struct AdminQueries;

#[Object]
impl AdminQueries {
    /// Admin queries. Null, without an error, if the viewer has no permission beyond access to their own data.
    async fn admin(&self, ctx: &Context<'_>) -> Result<Option<Admin>> {
        Ok(may_administer(ctx.requester())?.then_some(Admin))
    }
}

/// Admin queries. Each field requires its own permission; without it, that field alone is null with a FORBIDDEN error.
#[derive(Debug)]
pub struct Admin;

/// Admin queries. Each field requires its own permission; without it, that field alone is null with a FORBIDDEN error.
#[Object]
impl Admin {
    /// A constant ID, for client caches.
    async fn id(&self) -> ID {
        ID("admin".to_owned())
    }

    /// All users, sorted by username. Requires USERS_READ.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items (at most 100). Cannot be combined with `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items (at most 100). Cannot be combined with `first`.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns only users that match this filter. If absent, returns all users.")] filter: Option<
            UserFilter,
        >,
    ) -> Result<Option<Connection<User>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<directory::Place>(false)?;
        let filter = filter.unwrap_or_default().parse()?;
        ctx.budget().statements(1)?;
        let page = ctx.state().accounts.users(viewer, &filter, window).await?;
        let (accounts, viewer) = (ctx.state().accounts.clone(), viewer.clone());
        let total = Arc::new(move || -> BoxFuture<'static, _> {
            let (accounts, viewer, filter) = (accounts.clone(), viewer.clone(), filter.clone());
            Box::pin(async move { accounts.count_users(&viewer, &filter).await })
        });
        Ok(Some(Connection::new(page, |user| directory::Place::from(user), User::from, Total::Counted(total))))
    }

    /// All roles, sorted by name. Requires ROLES_WRITE.
    async fn roles(&self, ctx: &Context<'_>) -> Result<Option<List<Role>>> {
        ctx.budget().statements(1)?;
        let roles = ctx.state().accounts.roles(ctx.viewer()?).await?;
        Ok(Some(roles.into_iter().map(Role).collect()))
    }

    /// The chats of all users or of one user, latest activity first. Requires CHATS_READ. Access to the list is
    /// audited, and so is access to the messages of each chat.
    async fn chats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the owner of the chats. If absent, returns the chats of all users.")]
        user_id: Option<ID>,
        #[graphql(desc = "Returns the first *n* items (at most 100). Cannot be combined with `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items (at most 100). Cannot be combined with `first`.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
    ) -> Result<Option<Connection<Chat>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<chat_rows::Place>(false)?;
        let owner = ids::parse_optional(user_id.as_ref(), "userId")?;
        ctx.budget().statements(1)?;
        let page = ctx.state().chats.page_of_others(viewer, ctx.client()?, owner, window).await?;
        let (chats, viewer) = (ctx.state().chats.clone(), viewer.clone());
        let total = Arc::new(move || -> BoxFuture<'static, _> {
            let (chats, viewer) = (chats.clone(), viewer.clone());
            Box::pin(async move { chats.count_of_others(&viewer, owner).await })
        });
        Ok(Some(Connection::new(page, |chat| chat_rows::Place::from(chat), Chat::listed, Total::Counted(total))))
    }

    /// Looks up a chat of any user. Null if there is no chat with this ID. Requires CHATS_READ. Access is audited.
    async fn chat(&self, ctx: &Context<'_>, #[graphql(desc = "The ID of the chat.")] id: ID) -> Result<Option<Chat>> {
        let id = ids::parse(&id, "id")?;
        ctx.budget().statements(1)?;
        let found = ctx.state().chats.find_of_others(ctx.viewer()?, ctx.client()?, id).await?;
        Ok(found.map(|(chat, access)| Chat::found(chat, access)))
    }

    /// The audit log, newest entries first: actions of admins on other users, and all security events. Requires
    /// AUDIT_READ.
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items (at most 100). Cannot be combined with `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items (at most 100). Cannot be combined with `first`.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns only entries that match this filter. If absent, returns all entries.")]
        filter: Option<AuditFilter>,
    ) -> Result<Option<Connection<AuditEntry>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<audit_rows::Place>(false)?;
        let filter = filter.unwrap_or_default().parse()?;
        ctx.budget().statements(1)?;
        let page = ctx.state().audit.page(viewer, &filter, window).await?;
        let (audit, viewer) = (ctx.state().audit.clone(), viewer.clone());
        let total = Arc::new(move || -> BoxFuture<'static, _> {
            let (audit, viewer, filter) = (audit.clone(), viewer.clone(), filter.clone());
            Box::pin(async move { audit.count(&viewer, &filter).await })
        });
        Ok(Some(Connection::new(page, |entry| audit_rows::Place::from(entry), AuditEntry, Total::Counted(total))))
    }
}
