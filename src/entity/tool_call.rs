//! An index from tool calls to messages.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{MessageId, ToolCallId};

/// A row of `tool_calls`. The call itself is part of the message's layout.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tool_calls")]
pub struct Model {
    /// The call.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ToolCallId,
    /// The reply.
    pub message_id: MessageId,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
