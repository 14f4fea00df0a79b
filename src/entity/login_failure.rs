//! Failed sign-ins to one account.

use sea_orm::entity::prelude::*;

use crate::entity::ids::UserId;

/// A row of `login_failures`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "login_failures")]
pub struct Model {
    /// A keyed hash of what was typed as the login: nothing tells whether there is such an account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_key: Vec<u8>,
    /// The network that they came from; empty for all networks together.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source: String,
    /// Whose account it is, where there is one.
    pub user_id: Option<UserId>,
    /// How many, none further from the next than a lock lasts.
    pub failures: i32,
    /// When they are forgotten: so long after the last one as a lock lasts.
    pub expires_at: DateTimeUtc,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
