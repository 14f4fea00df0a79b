//! A tag of a character.

use sea_orm::entity::prelude::*;

use crate::entity::ids::CharacterId;

/// A row of `character_tags`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "character_tags")]
pub struct Model {
    /// The character.
    #[sea_orm(primary_key, auto_increment = false)]
    pub character_id: CharacterId,
    /// The tag.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tag: String,
    /// The index in the character's list of tags.
    pub place: i32,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
