//! The mutations of the viewer's own account.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::user::User;
use crate::domain::Result;
use crate::domain::accounts::ProfileChanges;
use crate::graphql::changes::change;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

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

/// The mutations of the viewer's own account.
#[derive(Default)]
pub struct SelfServiceMutations;

#[Object]
impl SelfServiceMutations {
    /// Changes the viewer's profile. CONFLICT if the username or email address is taken. A change of either requires a
    /// session: with a personal access token it is FORBIDDEN. A change of the email address is INVALID_CREDENTIALS if
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
        let row = ctx.state().accounts.update_profile(ctx.viewer()?, changes, ctx.client()).await?;
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
        let row = accounts.change_password(ctx.viewer()?, current_password, new_password, ctx.client()).await?;
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
        let id = ctx.state().accounts.reset_password(&reset_token, new_password, ctx.client()).await?;
        Ok(Some(ResetPasswordPayload { user_id: ids::show(id) }))
    }

    /// Ends the viewer's sessions and hides the account until an admin activates it. CONFLICT for the last admin.
    /// INVALID_CREDENTIALS if the password is wrong, LOCKED_OUT after too many wrong passwords. FORBIDDEN with a
    /// personal access token.
    async fn deactivate_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deactivateAccount`.")] input: DeactivateAccountInput,
    ) -> Result<Option<DeactivateAccountPayload>> {
        let id = ctx.state().accounts.deactivate_account(ctx.viewer()?, input.password, ctx.client()).await?;
        Ok(Some(DeactivateAccountPayload { user_id: ids::show(id) }))
    }

    /// Deletes the viewer's account and its data immediately; its STREAMING replies are stopped. Sent direct messages
    /// and usage remain, without its name. CONFLICT for the last admin. INVALID_CREDENTIALS if the password is wrong,
    /// LOCKED_OUT after too many wrong passwords. FORBIDDEN with a personal access token.
    async fn delete_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deleteAccount`.")] input: DeleteAccountInput,
    ) -> Result<Option<DeleteAccountPayload>> {
        let state = ctx.state();
        let id = state.accounts.delete_account(ctx.viewer()?, input.password, ctx.client(), &state.chats).await?;
        Ok(Some(DeleteAccountPayload { user_id: ids::show(id) }))
    }
}
