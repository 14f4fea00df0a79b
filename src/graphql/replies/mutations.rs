//! The mutations of this slice.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::domain::Result;
use crate::domain::replies::SendMessage;
use crate::graphql::chats::{Chat, CreateChatInput, Message};
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// A message to be sent. Exactly one of `chatId` and `newChat` is given.
#[derive(Debug, Clone, InputObject)]
pub struct SendMessageInput {
    /// The chat to send to.
    chat_id: Option<ID>,
    /// Makes the chat and sends its first message, in one step.
    new_chat: Option<CreateChatInput>,
    /// The words: not blank, and at most `server { maxMessageLength }` characters.
    content: String,
    /// The message that this follows; absent is the end of the active branch.
    parent_id: Option<ID>,
    /// The model of this reply; absent is the chat's.
    model_id: Option<ID>,
    /// The same key with the same input answers the first call's payload again, for 24 hours, and starts nothing. 1 to 255
    /// characters.
    idempotency_key: Option<String>,
}

/// What `sendMessage` made.
#[derive(Debug, SimpleObject)]
pub struct SendMessagePayload {
    /// The chat.
    chat: Chat,
    /// The user's message.
    message: Message,
    /// The assistant's message, STREAMING: read it with the `reply` subscription.
    reply: Message,
}

/// The reply to stop.
#[derive(Debug, Clone, InputObject)]
pub struct StopReplyInput {
    /// The reply.
    message_id: ID,
}

/// What `stopReply` left.
#[derive(Debug, SimpleObject)]
pub struct StopReplyPayload {
    /// The reply in its final state.
    message: Message,
}

/// The mutations of this slice.
#[derive(Debug, Default)]
pub struct ReplyMutations;

#[Object]
impl ReplyMutations {
    /// Sends a message and begins the reply to it. The reply is written whether or not anybody reads it; only `stopReply`
    /// stops it. CONFLICT while another reply is being written in the chat.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message to be sent.")] input: SendMessageInput,
    ) -> Result<Option<SendMessagePayload>> {
        let viewer = ctx.viewer()?;
        let input = SendMessage {
            chat_id: ids::parse_optional(input.chat_id.as_ref(), "chatId")?,
            new_chat: input.new_chat.map(|new_chat| new_chat.parse("newChat.")).transpose()?,
            content: input.content,
            parent_id: ids::parse_optional(input.parent_id.as_ref(), "parentId")?,
            model_id: input.model_id.map(|id| id.0),
            idempotency_key: input.idempotency_key,
        };
        let sent = ctx.state().replies.send(viewer, input).await?;
        let (message, reply) = (Message::new(sent.message), Message::new(sent.reply));
        Ok(Some(SendMessagePayload { chat: Chat::new(sent.chat), message, reply }))
    }

    /// Stops a reply; what had arrived is kept and counted. Works from any connection and any node; a reply that has ended
    /// stays as it is.
    async fn stop_reply(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The reply to stop.")] input: StopReplyInput,
    ) -> Result<Option<StopReplyPayload>> {
        let viewer = ctx.viewer()?;
        let message = ctx.state().replies.stop(viewer, ids::parse(&input.message_id, "messageId")?).await?;
        Ok(Some(StopReplyPayload { message: Message::new(message) }))
    }
}
