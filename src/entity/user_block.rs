//! A block of one user by another.

use sea_orm::entity::prelude::*;

use crate::entity::ids::UserId;

/// A row of `user_blocks`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "user_blocks")]
pub struct Model {
    /// The user who blocked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub blocker_id: UserId,
    /// The user who is blocked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub blocked_id: UserId,
    /// When the block began.
    pub created_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
