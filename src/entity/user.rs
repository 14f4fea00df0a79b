//! A user account.

use sea_orm::entity::prelude::*;

use crate::entity::ids::UserId;

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UserId,
    /// The username, as the user wrote it.
    pub username: String,
    /// The username folded to lower case; unique.
    #[sea_orm(unique)]
    pub username_key: String,
    /// The e-mail address, as the user wrote it.
    pub email: String,
    /// The address folded to lower case; unique.
    #[sea_orm(unique)]
    pub email_key: String,
    /// An argon2id hash in PHC string format.
    #[sea_orm(column_type = "Text")]
    pub password_hash: String,
    /// The full name.
    pub full_name: Option<String>,
    /// The full name folded to lower case, for searches.
    #[sea_orm(column_type = "Text", nullable)]
    pub full_name_key: Option<String>,
    /// The biography.
    pub bio: Option<String>,
    /// Whether the account is active. A deactivated user cannot sign in.
    pub is_active: bool,
    /// When the account was created.
    pub created_at: DateTimeUtc,
    /// When the profile was last changed.
    pub updated_at: DateTimeUtc,
    /// When the user was last active, with a precision of a minute.
    pub last_seen_at: Option<DateTimeUtc>,
    /// When the account was deleted. It is hidden from then on, and its data is removed by a sweep.
    pub deleted_at: Option<DateTimeUtc>,
    /// The user's own monthly limit of cost, in millionths of a US dollar.
    pub cost_limit: Option<i64>,
    /// The user's own monthly limit of input and output tokens.
    pub token_limit: Option<i64>,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
