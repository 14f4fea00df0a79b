//! Queries on chats. Deleted chats that are not swept yet are excluded.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{LikeExpr, Query};
use sea_orm::{Condition, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::chat::{ActiveModel, Column, Entity, Model};
use crate::entity::enums::TitleState;
use crate::entity::ids::{CharacterId, ChatId, MessageId, UserId};
use crate::entity::{message, reply_chunk};
use crate::storage::page::{Page, Window};
use crate::storage::{escape_like, greater_than, messages, without_key};

/// A cursor in a list of chats, most recently active first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatCursor {
    /// The time of the last activity.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub active_at: DateTime<Utc>,
    /// The id, which orders chats with the same time.
    pub id: ChatId,
}

impl From<&Model> for ChatCursor {
    fn from(chat: &Model) -> Self {
        Self { active_at: chat.active_at, id: chat.id }
    }
}

/// Which users' chats may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Readable {
    /// Those of this user.
    Of(UserId),
    /// Those of all users.
    All,
}

impl Readable {
    /// The condition for a query that names `chats`: readable and not deleted.
    pub(super) fn condition(self) -> Condition {
        let owned = match self {
            Self::Of(owner) => Some(Column::OwnerId.eq(owner)),
            Self::All => None,
        };
        Condition::all().add(Column::DeletedAt.is_null()).add_option(owned)
    }
}

/// The filter of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Owned by this user.
    pub owner_id: Option<UserId>,
    /// Text that the folded title contains.
    pub title_key: Option<String>,
    /// Whether the chat is archived.
    pub is_archived: Option<bool>,
    /// Whether the chat is pinned.
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

/// A chat of this owner.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find(db: &impl ConnectionTrait, owner: UserId, id: ChatId) -> Result<Option<Model>, DbErr> {
    alive().filter(Column::Id.eq(id)).filter(Column::OwnerId.eq(owner)).one(db).await
}

/// A chat of this owner, locked until the transaction ends. Every transaction that writes to a chat's tree holds this
/// lock.
pub async fn lock(db: &impl ConnectionTrait, owner: UserId, id: ChatId) -> Result<Option<Model>, DbErr> {
    alive().filter(Column::Id.eq(id)).filter(Column::OwnerId.eq(owner)).lock_exclusive().one(db).await
}

/// The chat of this owner that contains a message, locked as [`lock`] does.
pub async fn lock_of_message(
    db: &impl ConnectionTrait,
    owner: UserId,
    message: MessageId,
) -> Result<Option<Model>, DbErr> {
    let mut of_message = Query::select();
    let (id, chat_id) = (message::Column::Id, message::Column::ChatId);
    of_message.column(chat_id).from(message::Entity).and_where(id.eq(message));
    let chat = alive().filter(Column::Id.in_subquery(of_message)).filter(Column::OwnerId.eq(owner));
    chat.lock_exclusive().one(db).await
}

/// A chat of any owner, deleted or not, locked as [`lock`] does.
pub async fn lock_any(db: &impl ConnectionTrait, id: ChatId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(db).await
}

/// The readable ones of these chats.
pub async fn find_all(db: &impl ConnectionTrait, readable: Readable, ids: &[ChatId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(readable.condition()).filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A page of chats, most recently active first.
pub async fn page(
    db: &impl ConnectionTrait,
    readable: Readable,
    filter: &Filter,
    window: Window<ChatCursor>,
) -> Result<Page<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition(readable));
    let compare = |cursor: &ChatCursor, is_greater: bool| {
        greater_than([Column::ActiveAt, Column::Id], [cursor.active_at.into(), cursor.id.into()], is_greater)
    };
    let rows = window.apply(query, &[Column::ActiveAt, Column::Id], true, compare).all(db).await?;
    Ok(window.page(rows))
}

/// The number of chats that match the filter.
pub async fn count(db: &impl ConnectionTrait, readable: Readable, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition(readable)).count(db).await
}

/// Inserts a chat.
pub async fn insert(db: &impl ConnectionTrait, chat: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(chat).reset_all()).exec_without_returning(db).await.map(|_| ())
}

/// Writes all columns of a chat except its id.
pub async fn update(db: &impl ConnectionTrait, chat: Model) -> Result<(), DbErr> {
    let id = chat.id;
    Entity::update_many().set(without_key(ActiveModel::from(chat))).filter(Column::Id.eq(id)).exec(db).await.map(drop)
}

/// Locks chats until the transaction ends, in the order of their ids to avoid deadlocks, and returns their owners.
pub async fn lock_all(db: &impl ConnectionTrait, ids: &[ChatId]) -> Result<Vec<(ChatId, UserId)>, DbErr> {
    let chats = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).order_by_asc(Column::Id);
    chats.lock_exclusive().select_only().columns([Column::Id, Column::OwnerId]).into_tuple().all(db).await
}

/// The owners and characters of these chats, which may be deleted.
pub async fn subjects(
    db: &impl ConnectionTrait,
    ids: &[ChatId],
) -> Result<Vec<(ChatId, UserId, Option<CharacterId>)>, DbErr> {
    let chats = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).select_only();
    chats.columns([Column::Id, Column::OwnerId, Column::CharacterId]).into_tuple().all(db).await
}

/// Records activity in chats.
pub async fn touch(db: &impl ConnectionTrait, ids: &[ChatId], now: DateTime<Utc>) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::ActiveAt, Expr::value(now));
    update.filter(Column::Id.is_in(ids.iter().copied())).exec(db).await.map(drop)
}

/// Gives a chat its first title, an excerpt, if it is due for one.
pub async fn set_excerpt(
    db: &impl ConnectionTrait,
    id: ChatId,
    excerpt: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    advance_title(db, id, TitleState::Due, TitleState::Excerpt, Some((excerpt, now))).await
}

/// Claims the request for the title that replaces the excerpt. Returns false if it was claimed before, or if the title
/// is final.
pub async fn claim_title(db: &impl ConnectionTrait, id: ChatId) -> Result<bool, DbErr> {
    advance_title(db, id, TitleState::Excerpt, TitleState::Requested, None).await
}

/// Replaces the excerpt by the title that was requested, unless the user has changed it meanwhile.
pub async fn set_written_title(
    db: &impl ConnectionTrait,
    id: ChatId,
    title: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    advance_title(db, id, TitleState::Requested, TitleState::Final, Some((title, now))).await
}

async fn advance_title(
    db: &impl ConnectionTrait,
    id: ChatId,
    from: TitleState,
    to: TitleState,
    title: Option<(&str, DateTime<Utc>)>,
) -> Result<bool, DbErr> {
    let mut update = Entity::update_many().col_expr(Column::TitleState, Expr::value(to));
    if let Some((title, now)) = title {
        update = update
            .col_expr(Column::Title, Expr::value(title))
            .col_expr(Column::TitleKey, Expr::value(title.to_lowercase()))
            .col_expr(Column::UpdatedAt, Expr::value(now));
    }
    let update = update.filter(Column::Id.eq(id)).filter(Column::TitleState.eq(from));
    Ok(update.filter(Column::DeletedAt.is_null()).exec(db).await?.rows_affected > 0)
}

/// Marks a chat of this owner as deleted. Returns false if there is none.
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

/// Marks all chats of an owner as deleted.
pub async fn mark_all_deleted(db: &impl ConnectionTrait, owner: UserId, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::DeletedAt, Expr::value(now))
        .filter(Column::OwnerId.eq(owner))
        .filter(Column::DeletedAt.is_null())
        .exec(db)
        .await
        .map(drop)
}

/// The deleted chat after this one, by id, that is not swept yet.
pub async fn find_deleted(db: &impl ConnectionTrait, after: Option<ChatId>) -> Result<Option<ChatId>, DbErr> {
    let deleted = Entity::find().filter(Column::DeletedAt.is_not_null());
    let rest = deleted.filter(Condition::all().add_option(after.map(|after| Column::Id.gt(after))));
    rest.order_by_asc(Column::Id).select_only().column(Column::Id).limit(1).into_tuple().one(db).await
}

/// Deletes up to `limit` messages of a deleted chat, deepest first, and finally the chat. Returns whether it should be
/// called again. A chat with a reply that is still STREAMING is left as it is until the reply has ended.
pub async fn sweep(db: &impl ConnectionTrait, id: ChatId, limit: u64) -> Result<bool, DbErr> {
    if !messages::streaming_in(db, id).await?.is_empty() {
        return Ok(false);
    }
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
