//! Mutations that send direct messages, mark them as read, and block users.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::{Conversation, DirectMessage};
use crate::domain::Result;
use crate::domain::direct_messages::NewDirectMessage;
use crate::graphql::accounts::User;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// The input of `sendDirectMessage`.
#[derive(Debug, Clone, InputObject)]
pub struct SendDirectMessageInput {
    /// The ID of the recipient, who may be deactivated. NOT_FOUND if the user does not exist. Cannot be the viewer.
    recipient_id: ID,
    /// The text of the message. Not blank, and at most `server { maxMessageLength }` Unicode characters.
    content: String,
    /// The ID of the message that this one replies to. NOT_FOUND unless it is a message of the same conversation.
    parent_id: Option<ID>,
    /// For 24 hours, the same key with the same input returns the message of the first call again and sends nothing. 1
    /// to 255 characters.
    idempotency_key: Option<String>,
}

/// The payload of `sendDirectMessage`.
#[derive(Debug, SimpleObject)]
pub struct SendDirectMessagePayload {
    /// The new message.
    direct_message: DirectMessage,
}

/// The input of `markConversationRead`.
#[derive(Debug, Clone, InputObject)]
pub struct MarkConversationReadInput {
    /// The ID of the conversation.
    conversation_id: ID,
    /// Marks the messages created up to this time as read. If absent, all messages.
    until: Option<DateTime>,
}

/// The payload of `markConversationRead`.
#[derive(Debug, SimpleObject)]
pub struct MarkConversationReadPayload {
    /// The conversation.
    conversation: Conversation,
}

/// The input of `blockUser`.
#[derive(Debug, Clone, InputObject)]
pub struct BlockUserInput {
    /// The ID of the user to block. Cannot be the viewer.
    user_id: ID,
}

/// The payload of `blockUser`.
#[derive(Debug, SimpleObject)]
pub struct BlockUserPayload {
    /// The blocked user.
    user: User,
}

/// The input of `unblockUser`.
#[derive(Debug, Clone, InputObject)]
pub struct UnblockUserInput {
    /// The ID of the user to unblock.
    user_id: ID,
}

/// The payload of `unblockUser`.
#[derive(Debug, SimpleObject)]
pub struct UnblockUserPayload {
    /// The unblocked user.
    user: User,
}

/// The mutations of direct messages.
#[derive(Debug, Default)]
pub struct DirectMessageMutations;

#[Object]
impl DirectMessageMutations {
    /// Sends a direct message to another user. FORBIDDEN if either user has blocked the other.
    async fn send_direct_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `sendDirectMessage`.")] input: SendDirectMessageInput,
    ) -> Result<Option<SendDirectMessagePayload>> {
        let viewer = ctx.viewer()?;
        let new = NewDirectMessage {
            recipient_id: ids::parse(&input.recipient_id, "recipientId")?,
            content: input.content,
            parent_id: ids::parse_optional(input.parent_id.as_ref(), "parentId")?,
            idempotency_key: input.idempotency_key,
        };
        let message = ctx.state().direct_messages.send(viewer, new, ctx.client()).await?;
        Ok(Some(SendDirectMessagePayload { direct_message: DirectMessage(Arc::new(message)) }))
    }

    /// Marks messages of a conversation as read. The read position never moves back: messages that are read stay read.
    async fn mark_conversation_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `markConversationRead`.")] input: MarkConversationReadInput,
    ) -> Result<Option<MarkConversationReadPayload>> {
        let viewer = ctx.viewer()?;
        let (id, until) = (ids::parse(&input.conversation_id, "conversationId")?, input.until.map(|time| time.0));
        let conversation = ctx.state().direct_messages.mark_read(viewer, id, until).await?;
        Ok(Some(MarkConversationReadPayload { conversation: Conversation(conversation) }))
    }

    /// Blocks a user: neither can send direct messages to the other. Earlier messages stay readable, and the blocked
    /// user is not notified. Idempotent. CONFLICT if the viewer has blocked 1,000 users.
    async fn block_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `blockUser`.")] input: BlockUserInput,
    ) -> Result<Option<BlockUserPayload>> {
        let viewer = ctx.viewer()?;
        let user = ctx.state().direct_messages.block(viewer, ids::parse(&input.user_id, "userId")?).await?;
        Ok(Some(BlockUserPayload { user: User::from(user) }))
    }

    /// Unblocks a user. Idempotent: a user who is not blocked is not changed.
    async fn unblock_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The input of `unblockUser`.")] input: UnblockUserInput,
    ) -> Result<Option<UnblockUserPayload>> {
        let viewer = ctx.viewer()?;
        let user = ctx.state().direct_messages.unblock(viewer, ids::parse(&input.user_id, "userId")?).await?;
        Ok(Some(UnblockUserPayload { user: User::from(user) }))
    }
}
