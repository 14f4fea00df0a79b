//! Direct messages.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};

use super::Conversation;
use crate::domain::{Error, Result};
use crate::entity::{conversation, direct_message};
use crate::graphql::accounts::User;
use crate::graphql::budget::Text;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// A message from one user to another.
#[derive(Debug, Clone)]
pub struct DirectMessage(pub Arc<direct_message::Model>);

impl DirectMessage {
    fn is_from(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(ctx.viewer()?.user_id == self.0.sender_id)
    }

    async fn row_of_conversation(&self, ctx: &Context<'_>) -> Result<conversation::Model> {
        ctx.loaders().load_one(self.0.conversation_id).await?.ok_or(Error::NotFound)
    }
}

/// A message from one user to another.
#[Object]
impl DirectMessage {
    /// The message's ID, with the prefix `dm`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.id)
    }

    /// The conversation that contains the message.
    async fn conversation(&self, ctx: &Context<'_>) -> Result<Conversation> {
        self.row_of_conversation(ctx).await.map(Conversation)
    }

    /// The user who sent the message. Null if the account was deleted.
    async fn sender(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(ctx.loaders().load_one(self.0.sender_id).await?.map(User::from))
    }

    /// The user who received the message. Null if the account was deleted.
    async fn recipient(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let conversation = self.row_of_conversation(ctx).await?;
        let recipient = if self.is_from(ctx)? { conversation.other_id } else { conversation.user_id };
        Ok(ctx.loaders().load_one(recipient).await?.map(User::from))
    }

    /// Whether the viewer sent the message.
    async fn is_mine(&self, ctx: &Context<'_>) -> Result<bool> {
        self.is_from(ctx)
    }

    /// The text of the message.
    async fn content(&self) -> Text<'_> {
        Text::from(&self.0.content)
    }

    /// Whether the recipient has marked the message as read.
    async fn is_read(&self, ctx: &Context<'_>) -> Result<bool> {
        let conversation = self.row_of_conversation(ctx).await?;
        let until = if self.is_from(ctx)? { conversation.other_read_until } else { conversation.read_until };
        Ok(until >= Some(self.0.created_at))
    }

    /// The message of the same conversation that this one replies to.
    async fn parent(&self, ctx: &Context<'_>) -> Result<Option<DirectMessage>> {
        let Some(id) = self.0.parent_id else { return Ok(None) };
        Ok(ctx.loaders().load_one(id).await?.map(DirectMessage))
    }

    /// The key that the message was sent with, for matching an optimistic record. Null for the recipient.
    async fn idempotency_key(&self, ctx: &Context<'_>) -> Result<Option<&str>> {
        Ok(if self.is_from(ctx)? { self.0.idempotency_key.as_deref() } else { None })
    }

    /// The time when the message was sent. Different for each message of a conversation.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}
