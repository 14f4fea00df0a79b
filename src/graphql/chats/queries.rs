//! The queries of chats.

use async_graphql::{Context, ID, Object};

use super::Chat;
use crate::domain::Result;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The queries of chats.
#[derive(Debug, Default)]
pub struct ChatQueries;

#[Object]
impl ChatQueries {
    /// Looks up a chat of the viewer. Null if the viewer has no chat with this ID.
    async fn chat(&self, ctx: &Context<'_>, #[graphql(desc = "The ID of the chat.")] id: ID) -> Result<Option<Chat>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&id, "id")?);
        Ok(ctx.state().chats.find(viewer, id).await?.map(Chat::new))
    }
}
