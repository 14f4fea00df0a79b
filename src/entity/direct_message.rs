//! A message from one user to another.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{ConversationId, DirectMessageId, UserId};

/// A row of `direct_messages`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "direct_messages")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DirectMessageId,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The sender. The account may be deleted.
    pub sender_id: UserId,
    /// The text.
    pub content: String,
    /// The message of the conversation that it replies to.
    pub parent_id: Option<DirectMessageId>,
    /// The idempotency key of the call that sent it.
    pub idempotency_key: Option<String>,
    /// When it was sent. Later than every earlier message of the conversation.
    pub created_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
