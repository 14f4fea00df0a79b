//! A character that users chat with.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{CharacterId, UserId};

/// A row of `characters`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "characters")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CharacterId,
    /// The user that created it. None for built-in characters.
    pub owner_id: Option<UserId>,
    /// Its name.
    pub name: String,
    /// The name folded to lower case. Lists are ordered by it.
    pub name_key: String,
    /// A description for users.
    pub description: Option<String>,
    /// The URL of its picture.
    pub avatar_url: Option<String>,
    /// The first message of a new chat.
    pub greeting: Option<String>,
    /// The instructions for the model.
    pub system_prompt: String,
    /// The preferred model.
    pub model_id: Option<String>,
    /// The sampling temperature, from 0 to 2.
    pub temperature: Option<f64>,
    /// The maximum number of output tokens of one reply.
    pub max_output_tokens: Option<i32>,
    /// Whether it is visible to all users.
    pub is_public: bool,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When it was last changed.
    pub updated_at: DateTimeUtc,
    /// When it was deleted. It is hidden from then on, and removed by a sweep.
    pub deleted_at: Option<DateTimeUtc>,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
