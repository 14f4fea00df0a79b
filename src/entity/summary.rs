//! A summary of the older messages of a branch.

use sea_orm::entity::prelude::*;

use crate::entity::ids::MessageId;

/// A row of `summaries`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "summaries")]
pub struct Model {
    /// The last message that it covers. It also covers all ancestors of that message.
    #[sea_orm(primary_key, auto_increment = false)]
    pub message_id: MessageId,
    /// The text.
    pub content: String,
    /// An estimate of the tokens of the text in a prompt.
    pub tokens: i32,
    /// When it was written.
    pub created_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
