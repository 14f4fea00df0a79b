//! Administration: users, roles, other people's chats, and the audit log.

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
use crate::storage::{audit as audit_rows, chats as chat_rows, users as user_rows};
use audit::AuditFilter;
use users::UserFilter;

/// The way into administration.
#[derive(Debug, Default)]
pub struct AdminQueries;

#[Object]
impl AdminQueries {
    /// Administration. Null, without an error, for who has no permission beyond their own data.
    async fn admin(&self, ctx: &Context<'_>) -> Result<Option<Admin>> {
        Ok(may_administer(ctx.requester())?.then_some(Admin))
    }
}

/// Administration. Each field asks for its own permission: it is null, plus a FORBIDDEN error on that field alone, without it.
#[derive(Debug)]
pub struct Admin;

/// Administration. Each field asks for its own permission: it is null, plus a FORBIDDEN error on that field alone, without it.
#[Object]
impl Admin {
    /// Always the same, for clients' caches.
    async fn id(&self) -> ID {
        ID("admin".to_owned())
    }

    /// The users, by name. Requires USERS_READ.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the beginning, at most 100; not together with `last`.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, at most 100; not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which users are wanted; absent are all.")] filter: Option<UserFilter>,
    ) -> Result<Option<Connection<User>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<user_rows::UserCursor>(false)?;
        let filter = filter.unwrap_or_default().parse()?;
        ctx.budget().statements(1)?;
        let page = ctx.state().accounts.users(viewer, &filter, window).await?;
        let (accounts, viewer) = (ctx.state().accounts.clone(), viewer.clone());
        let total = Arc::new(move || -> BoxFuture<'static, _> {
            let (accounts, viewer, filter) = (accounts.clone(), viewer.clone(), filter.clone());
            Box::pin(async move { accounts.count_users(&viewer, &filter).await })
        });
        Ok(Some(Connection::new(page, |user| user_rows::UserCursor::from(user), User::from, Total::Counted(total))))
    }

    /// Every role, by name. Requires ROLES_WRITE.
    async fn roles(&self, ctx: &Context<'_>) -> Result<Option<List<Role>>> {
        ctx.budget().statements(1)?;
        let roles = ctx.state().accounts.roles(ctx.viewer()?).await?;
        Ok(Some(roles.into_iter().map(Role).collect()))
    }

    /// Everybody's chats, or one user's, newest activity first. Requires CHATS_READ. The list is audited, and so is
    /// each chat of which messages are read.
    async fn chats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose chats; absent are everybody's.")] user_id: Option<ID>,
        #[graphql(desc = "So many from the beginning, at most 100; not together with `last`.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, at most 100; not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Option<Connection<Chat>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<chat_rows::ChatCursor>(false)?;
        let owner = ids::parse_optional(user_id.as_ref(), "userId")?;
        ctx.budget().statements(1)?;
        let page = ctx.state().chats.page_of_others(viewer, ctx.client()?, owner, window).await?;
        let (chats, viewer) = (ctx.state().chats.clone(), viewer.clone());
        let total = Arc::new(move || -> BoxFuture<'static, _> {
            let (chats, viewer) = (chats.clone(), viewer.clone());
            Box::pin(async move { chats.count_of_others(&viewer, owner).await })
        });
        Ok(Some(Connection::new(page, |chat| chat_rows::ChatCursor::from(chat), Chat::listed, Total::Counted(total))))
    }

    /// Anybody's chat, with its messages; null when there is none with this id. Requires CHATS_READ. Access is audited.
    async fn chat(&self, ctx: &Context<'_>, #[graphql(desc = "The chat's id.")] id: ID) -> Result<Option<Chat>> {
        let id = ids::parse(&id, "id")?;
        ctx.budget().statements(1)?;
        let found = ctx.state().chats.find_of_others(ctx.viewer()?, ctx.client()?, id).await?;
        Ok(found.map(|(chat, access)| Chat::found(chat, access)))
    }

    /// What admins did to others, and every security event, newest first. Requires AUDIT_READ.
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the beginning, at most 100; not together with `last`.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, at most 100; not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which entries are wanted; absent are all.")] filter: Option<AuditFilter>,
    ) -> Result<Option<Connection<AuditEntry>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<audit_rows::AuditCursor>(false)?;
        let filter = filter.unwrap_or_default().parse()?;
        ctx.budget().statements(1)?;
        let page = ctx.state().audit.page(viewer, &filter, window).await?;
        let (audit, viewer) = (ctx.state().audit.clone(), viewer.clone());
        let total = Arc::new(move || -> BoxFuture<'static, _> {
            let (audit, viewer, filter) = (audit.clone(), viewer.clone(), filter.clone());
            Box::pin(async move { audit.count(&viewer, &filter).await })
        });
        Ok(Some(Connection::new(page, |entry| audit_rows::AuditCursor::from(entry), AuditEntry, Total::Counted(total))))
    }
}
