//! A user's sessions, and ending them from afar.

use serde_json::json;

use super::Accounts;
use crate::domain::audit::Action;
use crate::domain::{Client, Error, Result, Viewer, audit};
use crate::entity::ids::{SessionId, UserId};
use crate::entity::session;
use crate::storage::{accounts as rows, users};

impl Accounts {
    /// Every session of those users, the last used first. Who may see them, [`account_of`](super::account_of) says.
    pub async fn sessions_of(&self, ids: &[UserId]) -> Result<Vec<session::Model>> {
        Ok(users::sessions(self.0.database.reader(), ids, self.0.clock.now()).await?)
    }

    /// Ends a session of the viewer's: its tokens are dead and its sockets close, at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] with a personal access token.
    pub async fn revoke_session(&self, viewer: &Viewer, id: SessionId, client: &Client) -> Result<()> {
        viewer.session()?;
        self.session(viewer, id).await?.ok_or(Error::NotFound)?;
        let transaction = self.0.database.begin().await?;
        if !rows::delete_session(&transaction, id).await? {
            return Err(Error::NotFound);
        }
        let entry = self.audit(Action::SessionRevoked, client).by(viewer.user_id).on(id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.close_sessions(vec![id]).await;
        Ok(())
    }

    /// Ends every session of the viewer, this one too; answers how many there were.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with a personal access token.
    pub async fn logout_everywhere(&self, viewer: &Viewer, client: &Client) -> Result<usize> {
        viewer.session()?;
        let transaction = self.0.database.begin().await?;
        users::lock(&transaction, viewer.user_id).await?.ok_or(Error::Unauthenticated)?;
        let ended = users::delete_sessions(&transaction, viewer.user_id, None).await?;
        let entry = self.audit(Action::UserLoggedOutEverywhere, client).by(viewer.user_id).on(viewer.user_id);
        audit::record(&transaction, entry.detail(json!({ "sessionCount": ended.len() }))).await?;
        transaction.commit().await?;
        let count = ended.len();
        self.close_sessions(ended).await;
        Ok(count)
    }
}
