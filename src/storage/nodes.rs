//! The leases of running servers, by the database's clock.

use std::time::Duration;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{OnConflict, Query, SelectStatement};
use sea_orm::{DbBackend, Set};

use crate::entity::ids::BootId;
use crate::entity::node::{ActiveModel, Column, Entity};

/// Says that a server lives for another `lease`.
///
/// # Errors
/// When the database fails; as everywhere below.
pub async fn renew(db: &impl ConnectionTrait, boot: BootId, lease: Duration) -> Result<(), DbErr> {
    let until = now(db).await? + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    Entity::insert(ActiveModel { boot_id: Set(boot), alive_until: Set(until) })
        .on_conflict(OnConflict::column(Column::BootId).update_column(Column::AliveUntil).to_owned())
        .exec_without_returning(db)
        .await
        .map(|_| ())
}

/// The servers whose lease holds at `now`.
pub(super) fn alive(now: i64) -> SelectStatement {
    let mut alive = Query::select();
    alive.column(Column::BootId).from(Entity).and_where(Column::AliveUntil.gte(now));
    alive
}

/// Forgets a server.
pub async fn delete(db: &impl ConnectionTrait, boot: BootId) -> Result<(), DbErr> {
    Entity::delete_by_id(boot).exec(db).await.map(|_| ())
}

/// Forgets the servers whose lease has run out.
pub async fn delete_expired(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let now = now(db).await?;
    Entity::delete_many().filter(Column::AliveUntil.lt(now)).exec(db).await.map(|_| ())
}

/// The database's clock, in Unix milliseconds.
pub(super) async fn now(db: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now",
        _ => "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS now",
    };
    let row = db.query_one_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the database's clock".to_owned()))?.try_get("", "now")
}
