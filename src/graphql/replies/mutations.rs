//! Mutations that start or stop replies.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::domain::replies::{EditMessage, RegenerateReply, SendMessage, Started};
use crate::domain::{Error, Result};
use crate::graphql::chats::{Chat, CreateChatInput, Message};
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;

/// The input of `sendMessage`. Exactly one of `chatId` and `newChat` is required.
#[derive(Debug, Clone, InputObject)]
pub struct SendMessageInput {
    /// The chat to send the message to.
    chat_id: Option<ID>,
    /// Creates a chat and sends its first message in one step.
    new_chat: Option<CreateChatInput>,
    /// The text of the message. Not blank, and at most `server { maxMessageLength }` Unicode characters.
    content: String,
    /// The parent message: a message of the assistant. If absent, the last message of the active branch. INVALID_INPUT
    /// for a message of the user. CONFLICT if the parent is STREAMING; other branches of the chat are not affected.
    parent_id: Option<ID>,
    /// The ID of the model of this reply. If absent, the chat's model.
    model_id: Option<ID>,
    /// For 24 hours, the same key with the same input returns the payload of the first call again and starts nothing. 1
    /// to 255 characters.
    idempotency_key: Option<String>,
}

/// The payload of `sendMessage`.
#[derive(Debug, SimpleObject)]
pub struct SendMessagePayload {
    /// The chat of the message.
    chat: Chat,
    /// The user's message.
    message: Message,
    /// The assistant's message, with status STREAMING. Read it with the `reply` subscription.
    reply: Message,
}

/// The input of `regenerateReply`.
#[derive(Debug, Clone, InputObject)]
pub struct RegenerateReplyInput {
    /// The ID of a message of the assistant, which gets a sibling, or of a message of the user, which gets a reply.
    message_id: ID,
    /// The ID of the model of the new reply. If absent, the chat's model.
    model_id: Option<ID>,
    /// For 24 hours, the same key with the same input returns the payload of the first call again and starts nothing. 1
    /// to 255 characters.
    idempotency_key: Option<String>,
}

/// The payload of `regenerateReply`.
#[derive(Debug, SimpleObject)]
pub struct RegenerateReplyPayload {
    /// The chat of the reply. The branch of the new reply is its active branch.
    chat: Chat,
    /// The new reply, with status STREAMING. Read it with the `reply` subscription.
    reply: Message,
}

/// The input of `editMessage`.
#[derive(Debug, Clone, InputObject)]
pub struct EditMessageInput {
    /// The ID of the message to edit. The message itself is not changed.
    message_id: ID,
    /// The text of the new message. Not blank, and at most `server { maxMessageLength }` Unicode characters.
    content: String,
    /// The ID of the model of the reply to a message of the user. If absent, the chat's model.
    model_id: Option<ID>,
    /// For 24 hours, the same key with the same input returns the payload of the first call again and starts nothing. 1
    /// to 255 characters.
    idempotency_key: Option<String>,
}

/// The payload of `editMessage`.
#[derive(Debug, SimpleObject)]
pub struct EditMessagePayload {
    /// The chat of the message. The branch of the new message is its active branch.
    chat: Chat,
    /// The new message, a sibling of the edited one.
    message: Message,
    /// The reply to the new message, with status STREAMING. Null if a message of the assistant was edited.
    reply: Option<Message>,
}

/// The input of `stopReply`.
#[derive(Debug, Clone, InputObject)]
pub struct StopReplyInput {
    /// The ID of the reply to stop.
    message_id: ID,
}

/// The payload of `stopReply`.
#[derive(Debug, SimpleObject)]
pub struct StopReplyPayload {
    /// The reply in its final state.
    message: Message,
}

/// The mutations of messages and replies.
#[derive(Debug, Default)]
pub struct ReplyMutations;

#[Object]
impl ReplyMutations {
    /// Sends a message and starts the reply to it. The reply is generated whether or not a client reads it; only
    /// `stopReply` stops it. The new branch becomes the active one. CONFLICT if the parent is STREAMING.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `sendMessage`.")] input: SendMessageInput,
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
        let reply = reply_of(&sent)?;
        Ok(Some(SendMessagePayload { chat: Chat::new(sent.chat), message: Message::new(sent.message), reply }))
    }

    /// Starts another reply: a sibling of the given assistant message, or a reply to the given user message. It is
    /// generated like the reply of `sendMessage`, and its branch becomes the active one. The existing replies stay,
    /// also if they are STREAMING. INVALID_INPUT for a greeting.
    async fn regenerate_reply(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `regenerateReply`.")] input: RegenerateReplyInput,
    ) -> Result<Option<RegenerateReplyPayload>> {
        let viewer = ctx.viewer()?;
        let input = RegenerateReply {
            message_id: ids::parse(&input.message_id, "messageId")?,
            model_id: input.model_id.map(|id| id.0),
            idempotency_key: input.idempotency_key,
        };
        let started = ctx.state().replies.regenerate(viewer, input).await?;
        let reply = reply_of(&started)?;
        Ok(Some(RegenerateReplyPayload { chat: Chat::new(started.chat), reply }))
    }

    /// Adds a new version of a message beside it: a sibling, with the same parent and the new content. For a user
    /// message, a reply to the new version is started; for an assistant message, none. The new branch becomes the active
    /// one. The original message is kept.
    async fn edit_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `editMessage`.")] input: EditMessageInput,
    ) -> Result<Option<EditMessagePayload>> {
        let viewer = ctx.viewer()?;
        let input = EditMessage {
            message_id: ids::parse(&input.message_id, "messageId")?,
            content: input.content,
            model_id: input.model_id.map(|id| id.0),
            idempotency_key: input.idempotency_key,
        };
        let edited = ctx.state().replies.edit(viewer, input).await?;
        let (message, reply) = (Message::new(edited.message), edited.reply.map(Message::new));
        Ok(Some(EditMessagePayload { chat: Chat::new(edited.chat), message, reply }))
    }

    /// Stops a reply, from any connection and any node. Idempotent: a reply that has ended is not changed. The content
    /// received so far is kept and counted.
    async fn stop_reply(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `stopReply`.")] input: StopReplyInput,
    ) -> Result<Option<StopReplyPayload>> {
        let viewer = ctx.viewer()?;
        let message = ctx.state().replies.stop(viewer, ids::parse(&input.message_id, "messageId")?).await?;
        Ok(Some(StopReplyPayload { message: Message::new(message) }))
    }
}

fn reply_of(started: &Started) -> Result<Message> {
    let reply = started.reply.clone().ok_or_else(|| Error::internal("a call that started no reply"))?;
    Ok(Message::new(reply))
}
