//! Queries on prompts and their tags.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{LikeExpr, Query};
use sea_orm::{Condition, DbBackend, ExprTrait as _, IntoActiveModel as _, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::enums::PromptKind;
use crate::entity::ids::PromptId;
use crate::entity::prompt::{Column, Entity, Model};
use crate::entity::prompt_tag;
use crate::storage::page::{Page, Window};
use crate::storage::{escape_like, greater_than, without_key};

/// A cursor in the list of prompts, by title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptCursor {
    /// The folded title.
    pub title_key: String,
    /// The id, which orders prompts with the same title.
    pub id: PromptId,
}

impl From<&Model> for PromptCursor {
    fn from(prompt: &Model) -> Self {
        Self { title_key: prompt.title_key.clone(), id: prompt.id }
    }
}

/// Which prompts are visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// Templates.
    Templates,
    /// All prompts.
    All,
}

impl Visible {
    fn condition(self) -> Condition {
        Condition::all().add_option(match self {
            Self::Templates => Some(Column::Kind.eq(PromptKind::Template)),
            Self::All => None,
        })
    }
}

/// The filter of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Text that the folded title contains.
    pub title_key: Option<String>,
    /// Of this kind.
    pub kind: Option<PromptKind>,
    /// Tags that the prompt has, all of them.
    pub tags: Vec<String>,
}

impl Filter {
    fn condition(&self, visible: Visible) -> Condition {
        let pattern = self.title_key.as_ref().map(|key| LikeExpr::new(format!("%{}%", escape_like(key))).escape('\\'));
        let tagged = self.tags.iter().map(|tag| {
            let mut with_tag = Query::select();
            with_tag.column(prompt_tag::Column::PromptId).from(prompt_tag::Entity);
            with_tag.and_where(prompt_tag::Column::Tag.eq(tag.as_str()));
            Column::Id.in_subquery(with_tag)
        });
        let condition = visible
            .condition()
            .add_option(pattern.map(|pattern| Column::TitleKey.like(pattern)))
            .add_option(self.kind.map(|kind| Column::Kind.eq(kind)));
        tagged.fold(condition, Condition::add)
    }
}

/// The visible ones of these prompts.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find_all(db: &impl ConnectionTrait, visible: Visible, ids: &[PromptId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(visible.condition()).filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A page of the visible prompts, by title.
pub async fn page(
    db: &impl ConnectionTrait,
    visible: Visible,
    filter: &Filter,
    window: Window<PromptCursor>,
) -> Result<Page<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition(visible));
    let compare = |cursor: &PromptCursor, is_greater: bool| {
        greater_than([Column::TitleKey, Column::Id], [cursor.title_key.clone().into(), cursor.id.into()], is_greater)
    };
    let rows = window.apply(query, &[Column::TitleKey, Column::Id], false, compare).all(db).await?;
    Ok(window.page(rows))
}

/// The number of visible prompts that match the filter.
pub async fn count(db: &impl ConnectionTrait, visible: Visible, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition(visible)).count(db).await
}

/// The tags of these prompts, in the order of each prompt.
pub async fn tags(db: &impl ConnectionTrait, ids: &[PromptId]) -> Result<Vec<(PromptId, String)>, DbErr> {
    prompt_tag::Entity::find()
        .filter(prompt_tag::Column::PromptId.is_in(ids.iter().copied()))
        .order_by_asc(prompt_tag::Column::Place)
        .select_only()
        .columns([prompt_tag::Column::PromptId, prompt_tag::Column::Tag])
        .into_tuple()
        .all(db)
        .await
}

/// All common prompts, oldest first: the order in which they are prepended to a system prompt. Their number and size
/// are limited by `domain::prompts`.
pub async fn common(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    // A literal, so that the partial index is used.
    let common = Column::Kind.into_expr().eq(Expr::Constant(Value::from(PromptKind::Common.to_value())));
    Entity::find().filter(common).order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).all(db).await
}

/// Prevents other transactions from writing prompts until this one ends, so that limits on all prompts hold.
pub async fn lock_table(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    if db.get_database_backend() != DbBackend::Postgres {
        // On SQLite, a write transaction locks the whole database.
        return Ok(());
    }
    db.execute_unprepared("LOCK TABLE prompts IN SHARE ROW EXCLUSIVE MODE").await.map(drop)
}

/// A prompt of any kind.
pub async fn find_any(db: &impl ConnectionTrait, id: PromptId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// Inserts a prompt.
pub async fn insert(db: &impl ConnectionTrait, prompt: Model) -> Result<(), DbErr> {
    Entity::insert(prompt.into_active_model().reset_all()).exec_without_returning(db).await.map(drop)
}

/// Writes all columns of a prompt except its id.
pub async fn update(db: &impl ConnectionTrait, prompt: Model) -> Result<(), DbErr> {
    let id = prompt.id;
    let update = Entity::update_many().set(without_key(prompt.into_active_model()));
    update.filter(Column::Id.eq(id)).exec(db).await.map(drop)
}

/// Replaces the tags of a prompt.
pub async fn set_tags(db: &impl ConnectionTrait, id: PromptId, tags: &[String]) -> Result<(), DbErr> {
    prompt_tag::Entity::delete_many().filter(prompt_tag::Column::PromptId.eq(id)).exec(db).await?;
    if tags.is_empty() {
        return Ok(());
    }
    let rows = (0..).zip(tags).map(|(place, tag)| {
        prompt_tag::Model { prompt_id: id, tag: tag.clone(), place }.into_active_model().reset_all()
    });
    prompt_tag::Entity::insert_many(rows).exec_without_returning(db).await.map(drop)
}

/// Deletes a prompt and its tags.
pub async fn delete(db: &impl ConnectionTrait, id: PromptId) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(db).await.map(drop)
}
