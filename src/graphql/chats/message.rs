//! The type `Message`.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
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
use crate::graphql::scalars::{DateTime, Microdollars};

/// The statements that read what a reply of another server has written so far, at most: its row, and its saved pieces.
const MAX_PIECES_STATEMENTS: u64 = 2;

/// Whose words a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::MessageRole")]
pub enum MessageRole {
    /// A person's.
    User,
    /// The model's.
    Assistant,
    /// Instructions that stand outside the talk.
    System,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::MessageStatus")]
pub enum MessageStatus {
    /// Whole.
    Complete,
    /// A reply that is being written: read it with the `reply` subscription.
    Streaming,
    /// A reply that was stopped with `stopReply`; what had arrived is kept.
    Stopped,
    /// A reply that ended with an error; what had arrived is kept.
    Failed,
    /// The server died while the reply was being written; what had been saved is kept.
    Interrupted,
}

/// Why the model stopped writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::FinishReason")]
pub enum FinishReason {
    /// It had said everything.
    Stop,
    /// It reached the limit of output tokens.
    Length,
    /// The provider's filter cut it.
    ContentFilter,
    /// It asked for tools.
    ToolCalls,
    /// Something else.
    Other,
}

/// Why a reply failed, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::ReplyErrorCode")]
pub enum ReplyErrorCode {
    /// The provider could not be reached, or answered with a server error.
    ProviderUnavailable,
    /// The provider says that it is overloaded.
    ProviderOverloaded,
    /// The provider's rate limit for this server is used up.
    ProviderRateLimited,
    /// The provider refused the request.
    ProviderRejected,
    /// The provider's stream broke off.
    ProviderTruncated,
    /// The chat does not fit the model's window.
    ContextTooLong,
    /// The provider's filter refused the chat.
    ContentFiltered,
    /// The provider did not answer, or fell silent, for too long.
    TimedOut,
    /// The server stopped while the reply was being written.
    Interrupted,
    /// Something went wrong in this server.
    Internal,
}

/// Why a reply failed.
#[derive(Debug, Clone, SimpleObject)]
pub struct ReplyError {
    /// For programs.
    code: ReplyErrorCode,
    /// For people: a fixed sentence for the code.
    message: &'static str,
    /// Whether asking again may succeed.
    is_retryable: bool,
}

impl From<enums::ReplyErrorCode> for ReplyError {
    fn from(code: enums::ReplyErrorCode) -> Self {
        use enums::ReplyErrorCode as Code;
        let (message, is_retryable) = match code {
            Code::ProviderUnavailable => ("The model cannot be reached at the moment.", true),
            Code::ProviderOverloaded => ("The model is overloaded at the moment.", true),
            Code::ProviderRateLimited => ("The model takes no more requests at the moment.", true),
            Code::ProviderRejected => ("The model refused the request.", false),
            Code::ProviderTruncated => ("The reply broke off.", true),
            Code::ContextTooLong => ("The chat is too long for this model.", false),
            Code::ContentFiltered => ("The model's content filter refused this chat.", false),
            Code::TimedOut => ("The model took too long.", true),
            Code::Interrupted => ("The server stopped while the reply was being written.", true),
            Code::Internal => ("Something went wrong on our side.", true),
        };
        Self { code: code.into(), message, is_retryable }
    }
}

/// What a reply took.
#[derive(Debug, Clone, SimpleObject)]
pub struct TokenUsage {
    /// Tokens that the model read, those from a cache included.
    input_tokens: i32,
    /// Tokens that the model wrote, its reasoning included.
    output_tokens: i32,
    /// Tokens that came from the provider's cache.
    cached_input_tokens: i32,
    /// Whether the counts are this server's estimate, because the provider gave none.
    is_estimate: bool,
    /// What the reply cost; 0 for a model without prices.
    cost: Microdollars,
    /// From the start of the reply to its first event, in milliseconds; null when none came.
    time_to_first_token_ms: Option<i32>,
    /// From the start of the reply to its end, in milliseconds.
    duration_ms: Option<i32>,
}

/// A message of a chat.
#[derive(Debug)]
pub struct Message {
    row: Arc<message::Model>,
    access: Option<ChatAccess>,
    /// What it holds, looked up once, so that `content`, `parts` and `position` fit together.
    pieces: OnceCell<Arc<Vec<Piece>>>,
}

impl Message {
    /// A message in a chat of the viewer.
    pub fn new(row: impl Into<Arc<message::Model>>) -> Self {
        Self { row: row.into(), access: None, pieces: OnceCell::new() }
    }

    /// A message that was found with this access: what is asked for around it is looked up with the same.
    pub fn found(row: impl Into<Arc<message::Model>>, access: ChatAccess) -> Self {
        Self { row: row.into(), access: Some(access), pieces: OnceCell::new() }
    }

    /// Without anything said, it is the viewer's own.
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
    /// Its id, with the prefix `msg`.
    pub async fn id(&self) -> ID {
        ids::show(self.row.id)
    }

    /// The chat that it stands in.
    async fn chat(&self, ctx: &Context<'_>) -> Result<Chat> {
        let access = self.access(ctx)?;
        let chat = ctx.loaders().load_one(Within(access, self.row.chat_id)).await?;
        chat.map(|chat| Chat::found(chat, access)).ok_or(Error::NotFound)
    }

    /// What it follows; null for a first message.
    async fn parent(&self, ctx: &Context<'_>) -> Result<Option<Message>> {
        let Some(id) = self.row.parent_id else { return Ok(None) };
        let access = self.access(ctx)?;
        Ok(ctx.loaders().load_one(Within(access, id)).await?.map(|row| Message::found(row, access)))
    }

    /// Whose words it holds.
    async fn role(&self) -> MessageRole {
        self.row.role.into()
    }

    /// How far it is.
    async fn status(&self) -> MessageStatus {
        self.row.status.into()
    }

    /// All its text parts joined. Of a streaming reply, what has arrived.
    async fn content(&self, ctx: &Context<'_>) -> Result<Text<'_>> {
        if self.is_plain() {
            return Ok(Text::from(&self.row.body));
        }
        let pieces = self.pieces(ctx).await?.iter();
        let text: String =
            pieces.filter(|piece| piece.kind == PieceKind::Text).map(|piece| piece.body.as_str()).collect();
        Ok(text.into())
    }

    /// What it is made of, in order, as the events of `reply` brought it.
    async fn parts(&self, ctx: &Context<'_>) -> Result<List<MessagePart>> {
        let pieces = self.pieces(ctx).await?;
        // They are copies.
        ctx.budget().bytes(pieces.iter().map(|piece| piece.body.len()).sum())?;
        Ok(parts::parts(pieces).into_iter().map(MessagePart::from).collect())
    }

    /// How much of a reply `content` and `parts` here cover: pass it as `after` to `reply` to read on.
    async fn position(&self, ctx: &Context<'_>) -> Result<i32> {
        if self.is_plain() {
            return Ok(i32::try_from(self.row.body.len()).unwrap_or(i32::MAX));
        }
        Ok(self.pieces(ctx).await?.iter().fold(0, |sum, piece| sum.saturating_add(piece.span())))
    }

    /// The model that wrote it; null for a person's words and for a greeting.
    async fn model_id(&self) -> Option<ID> {
        self.row.model_id.as_ref().map(ids::show)
    }

    /// Why the model stopped; null unless the reply is COMPLETE.
    async fn finish_reason(&self) -> Option<FinishReason> {
        self.row.finish_reason.map(FinishReason::from)
    }

    /// Why the reply failed or was interrupted; null otherwise.
    async fn error(&self) -> Option<ReplyError> {
        self.row.error_code.map(ReplyError::from)
    }

    /// What the reply took; null until it has ended, and when nothing was written.
    async fn usage(&self) -> Option<TokenUsage> {
        Some(TokenUsage {
            input_tokens: self.row.input_tokens?,
            output_tokens: self.row.output_tokens?,
            cached_input_tokens: self.row.cached_input_tokens.unwrap_or(0),
            is_estimate: self.row.is_usage_estimate,
            cost: Microdollars::from_nanodollars(self.row.cost_nanodollars.unwrap_or(0)),
            time_to_first_token_ms: self.row.time_to_first_token_ms,
            duration_ms: self.row.duration_ms,
        })
    }

    /// The key that it was sent with, for matching an optimistic record; its owner's only.
    async fn idempotency_key(&self) -> Option<&str> {
        self.row.idempotency_key.as_deref().filter(|_| self.access.is_none_or(ChatAccess::is_own))
    }

    /// The answers to a question, or the questions after an answer: oldest first, at most 100.
    async fn children(&self, ctx: &Context<'_>) -> Result<List<Message>> {
        let access = self.access(ctx)?;
        let children = ctx.loaders().load_one(Within(access, ChildrenOf(self.row.id))).await?;
        Ok(children.unwrap_or_default().into_iter().map(|row| Message::found(row, access)).collect())
    }

    /// Every message with the same parent, this one included: oldest first, at most 100.
    async fn siblings(&self, ctx: &Context<'_>) -> Result<List<Message>> {
        let access = self.access(ctx)?;
        let siblings = match self.row.parent_id {
            Some(parent) => ctx.loaders().load_one(Within(access, ChildrenOf(parent))).await?,
            None => ctx.loaders().load_one(Within(access, RootsOf(self.row.chat_id))).await?,
        };
        Ok(siblings.unwrap_or_default().into_iter().map(|row| Message::found(row, access)).collect())
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When it reached its final state; null while it streams.
    async fn completed_at(&self) -> Option<DateTime> {
        self.row.completed_at.map(DateTime)
    }
}
