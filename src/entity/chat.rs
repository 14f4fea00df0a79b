//! A chat of a user with a character or a model alone.

use sea_orm::entity::prelude::*;

use crate::entity::enums::TitleState;
use crate::entity::ids::{CharacterId, ChatId, MessageId, UserId};

/// A row of `chats`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "chats")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ChatId,
    /// The user that it belongs to.
    pub owner_id: UserId,
    /// Its title.
    pub title: Option<String>,
    /// The title folded to lower case, for searches.
    pub title_key: Option<String>,
    /// The title's state.
    pub title_state: TitleState,
    /// The character of the chat. None for a model alone.
    pub character_id: Option<CharacterId>,
    /// The model of the next reply.
    pub model_id: String,
    /// Whether it is pinned.
    pub is_pinned: bool,
    /// Whether it is archived.
    pub is_archived: bool,
    /// The number of messages on all branches.
    pub message_count: i32,
    /// The last message of the active branch.
    pub leaf_id: Option<MessageId>,
    /// When it was created.
    pub created_at: DateTimeUtc,
    /// When its own fields were last changed.
    pub updated_at: DateTimeUtc,
    /// When its last message was sent. Lists are ordered by it.
    pub active_at: DateTimeUtc,
    /// When it was deleted. It is hidden from then on, and removed by a sweep.
    pub deleted_at: Option<DateTimeUtc>,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
