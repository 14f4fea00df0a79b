//! Re-authentication: sensitive changes of an account require its password.

use sea_orm::ConnectionTrait;

use super::Accounts;
use crate::domain::audit::Action;
use crate::domain::{Client, Error, Result, Viewer};
use crate::entity::user;
use crate::storage::users;

impl Accounts {
    /// The viewer's account.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the account was deleted meanwhile.
    pub(super) async fn account(&self, viewer: &Viewer) -> Result<user::Model> {
        let found = users::find_all(self.0.database.reader(), &[viewer.user_id]).await?;
        found.into_iter().next().ok_or(Error::Unauthenticated)
    }

    /// The viewer's account, after a check of its password.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with a personal access token, [`Error::InvalidCredentials`], [`Error::LockedOut`],
    /// [`Error::Unavailable`] if too many requests wait for a password check.
    pub(super) async fn check_password(
        &self,
        viewer: &Viewer,
        password: String,
        client: &Client,
    ) -> Result<user::Model> {
        viewer.session()?;
        let user = self.account(viewer).await?;
        // Counted like a sign-in: access to an open session must not allow faster guessing.
        let attempt = self.attempt(&user.username_key, Some(&user), client);
        self.check_lock(self.0.database.reader(), &attempt).await?;
        if self.0.passwords.verify(password, Some(user.password_hash.clone())).await? {
            self.check_attempt_limit(&attempt).await?;
            return Ok(user);
        }
        let entry = self.audit(Action::PasswordCheckFailed, client).by(user.id).on(user.id);
        Err(self.password_failed(&attempt, entry, client).await)
    }
}

/// The current row of the account, locked until the transaction ends.
///
/// # Errors
/// [`Error::InvalidCredentials`] if the password was changed since the check, or the account was deactivated or
/// deleted.
pub(super) async fn lock_checked(transaction: &impl ConnectionTrait, checked: &user::Model) -> Result<user::Model> {
    let now = users::lock(transaction, checked.id).await?;
    now.filter(|now| now.is_active && now.password_hash == checked.password_hash).ok_or(Error::InvalidCredentials)
}
