//! Queries on characters and their tags.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, LikeExpr, Query};
use sea_orm::{Condition, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::character::{Column, Entity, Model};
use crate::entity::ids::{CharacterId, UserId};
use crate::entity::{character_tag, user};
use crate::storage::page::{Page, Window};
use crate::storage::{escape_like, greater_than};

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

/// Which characters are visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visible {
    /// Public ones, and those of this user.
    To(UserId),
    /// All, except those of deleted users.
    All,
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
    fn condition(&self, visible: Visible) -> Condition {
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
            seen(visible).add_option(pattern.map(|pattern| Column::NameKey.like(pattern))).add_option(owned);
        tagged.fold(condition, Condition::add)
    }
}

fn seen(visible: Visible) -> Condition {
    match visible {
        Visible::All => {
            let mut deleted = Query::select();
            deleted.column(user::Column::Id).from(user::Entity).and_where(user::Column::DeletedAt.is_not_null());
            Condition::any().add(Column::OwnerId.is_null()).add(Column::OwnerId.not_in_subquery(deleted))
        }
        Visible::To(user) => {
            Condition::all().add(Condition::any().add(Column::IsPublic.eq(true)).add(Column::OwnerId.eq(user)))
        }
    }
}

/// The visible ones of these characters.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find_all(db: &impl ConnectionTrait, visible: Visible, ids: &[CharacterId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(seen(visible)).filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A character, without regard to visibility.
pub async fn find_any(db: &impl ConnectionTrait, id: CharacterId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// A page of the visible characters, by name.
pub async fn page(
    db: &impl ConnectionTrait,
    visible: Visible,
    filter: &Filter,
    window: Window<CharacterCursor>,
) -> Result<Page<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition(visible));
    let compare = |cursor: &CharacterCursor, is_greater: bool| {
        greater_than([Column::NameKey, Column::Id], [cursor.name_key.clone().into(), cursor.id.into()], is_greater)
    };
    let rows = window.apply(query, &[Column::NameKey, Column::Id], false, compare).all(db).await?;
    Ok(window.page(rows))
}

/// The number of visible characters that match the filter.
pub async fn count(db: &impl ConnectionTrait, visible: Visible, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition(visible)).count(db).await
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

/// Makes the characters of a user private.
pub async fn hide_of(db: &impl ConnectionTrait, owner: UserId) -> Result<(), DbErr> {
    let hidden = Entity::update_many().col_expr(Column::IsPublic, Expr::value(false));
    let hidden = hidden.filter(Column::OwnerId.eq(owner)).filter(Column::IsPublic.eq(true));
    hidden.exec(db).await.map(drop)
}

/// Deletes up to `limit` characters of a user. Chats of other users with them continue without a character. Returns
/// false when there are none left.
pub async fn sweep_of(db: &impl ConnectionTrait, owner: UserId, limit: u64) -> Result<bool, DbErr> {
    let batch = Entity::find().filter(Column::OwnerId.eq(owner)).limit(limit);
    let batch: Vec<CharacterId> = batch.select_only().column(Column::Id).into_tuple().all(db).await?;
    if batch.is_empty() {
        return Ok(false);
    }
    Entity::delete_many().filter(Column::Id.is_in(batch)).exec(db).await?;
    Ok(true)
}
