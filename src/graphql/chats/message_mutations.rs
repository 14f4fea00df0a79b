//! The mutations of messages that start no reply.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::message::Rating;
use super::{Chat, Message};
use crate::domain::Result;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The input of `selectBranch`.
#[derive(Debug, Clone, InputObject)]
pub struct SelectBranchInput {
    /// The ID of the chat.
    chat_id: ID,
    /// The ID of any message of the branch. Its newest descendant becomes the last message of the active branch.
    message_id: ID,
}

/// The payload of `selectBranch`.
#[derive(Debug, SimpleObject)]
pub struct SelectBranchPayload {
    /// The chat with its new active branch.
    chat: Chat,
}

/// The input of `rateMessage`.
#[derive(Debug, Clone, InputObject)]
pub struct RateMessageInput {
    /// The ID of the message of the assistant.
    message_id: ID,
    /// The rating. Null removes it.
    rating: Option<Rating>,
}

/// The payload of `rateMessage`.
#[derive(Debug, SimpleObject)]
pub struct RateMessagePayload {
    /// The rated message.
    message: Message,
}

/// The input of `deleteMessage`.
#[derive(Debug, Clone, InputObject)]
pub struct DeleteMessageInput {
    /// The ID of the message to delete.
    message_id: ID,
}

/// The payload of `deleteMessage`. If the active branch ended in the deleted messages, it now ends in the newest
/// descendant of the parent of the deleted message (in the newest message of the chat if a first message was deleted).
#[derive(Debug, SimpleObject)]
pub struct DeleteMessagePayload {
    /// The chat without the deleted messages.
    chat: Chat,
    /// The ID of the deleted message.
    message_id: ID,
}

/// The mutations of messages that start no reply.
#[derive(Debug, Default)]
pub struct MessageMutations;

#[Object]
impl MessageMutations {
    /// Makes the branch through a message the active branch of its chat. NOT_FOUND if the chat has no such message.
    async fn select_branch(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `selectBranch`.")] input: SelectBranchInput,
    ) -> Result<Option<SelectBranchPayload>> {
        let viewer = ctx.viewer()?;
        let (chat, message) = (ids::parse(&input.chat_id, "chatId")?, ids::parse(&input.message_id, "messageId")?);
        let chat = ctx.state().chats.select_branch(viewer, chat, message).await?;
        Ok(Some(SelectBranchPayload { chat: Chat::new(chat) }))
    }

    /// Rates a message of the assistant, or removes its rating. INVALID_INPUT for a message of the user.
    async fn rate_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `rateMessage`.")] input: RateMessageInput,
    ) -> Result<Option<RateMessagePayload>> {
        let (viewer, id) = (ctx.viewer()?, ids::parse(&input.message_id, "messageId")?);
        let message = ctx.state().chats.rate_message(viewer, id, input.rating.map(Into::into)).await?;
        Ok(Some(RateMessagePayload { message: Message::new(message) }))
    }

    /// Deletes a message and all its descendants permanently. Replies that are STREAMING among them are stopped.
    async fn delete_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `deleteMessage`.")] input: DeleteMessageInput,
    ) -> Result<Option<DeleteMessagePayload>> {
        let viewer = ctx.viewer()?;
        let chat = ctx.state().chats.delete_message(viewer, ids::parse(&input.message_id, "messageId")?).await?;
        Ok(Some(DeleteMessagePayload { chat: Chat::new(chat), message_id: input.message_id }))
    }
}
