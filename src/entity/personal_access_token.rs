//! A token with which a program acts for a user.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{PersonalAccessTokenId, UserId};

/// A row of `personal_access_tokens`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "personal_access_tokens")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PersonalAccessTokenId,
    /// The user.
    pub user_id: UserId,
    /// The name that the user gave it.
    pub name: String,
    /// The names of its scopes, separated by spaces.
    pub scopes: String,
    /// SHA-256 of the token.
    #[sea_orm(unique)]
    pub token_hash: Vec<u8>,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it was last used, with a precision of a minute.
    pub last_used_at: Option<DateTimeUtc>,
    /// When it expires. None if never.
    pub expires_at: Option<DateTimeUtc>,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
