//! Users.

use async_graphql::{Context, ID, Object, Result};

use super::personal_access_token::PersonalAccessToken;
use super::role::{Permission, Role};
use super::session::Session;
use crate::domain::accounts::{account_of, permissions_of};
use crate::domain::{self, Viewer};
use crate::entity::{role, user};
use crate::graphql::budget::{List, Text};
use crate::graphql::chats::{self, Chat, ChatFilter};
use crate::graphql::context::ContextExt as _;
use crate::graphql::direct_messages::BlockOf;
use crate::graphql::ids;
use crate::graphql::loaders::{LockOf, QuotaOf, RolesOf, SessionsOf, StatsOf, TokensOf};
use crate::graphql::pagination::{Connection, PageArguments};
use crate::graphql::scalars::DateTime;
use crate::graphql::usage::{Quota, UserStats};

/// A user. Private fields are visible to the user and to viewers with USERS_READ; they are null, without an error, for
/// everyone else.
#[derive(Debug, Clone)]
pub struct User {
    /// The row of the user.
    pub row: user::Model,
}

impl From<user::Model> for User {
    fn from(row: user::Model) -> Self {
        Self { row }
    }
}

impl User {
    fn account(&self, ctx: &Context<'_>) -> Option<&user::Model> {
        account_of(ctx.viewer().ok(), &self.row)
    }

    async fn visible_roles(&self, ctx: &Context<'_>) -> domain::Result<Option<Vec<role::Model>>> {
        let Some(account) = self.account(ctx) else { return Ok(None) };
        Ok(Some(ctx.loaders().load_one(RolesOf(account.id)).await?.unwrap_or_default()))
    }
}

/// A user. Private fields are visible to the user and to viewers with USERS_READ; they are null, without an error, for
/// everyone else.
#[Object]
impl User {
    /// The user's ID, with the prefix `user`.
    pub async fn id(&self) -> ID {
        ids::show(self.row.id)
    }

    /// The username. Unique, ignoring case.
    async fn username(&self) -> &str {
        &self.row.username
    }

    /// The full name.
    async fn full_name(&self) -> Option<&str> {
        self.row.full_name.as_deref()
    }

    /// A short text about the user, written by the user.
    async fn bio(&self) -> Option<Text<'_>> {
        self.row.bio.as_ref().map(Text::from)
    }

    /// The time when the account was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// Whether the viewer has blocked this user. Does not tell whether this user has blocked the viewer.
    async fn is_blocked(&self, ctx: &Context<'_>) -> domain::Result<bool> {
        if ctx.viewer().is_err() {
            return Ok(false);
        }
        Ok(ctx.loaders().load_one(BlockOf(self.row.id)).await?.is_some())
    }

    /// The email address. Private.
    async fn email(&self, ctx: &Context<'_>) -> Option<&str> {
        self.account(ctx).map(|account| account.email.as_str())
    }

    /// The time when the profile was last changed. Private.
    async fn updated_at(&self, ctx: &Context<'_>) -> Option<DateTime> {
        self.account(ctx).map(|account| DateTime(account.updated_at))
    }

    /// Whether the user may sign in. Private.
    async fn is_active(&self, ctx: &Context<'_>) -> Option<bool> {
        self.account(ctx).map(|account| account.is_active)
    }

    /// The time when the user last used the server, with a precision of one minute. Null if never. Private.
    async fn last_seen_at(&self, ctx: &Context<'_>) -> Option<DateTime> {
        self.account(ctx).and_then(|account| account.last_seen_at).map(DateTime)
    }

    /// The time until which the account is locked out after failed sign-in attempts. Each source is locked out
    /// separately, so the user may still sign in from another one; this is the latest time of all sources. Null if no
    /// source is locked out. Private.
    async fn locked_until(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        let Some(account) = self.account(ctx) else { return Ok(None) };
        Ok(ctx.loaders().load_one(LockOf(account.id)).await?.map(DateTime))
    }

    /// The user's roles, sorted by name. Private.
    async fn roles(&self, ctx: &Context<'_>) -> Result<Option<List<Role>>> {
        Ok(self.visible_roles(ctx).await?.map(|roles| roles.into_iter().map(Role).collect()))
    }

    /// The user's chats, latest activity first. Visible only to the user; null, without an error, for everyone else.
    async fn chats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns only chats that match this filter. If absent, all chats are returned.")]
        filter: Option<ChatFilter>,
    ) -> Result<Option<Connection<Chat>>> {
        let Some(viewer) = ctx.viewer().ok().filter(|viewer| viewer.user_id == self.row.id) else { return Ok(None) };
        Ok(Some(chats::page(ctx, viewer, PageArguments { first, after, last, before }, filter).await?))
    }

    /// The user's sessions, most recently used first. At most 100. Private.
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Option<List<Session>>> {
        let Some(account) = self.account(ctx) else { return Ok(None) };
        let rows = ctx.loaders().load_one(SessionsOf(account.id)).await?.unwrap_or_default();
        let current = ctx.viewer().ok().and_then(Viewer::session_id);
        Ok(Some(rows.into_iter().map(|row| Session { is_current: Some(row.id) == current, row }).collect()))
    }

    /// The user's personal access tokens, newest first. At most 50. Private.
    async fn personal_access_tokens(&self, ctx: &Context<'_>) -> Result<Option<List<PersonalAccessToken>>> {
        let Some(account) = self.account(ctx) else { return Ok(None) };
        let rows = ctx.loaders().load_one(TokensOf(account.id)).await?.unwrap_or_default();
        Ok(Some(rows.into_iter().map(PersonalAccessToken).collect()))
    }

    /// The users that this user has blocked, most recently blocked first. A user can block 1,000 users. Visible only to the user; null, without an
    /// error, for everyone else.
    async fn blocked_users(&self, ctx: &Context<'_>) -> domain::Result<Option<List<User>>> {
        let Some(viewer) = ctx.viewer().ok().filter(|viewer| viewer.user_id == self.row.id) else { return Ok(None) };
        ctx.budget().statements(1)?;
        let ids = ctx.state().direct_messages.blocked(viewer).await?;
        let mut users = ctx.loaders().load_many(ids.iter().copied()).await?;
        Ok(Some(ids.iter().filter_map(|id| users.remove(id)).map(User::from).collect()))
    }

    /// Statistics of the user. Private.
    async fn stats(&self, ctx: &Context<'_>) -> Result<Option<UserStats>> {
        let Some(account) = self.account(ctx) else { return Ok(None) };
        Ok(ctx.loaders().load_one(StatsOf(account.id)).await?.map(UserStats::from))
    }

    /// The limits that apply to the user, and the usage of the current month. Private.
    async fn quota(&self, ctx: &Context<'_>) -> Result<Option<Quota>> {
        let Some(account) = self.account(ctx) else { return Ok(None) };
        Ok(ctx.loaders().load_one(QuotaOf(account.id)).await?.map(Quota::from))
    }

    /// The permissions of all roles of the user. Private.
    async fn permissions(&self, ctx: &Context<'_>) -> Result<Option<List<Permission>>> {
        let roles = self.visible_roles(ctx).await?;
        Ok(roles.map(|roles| permissions_of(&roles).into_iter().map(Permission::from).collect()))
    }
}

/// The queries of users.
#[derive(Default)]
pub struct UserQueries;

#[Object]
impl UserQueries {
    /// The signed-in user. Null if the request has no credentials; expired or invalid credentials are UNAUTHENTICATED.
    async fn me(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(ctx.state().accounts.me(ctx.requester()).await?.map(User::from))
    }

    /// Looks up a user by username, ignoring case. Null if no user with this username is visible to the viewer.
    /// Requires a signed-in user.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The complete username.")] username: String,
    ) -> Result<Option<User>> {
        Ok(ctx.state().accounts.user_by_username(ctx.viewer()?, &username).await?.map(User::from))
    }
}
