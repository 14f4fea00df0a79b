//! Blocks between users: neither of the two can send a message to the other.

use super::DirectMessages;
use crate::domain::{Error, FieldErrorCode, Result, Viewer};
use crate::entity::ids::UserId;
use crate::entity::{user, user_block};
use crate::storage::{conversations, user_blocks, users};

/// The maximum number of users that a user can block.
pub const MAX_BLOCKED: u64 = 1_000;

impl DirectMessages {
    /// Blocks a user. Does nothing if the user is blocked.
    ///
    /// # Errors
    /// [`Error::Invalid`] for oneself; [`Error::NotFound`]; [`Error::Conflict`] if the viewer has blocked
    /// [`MAX_BLOCKED`] users.
    pub async fn block(&self, viewer: &Viewer, id: UserId) -> Result<user::Model> {
        if id == viewer.user_id {
            return Err(Error::invalid("userId", FieldErrorCode::NotAllowed, "You cannot block yourself."));
        }
        let transaction = self.database.begin().await?;
        users::lock(&transaction, viewer.user_id).await?.ok_or(Error::Unauthenticated)?;
        let found = users::find_all(&transaction, &[id]).await?;
        let user = found.into_iter().next().ok_or(Error::NotFound)?;
        // Waits until a message that is being sent has arrived.
        conversations::lock_between(&transaction, viewer.user_id, id).await?;
        let is_blocked = !user_blocks::among(&transaction, viewer.user_id, &[id]).await?.is_empty();
        if !is_blocked && user_blocks::count(&transaction, viewer.user_id).await? >= MAX_BLOCKED {
            return Err(Error::Conflict { message: "At most 1,000 users can be blocked.", fields: Vec::new() });
        }
        let block = user_block::Model { blocker_id: viewer.user_id, blocked_id: id, created_at: self.clock.now() };
        user_blocks::insert(&transaction, block).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// Unblocks a user. Does nothing if the user is not blocked.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn unblock(&self, viewer: &Viewer, id: UserId) -> Result<user::Model> {
        let transaction = self.database.begin().await?;
        let found = users::find_all(&transaction, &[id]).await?;
        let user = found.into_iter().next().ok_or(Error::NotFound)?;
        user_blocks::delete(&transaction, viewer.user_id, id).await?;
        transaction.commit().await?;
        Ok(user)
    }

    /// The users of this list that the viewer has blocked.
    ///
    /// # Errors
    /// When the database fails. The same holds for the method below.
    pub async fn blocked_among(&self, viewer: &Viewer, users: &[UserId]) -> Result<Vec<UserId>> {
        Ok(user_blocks::among(self.database.reader(), viewer.user_id, users).await?)
    }

    /// The users that the viewer has blocked, latest first.
    pub async fn blocked(&self, viewer: &Viewer) -> Result<Vec<UserId>> {
        Ok(user_blocks::of(self.database.reader(), viewer.user_id, MAX_BLOCKED).await?)
    }
}
