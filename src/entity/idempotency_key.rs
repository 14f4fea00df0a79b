//! What an idempotent mutation answered.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{ChatId, MessageId, UserId};

/// A row of `idempotency_keys`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// Who called.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// Which mutation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub field: String,
    /// The client's key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// SHA-256 of the input.
    pub input_hash: Vec<u8>,
    /// The chat that it answered.
    pub chat_id: ChatId,
    /// The user's message that it answered.
    pub message_id: Option<MessageId>,
    /// The reply that it answered.
    pub reply_id: Option<MessageId>,
    /// When.
    pub created_at: DateTimeUtc,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
