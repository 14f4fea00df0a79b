//! An account.

use sea_orm::entity::prelude::*;

use crate::entity::ids::UserId;

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UserId,
    /// The name, as its owner writes it.
    pub username: String,
    /// The name folded to lower case; unique.
    #[sea_orm(unique)]
    pub username_key: String,
    /// The e-mail address, as its owner writes it.
    pub email: String,
    /// The address folded to lower case; unique.
    #[sea_orm(unique)]
    pub email_key: String,
    /// An argon2id hash in PHC string format.
    #[sea_orm(column_type = "Text")]
    pub password_hash: String,
    /// The person's name.
    pub full_name: Option<String>,
    /// The person's name folded to lower case; admins search it.
    #[sea_orm(column_type = "Text", nullable)]
    pub full_name_key: Option<String>,
    /// What the person says of themself.
    pub bio: Option<String>,
    /// Whether the user may sign in.
    pub is_active: bool,
    /// When the account was made.
    pub created_at: DateTimeUtc,
    /// When its profile last changed.
    pub updated_at: DateTimeUtc,
    /// When the user last used the server, to the minute.
    pub last_seen_at: Option<DateTimeUtc>,
    /// Gone for everybody since then, while what it owned is swept.
    pub deleted_at: Option<DateTimeUtc>,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
