//! A tag of a prompt.

use sea_orm::entity::prelude::*;

use crate::entity::ids::PromptId;

/// A row of `prompt_tags`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "prompt_tags")]
pub struct Model {
    /// The prompt.
    #[sea_orm(primary_key, auto_increment = false)]
    pub prompt_id: PromptId,
    /// The tag.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tag: String,
    /// The index in the prompt's list of tags.
    pub place: i32,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
