//! Administration of the accounts of other users.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::domain::accounts::NewUser;
use crate::domain::input::search_key;
use crate::domain::{self, Result, UserCursor};
use crate::entity::ids::RoleId;
use crate::graphql::accounts::User;
use crate::graphql::changes::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::pagination::{Connection, PageArguments, total_if_requested};
use crate::graphql::scalars::{Count, DateTime, Microdollars};

/// A filter for users. A user must match every field that is given.
#[derive(Debug, Clone, Default, InputObject)]
pub struct UserFilter {
    /// Text contained in the username, email address or full name, ignoring case.
    query: Option<String>,
    /// Whether the account is active, that is, whether the user may sign in.
    is_active: Option<bool>,
    /// The ID of a role of the user.
    role_id: Option<ID>,
}

impl UserFilter {
    fn parse(self) -> Result<domain::UserFilter> {
        Ok(domain::UserFilter {
            query: search_key("filter.query", self.query.as_deref())?,
            is_active: self.is_active,
            role_id: ids::parse_optional(self.role_id.as_ref(), "filter.roleId")?,
        })
    }
}

/// The fields of `Admin` for users.
#[derive(Debug, Default)]
pub struct AdminUsers;

#[Object]
impl AdminUsers {
    /// All users, sorted by username. Requires USERS_READ.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns only users that match this filter. If absent, all users are returned.")]
        filter: Option<UserFilter>,
    ) -> Result<Option<Connection<User>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<UserCursor>(false)?;
        let filter = filter.unwrap_or_default().parse()?;
        ctx.budget().statements(1)?;
        let accounts = &ctx.state().accounts;
        let page = accounts.users(viewer, &filter, window).await?;
        let total = total_if_requested(ctx, accounts.count_users(viewer, &filter)).await?;
        Ok(Some(Connection::new(page, |user| UserCursor::from(user), User::from, total)))
    }
}

/// The input of `createUser`.
#[derive(InputObject)]
pub struct CreateUserInput {
    /// The username. 3 to 32 ASCII letters, digits, dots, hyphens and underscores; unique, ignoring case.
    username: String,
    /// The email address. Unique, ignoring case.
    email: String,
    /// The password. 8 to 128 characters; not easy to guess.
    password: String,
    /// The full name. At most 100 characters.
    full_name: Option<String>,
    /// The IDs of roles in addition to the built-in role `user`. The viewer must have every permission of these roles.
    role_ids: Option<Vec<ID>>,
}

/// The input of `setUserActive`.
#[derive(Debug, Clone, InputObject)]
pub struct SetUserActiveInput {
    /// The ID of the user. Cannot be the viewer.
    user_id: ID,
    /// Whether the user may sign in.
    is_active: bool,
}

/// The input of `setUserRoles`.
#[derive(Debug, Clone, InputObject)]
pub struct SetUserRolesInput {
    /// The ID of the user.
    user_id: ID,
    /// The IDs of all roles of the user. The built-in role `user` is kept. The viewer must have every permission of
    /// these roles.
    role_ids: Vec<ID>,
}

/// The input of `setUserQuota`. An absent field is left unchanged; null returns to the limits of the user's roles.
#[derive(Debug, Clone, InputObject)]
pub struct SetUserQuotaInput {
    /// The ID of the user.
    user_id: ID,
    /// The user's own monthly limit of the cost.
    cost_limit: MaybeUndefined<Microdollars>,
    /// The user's own monthly limit of input and output tokens.
    token_limit: MaybeUndefined<Count>,
}

/// The input of `endUserSessions`.
#[derive(Debug, Clone, InputObject)]
pub struct EndUserSessionsInput {
    /// The ID of the user.
    user_id: ID,
}

/// The input of `deleteUser`.
#[derive(Debug, Clone, InputObject)]
pub struct DeleteUserInput {
    /// The ID of the user. Cannot be the viewer.
    user_id: ID,
}

/// The input of `issuePasswordReset`.
#[derive(Debug, Clone, InputObject)]
pub struct IssuePasswordResetInput {
    /// The ID of the user. Cannot be the viewer.
    user_id: ID,
}

/// The input of `unlockUser`.
#[derive(Debug, Clone, InputObject)]
pub struct UnlockUserInput {
    /// The ID of the user.
    user_id: ID,
}

/// The payload of `createUser`.
#[derive(SimpleObject)]
pub struct CreateUserPayload {
    /// The new user.
    user: User,
}

/// The payload of `deleteUser`.
#[derive(SimpleObject)]
pub struct DeleteUserPayload {
    /// The ID of the deleted user.
    user_id: ID,
}

/// The payload of `issuePasswordReset`.
#[derive(SimpleObject)]
pub struct IssuePasswordResetPayload {
    /// The user.
    user: User,
    /// The token for `resetPassword`. Can be used once. Returned only here and cannot be retrieved again.
    reset_token: String,
    /// The time when the token expires.
    expires_at: DateTime,
}

/// The payload of `setUserActive`.
#[derive(SimpleObject)]
pub struct SetUserActivePayload {
    /// The changed user.
    user: User,
}

/// The payload of `setUserRoles`.
#[derive(SimpleObject)]
pub struct SetUserRolesPayload {
    /// The changed user.
    user: User,
}

/// The payload of `setUserQuota`.
#[derive(SimpleObject)]
pub struct SetUserQuotaPayload {
    /// The changed user.
    user: User,
}

/// The payload of `endUserSessions`.
#[derive(SimpleObject)]
pub struct EndUserSessionsPayload {
    /// The user.
    user: User,
    /// The number of sessions that were ended.
    session_count: i32,
}

/// The payload of `unlockUser`.
#[derive(SimpleObject)]
pub struct UnlockUserPayload {
    /// The unlocked user.
    user: User,
}

/// Administration of the accounts of other users.
#[derive(Debug, Default)]
pub struct UserMutations;

#[Object]
impl UserMutations {
    /// Creates an account for another person, with an initial password. Requires USERS_WRITE. FORBIDDEN with a personal
    /// access token. CONFLICT if the username or email address is taken.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `createUser`.")] input: CreateUserInput,
    ) -> Result<Option<CreateUserPayload>> {
        let CreateUserInput { username, email, password, full_name, role_ids } = input;
        let new = NewUser { username, email, password, full_name };
        let viewer = ctx.viewer()?;
        let roles = parse_roles(&role_ids.unwrap_or_default())?;
        let user = ctx.state().accounts.create_user_for(viewer, ctx.client(), new, &roles).await?;
        Ok(Some(CreateUserPayload { user: User::from(user) }))
    }

    /// Activates or deactivates an account. Deactivation ends the user's sessions immediately and keeps the user's
    /// data. Requires USERS_WRITE and every permission of the user. FORBIDDEN with a personal access token. CONFLICT
    /// for the viewer's own account and for the last admin.
    async fn set_user_active(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `setUserActive`.")] input: SetUserActiveInput,
    ) -> Result<Option<SetUserActivePayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let accounts = &ctx.state().accounts;
        let user = accounts.set_user_active(viewer, ctx.client(), id, input.is_active).await?;
        Ok(Some(SetUserActivePayload { user: User::from(user) }))
    }

    /// Deletes a user as `deleteAccount` does, immediately and permanently. Requires USERS_WRITE and every permission
    /// of the user. FORBIDDEN with a personal access token. CONFLICT for the viewer's own account and for the last
    /// admin.
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deleteUser`.")] input: DeleteUserInput,
    ) -> Result<Option<DeleteUserPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let state = ctx.state();
        state.accounts.delete_user(viewer, ctx.client(), id, &state.chats).await?;
        Ok(Some(DeleteUserPayload { user_id: input.user_id }))
    }

    /// Issues a one-time token that the admin passes on to the user; an earlier token is revoked. Admins never set or
    /// see the password of an existing user. The token is revoked if the user gains a permission. Requires USERS_WRITE
    /// and every permission of the user. FORBIDDEN with a personal access token. CONFLICT for the viewer's own account.
    async fn issue_password_reset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `issuePasswordReset`.")] input: IssuePasswordResetInput,
    ) -> Result<Option<IssuePasswordResetPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let (user, reset) = ctx.state().accounts.issue_password_reset_for(viewer, ctx.client(), id).await?;
        let expires_at = DateTime(reset.expires_at);
        Ok(Some(IssuePasswordResetPayload { user: User::from(user), reset_token: reset.token, expires_at }))
    }

    /// Replaces a user's roles. Takes effect within a second for the user's current sessions. If the user gains a
    /// permission, a pending password reset token is revoked. Requires ROLES_WRITE, and every permission that the target
    /// user has before and after the change. FORBIDDEN with a personal access token. CONFLICT if the last admin would
    /// be demoted.
    async fn set_user_roles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `setUserRoles`.")] input: SetUserRolesInput,
    ) -> Result<Option<SetUserRolesPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let roles = parse_roles(&input.role_ids)?;
        let user = ctx.state().accounts.set_user_roles(viewer, ctx.client(), id, &roles).await?;
        Ok(Some(SetUserRolesPayload { user: User::from(user) }))
    }

    /// Sets a user's own monthly limits. Takes effect with the next reply; replies that are running are not stopped.
    /// Requires USERS_WRITE and every permission of the user. FORBIDDEN with a personal access token. Audited.
    async fn set_user_quota(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `setUserQuota`.")] input: SetUserQuotaInput,
    ) -> Result<Option<SetUserQuotaPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let cost_limit = change(input.cost_limit.map_value(|limit| limit.0));
        let token_limit = change(input.token_limit.map_value(|limit| limit.0));
        let accounts = &ctx.state().accounts;
        let user = accounts.set_user_quota(viewer, ctx.client(), id, cost_limit, token_limit).await?;
        Ok(Some(SetUserQuotaPayload { user: User::from(user) }))
    }

    /// Ends all sessions of a user immediately. Requires USERS_WRITE and every permission of the user. FORBIDDEN with a
    /// personal access token.
    async fn end_user_sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `endUserSessions`.")] input: EndUserSessionsInput,
    ) -> Result<Option<EndUserSessionsPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let (user, count) = ctx.state().accounts.end_user_sessions(viewer, ctx.client(), id).await?;
        let session_count = i32::try_from(count).unwrap_or(i32::MAX);
        Ok(Some(EndUserSessionsPayload { user: User::from(user), session_count }))
    }

    /// Removes all lockouts that failed sign-in attempts caused on an account. Requires USERS_WRITE and every
    /// permission of the user. FORBIDDEN with a personal access token. Audited.
    async fn unlock_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `unlockUser`.")] input: UnlockUserInput,
    ) -> Result<Option<UnlockUserPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let user = ctx.state().accounts.unlock_user(viewer, id, ctx.client()).await?;
        Ok(Some(UnlockUserPayload { user: User::from(user) }))
    }
}

fn parse_roles(ids: &[ID]) -> Result<Vec<RoleId>> {
    ids.iter().map(|id| ids::parse(id, "roleIds")).collect()
}
