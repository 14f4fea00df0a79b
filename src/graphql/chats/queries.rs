//! The queries of this slice.

use async_graphql::{Context, ID, Object};

use super::Chat;
use crate::domain::Result;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The queries of this slice.
#[derive(Debug, Default)]
pub struct ChatQueries;

#[Object]
impl ChatQueries {
    /// A chat of the viewer; null when there is none with this id.
    async fn chat(&self, ctx: &Context<'_>, #[graphql(desc = "The chat's id.")] id: ID) -> Result<Option<Chat>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&id, "id")?);
        Ok(ctx.state().chats.find(viewer, id).await?.map(Chat::new))
    }
}
