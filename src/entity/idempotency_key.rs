//! The stored result of an idempotent mutation.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{ChatId, DirectMessageId, MessageId, UserId};

/// A row of `idempotency_keys`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// The caller.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// The mutation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub field: String,
    /// The client's key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// SHA-256 of the input.
    pub input_hash: Vec<u8>,
    /// The chat in the result.
    pub chat_id: Option<ChatId>,
    /// The user's message in the result.
    pub message_id: Option<MessageId>,
    /// The reply in the result.
    pub reply_id: Option<MessageId>,
    /// The direct message in the result.
    pub direct_message_id: Option<DirectMessageId>,
    /// When the call was made.
    pub created_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
