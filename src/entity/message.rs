//! A message, and its place in the chat's tree.

use sea_orm::entity::prelude::*;

use crate::entity::enums::{FinishReason, MessageRole, MessageStatus, ReplyErrorCode};
use crate::entity::ids::{BootId, ChatId, MessageId};

/// A row of `messages`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: MessageId,
    /// The chat.
    pub chat_id: ChatId,
    /// What it follows.
    pub parent_id: Option<MessageId>,
    /// How many messages stand above it.
    pub depth: i32,
    /// An ancestor further up (a root's is itself), so that any ancestor is found in a logarithm of steps.
    pub jump_id: MessageId,
    /// The depth of `jump_id`.
    pub jump_depth: i32,
    /// Whether nothing follows it.
    pub is_leaf: bool,
    /// Whose words these are.
    pub role: MessageRole,
    /// How far it is.
    pub status: MessageStatus,
    /// All text and reasoning, joined; empty while it streams.
    pub body: String,
    /// How `body` falls into parts; none when it is one text. See `domain::replies::parts`.
    pub layout: Option<String>,
    /// An estimate of the tokens from the root to here.
    pub branch_tokens: i32,
    /// The key it was sent with.
    pub idempotency_key: Option<String>,
    /// The server that writes it; none when nobody does.
    pub boot_id: Option<BootId>,
    /// Whether its owner's server should stop writing.
    pub is_stop_requested: bool,
    /// The model that wrote it, or is to write it.
    pub model_id: Option<String>,
    /// Why the model stopped.
    pub finish_reason: Option<FinishReason>,
    /// Why it failed.
    pub error_code: Option<ReplyErrorCode>,
    /// Tokens read.
    pub input_tokens: Option<i32>,
    /// Tokens written.
    pub output_tokens: Option<i32>,
    /// Tokens read from the provider's cache.
    pub cached_input_tokens: Option<i32>,
    /// Whether the counts are this server's estimate.
    pub is_usage_estimate: bool,
    /// What it cost, in billionths of a US dollar; none when the model has no price.
    pub cost_nanodollars: Option<i64>,
    /// From the start to the first event, in milliseconds.
    pub time_to_first_token_ms: Option<i32>,
    /// From the start to the end, in milliseconds.
    pub duration_ms: Option<i32>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it reached its final state.
    pub completed_at: Option<DateTimeUtc>,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
