//! A chunk: content of a running reply that a checkpoint saved. Chunks are immutable.

use sea_orm::entity::prelude::*;

use crate::entity::enums::PieceKind;
use crate::entity::ids::MessageId;

/// A row of `reply_chunks`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "reply_chunks")]
pub struct Model {
    /// The reply.
    #[sea_orm(primary_key, auto_increment = false)]
    pub message_id: MessageId,
    /// The position where it starts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub start: i32,
    /// The position where it ends.
    pub end_position: i32,
    /// The kind of content.
    pub kind: PieceKind,
    /// Text, or JSON for a call or a result.
    pub body: String,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
