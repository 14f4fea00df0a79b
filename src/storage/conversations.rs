//! Queries on conversations, the direct messages between two users. Every query that reads for a user filters by this
//! user, so that nobody finds a conversation in which they do not take part.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::conversation::{ActiveModel, Column, Entity, Model};
use crate::entity::ids::{ConversationId, UserId};
use crate::storage::page::{Page, Window};
use crate::storage::{greater_than, without_key};

/// A cursor in a list of conversations, most recently active first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationCursor {
    /// The time of the newest message.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub active_at: DateTime<Utc>,
    /// The id, which orders conversations with the same time.
    pub id: ConversationId,
}

impl From<&Model> for ConversationCursor {
    fn from(conversation: &Model) -> Self {
        Self { active_at: conversation.active_at, id: conversation.id }
    }
}

/// Those of these conversations that a user takes part in.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find_all(db: &impl ConnectionTrait, user: UserId, ids: &[ConversationId]) -> Result<Vec<Model>, DbErr> {
    of(user).filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// The conversation of a user with another.
pub async fn find_with(db: &impl ConnectionTrait, user: UserId, other: UserId) -> Result<Option<Model>, DbErr> {
    of(user).filter(Column::OtherId.eq(other)).one(db).await
}

/// A page of a user's conversations, most recently active first.
pub async fn page(
    db: &impl ConnectionTrait,
    user: UserId,
    window: Window<ConversationCursor>,
) -> Result<Page<Model>, DbErr> {
    let compare = |cursor: &ConversationCursor, is_greater: bool| {
        greater_than([Column::ActiveAt, Column::Id], [cursor.active_at.into(), cursor.id.into()], is_greater)
    };
    let rows = window.apply(of(user), &[Column::ActiveAt, Column::Id], true, compare).all(db).await?;
    Ok(window.page(rows))
}

/// The number of a user's conversations.
pub async fn count(db: &impl ConnectionTrait, user: UserId) -> Result<u64, DbErr> {
    of(user).count(db).await
}

/// The rows of a conversation, locked until the transaction ends. Every transaction that writes to a conversation holds
/// this lock. The row of a deleted user may be missing.
pub async fn lock(db: &impl ConnectionTrait, id: ConversationId) -> Result<Vec<Model>, DbErr> {
    // In one order, to avoid deadlocks.
    Entity::find().filter(Column::Id.eq(id)).order_by_asc(Column::UserId).lock_exclusive().all(db).await
}

/// The rows of the conversation between two users, locked as by [`lock`]. Empty if there is none.
pub async fn lock_between(db: &impl ConnectionTrait, one: UserId, other: UserId) -> Result<Vec<Model>, DbErr> {
    let row =
        |user: UserId, other: UserId| Condition::all().add(Column::UserId.eq(user)).add(Column::OtherId.eq(other));
    let rows = Entity::find().filter(Condition::any().add(row(one, other)).add(row(other, one)));
    rows.order_by_asc(Column::UserId).lock_exclusive().all(db).await
}

/// Inserts the rows of a new conversation. Does nothing for users who already have one; a concurrent call for the same
/// users waits until the first one's transaction ends.
pub async fn insert(db: &impl ConnectionTrait, mut rows: Vec<Model>) -> Result<(), DbErr> {
    rows.sort_unstable_by_key(|row| row.user_id);
    let rows = rows.into_iter().map(|row| ActiveModel::from(row).reset_all());
    let insert = Entity::insert_many(rows).on_conflict_do_nothing_on([Column::UserId, Column::OtherId]);
    insert.exec_without_returning(db).await.map(drop)
}

/// Writes all columns of a user's row except its key.
pub async fn update(db: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    let (id, user) = (row.id, row.user_id);
    let update = Entity::update_many().set(without_key(ActiveModel::from(row)));
    update.filter(Column::Id.eq(id)).filter(Column::UserId.eq(user)).exec(db).await.map(drop)
}

/// Any conversation of a user.
pub async fn find_any(db: &impl ConnectionTrait, user: UserId) -> Result<Option<ConversationId>, DbErr> {
    // With an order, so that PostgreSQL uses an index.
    of(user).order_by_desc(Column::ActiveAt).select_only().column(Column::Id).into_tuple().one(db).await
}

/// Deletes a user's row.
pub async fn delete(db: &impl ConnectionTrait, id: ConversationId, user: UserId) -> Result<(), DbErr> {
    Entity::delete_by_id((id, user)).exec(db).await.map(drop)
}

fn of(user: UserId) -> Select<Entity> {
    Entity::find().filter(Column::UserId.eq(user))
}
