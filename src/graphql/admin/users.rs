//! What admins do to other people's accounts.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::domain::Result;
use crate::domain::accounts::NewUser;
use crate::domain::input::search_key;
use crate::entity::ids::RoleId;
use crate::graphql::accounts::User;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;
use crate::storage::users::Filter;

/// Which users are wanted. Every field that is given must fit.
#[derive(Debug, Clone, Default, InputObject)]
pub struct UserFilter {
    /// Text that the username, the e-mail address or the full name holds, in any case.
    query: Option<String>,
    /// Who may sign in (true) or may not (false).
    is_active: Option<bool>,
    /// With this role.
    role_id: Option<ID>,
}

impl UserFilter {
    pub(super) fn parse(self) -> Result<Filter> {
        Ok(Filter {
            query: search_key("filter.query", self.query.as_deref())?,
            is_active: self.is_active,
            role_id: ids::parse_optional(self.role_id.as_ref(), "filter.roleId")?,
        })
    }
}

/// An account for somebody else.
#[derive(InputObject)]
pub struct CreateUserInput {
    /// 3 to 32 ASCII letters, digits, dots, hyphens and underscores; unique without regard to case.
    username: String,
    /// Unique without regard to case.
    email: String,
    /// 8 to 128 characters that are not easily guessed.
    password: String,
    /// The person's name, at most 100 characters.
    full_name: Option<String>,
    /// Roles besides the one that everybody has: none that allows what the caller may not.
    role_ids: Option<Vec<ID>>,
}

/// Who may sign in.
#[derive(Debug, Clone, InputObject)]
pub struct SetUserActiveInput {
    /// The user; not oneself.
    user_id: ID,
    /// Whether they may.
    is_active: bool,
}

/// Who has which roles.
#[derive(Debug, Clone, InputObject)]
pub struct SetUserRolesInput {
    /// The user.
    user_id: ID,
    /// All their roles; the one that everybody has stays in any case. None that allows what the caller may not.
    role_ids: Vec<ID>,
}

/// Whose sessions end.
#[derive(Debug, Clone, InputObject)]
pub struct EndUserSessionsInput {
    /// The user.
    user_id: ID,
}

/// Who is removed.
#[derive(Debug, Clone, InputObject)]
pub struct DeleteUserInput {
    /// The user; not oneself.
    user_id: ID,
}

/// Who may choose a new password.
#[derive(Debug, Clone, InputObject)]
pub struct IssuePasswordResetInput {
    /// The user; not oneself.
    user_id: ID,
}

/// What `createUser` made.
#[derive(SimpleObject)]
pub struct CreateUserPayload {
    /// The new user.
    user: User,
}

/// What `deleteUser` removed.
#[derive(SimpleObject)]
pub struct DeleteUserPayload {
    /// The id of the user who is gone.
    user_id: ID,
}

/// What `issuePasswordReset` made.
#[derive(SimpleObject)]
pub struct IssuePasswordResetPayload {
    /// The user.
    user: User,
    /// For `resetPassword`: works once, and is shown here and never again.
    reset_token: String,
    /// When it stops working.
    expires_at: DateTime,
}

/// What `setUserActive` changed.
#[derive(SimpleObject)]
pub struct SetUserActivePayload {
    /// The user as they are now.
    user: User,
}

/// What `setUserRoles` changed.
#[derive(SimpleObject)]
pub struct SetUserRolesPayload {
    /// The user as they are now.
    user: User,
}

/// What `endUserSessions` ended.
#[derive(SimpleObject)]
pub struct EndUserSessionsPayload {
    /// The user.
    user: User,
    /// How many sessions there were.
    session_count: i32,
}

/// What admins do to other people's accounts.
#[derive(Debug, Default)]
pub struct UserMutations;

#[Object]
impl UserMutations {
    /// Creates an account for somebody, with its first password. Requires USERS_WRITE; FORBIDDEN with a personal access
    /// token. CONFLICT when a name is taken.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new account.")] input: CreateUserInput,
    ) -> Result<Option<CreateUserPayload>> {
        let CreateUserInput { username, email, password, full_name, role_ids } = input;
        let new = NewUser { username, email, password, full_name };
        let viewer = ctx.viewer()?;
        let roles = parse_roles(&role_ids.unwrap_or_default())?;
        let user = ctx.state().accounts.create_user_for(viewer, ctx.client()?, new, &roles).await?;
        Ok(Some(CreateUserPayload { user: User::from(user) }))
    }

    /// Lets a user sign in, or no longer, which ends their sessions at once and leaves what they own. Requires
    /// USERS_WRITE and every permission of the user; FORBIDDEN with a personal access token. CONFLICT for oneself and
    /// for the last admin.
    async fn set_user_active(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user, and whether they may sign in.")] input: SetUserActiveInput,
    ) -> Result<Option<SetUserActivePayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let accounts = &ctx.state().accounts;
        let user = accounts.set_user_active(viewer, ctx.client()?, id, input.is_active).await?;
        Ok(Some(SetUserActivePayload { user: User::from(user) }))
    }

    /// Removes a user with all that they own: gone at once, for good. Requires USERS_WRITE and every permission of the
    /// user; FORBIDDEN with a personal access token. CONFLICT for oneself and for the last admin.
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who is removed.")] input: DeleteUserInput,
    ) -> Result<Option<DeleteUserPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let state = ctx.state();
        state.accounts.delete_user(viewer, ctx.client()?, id, &state.chats).await?;
        Ok(Some(DeleteUserPayload { user_id: input.user_id }))
    }

    /// Issues a one-time token that the admin passes on to the user; an earlier one ends. Admins never set or see the
    /// password of an existing user. The token ends when the user gains a permission. Requires USERS_WRITE and every
    /// permission of the user; FORBIDDEN with a personal access token. CONFLICT for oneself.
    async fn issue_password_reset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who may choose a new password.")] input: IssuePasswordResetInput,
    ) -> Result<Option<IssuePasswordResetPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let (user, reset) = ctx.state().accounts.issue_password_reset_for(viewer, ctx.client()?, id).await?;
        let expires_at = DateTime(reset.expires_at);
        Ok(Some(IssuePasswordResetPayload { user: User::from(user), reset_token: reset.token, expires_at }))
    }

    /// Gives a user other roles; it holds for their live sessions within a second. If the user gains a permission,
    /// their password reset ends. Requires ROLES_WRITE and every permission of the user, before and after; FORBIDDEN
    /// with a personal access token. CONFLICT when it would demote the last admin.
    async fn set_user_roles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user, and all their roles.")] input: SetUserRolesInput,
    ) -> Result<Option<SetUserRolesPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let roles = parse_roles(&input.role_ids)?;
        let user = ctx.state().accounts.set_user_roles(viewer, ctx.client()?, id, &roles).await?;
        Ok(Some(SetUserRolesPayload { user: User::from(user) }))
    }

    /// Ends all sessions of a user, at once. Requires USERS_WRITE and every permission of the user; FORBIDDEN with a
    /// personal access token.
    async fn end_user_sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose sessions end.")] input: EndUserSessionsInput,
    ) -> Result<Option<EndUserSessionsPayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.user_id, "userId")?);
        let (user, count) = ctx.state().accounts.end_user_sessions(viewer, ctx.client()?, id).await?;
        let session_count = i32::try_from(count).unwrap_or(i32::MAX);
        Ok(Some(EndUserSessionsPayload { user: User::from(user), session_count }))
    }
}

fn parse_roles(ids: &[ID]) -> Result<Vec<RoleId>> {
    ids.iter().map(|id| ids::parse(id, "roleIds")).collect()
}
