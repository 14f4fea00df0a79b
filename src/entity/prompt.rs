//! A prompt that admins maintain.

use sea_orm::entity::prelude::*;

use crate::entity::enums::PromptKind;
use crate::entity::ids::PromptId;

/// A row of `prompts`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "prompts")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PromptId,
    /// Its title.
    pub title: String,
    /// The title folded to lower case. Lists are ordered by it.
    pub title_key: String,
    /// Its text.
    pub content: String,
    /// What it is used for.
    pub kind: PromptKind,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it was last changed.
    pub updated_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
