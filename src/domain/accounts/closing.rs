//! Closing an account: for a while, or for ever.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use tokio_util::sync::CancellationToken;

use super::live_sessions::Key;
use super::reauthentication::lock_checked;
use super::{Accounts, ensure_another_admin};
use crate::domain::audit::{Action, Entry};
use crate::domain::chats::Chats;
use crate::domain::{Client, Result, Viewer, audit};
use crate::entity::ids::{SessionId, UserId};
use crate::entity::{personal_access_token, user};
use crate::storage::{password_resets, personal_access_tokens, users};

/// Characters that a sweep removes in one transaction; each may stand in many chats of others.
const SWEEP_BATCH: u64 = 10;

/// What ended with an account, to be told to everybody when the transaction is committed.
#[must_use]
pub struct Ended {
    /// The sessions, which are gone.
    pub sessions: Vec<SessionId>,
    tokens: Vec<personal_access_token::Model>,
}

impl Accounts {
    /// Signs the viewer out everywhere and hides the account. An admin can undo it.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] for a wrong password, [`Error::LockedOut`] after too many of these, [`Error::Forbidden`] with
    /// a personal access token, [`Error::Conflict`] for the last admin, [`Error::Unavailable`] when too many wait.
    pub async fn deactivate_account(&self, viewer: &Viewer, password: String, client: &Client) -> Result<UserId> {
        let checked = self.check_password(viewer, password, client).await?;
        let transaction = self.0.database.begin().await?;
        ensure_another_admin(&transaction, checked.id).await?;
        let user = lock_checked(&transaction, &checked).await?;
        let ended = self.deactivate(&transaction, user).await?;
        let entry = self.audit(Action::UserDeactivated, client).by(checked.id).on(checked.id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.close_all(ended).await;
        Ok(checked.id)
    }

    /// Closes an account whose row is locked and ends its sessions; its personal access tokens rest. When the transaction is
    /// committed, [`Accounts::close_all`] is told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deactivate(&self, tx: &impl ConnectionTrait, user: user::Model) -> Result<Ended> {
        let ended = Ended {
            sessions: users::delete_sessions(tx, user.id, None).await?,
            tokens: personal_access_tokens::of_users(tx, &[user.id]).await?,
        };
        users::update(tx, user::Model { is_active: false, ..user }).await?;
        Ok(ended)
    }

    /// Removes the viewer's account with all that it owns: gone for every reader at once, swept later.
    ///
    /// # Errors
    /// As [`Accounts::deactivate_account`].
    pub async fn delete_account(
        &self,
        viewer: &Viewer,
        password: String,
        client: &Client,
        chats: &Chats,
    ) -> Result<UserId> {
        let checked = self.check_password(viewer, password, client).await?;
        let entry = self.audit(Action::UserDeleted, client).by(checked.id).on(checked.id);
        let transaction = self.0.database.begin().await?;
        ensure_another_admin(&transaction, checked.id).await?;
        let user = lock_checked(&transaction, &checked).await?;
        let ended = self.mark_deleted(&transaction, user, entry).await?;
        transaction.commit().await?;
        self.let_go(checked.id, ended, chats).await;
        Ok(checked.id)
    }

    /// Closes what ended sessions and resting tokens hold open here.
    pub async fn close_all(&self, ended: Ended) {
        let Ended { sessions, tokens } = ended;
        self.close_sessions(sessions).await;
        for token in tokens {
            self.0.live.close(Key::of_token(&token.token_hash)).await;
        }
    }

    /// Removes what deleted users owned, in batches, and at last the users. A restart goes on where this left off.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep_deleted(&self, chats: &Chats, stop: &CancellationToken) -> Result<()> {
        let mut last = None;
        while let Some(id) = users::find_deleted(self.0.database.reader(), last).await? {
            last = Some(id);
            // Again: a request that was on its way may have made one, and a crash may have come between.
            chats.delete_all(id).await?;
            chats.sweep(stop).await?;
            let mut has_more = true;
            while has_more && !stop.is_cancelled() {
                let transaction = self.0.database.begin().await?;
                has_more = users::sweep_characters(&transaction, id, SWEEP_BATCH).await?;
                transaction.commit().await?;
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            let transaction = self.0.database.begin().await?;
            users::delete(&transaction, id).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Marks an account whose row is locked: nobody finds it from now on, and its names are free.
    pub(super) async fn mark_deleted(
        &self,
        tx: &impl ConnectionTrait,
        user: user::Model,
        entry: Entry,
    ) -> Result<Ended> {
        let tokens = personal_access_tokens::of_users(tx, &[user.id]).await?;
        personal_access_tokens::delete_all(tx, user.id).await?;
        let ended = Ended { sessions: users::delete_sessions(tx, user.id, None).await?, tokens };
        password_resets::delete(tx, user.id).await?;
        users::delete_roles(tx, user.id).await?;
        users::hide_characters(tx, user.id).await?;
        users::update(tx, without_person(user, self.0.clock.now())).await?;
        audit::record(tx, entry).await?;
        Ok(ended)
    }

    /// Closes what a deleted account holds open. The chats have a transaction of their own: in one with the account's row, it
    /// would wait for somebody who writes to a chat and waits for that row.
    pub(super) async fn let_go(&self, id: UserId, ended: Ended, chats: &Chats) {
        self.close_all(ended).await;
        if let Err(cause) = chats.delete_all(id).await {
            tracing::error!(user = %id, error = &cause as &dyn std::error::Error, "the sweep will hide a deleted user's chats");
        }
    }
}

/// What is left of a deleted user until everything that refers to it is swept. No name has a colon.
fn without_person(user: user::Model, now: DateTime<Utc>) -> user::Model {
    let nobody = format!("deleted:{}", user.id);
    user::Model {
        username: nobody.clone(),
        username_key: nobody.clone(),
        email: nobody.clone(),
        email_key: nobody,
        password_hash: String::new(),
        full_name: None,
        full_name_key: None,
        bio: None,
        is_active: false,
        last_seen_at: None,
        updated_at: now,
        deleted_at: Some(now),
        ..user
    }
}
