//! The audit log. Entries are added; none is changed (failures that repeat are counted), and only age and number remove one.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{Condition, ExprTrait as _, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::audit_entry::{ActiveModel, Column, Entity, Model};
use crate::entity::ids::{AuditEntryId, UserId};
use crate::storage::page::{Page, Window};

/// Where an entry stands in the log: newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its id, which carries its time.
    pub id: AuditEntryId,
}

impl From<&Model> for Place {
    fn from(entry: &Model) -> Self {
        Self { id: entry.id }
    }
}

/// Which entries are wanted. Every field that is given must fit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Done by this user.
    pub actor_id: Option<UserId>,
    /// Exactly this action.
    pub action: Option<String>,
    /// Done to this: a prefixed id.
    pub subject_id: Option<String>,
    /// From then on.
    pub from: Option<DateTime<Utc>>,
    /// Before then.
    pub to: Option<DateTime<Utc>>,
}

impl Filter {
    fn condition(&self) -> Condition {
        Condition::all()
            .add_option(self.actor_id.map(|wanted| Column::ActorId.eq(wanted)))
            .add_option(self.action.as_ref().map(|wanted| Column::Action.eq(wanted)))
            .add_option(self.subject_id.as_ref().map(|wanted| Column::SubjectId.eq(wanted)))
            .add_option(self.from.map(|from| Column::CreatedAt.gte(from)))
            .add_option(self.to.map(|to| Column::CreatedAt.lt(to)))
    }
}

/// Adds entries. One whose `repeat_key` is there already is counted there instead.
///
/// # Errors
/// When the database fails; as everywhere below.
pub async fn insert_all(db: &impl ConnectionTrait, entries: Vec<Model>) -> Result<(), DbErr> {
    if entries.is_empty() {
        return Ok(());
    }
    let count = Expr::col((Entity, Column::Occurrences)).add(1);
    let again = OnConflict::column(Column::RepeatKey).value(Column::Occurrences, count).to_owned();
    let rows = entries.into_iter().map(|entry| ActiveModel::from(entry).reset_all());
    let insert = Entity::insert_many(rows).on_conflict(again);
    insert.exec_without_returning(db).await.map(drop)
}

/// An entry.
pub async fn find(db: &impl ConnectionTrait, id: AuditEntryId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// A page of the log, newest first.
pub async fn page(db: &impl ConnectionTrait, filter: &Filter, window: Window<Place>) -> Result<Page<Model>, DbErr> {
    let compare = |place: &Place, is_greater: bool| match is_greater {
        true => Column::Id.gt(place.id),
        false => Column::Id.lt(place.id),
    };
    let query = Entity::find().filter(filter.condition());
    let rows = window.apply(query, &[Column::Id], true, compare).all(db).await?;
    Ok(window.page(rows))
}

/// How many entries the filter lets through.
pub async fn count(db: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition()).count(db).await
}

/// The newest failure but `kept`: with all before it, it may go.
pub async fn failure_beyond(db: &impl ConnectionTrait, kept: u64) -> Result<Option<AuditEntryId>, DbErr> {
    let newest_first = Entity::find().filter(Column::RepeatKey.is_not_null()).order_by_desc(Column::Id);
    newest_first.offset(kept).limit(1).select_only().column(Column::Id).into_tuple().one(db).await
}

/// The `limit` oldest entries from before this moment.
pub async fn older(db: &impl ConnectionTrait, than: DateTime<Utc>, limit: u64) -> Result<Vec<AuditEntryId>, DbErr> {
    let old = Entity::find().filter(Column::CreatedAt.lt(than)).order_by_asc(Column::CreatedAt);
    old.limit(limit).select_only().column(Column::Id).into_tuple().all(db).await
}

/// The `limit` oldest failures up to this one.
pub async fn failures_up_to(
    db: &impl ConnectionTrait,
    last: AuditEntryId,
    limit: u64,
) -> Result<Vec<AuditEntryId>, DbErr> {
    let failures = Entity::find().filter(Column::RepeatKey.is_not_null()).filter(Column::Id.lte(last));
    failures.order_by_asc(Column::Id).limit(limit).select_only().column(Column::Id).into_tuple().all(db).await
}

/// Removes entries for good.
pub async fn delete(db: &impl ConnectionTrait, ids: Vec<AuditEntryId>) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Id.is_in(ids)).exec(db).await.map(drop)
}
