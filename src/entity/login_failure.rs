//! The count of failed sign-ins of one account from one source.

use sea_orm::entity::prelude::*;

use crate::entity::ids::UserId;

/// A row of `login_failures`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "login_failures")]
pub struct Model {
    /// A keyed hash of the account's id or of an unknown login text. It does not reveal whether the account exists.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_key: Vec<u8>,
    /// The network of the client. Empty for the count over all sources.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source: String,
    /// The user. None if the login is unknown.
    pub user_id: Option<UserId>,
    /// The number of failures, each within the lock time of the previous one.
    pub failures: i32,
    /// When the failures expire: one lock time after the last one.
    pub expires_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
