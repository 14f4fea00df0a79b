//! Conversations between two users.

use async_graphql::{Context, ID, Object};

use super::DirectMessage;
use crate::domain::direct_messages::{ConversationCursor, DirectMessageCursor, MessagesQuery};
use crate::domain::{Error, Result};
use crate::entity::conversation;
use crate::graphql::accounts::User;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::pagination::{Connection, PageArguments, total_if_requested};
use crate::graphql::scalars::DateTime;

/// The conversation of the viewer with another user: all direct messages between the two.
#[derive(Debug, Clone)]
pub struct Conversation(pub conversation::Model);

/// The conversation of the viewer with another user: all direct messages between the two.
#[Object]
impl Conversation {
    /// The conversation's ID, with the prefix `conv`. The same for both users.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// The other user. Null if the account was deleted; a deactivated user is still shown.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(ctx.loaders().load_one(self.0.other_id).await?.map(User::from))
    }

    /// The newest message.
    async fn last_message(&self, ctx: &Context<'_>) -> Result<Option<DirectMessage>> {
        let Some(id) = self.0.last_message_id else { return Ok(None) };
        Ok(ctx.loaders().load_one(id).await?.map(DirectMessage))
    }

    /// The number of messages from the other user that the viewer has not marked as read.
    async fn unread_count(&self) -> i32 {
        self.0.unread_count
    }

    /// The time up to which the other user has read all messages. Null if the other user has read none.
    async fn read_until(&self) -> Option<DateTime> {
        self.0.other_read_until.map(DateTime)
    }

    /// The messages, oldest first. Without arguments, returns the newest 20 messages.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
    ) -> Result<Connection<DirectMessage>> {
        let window = PageArguments { first, after, last, before }.window::<DirectMessageCursor>(true)?;
        let query = MessagesQuery { conversation_id: self.0.id, window };
        let page = ctx.loaders().load_one(query).await?;
        let page = page.ok_or_else(|| Error::internal("a conversation without its messages"))?;
        let total = u64::try_from(self.0.message_count).ok();
        Ok(Connection::new(page, |message| DirectMessageCursor::from(&**message), DirectMessage, total))
    }
}

/// The queries of conversations.
#[derive(Debug, Default)]
pub struct ConversationQueries;

#[Object]
impl ConversationQueries {
    /// The viewer's conversations with other users, latest activity first.
    async fn conversations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first *n* items of the list (at most 100). Cannot be combined with `last`.")]
        first: Option<i32>,
        #[graphql(desc = "Returns only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last *n* items of the list (at most 100). Cannot be combined with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Returns only items before this cursor.")] before: Option<String>,
    ) -> Result<Option<Connection<Conversation>>> {
        let (viewer, messages) = (ctx.viewer()?, &ctx.state().direct_messages);
        let window = PageArguments { first, after, last, before }.window::<ConversationCursor>(false)?;
        ctx.budget().statements(1)?;
        let page = messages.page(viewer, window).await?;
        let total = total_if_requested(ctx, messages.count(viewer)).await?;
        Ok(Some(Connection::new(page, |row| ConversationCursor::from(row), Conversation, total)))
    }

    /// The viewer's conversation with this user. Null before the first message.
    async fn conversation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the other user.")] user_id: ID,
    ) -> Result<Option<Conversation>> {
        let (viewer, other) = (ctx.viewer()?, ids::parse(&user_id, "userId")?);
        ctx.budget().statements(1)?;
        Ok(ctx.state().direct_messages.conversation_with(viewer, other).await?.map(Conversation))
    }
}
