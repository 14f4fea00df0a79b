//! A token for a program that acts for a user.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{PersonalAccessTokenId, UserId};

/// A row of `personal_access_tokens`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "personal_access_tokens")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PersonalAccessTokenId,
    /// For whom it acts.
    pub user_id: UserId,
    /// What its user calls it.
    pub name: String,
    /// The names of its scopes, separated by spaces.
    pub scopes: String,
    /// SHA-256 of the token.
    #[sea_orm(unique)]
    pub token_hash: Vec<u8>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTimeUtc>,
    /// When it stops working; none is never.
    pub expires_at: Option<DateTimeUtc>,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
