//! A network from which a user has signed in.

use sea_orm::entity::prelude::*;

use crate::entity::ids::UserId;

/// A row of `login_networks`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "login_networks")]
pub struct Model {
    /// The user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// An IPv4 address, or the first address of an IPv6 /64.
    #[sea_orm(primary_key, auto_increment = false)]
    pub network: String,
    /// When the user last signed in from it.
    pub last_used_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
