//! Typed access to the application state and the request through a resolver's context.

use std::sync::Arc;

use async_graphql::Context;
use async_graphql::dataloader::DataLoader;

use crate::domain::accounts::Accounts;
use crate::domain::audit::AuditLog;
use crate::domain::characters::Characters;
use crate::domain::chats::Chats;
use crate::domain::context::Contexts;
use crate::domain::direct_messages::DirectMessages;
use crate::domain::prompts::Prompts;
use crate::domain::replies::Replies;
use crate::domain::search::Search;
use crate::domain::usage::UsageReports;
use crate::domain::{Client, Registry, Requester, Result, Viewer};
use crate::graphql::budget::Budget;
use crate::graphql::execution::Caller;
use crate::graphql::loaders::Source;

/// The application state of the resolvers: the only value in the schema's data.
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
    /// Prompts.
    pub prompts: Prompts,
    /// The contexts of chats.
    pub contexts: Contexts,
    /// Direct messages between users.
    pub direct_messages: DirectMessages,
    /// Replies.
    pub replies: Replies,
    /// Full-text search.
    pub search: Search,
    /// Statistics and usage.
    pub usage: UsageReports,
    /// The configured models.
    pub models: Arc<Registry>,
    /// The maximum length of a message, in Unicode characters.
    pub max_message_length: usize,
}

/// The loaders of one request.
pub type Loaders = DataLoader<Source>;

/// Typed access to the values in the context.
pub trait ContextExt {
    /// The application state.
    fn state(&self) -> &State;
    /// The requester: a viewer, an anonymous client, or a client with invalid credentials.
    fn requester(&self) -> &Requester;
    /// The client of the request.
    fn client(&self) -> &Client;
    /// The loaders of this request.
    fn loaders(&self) -> &Loaders;
    /// The budget of this request.
    fn budget(&self) -> &Budget;

    /// The viewer (the signed-in user), or [`Error::Unauthenticated`](crate::domain::Error::Unauthenticated).
    fn viewer(&self) -> Result<&Viewer> {
        self.requester().viewer()
    }
}

impl ContextExt for Context<'_> {
    fn state(&self) -> &State {
        self.data_unchecked()
    }

    fn requester(&self) -> &Requester {
        match &self.data_unchecked::<Caller>().requester {
            // An earlier field of this document may have ended the session; its credentials are then invalid for the
            // fields that follow.
            Requester::Viewer(viewer) if viewer.session_ended.is_cancelled() => &Requester::Dead,
            requester => requester,
        }
    }

    fn client(&self) -> &Client {
        &self.data_unchecked::<Caller>().client
    }

    fn loaders(&self) -> &Loaders {
        self.data_unchecked()
    }

    fn budget(&self) -> &Budget {
        self.data_unchecked::<Arc<Budget>>()
    }
}
