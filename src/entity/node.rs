//! A running server process and its lease.

use sea_orm::entity::prelude::*;

use crate::entity::ids::BootId;

/// A row of `nodes`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "nodes")]
pub struct Model {
    /// The run of the process.
    #[sea_orm(primary_key, auto_increment = false)]
    pub boot_id: BootId,
    /// The end of its lease, in Unix milliseconds of the database's clock.
    pub alive_until: i64,
    /// The end of another node's claim to end this node's replies, by the same clock. None if there is no claim.
    pub claimed_until: Option<i64>,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
