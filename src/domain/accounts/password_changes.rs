//! Setting a new password: with the current one, or with a one-time token from an admin.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::live_sessions::Key;
use super::reauthentication::lock_checked;
use super::{Accounts, opaque_tokens};
use crate::domain::audit::Action;
use crate::domain::{Client, Error, Result, Viewer, audit};
use crate::entity::ids::{SessionId, UserId};
use crate::entity::{password_reset, user};
use crate::storage::{password_resets, personal_access_tokens, sessions, users};

/// The prefix of a reset token, by which people and secret scanners recognize it.
const RESET_PREFIX: &str = "duo_reset_";
/// How long a reset token is valid.
const RESET_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// A one-time token with which a user sets a new password.
#[derive(Clone)]
pub struct PasswordReset {
    /// The token. Shown only once.
    pub token: String,
    /// When the token expires.
    pub expires_at: DateTime<Utc>,
}

impl Accounts {
    /// Sets a new password for the viewer and ends all of their other sessions at once. Personal access tokens stay
    /// valid: otherwise running programs would be a reason to keep an old password.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a weak password, [`Error::InvalidCredentials`] for a wrong current one,
    /// [`Error::LockedOut`] after too many of those, [`Error::Forbidden`] with a personal access token,
    /// [`Error::Unavailable`] if too many requests wait for a password check.
    pub async fn change_password(
        &self,
        viewer: &Viewer,
        current: String,
        new: String,
        client: &Client,
    ) -> Result<user::Model> {
        let session = viewer.session()?;
        self.weigh_new(&self.account(viewer).await?, &new).await?;
        let checked = self.check_password(viewer, current, client).await?;
        let password_hash = self.0.passwords.hash(new).await?;
        let transaction = self.0.database.begin().await?;
        let user = user::Model { password_hash, ..lock_checked(&transaction, &checked).await? };
        let ended = set_password(&transaction, &user, Some(session)).await?;
        let entry = self.audit(Action::PasswordChanged, client).by(user.id).on(user.id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.close_sessions(ended).await;
        Ok(user)
    }

    /// Issues a reset token for a user, which replaces the previous one. Only its hash is stored.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the user does not exist.
    pub async fn issue_password_reset(
        &self,
        transaction: &impl ConnectionTrait,
        user_id: UserId,
    ) -> Result<PasswordReset> {
        users::lock(transaction, user_id).await?.ok_or(Error::NotFound)?;
        let reset = PasswordReset {
            token: opaque_tokens::make(RESET_PREFIX)?,
            expires_at: self.0.clock.now() + RESET_LIFETIME,
        };
        let token_hash = opaque_tokens::hash(&reset.token).to_vec();
        let row = password_reset::Model { user_id, token_hash, expires_at: reset.expires_at };
        password_resets::replace(transaction, row).await?;
        Ok(reset)
    }

    /// Sets a new password with a reset token, which can be used once. Ends all sessions and personal access tokens of
    /// the user at once, because an intruder may have created some of them.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] for an invalid token, whatever the reason; [`Error::Invalid`] for a weak password,
    /// which does not use up the token; [`Error::Unavailable`] if too many requests wait for a password hash.
    pub async fn reset_password(&self, token: &str, new: String, client: &Client) -> Result<UserId> {
        let (hash, now) = (opaque_tokens::hash(token), self.0.clock.now());
        let Some(user) = password_resets::find_user(self.0.database.reader(), &hash, now).await? else {
            let entry = self.audit(Action::PasswordResetFailed, client);
            audit::record_failure(&self.0.database, entry).await;
            return Err(Error::InvalidCredentials);
        };
        self.weigh_new(&user, &new).await?;
        let password_hash = self.0.passwords.hash(new).await?;
        let transaction = self.0.database.begin().await?;
        let user = users::lock(&transaction, user.id).await?.ok_or(Error::InvalidCredentials)?;
        if !password_resets::take(&transaction, &hash, now).await? {
            return Err(Error::InvalidCredentials);
        }
        let user = user::Model { password_hash, ..user };
        let ended = set_password(&transaction, &user, None).await?;
        let tokens = personal_access_tokens::of_users(&transaction, &[user.id]).await?;
        personal_access_tokens::delete_all(&transaction, user.id).await?;
        let detail = json!({ "sessionCount": ended.len(), "tokenCount": tokens.len() });
        let entry = self.audit(Action::PasswordReset, client).by(user.id).on(user.id).detail(detail);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.close_sessions(ended).await;
        for token in tokens {
            self.0.live.end(Key::of_token(&token.token_hash)).await;
        }
        Ok(user.id)
    }

    async fn weigh_new(&self, user: &user::Model, password: &str) -> Result<()> {
        let known = [user.username.as_str(), user.email.as_str(), user.full_name.as_deref().unwrap_or_default()];
        match self.0.passwords.check_strength(password, &known).await? {
            Some((code, advice)) => Err(Error::invalid("newPassword", code, advice)),
            None => Ok(()),
        }
    }

    /// Closes the connections on this node of sessions that were deleted from the database.
    pub(super) async fn close_sessions(&self, ended: Vec<SessionId>) {
        for id in ended {
            self.0.live.end(id).await;
        }
    }
}

/// Stores the new password, deletes the user's reset token and all of their sessions except one, and returns the
/// deleted sessions.
async fn set_password(
    transaction: &impl ConnectionTrait,
    user: &user::Model,
    but: Option<SessionId>,
) -> Result<Vec<SessionId>> {
    users::update(transaction, user.clone()).await?;
    password_resets::delete(transaction, user.id).await?;
    Ok(sessions::delete_of_user(transaction, user.id, but).await?)
}
