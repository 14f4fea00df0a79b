//! Queries on characters and their tags.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{LikeExpr, Query};
use sea_orm::{Condition, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::character::{ActiveModel, Column, Entity, Model};
use crate::entity::ids::{CharacterId, ChatId, UserId};
use crate::entity::{character_tag, chat};
use crate::storage::chats;
use crate::storage::page::{Page, Window};
use crate::storage::{escape_like, greater_than, without_key};

/// A cursor in the list of characters, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharacterCursor {
    /// The folded name.
    pub name_key: String,
    /// The id, which orders characters with the same name.
    pub id: CharacterId,
}

impl From<&Model> for CharacterCursor {
    fn from(character: &Model) -> Self {
        Self { name_key: character.name_key.clone(), id: character.id }
    }
}

/// The filter of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Text that the folded name contains.
    pub name_key: Option<String>,
    /// Tags that the character has, all of them.
    pub tags: Vec<String>,
    /// Whether the character is owned by this user (true) or not (false).
    pub is_of: Option<(UserId, bool)>,
}

impl Filter {
    fn condition(&self, viewer: UserId) -> Condition {
        let pattern = self.name_key.as_ref().map(|key| LikeExpr::new(format!("%{}%", escape_like(key))).escape('\\'));
        let owned = self.is_of.map(|(user, wanted)| match wanted {
            true => Condition::all().add(Column::OwnerId.eq(user)),
            false => Condition::any().add(Column::OwnerId.ne(user)).add(Column::OwnerId.is_null()),
        });
        let tagged = self.tags.iter().map(|tag| {
            let mut with_tag = Query::select();
            with_tag.column(character_tag::Column::CharacterId).from(character_tag::Entity);
            with_tag.and_where(character_tag::Column::Tag.eq(tag.as_str()));
            Column::Id.in_subquery(with_tag)
        });
        let condition =
            visible_to(viewer).add_option(pattern.map(|pattern| Column::NameKey.like(pattern))).add_option(owned);
        tagged.fold(condition, Condition::add)
    }
}

/// Public ones, and those of the user.
fn visible_to(user: UserId) -> Condition {
    let visible = Condition::any().add(Column::IsPublic.eq(true)).add(Column::OwnerId.eq(user));
    Condition::all().add(Column::DeletedAt.is_null()).add(visible)
}

/// Those of these characters that are visible to a user.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find_all(db: &impl ConnectionTrait, viewer: UserId, ids: &[CharacterId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(visible_to(viewer)).filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A character that is visible to a user, locked until the transaction ends.
pub async fn lock(db: &impl ConnectionTrait, viewer: UserId, id: CharacterId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(visible_to(viewer)).lock_exclusive().one(db).await
}

/// A character that is not deleted, without regard to visibility.
pub async fn find_any(db: &impl ConnectionTrait, id: CharacterId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(Column::DeletedAt.is_null()).one(db).await
}

/// Those of these characters that are not deleted, without regard to visibility.
pub async fn find_any_of(db: &impl ConnectionTrait, ids: &[CharacterId]) -> Result<Vec<Model>, DbErr> {
    let alive = Entity::find().filter(Column::DeletedAt.is_null());
    alive.filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A page of the visible characters, by name.
pub async fn page(
    db: &impl ConnectionTrait,
    viewer: UserId,
    filter: &Filter,
    window: Window<CharacterCursor>,
) -> Result<Page<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition(viewer));
    let compare = |cursor: &CharacterCursor, is_greater: bool| {
        greater_than([Column::NameKey, Column::Id], [cursor.name_key.clone().into(), cursor.id.into()], is_greater)
    };
    let rows = window.apply(query, &[Column::NameKey, Column::Id], false, compare).all(db).await?;
    Ok(window.page(rows))
}

/// The number of visible characters that match the filter.
pub async fn count(db: &impl ConnectionTrait, viewer: UserId, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition(viewer)).count(db).await
}

/// The tags of these characters, in the order of each character.
pub async fn tags(db: &impl ConnectionTrait, ids: &[CharacterId]) -> Result<Vec<(CharacterId, String)>, DbErr> {
    character_tag::Entity::find()
        .filter(character_tag::Column::CharacterId.is_in(ids.iter().copied()))
        .order_by_asc(character_tag::Column::Place)
        .select_only()
        .columns([character_tag::Column::CharacterId, character_tag::Column::Tag])
        .into_tuple()
        .all(db)
        .await
}

/// The number of private characters of a user.
pub async fn count_private(db: &impl ConnectionTrait, owner: UserId) -> Result<u64, DbErr> {
    let private = Entity::find().filter(Column::OwnerId.eq(owner)).filter(Column::IsPublic.eq(false));
    private.filter(Column::DeletedAt.is_null()).count(db).await
}

/// Inserts a character.
pub async fn insert(db: &impl ConnectionTrait, character: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(character).reset_all()).exec_without_returning(db).await.map(drop)
}

/// Writes all columns of a character except its id.
pub async fn update(db: &impl ConnectionTrait, character: Model) -> Result<(), DbErr> {
    let id = character.id;
    let update = Entity::update_many().set(without_key(ActiveModel::from(character)));
    update.filter(Column::Id.eq(id)).exec(db).await.map(drop)
}

/// Replaces the tags of a character.
pub async fn set_tags(db: &impl ConnectionTrait, id: CharacterId, tags: &[String]) -> Result<(), DbErr> {
    character_tag::Entity::delete_many().filter(character_tag::Column::CharacterId.eq(id)).exec(db).await?;
    if tags.is_empty() {
        return Ok(());
    }
    let rows = (0..).zip(tags).map(|(place, tag)| {
        character_tag::ActiveModel::from(character_tag::Model { character_id: id, tag: tag.clone(), place }).reset_all()
    });
    character_tag::Entity::insert_many(rows).exec_without_returning(db).await.map(drop)
}

/// Marks a character as deleted.
pub async fn mark_deleted(db: &impl ConnectionTrait, id: CharacterId, now: DateTime<Utc>) -> Result<(), DbErr> {
    let marked = Entity::update_many().col_expr(Column::DeletedAt, Expr::value(now));
    marked.filter(Column::Id.eq(id)).exec(db).await.map(drop)
}

/// Marks all characters of a user as deleted.
pub async fn mark_all_deleted(db: &impl ConnectionTrait, owner: UserId, now: DateTime<Utc>) -> Result<(), DbErr> {
    let marked = Entity::update_many().col_expr(Column::DeletedAt, Expr::value(now));
    marked.filter(Column::OwnerId.eq(owner)).filter(Column::DeletedAt.is_null()).exec(db).await.map(drop)
}

/// A deleted character that is not swept yet.
pub async fn find_deleted(db: &impl ConnectionTrait) -> Result<Option<CharacterId>, DbErr> {
    Entity::find().filter(Column::DeletedAt.is_not_null()).select_only().column(Column::Id).into_tuple().one(db).await
}

/// Removes a deleted character from up to `limit` chats, and finally the character. Returns false when it is gone.
pub async fn sweep(db: &impl ConnectionTrait, id: CharacterId, limit: u64) -> Result<bool, DbErr> {
    let batch = chat::Entity::find().filter(chat::Column::CharacterId.eq(id)).limit(limit);
    let batch: Vec<ChatId> = batch.select_only().column(chat::Column::Id).into_tuple().all(db).await?;
    if batch.is_empty() {
        Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::DeletedAt.is_not_null()).exec(db).await?;
        return Ok(false);
    }
    chats::lock_all(db, &batch).await?;
    let removed = chat::Entity::update_many().col_expr(chat::Column::CharacterId, Expr::value(None::<CharacterId>));
    removed.filter(chat::Column::Id.is_in(batch)).filter(chat::Column::CharacterId.eq(id)).exec(db).await?;
    Ok(true)
}
