//! Listing a user's sessions and revoking them.

use serde_json::json;

use super::Accounts;
use crate::domain::audit::Action;
use crate::domain::{Client, Error, Result, Viewer, audit};
use crate::entity::ids::{SessionId, UserId};
use crate::entity::session;
use crate::storage::{sessions, users};

impl Accounts {
    /// The sessions of these users, most recently used first. The caller checks with [`account_of`](super::account_of)
    /// which of them the viewer may see.
    pub async fn sessions_of(&self, ids: &[UserId]) -> Result<Vec<session::Model>> {
        Ok(sessions::of_users(self.0.database.reader(), ids, self.0.clock.now()).await?)
    }

    /// Ends a session of the viewer: its tokens stop working and its WebSocket connections close at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] with a personal access token.
    pub async fn revoke_session(&self, viewer: &Viewer, id: SessionId, client: &Client) -> Result<()> {
        viewer.session()?;
        self.own_sessions(viewer, &[id]).await?.pop().ok_or(Error::NotFound)?;
        let transaction = self.0.database.begin().await?;
        if !sessions::delete(&transaction, id).await? {
            return Err(Error::NotFound);
        }
        let entry = self.audit(Action::SessionRevoked, client).by(viewer.user_id).on(id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.close_sessions(vec![id]).await;
        Ok(())
    }

    /// Ends all sessions of the viewer, including the current one. Returns the number of sessions.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with a personal access token.
    pub async fn logout_everywhere(&self, viewer: &Viewer, client: &Client) -> Result<usize> {
        viewer.session()?;
        let transaction = self.0.database.begin().await?;
        users::lock(&transaction, viewer.user_id).await?.ok_or(Error::Unauthenticated)?;
        let ended = sessions::delete_of_user(&transaction, viewer.user_id, None).await?;
        let entry = self.audit(Action::UserLoggedOutEverywhere, client).by(viewer.user_id).on(viewer.user_id);
        audit::record(&transaction, entry.detail(json!({ "sessionCount": ended.len() }))).await?;
        transaction.commit().await?;
        let count = ended.len();
        self.close_sessions(ended).await;
        Ok(count)
    }
}
