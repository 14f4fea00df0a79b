//! Messages.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use tokio::sync::OnceCell;

use super::{Chat, MessagePart};
use crate::domain::replies::parts::{self, Piece};
use crate::domain::{ChatAccess, Error, Result};
use crate::entity::enums;
use crate::entity::enums::PieceKind;
use crate::entity::message;
use crate::graphql::budget::{List, Text};
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::loaders::{ChildrenOf, RootsOf, Within};
use crate::graphql::replies::ReplyError;
use crate::graphql::scalars::DateTime;
use crate::graphql::usage::TokenUsage;

/// The maximum number of statements to read the saved content of a reply that another node is generating: its row and
/// its chunks.
const MAX_PIECES_STATEMENTS: u64 = 2;

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::MessageRole")]
pub enum MessageRole {
    /// The user.
    User,
    /// The model.
    Assistant,
    /// Instructions that are not part of the dialogue.
    System,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::MessageStatus")]
pub enum MessageStatus {
    /// The message is complete.
    Complete,
    /// The reply is being generated. Read it with the `reply` subscription.
    Streaming,
    /// The reply was stopped with `stopReply`. The content received until then is kept.
    Stopped,
    /// The reply ended with an error. The content received until then is kept.
    Failed,
    /// The server terminated while the reply was being generated. The content saved until then is kept.
    Interrupted,
}

/// The owner's rating of a message of the assistant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::Rating")]
pub enum Rating {
    /// The message is good.
    Up,
    /// The message is not good.
    Down,
}

/// The reason why the model ended a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::FinishReason")]
pub enum FinishReason {
    /// The reply is complete.
    Stop,
    /// The limit of output tokens was reached.
    Length,
    /// The provider's content filter cut the reply off.
    ContentFilter,
    /// The model requested tool calls.
    ToolCalls,
    /// Another reason.
    Other,
}

/// A message of a chat.
#[derive(Debug)]
pub struct Message {
    row: Arc<message::Model>,
    access: Option<ChatAccess>,
    /// The content, loaded once, so that `content`, `parts` and `position` are consistent.
    pieces: OnceCell<Arc<Vec<Piece>>>,
}

impl Message {
    /// Creates a message in a chat of the viewer.
    pub fn new(row: impl Into<Arc<message::Model>>) -> Self {
        Self { row: row.into(), access: None, pieces: OnceCell::new() }
    }

    /// Creates a message that was found with this access. Its fields are looked up with the same access.
    pub fn found(row: impl Into<Arc<message::Model>>, access: ChatAccess) -> Self {
        Self { row: row.into(), access: Some(access), pieces: OnceCell::new() }
    }

    /// The access to the chat of the message: the viewer's own unless set.
    fn access(&self, ctx: &Context<'_>) -> Result<ChatAccess> {
        match self.access {
            Some(access) => Ok(access),
            None => Ok(ctx.viewer()?.into()),
        }
    }

    async fn pieces(&self, ctx: &Context<'_>) -> Result<&Arc<Vec<Piece>>> {
        let pieces = || async {
            if self.row.status == enums::MessageStatus::Streaming {
                ctx.budget().statements(MAX_PIECES_STATEMENTS)?;
            }
            let pieces = ctx.state().replies.pieces(&self.row).await?;
            ctx.budget().bytes(pieces.iter().map(|piece| piece.body.len()).sum())?;
            Ok(Arc::new(pieces))
        };
        self.pieces.get_or_try_init(pieces).await
    }

    fn is_plain(&self) -> bool {
        self.row.status != enums::MessageStatus::Streaming && self.row.layout.is_none()
    }
}

/// A message of a chat.
#[Object]
impl Message {
    /// The message's ID, with the prefix `msg`.
    pub async fn id(&self) -> ID {
        ids::show(self.row.id)
    }

    /// The chat that contains the message.
    async fn chat(&self, ctx: &Context<'_>) -> Result<Chat> {
        let access = self.access(ctx)?;
        let chat = ctx.loaders().load_one(Within(access, self.row.chat_id)).await?;
        chat.map(|chat| Chat::found(chat, access)).ok_or(Error::NotFound)
    }

    /// The parent message. Null for a first message.
    async fn parent(&self, ctx: &Context<'_>) -> Result<Option<Message>> {
        let Some(id) = self.row.parent_id else { return Ok(None) };
        let access = self.access(ctx)?;
        Ok(ctx.loaders().load_one(Within(access, id)).await?.map(|row| Message::found(row, access)))
    }

    /// The author of the message.
    async fn role(&self) -> MessageRole {
        self.row.role.into()
    }

    /// The state of the message.
    async fn status(&self) -> MessageStatus {
        self.row.status.into()
    }

    /// All text parts, concatenated. For a reply that is STREAMING, the text received so far.
    async fn content(&self, ctx: &Context<'_>) -> Result<Text<'_>> {
        if self.is_plain() {
            return Ok(Text::from(&self.row.body));
        }
        let pieces = self.pieces(ctx).await?.iter();
        let text: String =
            pieces.filter(|piece| piece.kind == PieceKind::Text).map(|piece| piece.body.as_str()).collect();
        Ok(text.into())
    }

    /// The parts of the message, in order, as delivered by the events of the `reply` subscription.
    async fn parts(&self, ctx: &Context<'_>) -> Result<List<MessagePart>> {
        let pieces = self.pieces(ctx).await?;
        // The parts are copies of the pieces.
        ctx.budget().bytes(pieces.iter().map(|piece| piece.body.len()).sum())?;
        Ok(parts::parts(pieces).into_iter().map(MessagePart::from).collect())
    }

    /// The position in the reply up to which `content` and `parts` extend. Pass it as `after` to the `reply`
    /// subscription to continue reading.
    async fn position(&self, ctx: &Context<'_>) -> Result<i32> {
        if self.is_plain() {
            return Ok(i32::try_from(self.row.body.len()).unwrap_or(i32::MAX));
        }
        Ok(self.pieces(ctx).await?.iter().fold(0, |sum, piece| sum.saturating_add(piece.span())))
    }

    /// The ID of the model that generated the message. Null for a message that no model generated: of the user, a
    /// greeting, or an edited reply.
    async fn model_id(&self) -> Option<ID> {
        self.row.model_id.as_ref().map(ids::show)
    }

    /// The reason why the model ended the reply. Null unless the reply is COMPLETE.
    async fn finish_reason(&self) -> Option<FinishReason> {
        self.row.finish_reason.map(FinishReason::from)
    }

    /// The error of the reply. Null unless the reply is FAILED or INTERRUPTED.
    async fn error(&self) -> Option<ReplyError> {
        self.row.error_code.map(ReplyError::from)
    }

    /// The usage of the reply. Null until the reply has ended, and if nothing was generated.
    async fn usage(&self) -> Option<TokenUsage> {
        TokenUsage::of(&self.row)
    }

    /// The owner's rating. Null if there is none, and for a user message.
    async fn rating(&self) -> Option<Rating> {
        self.row.rating.map(Rating::from)
    }

    /// The idempotency key of the call that created the message, for matching an optimistic record. Null for the reply
    /// that a call creates together with a message, and for viewers other than the message's owner.
    async fn idempotency_key(&self) -> Option<&str> {
        self.row.idempotency_key.as_deref().filter(|_| self.access.is_none_or(ChatAccess::is_own))
    }

    /// The child messages, oldest first: the replies to a user message, or the user messages that follow a reply. At
    /// most 100, the newest.
    async fn children(&self, ctx: &Context<'_>) -> Result<List<Message>> {
        let access = self.access(ctx)?;
        let children = ctx.loaders().load_one(Within(access, ChildrenOf(self.row.id))).await?;
        Ok(children.unwrap_or_default().into_iter().map(|row| Message::found(row, access)).collect())
    }

    /// All messages with the same parent, including this one, oldest first: other replies to the same message, or other
    /// versions of an edited message. At most 100, the newest.
    async fn siblings(&self, ctx: &Context<'_>) -> Result<List<Message>> {
        let access = self.access(ctx)?;
        let siblings = match self.row.parent_id {
            Some(parent) => ctx.loaders().load_one(Within(access, ChildrenOf(parent))).await?,
            None => ctx.loaders().load_one(Within(access, RootsOf(self.row.chat_id))).await?,
        };
        Ok(siblings.unwrap_or_default().into_iter().map(|row| Message::found(row, access)).collect())
    }

    /// The time when the message was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The time when the message reached its final state. Null while it is STREAMING.
    async fn completed_at(&self) -> Option<DateTime> {
        self.row.completed_at.map(DateTime)
    }
}
