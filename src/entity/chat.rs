//! A talk of one user with a character or a bare model.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{CharacterId, ChatId, MessageId, UserId};

/// A row of `chats`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "chats")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ChatId,
    /// Whose it is.
    pub owner_id: UserId,
    /// Its title.
    pub title: Option<String>,
    /// The title folded to lower case, for searching.
    pub title_key: Option<String>,
    /// Whom it is with.
    pub character_id: Option<CharacterId>,
    /// The model of the next reply.
    pub model_id: String,
    /// Whether its owner keeps it on top.
    pub is_pinned: bool,
    /// Whether its owner put it away.
    pub is_archived: bool,
    /// How many messages its tree holds.
    pub message_count: i32,
    /// The end of the active branch.
    pub leaf_id: Option<MessageId>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When its own fields last changed.
    pub updated_at: DateTimeUtc,
    /// When it was last talked in; lists are ordered by it.
    pub active_at: DateTimeUtc,
    /// Gone for everybody since then, and being swept.
    pub deleted_at: Option<DateTimeUtc>,
}

/// Joins are written where they are asked for.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
