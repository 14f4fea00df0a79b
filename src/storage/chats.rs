//! Chats. One that is being swept is there for nobody.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::LikeExpr;
use sea_orm::{Condition, DbBackend, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::chat::{ActiveModel, Column, Entity, Model};
use crate::entity::ids::{CharacterId, ChatId, MessageId, UserId};
use crate::entity::{message, reply_chunk};
use crate::storage::page::{Page, Window};
use crate::storage::{escape_like, greater_than};

/// Where a chat stands in a list: newest activity first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its latest activity.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub active_at: DateTime<Utc>,
    /// Its id, between chats of the same moment.
    pub id: ChatId,
}

impl From<&Model> for Place {
    fn from(chat: &Model) -> Self {
        Self { active_at: chat.active_at, id: chat.id }
    }
}

/// Whose chats may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Readable {
    /// This user's.
    Of(UserId),
    /// Everybody's.
    All,
}

impl Readable {
    /// What narrows a query that names `chats` to them, and to those that are still there.
    pub(super) fn condition(self) -> Condition {
        let owned = match self {
            Self::Of(owner) => Some(Column::OwnerId.eq(owner)),
            Self::All => None,
        };
        Condition::all().add(Column::DeletedAt.is_null()).add_option(owned)
    }
}

/// Which chats are wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// This user's.
    pub owner_id: Option<UserId>,
    /// Text that the title holds; folded to lower case.
    pub title_key: Option<String>,
    /// Put away, or not.
    pub is_archived: Option<bool>,
    /// Kept on top, or not.
    pub is_pinned: Option<bool>,
    /// With this character.
    pub character_id: Option<CharacterId>,
}

impl Filter {
    fn condition(&self, readable: Readable) -> Condition {
        let pattern = self.title_key.as_ref().map(|key| LikeExpr::new(format!("%{}%", escape_like(key))).escape('\\'));
        readable
            .condition()
            .add_option(self.owner_id.map(|wanted| Column::OwnerId.eq(wanted)))
            .add_option(pattern.map(|pattern| Column::TitleKey.like(pattern)))
            .add_option(self.is_archived.map(|wanted| Column::IsArchived.eq(wanted)))
            .add_option(self.is_pinned.map(|wanted| Column::IsPinned.eq(wanted)))
            .add_option(self.character_id.map(|wanted| Column::CharacterId.eq(wanted)))
    }
}

/// An owner's chat.
///
/// # Errors
/// When the database fails; as everywhere below.
pub async fn find(db: &impl ConnectionTrait, owner: UserId, id: ChatId) -> Result<Option<Model>, DbErr> {
    alive().filter(Column::Id.eq(id)).filter(Column::OwnerId.eq(owner)).one(db).await
}

/// An owner's chat, locked until the transaction ends: whoever writes to a chat's tree holds this lock.
pub async fn lock(db: &impl ConnectionTrait, owner: UserId, id: ChatId) -> Result<Option<Model>, DbErr> {
    alive().filter(Column::Id.eq(id)).filter(Column::OwnerId.eq(owner)).lock_exclusive().one(db).await
}

/// Those of these chats that may be read.
pub async fn find_all(db: &impl ConnectionTrait, readable: Readable, ids: &[ChatId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(readable.condition()).filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A page of chats, newest activity first.
pub async fn page(
    db: &impl ConnectionTrait,
    readable: Readable,
    filter: &Filter,
    window: Window<Place>,
) -> Result<Page<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition(readable));
    let compare = |place: &Place, is_greater: bool| {
        greater_than([Column::ActiveAt, Column::Id], [place.active_at.into(), place.id.into()], is_greater)
    };
    let rows = window.apply(query, &[Column::ActiveAt, Column::Id], true, compare).all(db).await?;
    Ok(window.page(rows))
}

/// How many chats the filter lets through.
pub async fn count(db: &impl ConnectionTrait, readable: Readable, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition(readable)).count(db).await
}

/// Adds a chat.
pub async fn insert(db: &impl ConnectionTrait, chat: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(chat).reset_all()).exec_without_returning(db).await.map(|_| ())
}

/// Writes all of a chat's fields.
pub async fn update(db: &impl ConnectionTrait, chat: Model) -> Result<(), DbErr> {
    let id = chat.id;
    Entity::update_many().set(ActiveModel::from(chat).reset_all()).filter(Column::Id.eq(id)).exec(db).await.map(|_| ())
}

/// Locks chats until the transaction ends, always in the order of their ids, so that no two transactions wait for each other.
pub async fn lock_all(db: &impl ConnectionTrait, ids: &[ChatId]) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        // A write transaction of SQLite has the whole database.
        return Ok(());
    }
    let chats = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).order_by_asc(Column::Id);
    chats.lock_exclusive().select_only().column(Column::Id).into_tuple::<ChatId>().all(db).await.map(drop)
}

/// Notes activity in chats.
pub async fn touch(db: &impl ConnectionTrait, ids: &[ChatId], now: DateTime<Utc>) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::ActiveAt, Expr::value(now));
    update.filter(Column::Id.is_in(ids.iter().copied())).exec(db).await.map(drop)
}

/// Hides an owner's chat from everybody; false when there is none.
pub async fn mark_deleted(
    db: &impl ConnectionTrait,
    owner: UserId,
    id: ChatId,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let marked = Entity::update_many()
        .col_expr(Column::DeletedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::OwnerId.eq(owner))
        .filter(Column::DeletedAt.is_null())
        .exec(db)
        .await?;
    Ok(marked.rows_affected > 0)
}

/// Hides every chat of an owner from everybody.
pub async fn mark_all_deleted(db: &impl ConnectionTrait, owner: UserId, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::DeletedAt, Expr::value(now))
        .filter(Column::OwnerId.eq(owner))
        .filter(Column::DeletedAt.is_null())
        .exec(db)
        .await
        .map(drop)
}

/// Some chat that waits to be swept.
pub async fn find_deleted(db: &impl ConnectionTrait) -> Result<Option<ChatId>, DbErr> {
    Entity::find().filter(Column::DeletedAt.is_not_null()).select_only().column(Column::Id).into_tuple().one(db).await
}

/// Removes up to `limit` messages of a deleted chat, the deepest first, and at last the chat itself; false when it is gone.
pub async fn sweep(db: &impl ConnectionTrait, id: ChatId, limit: u64) -> Result<bool, DbErr> {
    let batch: Vec<MessageId> = message::Entity::find()
        .filter(message::Column::ChatId.eq(id))
        .order_by_desc(message::Column::Depth)
        .limit(limit)
        .select_only()
        .column(message::Column::Id)
        .into_tuple()
        .all(db)
        .await?;
    if batch.is_empty() {
        Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::DeletedAt.is_not_null()).exec(db).await?;
        return Ok(false);
    }
    reply_chunk::Entity::delete_many().filter(reply_chunk::Column::MessageId.is_in(batch.clone())).exec(db).await?;
    message::Entity::delete_many().filter(message::Column::Id.is_in(batch)).exec(db).await?;
    Ok(true)
}

fn alive() -> Select<Entity> {
    Entity::find().filter(Column::DeletedAt.is_null())
}
