//! What users do with their own accounts.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::personal_access_token::{PersonalAccessToken, TokenScope};
use super::user::User;
use crate::domain::Result;
use crate::domain::accounts::{NewToken, ProfileChanges};
use crate::graphql::chats::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// What changes of the viewer's profile. What is absent stays; null clears.
#[derive(InputObject)]
pub struct UpdateProfileInput {
    /// As at registration; cannot be null. Another one needs a session.
    username: MaybeUndefined<String>,
    /// As at registration; cannot be null. Another one needs a session and `currentPassword`.
    email: MaybeUndefined<String>,
    /// The current password.
    current_password: Option<String>,
    /// The person's name, at most 100 characters.
    full_name: MaybeUndefined<String>,
    /// What the person says of themself, at most 1,000 characters.
    bio: MaybeUndefined<String>,
}

/// What `updateProfile` changed.
#[derive(SimpleObject)]
pub struct UpdateProfilePayload {
    /// The user as they are now.
    user: User,
}

/// A new password.
#[derive(InputObject)]
pub struct ChangePasswordInput {
    /// The current password.
    current_password: String,
    /// 8 to 128 characters that are not easily guessed.
    new_password: String,
}

/// What `changePassword` changed.
#[derive(SimpleObject)]
pub struct ChangePasswordPayload {
    /// Whose password it is.
    user: User,
}

/// A new password, by a token from an admin.
#[derive(InputObject)]
pub struct ResetPasswordInput {
    /// The token. It works once, for an hour.
    reset_token: String,
    /// 8 to 128 characters that are not easily guessed.
    new_password: String,
}

/// What `resetPassword` changed.
#[derive(SimpleObject)]
pub struct ResetPasswordPayload {
    /// Whose password it is.
    user_id: ID,
}

/// The session to end.
#[derive(InputObject)]
pub struct RevokeSessionInput {
    /// A session of the viewer's.
    session_id: ID,
}

/// What `revokeSession` ended.
#[derive(SimpleObject)]
pub struct RevokeSessionPayload {
    /// The session that ended.
    session_id: ID,
}

/// What `logoutEverywhere` ended.
#[derive(SimpleObject)]
pub struct LogoutEverywherePayload {
    /// How many sessions ended, this one included.
    session_count: i32,
}

/// Closing the viewer's account.
#[derive(InputObject)]
pub struct DeactivateAccountInput {
    /// The current password.
    password: String,
}

/// What `deactivateAccount` closed.
#[derive(SimpleObject)]
pub struct DeactivateAccountPayload {
    /// Whose account is closed.
    user_id: ID,
}

/// Removing the viewer's account.
#[derive(InputObject)]
pub struct DeleteAccountInput {
    /// The current password.
    password: String,
}

/// What `deleteAccount` removed.
#[derive(SimpleObject)]
pub struct DeleteAccountPayload {
    /// Who is gone.
    user_id: ID,
}

/// A personal access token to be made.
#[derive(InputObject)]
pub struct CreatePersonalAccessTokenInput {
    /// What to call it, at most 100 characters.
    name: String,
    /// What it may do: at least one.
    scopes: Vec<TokenScope>,
    /// When it stops working, in the future; absent is never.
    expires_at: Option<DateTime>,
}

/// A new personal access token.
#[derive(SimpleObject)]
pub struct CreatePersonalAccessTokenPayload {
    /// The token, as the viewer's list has it.
    personal_access_token: PersonalAccessToken,
    /// What travels as `Authorization: Bearer …`. Shown here and never again.
    secret: String,
}

/// The personal access token to end.
#[derive(InputObject)]
pub struct RevokePersonalAccessTokenInput {
    /// A token of the viewer's.
    personal_access_token_id: ID,
}

/// What `revokePersonalAccessToken` ended.
#[derive(SimpleObject)]
pub struct RevokePersonalAccessTokenPayload {
    /// The token that ended.
    personal_access_token_id: ID,
}

/// What users do with their own accounts.
#[derive(Default)]
pub struct SelfServiceMutations;

#[Object]
impl SelfServiceMutations {
    /// Ends every session of the viewer, this one too, at once. FORBIDDEN with a personal access token.
    async fn logout_everywhere(&self, ctx: &Context<'_>) -> Result<Option<LogoutEverywherePayload>> {
        let count = ctx.state().accounts.logout_everywhere(ctx.viewer()?, ctx.client()?).await?;
        Ok(Some(LogoutEverywherePayload { session_count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    /// Ends a session of the viewer's, at once: its tokens are dead and its sockets close. FORBIDDEN with a personal access token.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session to end.")] input: RevokeSessionInput,
    ) -> Result<Option<RevokeSessionPayload>> {
        let viewer = ctx.viewer()?;
        let id = ids::parse(&input.session_id, "sessionId")?;
        ctx.state().accounts.revoke_session(viewer, id, ctx.client()?).await?;
        Ok(Some(RevokeSessionPayload { session_id: input.session_id }))
    }

    /// Changes the viewer's profile. CONFLICT when a name is taken. Another username or e-mail address requires a
    /// session: with a personal access token it is FORBIDDEN. Another e-mail address is INVALID_CREDENTIALS with a
    /// wrong password, LOCKED_OUT after too many.
    async fn update_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: UpdateProfileInput,
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

    /// Gives the viewer a new password. Every other session ends, at once; personal access tokens go on.
    /// INVALID_CREDENTIALS with a wrong password, LOCKED_OUT after too many, FORBIDDEN with a personal access token.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The old password and the new one.")] input: ChangePasswordInput,
    ) -> Result<Option<ChangePasswordPayload>> {
        let ChangePasswordInput { current_password, new_password } = input;
        let accounts = &ctx.state().accounts;
        let row = accounts.change_password(ctx.viewer()?, current_password, new_password, ctx.client()?).await?;
        Ok(Some(ChangePasswordPayload { user: row.into() }))
    }

    /// Sets a new password by a token that an admin issued. Every session and every personal access token of the user ends, at
    /// once. INVALID_CREDENTIALS for every token that does not work, whatever the reason.
    async fn reset_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token and the new password.")] input: ResetPasswordInput,
    ) -> Result<Option<ResetPasswordPayload>> {
        let ResetPasswordInput { reset_token, new_password } = input;
        let id = ctx.state().accounts.reset_password(&reset_token, new_password, ctx.client()?).await?;
        Ok(Some(ResetPasswordPayload { user_id: ids::show(id) }))
    }

    /// Signs the viewer out everywhere and hides the account; an admin can undo it. CONFLICT for the last admin,
    /// INVALID_CREDENTIALS with a wrong password, LOCKED_OUT after too many, FORBIDDEN with a personal access token.
    async fn deactivate_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password.")] input: DeactivateAccountInput,
    ) -> Result<Option<DeactivateAccountPayload>> {
        let id = ctx.state().accounts.deactivate_account(ctx.viewer()?, input.password, ctx.client()?).await?;
        Ok(Some(DeactivateAccountPayload { user_id: ids::show(id) }))
    }

    /// Removes the viewer's account and all that it owns, at once; its running replies stop. CONFLICT for the last admin,
    /// INVALID_CREDENTIALS with a wrong password, LOCKED_OUT after too many, FORBIDDEN with a personal access token.
    async fn delete_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password.")] input: DeleteAccountInput,
    ) -> Result<Option<DeleteAccountPayload>> {
        let state = ctx.state();
        let id = state.accounts.delete_account(ctx.viewer()?, input.password, ctx.client()?, &state.chats).await?;
        Ok(Some(DeleteAccountPayload { user_id: ids::show(id) }))
    }

    /// Makes a token with which a program acts for the viewer. CONFLICT beyond 50, FORBIDDEN with a personal access token.
    async fn create_personal_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to be made.")] input: CreatePersonalAccessTokenInput,
    ) -> Result<Option<CreatePersonalAccessTokenPayload>> {
        let new = NewToken {
            name: input.name,
            scopes: input.scopes.into_iter().map(Into::into).collect(),
            expires_at: input.expires_at.map(|at| at.0),
        };
        let (row, secret) = ctx.state().accounts.create_token(ctx.viewer()?, new, ctx.client()?).await?;
        Ok(Some(CreatePersonalAccessTokenPayload { personal_access_token: PersonalAccessToken(row), secret }))
    }

    /// Ends a personal access token of the viewer's, at once: its sockets close. FORBIDDEN with a personal access
    /// token.
    async fn revoke_personal_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to end.")] input: RevokePersonalAccessTokenInput,
    ) -> Result<Option<RevokePersonalAccessTokenPayload>> {
        let viewer = ctx.viewer()?;
        let id = ids::parse(&input.personal_access_token_id, "personalAccessTokenId")?;
        ctx.state().accounts.revoke_token(viewer, id, ctx.client()?).await?;
        Ok(Some(RevokePersonalAccessTokenPayload { personal_access_token_id: input.personal_access_token_id }))
    }
}
