//! A session: a sign-in on one device.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{SessionId, UserId};

/// A row of `sessions`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SessionId,
    /// The user.
    pub user_id: UserId,
    /// The client's name for the device.
    pub device: Option<String>,
    /// The `User-Agent` header of the sign-in.
    pub user_agent: Option<String>,
    /// The IP address of the sign-in.
    pub ip_address: Option<String>,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it was last used, with a precision of a minute.
    pub last_used_at: DateTimeUtc,
    /// When the refresh token, and with it the session, expires.
    pub expires_at: DateTimeUtc,
    /// SHA-256 of the current refresh token.
    pub refresh_hash: Vec<u8>,
    /// SHA-256 of the previous refresh token.
    pub previous_refresh_hash: Option<Vec<u8>>,
    /// The number of rotations of the refresh token.
    pub generation: i32,
    /// When the refresh token was last rotated.
    pub rotated_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
