//! The mutations of the viewer's own account.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::personal_access_token::{PersonalAccessToken, TokenScope};
use super::user::User;
use crate::domain::Result;
use crate::domain::accounts::{NewToken, ProfileChanges};
use crate::graphql::chats::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// The input of `updateProfile`. An absent field is left unchanged; null clears it.
#[derive(InputObject)]
pub struct UpdateProfileInput {
    /// The username, with the rules of `register`. Cannot be null. A change requires a session.
    username: MaybeUndefined<String>,
    /// The email address, with the rules of `register`. Cannot be null. A change requires a session and
    /// `currentPassword`.
    email: MaybeUndefined<String>,
    /// The current password.
    current_password: Option<String>,
    /// The full name. At most 100 characters.
    full_name: MaybeUndefined<String>,
    /// A short text about the user. At most 1,000 characters.
    bio: MaybeUndefined<String>,
}

/// The payload of `updateProfile`.
#[derive(SimpleObject)]
pub struct UpdateProfilePayload {
    /// The changed user.
    user: User,
}

/// The input of `changePassword`.
#[derive(InputObject)]
pub struct ChangePasswordInput {
    /// The current password.
    current_password: String,
    /// The new password. 8 to 128 characters; not easy to guess.
    new_password: String,
}

/// The payload of `changePassword`.
#[derive(SimpleObject)]
pub struct ChangePasswordPayload {
    /// The user whose password was changed.
    user: User,
}

/// The input of `resetPassword`.
#[derive(InputObject)]
pub struct ResetPasswordInput {
    /// The token that an admin issued. Can be used once, within one hour.
    reset_token: String,
    /// The new password. 8 to 128 characters; not easy to guess.
    new_password: String,
}

/// The payload of `resetPassword`.
#[derive(SimpleObject)]
pub struct ResetPasswordPayload {
    /// The user whose password was changed.
    user_id: ID,
}

/// The input of `revokeSession`.
#[derive(InputObject)]
pub struct RevokeSessionInput {
    /// The ID of a session of the viewer.
    session_id: ID,
}

/// The payload of `revokeSession`.
#[derive(SimpleObject)]
pub struct RevokeSessionPayload {
    /// The ID of the session that was ended.
    session_id: ID,
}

/// The payload of `logoutEverywhere`.
#[derive(SimpleObject)]
pub struct LogoutEverywherePayload {
    /// The number of sessions that were ended, including the current one.
    session_count: i32,
}

/// The input of `deactivateAccount`.
#[derive(InputObject)]
pub struct DeactivateAccountInput {
    /// The current password.
    password: String,
}

/// The payload of `deactivateAccount`.
#[derive(SimpleObject)]
pub struct DeactivateAccountPayload {
    /// The ID of the user whose account was deactivated.
    user_id: ID,
}

/// The input of `deleteAccount`.
#[derive(InputObject)]
pub struct DeleteAccountInput {
    /// The current password.
    password: String,
}

/// The payload of `deleteAccount`.
#[derive(SimpleObject)]
pub struct DeleteAccountPayload {
    /// The ID of the deleted user.
    user_id: ID,
}

/// The input of `createPersonalAccessToken`.
#[derive(InputObject)]
pub struct CreatePersonalAccessTokenInput {
    /// A name for the token. At most 100 characters.
    name: String,
    /// The scopes of the token. At least one.
    scopes: Vec<TokenScope>,
    /// The time when the token expires; must be in the future. If absent, the token does not expire.
    expires_at: Option<DateTime>,
}

/// The payload of `createPersonalAccessToken`.
#[derive(SimpleObject)]
pub struct CreatePersonalAccessTokenPayload {
    /// The new token, without its secret.
    personal_access_token: PersonalAccessToken,
    /// The secret of the token, sent as `Authorization: Bearer …`. Returned only here and cannot be retrieved again.
    secret: String,
}

/// The input of `revokePersonalAccessToken`.
#[derive(InputObject)]
pub struct RevokePersonalAccessTokenInput {
    /// The ID of a personal access token of the viewer.
    personal_access_token_id: ID,
}

/// The payload of `revokePersonalAccessToken`.
#[derive(SimpleObject)]
pub struct RevokePersonalAccessTokenPayload {
    /// The ID of the revoked token.
    personal_access_token_id: ID,
}

/// The mutations of the viewer's own account.
#[derive(Default)]
pub struct SelfServiceMutations;

#[Object]
impl SelfServiceMutations {
    /// Ends all of the viewer's sessions immediately, including the current one. FORBIDDEN with a personal access
    /// token.
    async fn logout_everywhere(&self, ctx: &Context<'_>) -> Result<Option<LogoutEverywherePayload>> {
        let count = ctx.state().accounts.logout_everywhere(ctx.viewer()?, ctx.client()?).await?;
        Ok(Some(LogoutEverywherePayload { session_count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    /// Ends a session of the viewer immediately: its tokens become invalid and its WebSockets are closed. FORBIDDEN
    /// with a personal access token.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `revokeSession`.")] input: RevokeSessionInput,
    ) -> Result<Option<RevokeSessionPayload>> {
        let viewer = ctx.viewer()?;
        let id = ids::parse(&input.session_id, "sessionId")?;
        ctx.state().accounts.revoke_session(viewer, id, ctx.client()?).await?;
        Ok(Some(RevokeSessionPayload { session_id: input.session_id }))
    }

    /// Changes the viewer's profile. CONFLICT if the username or email address is taken. A change of either requires a
    /// session and is FORBIDDEN with a personal access token. A change of the email address is INVALID_CREDENTIALS if
    /// the password is wrong, and LOCKED_OUT after too many wrong passwords.
    async fn update_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `updateProfile`.")] input: UpdateProfileInput,
    ) -> Result<Option<UpdateProfilePayload>> {
        let UpdateProfileInput { username, email, current_password, full_name, bio } = input;
        let changes = ProfileChanges {
            username: change(username),
            email: change(email),
            current_password,
            full_name: change(full_name),
            bio: change(bio),
        };
        let row = ctx.state().accounts.update_profile(ctx.viewer()?, changes, ctx.client()?).await?;
        Ok(Some(UpdateProfilePayload { user: row.into() }))
    }

    /// Changes the viewer's password and immediately ends all other sessions. Personal access tokens remain valid.
    /// INVALID_CREDENTIALS if the current password is wrong, LOCKED_OUT after too many wrong passwords. FORBIDDEN with
    /// a personal access token.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `changePassword`.")] input: ChangePasswordInput,
    ) -> Result<Option<ChangePasswordPayload>> {
        let ChangePasswordInput { current_password, new_password } = input;
        let accounts = &ctx.state().accounts;
        let row = accounts.change_password(ctx.viewer()?, current_password, new_password, ctx.client()?).await?;
        Ok(Some(ChangePasswordPayload { user: row.into() }))
    }

    /// Sets a new password using a token issued by an admin, and immediately ends all sessions and revokes all personal
    /// access tokens of the user. INVALID_CREDENTIALS for every token that is not valid, whatever the reason.
    async fn reset_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `resetPassword`.")] input: ResetPasswordInput,
    ) -> Result<Option<ResetPasswordPayload>> {
        let ResetPasswordInput { reset_token, new_password } = input;
        let id = ctx.state().accounts.reset_password(&reset_token, new_password, ctx.client()?).await?;
        Ok(Some(ResetPasswordPayload { user_id: ids::show(id) }))
    }

    /// Ends all of the viewer's sessions and hides the account. An admin can reverse this. CONFLICT for the last admin.
    /// INVALID_CREDENTIALS if the password is wrong, LOCKED_OUT after too many wrong passwords. FORBIDDEN with a
    /// personal access token.
    async fn deactivate_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deactivateAccount`.")] input: DeactivateAccountInput,
    ) -> Result<Option<DeactivateAccountPayload>> {
        let id = ctx.state().accounts.deactivate_account(ctx.viewer()?, input.password, ctx.client()?).await?;
        Ok(Some(DeactivateAccountPayload { user_id: ids::show(id) }))
    }

    /// Deletes the viewer's account and all its data immediately; its replies that are STREAMING are stopped. CONFLICT
    /// for the last admin. INVALID_CREDENTIALS if the password is wrong, LOCKED_OUT after too many wrong passwords.
    /// FORBIDDEN with a personal access token.
    async fn delete_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deleteAccount`.")] input: DeleteAccountInput,
    ) -> Result<Option<DeleteAccountPayload>> {
        let state = ctx.state();
        let id = state.accounts.delete_account(ctx.viewer()?, input.password, ctx.client()?, &state.chats).await?;
        Ok(Some(DeleteAccountPayload { user_id: ids::show(id) }))
    }

    /// Creates a token with which a program acts on behalf of the viewer. CONFLICT if the viewer already has 50 tokens.
    /// FORBIDDEN with a personal access token.
    async fn create_personal_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `createPersonalAccessToken`.")] input: CreatePersonalAccessTokenInput,
    ) -> Result<Option<CreatePersonalAccessTokenPayload>> {
        let new = NewToken {
            name: input.name,
            scopes: input.scopes.into_iter().map(Into::into).collect(),
            expires_at: input.expires_at.map(|at| at.0),
        };
        let (row, secret) = ctx.state().accounts.create_token(ctx.viewer()?, new, ctx.client()?).await?;
        Ok(Some(CreatePersonalAccessTokenPayload { personal_access_token: PersonalAccessToken(row), secret }))
    }

    /// Revokes a personal access token of the viewer immediately; its WebSockets are closed. FORBIDDEN with a personal
    /// access token.
    async fn revoke_personal_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `revokePersonalAccessToken`.")] input: RevokePersonalAccessTokenInput,
    ) -> Result<Option<RevokePersonalAccessTokenPayload>> {
        let viewer = ctx.viewer()?;
        let id = ids::parse(&input.personal_access_token_id, "personalAccessTokenId")?;
        ctx.state().accounts.revoke_token(viewer, id, ctx.client()?).await?;
        Ok(Some(RevokePersonalAccessTokenPayload { personal_access_token_id: input.personal_access_token_id }))
    }
}
