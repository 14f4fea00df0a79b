//! A running server.

use sea_orm::entity::prelude::*;

use crate::entity::ids::BootId;

/// A row of `nodes`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "nodes")]
pub struct Model {
    /// This run of the process.
    #[sea_orm(primary_key, auto_increment = false)]
    pub boot_id: BootId,
    /// The end of its lease, in Unix milliseconds of the database's clock.
    pub alive_until: i64,
    /// Until when another node has the task of ending this one's replies, by the same clock.
    pub claimed_until: Option<i64>,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
