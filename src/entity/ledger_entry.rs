//! The usage ledger: one entry for each ended provider call. Entries survive the deletion of the chat and of the user,
//! and never contain content.

use sea_orm::entity::prelude::*;

use crate::entity::enums::{CallKind, MessageStatus, ReplyErrorCode};
use crate::entity::ids::{CharacterId, ChatId, UserId};

/// A row of `usage_ledger`. It has the prices that applied, so that a later change of prices does not change the past.
/// Prices are in picodollars per token. None if the model has no price, or if the call is older than the ledger.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_ledger")]
pub struct Model {
    /// The id of the reply for a reply; an id of its own for other calls. A call is entered once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The purpose of the call.
    pub kind: CallKind,
    /// The user. None after the user was deleted.
    pub user_id: Option<UserId>,
    /// The chat, which may have been deleted. None after the user was deleted.
    pub chat_id: Option<ChatId>,
    /// The character of the chat, which may have been deleted.
    pub character_id: Option<CharacterId>,
    /// The model that answered, or the last one that was tried.
    pub model_id: String,
    /// When the call began. For a reply, when the reply was created.
    pub started_at: DateTimeUtc,
    /// The number of input tokens, including cached ones.
    pub input_tokens: i32,
    /// The number of input tokens from the provider's cache.
    pub cached_input_tokens: i32,
    /// The number of output tokens.
    pub output_tokens: i32,
    /// Whether the token counts are estimated by this server.
    pub is_estimate: bool,
    /// The price of an input token.
    pub input_price: Option<i64>,
    /// The price of an input token from the provider's cache.
    pub cached_input_price: Option<i64>,
    /// The price of an output token.
    pub output_price: Option<i64>,
    /// The cost in billionths of a US dollar.
    pub cost_nanodollars: Option<i64>,
    /// The time from the start to the first output, in milliseconds.
    pub time_to_first_token_ms: Option<i32>,
    /// The time from the start to the end, in milliseconds.
    pub duration_ms: Option<i32>,
    /// How it ended.
    pub outcome: MessageStatus,
    /// The reason why it failed.
    pub error_code: Option<ReplyErrorCode>,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
