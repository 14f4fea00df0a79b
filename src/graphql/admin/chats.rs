//! Administration of the chats of other users.

use async_graphql::{Context, ID, Object};

use crate::domain::{ChatCursor, Result};
use crate::graphql::chats::Chat;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::pagination::{Connection, PageArguments, total_if_requested};

/// The fields of `Admin` for chats.
#[derive(Debug, Default)]
pub struct AdminChats;

#[Object]
impl AdminChats {
    /// The chats of all users or of one user, latest activity first. Requires CHATS_READ. Access to the list, and to
    /// the messages of each chat, is audited.
    async fn chats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the owner of the chats. If absent, returns the chats of all users.")]
        user_id: Option<ID>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
    ) -> Result<Option<Connection<Chat>>> {
        let viewer = ctx.viewer()?;
        let window = PageArguments { first, after, last, before }.window::<ChatCursor>(false)?;
        let owner = ids::parse_optional(user_id.as_ref(), "userId")?;
        ctx.budget().statements(1)?;
        let chats = &ctx.state().chats;
        let page = chats.page_of_others(viewer, ctx.client(), owner, window).await?;
        let total = total_if_requested(ctx, chats.count_of_others(viewer, owner)).await?;
        Ok(Some(Connection::new(page, |chat| ChatCursor::from(chat), Chat::listed, total)))
    }

    /// Looks up a chat of any user. Null if there is no chat with this ID; INVALID_INPUT for a malformed ID or an ID of
    /// another type. Requires CHATS_READ. Access is audited.
    async fn chat(&self, ctx: &Context<'_>, #[graphql(desc = "The ID of the chat.")] id: ID) -> Result<Option<Chat>> {
        let id = ids::parse(&id, "id")?;
        ctx.budget().statements(1)?;
        let found = ctx.state().chats.find_of_others(ctx.viewer()?, ctx.client(), id).await?;
        Ok(found.map(|(chat, access)| Chat::found(chat, access)))
    }
}
