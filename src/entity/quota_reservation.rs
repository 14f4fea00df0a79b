//! The maximum usage of a running reply, reserved from the user's quota.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{MessageId, UserId};

/// A row of `quota_reservations`. It counts only while the reply is STREAMING.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "quota_reservations")]
pub struct Model {
    /// The reply.
    #[sea_orm(primary_key, auto_increment = false)]
    pub message_id: MessageId,
    /// The user, who has a quota.
    pub user_id: UserId,
    /// The month in which the reply started, as the number of months since the year 0, in UTC.
    pub month: i32,
    /// Input and output tokens.
    pub tokens: i64,
    /// The cost in billionths of a US dollar.
    pub cost_nanodollars: i64,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
