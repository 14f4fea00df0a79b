//! A sign-in on one device.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{SessionId, UserId};

/// A row of `sessions`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SessionId,
    /// Who signed in.
    pub user_id: UserId,
    /// What the client calls the device.
    pub device: Option<String>,
    /// The `User-Agent` of the sign-in.
    pub user_agent: Option<String>,
    /// The address of the sign-in.
    pub ip_address: Option<String>,
    /// When it began.
    pub created_at: DateTimeUtc,
    /// When its refresh token was last used.
    pub last_used_at: DateTimeUtc,
    /// When its refresh token expires.
    pub expires_at: DateTimeUtc,
    /// SHA-256 of the refresh token that is valid now.
    pub refresh_hash: Vec<u8>,
    /// SHA-256 of the one before it.
    pub previous_refresh_hash: Option<Vec<u8>>,
    /// How often the token was rotated.
    pub generation: i32,
    /// When it was last rotated.
    pub rotated_at: DateTimeUtc,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
