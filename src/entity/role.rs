//! A named set of permissions.

use sea_orm::entity::prelude::*;

use crate::entity::ids::RoleId;

/// A row of `roles`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "roles")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// The name folded to lower case; unique.
    #[sea_orm(unique)]
    pub name_key: String,
    /// The description.
    pub description: Option<String>,
    /// The names of its permissions, separated by spaces.
    pub permissions: String,
    /// Whether it is built-in and cannot be deleted.
    pub is_built_in: bool,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// The monthly limit of cost of its users, in millionths of a US dollar.
    pub cost_limit: Option<i64>,
    /// The monthly limit of input and output tokens of its users.
    pub token_limit: Option<i64>,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The built-in role with all permissions.
pub const ADMIN: RoleId = RoleId(Uuid::from_u128(0x0193_4000_0000_7000_8000_0000_0000_0001));
/// The built-in role of all users.
pub const USER: RoleId = RoleId(Uuid::from_u128(0x0193_4000_0000_7000_8000_0000_0000_0002));
