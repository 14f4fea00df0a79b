//! A conversation of two users, as one of them sees it. The other user's row has the same id.

use sea_orm::entity::prelude::*;

use crate::entity::ids::{ConversationId, DirectMessageId, UserId};

/// A row of `conversations`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "conversations")]
pub struct Model {
    /// The id of the conversation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ConversationId,
    /// The user whose row this is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// The other user. The account may be deleted.
    pub other_id: UserId,
    /// The newest message. None only inside the transaction that creates the conversation.
    pub last_message_id: Option<DirectMessageId>,
    /// The number of messages.
    pub message_count: i32,
    /// The number of messages from the other user that this user has not read.
    pub unread_count: i32,
    /// This user has read all messages up to this time.
    pub read_until: Option<DateTimeUtc>,
    /// The other user has read all messages up to this time.
    pub other_read_until: Option<DateTimeUtc>,
    /// The time of the newest message. Lists are ordered by it.
    pub active_at: DateTimeUtc,
}

/// No relations: queries specify their joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
