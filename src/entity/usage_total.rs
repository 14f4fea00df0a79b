//! Sums of ledger entries by time and by user, model or character.

use sea_orm::entity::prelude::*;

use crate::entity::enums::{Dimension, Span};
use crate::entity::ids::{CharacterId, UserId};

/// A row of `usage_totals`: the sums of one bucket of time, for one key of a dimension.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_totals")]
pub struct Model {
    /// Which of the keys below are used.
    #[sea_orm(primary_key, auto_increment = false)]
    pub dimension: Dimension,
    /// The length of the bucket.
    #[sea_orm(primary_key, auto_increment = false)]
    pub span: Span,
    /// The number of the bucket: hours or days since 1970-01-01, or months since the year 0, in UTC.
    #[sea_orm(primary_key, auto_increment = false)]
    pub start: i32,
    /// The user. Nil for deleted users together, and if unused.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// The model. Empty if unused.
    #[sea_orm(primary_key, auto_increment = false)]
    pub model_id: String,
    /// The character. Nil for chats without one, and if unused.
    #[sea_orm(primary_key, auto_increment = false)]
    pub character_id: CharacterId,
    /// The number of replies. Titles and summaries are not counted.
    pub reply_count: i64,
    /// The number of replies that are FAILED or INTERRUPTED.
    pub failed_reply_count: i64,
    /// Input tokens, including cached ones, of all calls.
    pub input_tokens: i64,
    /// Output tokens of all calls.
    pub output_tokens: i64,
    /// The cost of all calls, in billionths of a US dollar.
    pub cost_nanodollars: i64,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
