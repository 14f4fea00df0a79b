//! Queries on the audit log. Entries are inserted and deleted; the only update increments the count of a repeated
//! failure.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{Condition, ExprTrait as _, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::audit_entry::{ActiveModel, Column, Entity, Model};
use crate::entity::ids::{AuditEntryId, UserId};
use crate::storage::page::{Page, Window};

/// A cursor in the log, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCursor {
    /// The id, which includes the time.
    pub id: AuditEntryId,
}

impl From<&Model> for AuditCursor {
    fn from(entry: &Model) -> Self {
        Self { id: entry.id }
    }
}

/// The filter of a list. All given fields must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Performed by this user.
    pub actor_id: Option<UserId>,
    /// With exactly this action.
    pub action: Option<String>,
    /// Performed on this object: a prefixed id.
    pub subject_id: Option<String>,
    /// At or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
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

/// Inserts entries. If an entry with the same `repeat_key` exists, its count is incremented instead.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
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

/// Entries by id.
pub async fn find_all(db: &impl ConnectionTrait, ids: &[AuditEntryId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A page of the log, newest first.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &Filter,
    window: Window<AuditCursor>,
) -> Result<Page<Model>, DbErr> {
    let compare = |cursor: &AuditCursor, is_greater: bool| match is_greater {
        true => Column::Id.gt(cursor.id),
        false => Column::Id.lt(cursor.id),
    };
    let query = Entity::find().filter(filter.condition());
    let rows = window.apply(query, &[Column::Id], true, compare).all(db).await?;
    Ok(window.page(rows))
}

/// The number of entries that match the filter.
pub async fn count(db: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition()).count(db).await
}

/// The newest failure beyond the newest `kept`. It and all older ones can be deleted.
pub async fn failure_beyond(db: &impl ConnectionTrait, kept: u64) -> Result<Option<AuditEntryId>, DbErr> {
    let newest_first = Entity::find().filter(Column::RepeatKey.is_not_null()).order_by_desc(Column::Id);
    newest_first.offset(kept).limit(1).select_only().column(Column::Id).into_tuple().one(db).await
}

/// The ids of the `limit` oldest entries before this time.
pub async fn older(db: &impl ConnectionTrait, than: DateTime<Utc>, limit: u64) -> Result<Vec<AuditEntryId>, DbErr> {
    let old = Entity::find().filter(Column::CreatedAt.lt(than)).order_by_asc(Column::CreatedAt);
    old.limit(limit).select_only().column(Column::Id).into_tuple().all(db).await
}

/// The ids of the `limit` oldest failures up to and including this one.
pub async fn failures_up_to(
    db: &impl ConnectionTrait,
    last: AuditEntryId,
    limit: u64,
) -> Result<Vec<AuditEntryId>, DbErr> {
    let failures = Entity::find().filter(Column::RepeatKey.is_not_null()).filter(Column::Id.lte(last));
    failures.order_by_asc(Column::Id).limit(limit).select_only().column(Column::Id).into_tuple().all(db).await
}

/// Deletes entries.
pub async fn delete(db: &impl ConnectionTrait, ids: Vec<AuditEntryId>) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Id.is_in(ids)).exec(db).await.map(drop)
}
