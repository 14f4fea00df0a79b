//! Deactivating and deleting accounts.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use tokio_util::sync::CancellationToken;

use super::live_sessions::Key;
use super::reauthentication::lock_checked;
use super::{Accounts, ensure_another_admin};
use crate::domain::audit::{Action, Entry};
use crate::domain::characters::Characters;
use crate::domain::chats::Chats;
use crate::domain::direct_messages::DirectMessages;
use crate::domain::{Client, Result, Viewer, audit};
use crate::entity::ids::{SessionId, UserId};
use crate::entity::{personal_access_token, user};
use crate::storage::{characters, password_resets, personal_access_tokens, roles, sessions, usage, users};

/// Ledger entries, and totals, that a sweep anonymizes in one transaction.
const USAGE_BATCH: u64 = 100;

/// The sessions and tokens that ended with an account. Pass it to [`Accounts::close_all`] after the commit.
#[must_use]
pub struct Ended {
    /// The sessions that were deleted.
    pub sessions: Vec<SessionId>,
    tokens: Vec<personal_access_token::Model>,
}

impl Accounts {
    /// Deactivates the viewer's account and ends all of its sessions. An admin can activate it again.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] for a wrong password, [`Error::LockedOut`] after too many of them,
    /// [`Error::Forbidden`] with a personal access token, [`Error::Conflict`] for the last admin,
    /// [`Error::Unavailable`] if too many requests wait for a password check.
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

    /// Deactivates an account whose row is locked, and deletes its sessions. Its personal access tokens are kept but do
    /// not work until it is activated. The caller must call [`Accounts::close_all`] after the commit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deactivate(&self, transaction: &impl ConnectionTrait, user: user::Model) -> Result<Ended> {
        let ended = Ended {
            sessions: sessions::delete_of_user(transaction, user.id, None).await?,
            tokens: personal_access_tokens::of_users(transaction, &[user.id]).await?,
        };
        users::update(transaction, user::Model { is_active: false, ..user }).await?;
        Ok(ended)
    }

    /// Deletes the viewer's account and all of its data. Both are hidden from all readers at once and removed later.
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
        self.close_deleted(checked.id, ended, chats).await;
        Ok(checked.id)
    }

    /// Closes the connections on this node that belong to ended sessions and suspended tokens.
    pub async fn close_all(&self, ended: Ended) {
        let Ended { sessions, tokens } = ended;
        self.close_sessions(sessions).await;
        for token in tokens {
            self.0.live.close(Key::of_token(&token.token_hash)).await;
        }
    }

    /// Removes the data of deleted users in batches, and then the users. After a restart it continues where it stopped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep_deleted(
        &self,
        chats: &Chats,
        characters: &Characters,
        direct_messages: &DirectMessages,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut last = None;
        while let Some(id) = users::find_deleted(self.0.database.reader(), last).await? {
            last = Some(id);
            // Repeated here, because a request in progress may have created a chat since, or a crash may have prevented
            // the first call.
            chats.delete_all(id).await?;
            chats.sweep(stop).await?;
            characters.sweep(stop).await?;
            direct_messages.sweep(id, stop).await?;
            if stop.is_cancelled() {
                return Ok(());
            }
            loop {
                let transaction = self.0.database.begin().await?;
                let has_more = usage::anonymize(&transaction, id, USAGE_BATCH).await?;
                if !has_more {
                    users::delete(&transaction, id).await?;
                }
                transaction.commit().await?;
                if !has_more || stop.is_cancelled() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Marks an account whose row is locked as deleted. From the commit on, no query finds it, and its names are free.
    pub(super) async fn mark_deleted(
        &self,
        transaction: &impl ConnectionTrait,
        user: user::Model,
        entry: Entry,
    ) -> Result<Ended> {
        let tokens = personal_access_tokens::of_users(transaction, &[user.id]).await?;
        personal_access_tokens::delete_all(transaction, user.id).await?;
        let ended = Ended { sessions: sessions::delete_of_user(transaction, user.id, None).await?, tokens };
        password_resets::delete(transaction, user.id).await?;
        roles::remove_all(transaction, user.id).await?;
        let now = self.0.clock.now();
        characters::mark_all_deleted(transaction, user.id, now).await?;
        users::update(transaction, anonymized(user, now)).await?;
        audit::record(transaction, entry).await?;
        Ok(ended)
    }

    /// Closes the connections of a deleted account and hides its chats. The chats have their own transaction: with the
    /// user's row locked, it could deadlock with a transaction that has locked a chat and waits for that row.
    pub(super) async fn close_deleted(&self, id: UserId, ended: Ended, chats: &Chats) {
        self.close_all(ended).await;
        if let Err(cause) = chats.delete_all(id).await {
            tracing::error!(
                user.id = %id,
                exception.message = &cause as &dyn std::error::Error,
                "chats of a deleted user not hidden yet; the sweep tries again"
            );
        }
    }
}

/// The row of a deleted user until all data that refers to it is removed. No username contains a colon, so the
/// replacement is unique.
fn anonymized(user: user::Model, now: DateTime<Utc>) -> user::Model {
    let placeholder = format!("deleted:{}", user.id);
    user::Model {
        username: placeholder.clone(),
        username_key: placeholder.clone(),
        email: placeholder.clone(),
        email_key: placeholder,
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
