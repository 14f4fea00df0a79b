//! The loaders of direct messages.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;

use crate::domain::direct_messages::{MAX_PAGES, MessagesQuery};
use crate::domain::{Error, Page, Result};
use crate::entity::ids::{ConversationId, DirectMessageId, UserId};
use crate::entity::{conversation, direct_message};
use crate::graphql::loaders::{ROW, Source};

/// The viewer's block of this user. Present if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockOf(pub UserId);

impl Loader<ConversationId> for Source {
    type Value = conversation::Model;
    type Error = Error;

    async fn load(&self, ids: &[ConversationId]) -> Result<HashMap<ConversationId, conversation::Model>> {
        let viewer = self.statement()?;
        let found = self.rows(self.state.direct_messages.conversations(viewer, ids).await?)?;
        Ok(found.into_iter().map(|conversation| (conversation.id, conversation)).collect())
    }
}

impl Loader<DirectMessageId> for Source {
    type Value = Arc<direct_message::Model>;
    type Error = Error;

    async fn load(&self, ids: &[DirectMessageId]) -> Result<HashMap<DirectMessageId, Self::Value>> {
        let viewer = self.statement()?;
        let found = self.state.direct_messages.messages(viewer, ids, self.budget.bytes_left()).await?;
        self.budget.bytes(found.iter().map(size_of_direct_message).sum())?;
        Ok(found.into_iter().map(|message| (message.id, Arc::new(message))).collect())
    }
}

impl Loader<MessagesQuery> for Source {
    type Value = Page<Arc<direct_message::Model>>;
    type Error = Error;

    async fn load(&self, queries: &[MessagesQuery]) -> Result<HashMap<MessagesQuery, Self::Value>> {
        let mut pages = HashMap::new();
        for queries in queries.chunks(MAX_PAGES) {
            let viewer = self.statement()?;
            let found = self.state.direct_messages.pages(viewer, queries, self.budget.bytes_left()).await?;
            self.budget.bytes(found.iter().flat_map(|page| &page.rows).map(size_of_direct_message).sum())?;
            let found = found.into_iter().map(|Page { rows, has_previous, has_next }| Page {
                rows: rows.into_iter().map(Arc::new).collect(),
                has_previous,
                has_next,
            });
            pages.extend(queries.iter().cloned().zip(found));
        }
        Ok(pages)
    }
}

impl Loader<BlockOf> for Source {
    type Value = ();
    type Error = Error;

    async fn load(&self, users: &[BlockOf]) -> Result<HashMap<BlockOf, ()>> {
        let viewer = self.statement()?;
        let ids: Vec<UserId> = users.iter().map(|key| key.0).collect();
        let blocked = self.state.direct_messages.blocked_among(viewer, &ids).await?;
        Ok(blocked.into_iter().map(|id| (BlockOf(id), ())).collect())
    }
}

/// The approximate memory size of a direct message, in bytes.
pub(super) fn size_of_direct_message(message: &direct_message::Model) -> usize {
    ROW + message.content.len()
}
