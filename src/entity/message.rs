//! A message and its position in the tree of its chat.

use sea_orm::entity::prelude::*;

use crate::entity::enums::{FinishReason, MessageRole, MessageStatus, Rating, ReplyErrorCode};
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
    /// The parent message. None for a root.
    pub parent_id: Option<MessageId>,
    /// The number of ancestors.
    pub depth: i32,
    /// An ancestor (for a root, itself), chosen so that any ancestor is reached in a logarithmic number of steps.
    pub jump_id: MessageId,
    /// The depth of `jump_id`.
    pub jump_depth: i32,
    /// Whether it has no children.
    pub is_leaf: bool,
    /// The author.
    pub role: MessageRole,
    /// The state.
    pub status: MessageStatus,
    /// All text and reasoning, joined. Empty while streaming.
    pub body: String,
    /// How `body` is divided into pieces. None if it is only text. See `domain::replies::parts`.
    pub layout: Option<String>,
    /// An estimate of the tokens of the branch up to and including this message, without reasoning and tool calls,
    /// which are not sent to models.
    pub branch_tokens: i32,
    /// The nearest message at or above this one that has a summary, as far as it was known when this message was
    /// written.
    pub checkpoint_id: Option<MessageId>,
    /// The tokens that the provider counted for 1,000 estimated ones, in the last reply of the branch that reported
    /// them.
    pub token_ratio: i32,
    /// The idempotency key of the call that sent it.
    pub idempotency_key: Option<String>,
    /// The run of a server that writes it. None if it is final.
    pub boot_id: Option<BootId>,
    /// Whether a stop of the reply was requested.
    pub is_stop_requested: bool,
    /// The model that wrote it or is to write it.
    pub model_id: Option<String>,
    /// The reason why the model stopped.
    pub finish_reason: Option<FinishReason>,
    /// The reason why it failed.
    pub error_code: Option<ReplyErrorCode>,
    /// The number of input tokens.
    pub input_tokens: Option<i32>,
    /// The number of output tokens.
    pub output_tokens: Option<i32>,
    /// The number of input tokens from the provider's cache.
    pub cached_input_tokens: Option<i32>,
    /// Whether the token counts are estimated by this server.
    pub is_usage_estimate: bool,
    /// The cost in billionths of a US dollar. None if the model has no price.
    pub cost_nanodollars: Option<i64>,
    /// The time from the start to the first output, in milliseconds.
    pub time_to_first_token_ms: Option<i32>,
    /// The time from the start to the end, in milliseconds.
    pub duration_ms: Option<i32>,
    /// The owner's rating of a message of the assistant.
    pub rating: Option<Rating>,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it reached its final state.
    pub completed_at: Option<DateTimeUtc>,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
