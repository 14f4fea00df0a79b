//! Somebody to talk to.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{CharacterId, UserId};

/// A row of `characters`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "characters")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CharacterId,
    /// Who made it; none for the server's own.
    pub owner_id: Option<UserId>,
    /// Its name.
    pub name: String,
    /// The name folded to lower case; lists are ordered by it.
    pub name_key: String,
    /// What it is, for people who choose.
    pub description: Option<String>,
    /// Where its picture is.
    pub avatar_url: Option<String>,
    /// Its first message in a new chat.
    pub greeting: Option<String>,
    /// What the model is told before the talk.
    pub system_prompt: String,
    /// The model that it prefers.
    pub model_id: Option<String>,
    /// From 0 (steady) to 2 (wild).
    pub temperature: Option<f64>,
    /// The most tokens of one reply.
    pub max_output_tokens: Option<i32>,
    /// Whether everybody may talk to it.
    pub is_public: bool,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it last changed.
    pub updated_at: DateTimeUtc,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
