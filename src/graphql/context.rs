//! What resolvers reach through their context.

use std::sync::Arc;

use async_graphql::Context;
use async_graphql::dataloader::DataLoader;

use tokio_util::task::TaskTracker;

use crate::domain::accounts::Accounts;
use crate::domain::audit::AuditLog;
use crate::domain::characters::Characters;
use crate::domain::chats::Chats;
use crate::domain::replies::Replies;
use crate::domain::{Client, Error, Requester, Result, Viewer};
use crate::graphql::budget::Budget;
use crate::graphql::loaders::Source;
use crate::llm::registry::Registry;

/// What the resolvers work with: one value in the schema.
#[derive(Clone)]
pub struct State {
    /// Accounts and sessions.
    pub accounts: Accounts,
    /// The audit log.
    pub audit: AuditLog,
    /// Characters.
    pub characters: Characters,
    /// Chats and their messages.
    pub chats: Chats,
    /// The reply engine.
    pub replies: Replies,
    /// The models.
    pub models: Arc<Registry>,
    /// The longest message, in Unicode characters.
    pub max_message_length: usize,
    /// Holds the tasks of loaders.
    pub tracker: TaskTracker,
}

/// The loaders of one request.
pub type Loaders = DataLoader<Source>;

/// Typed access to what the context holds.
pub trait ContextExt {
    /// The server's parts.
    fn state(&self) -> &State;
    /// Who asks.
    fn requester(&self) -> &Requester;
    /// The other end of the connection.
    fn client(&self) -> Result<&Client>;
    /// The loaders of this request.
    fn loaders(&self) -> &Loaders;
    /// What this request may use.
    fn budget(&self) -> &Budget;

    /// The signed-in user, or [`Error::Unauthenticated`].
    fn viewer(&self) -> Result<&Viewer> {
        self.requester().viewer()
    }
}

impl ContextExt for Context<'_> {
    fn state(&self) -> &State {
        self.data_unchecked()
    }

    fn requester(&self) -> &Requester {
        match self.data_opt() {
            // A field before this one may have ended the session: what follows is asked with dead credentials.
            Some(Requester::Viewer(viewer)) if viewer.session_ended.is_cancelled() => &Requester::Dead,
            Some(requester) => requester,
            None => &Requester::Anonymous,
        }
    }

    fn client(&self) -> Result<&Client> {
        self.data().map_err(|_| Error::internal("a request without its client"))
    }

    fn loaders(&self) -> &Loaders {
        self.data_unchecked()
    }

    fn budget(&self) -> &Budget {
        self.data_unchecked::<Arc<Budget>>()
    }
}
