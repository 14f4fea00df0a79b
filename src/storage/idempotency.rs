//! Queries on idempotency keys, which store the result of the first call.

use chrono::{DateTime, Utc};
use sea_orm::TryInsertResult;
use sea_orm::entity::prelude::*;

use crate::entity::idempotency_key::{ActiveModel, Column, Entity, Model};

/// Reserves a key in this transaction. Concurrent calls with the same key wait until it ends. Returns none if the key
/// was reserved, otherwise the existing row.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn take(db: &impl ConnectionTrait, row: Model, expired: DateTime<Utc>) -> Result<Option<Model>, DbErr> {
    let same = |query: sea_orm::DeleteMany<Entity>| {
        query
            .filter(Column::UserId.eq(row.user_id))
            .filter(Column::Field.eq(row.field.clone()))
            .filter(Column::Key.eq(row.key.clone()))
    };
    same(Entity::delete_many()).filter(Column::CreatedAt.lt(expired)).exec(db).await?;
    let key = (row.user_id, row.field.clone(), row.key.clone());
    let insert = Entity::insert(ActiveModel::from(row.clone()).reset_all());
    let insert = insert.on_conflict_do_nothing_on([Column::UserId, Column::Field, Column::Key]);
    match insert.exec_without_returning(db).await? {
        TryInsertResult::Inserted(rows) if rows > 0 => Ok(None),
        // A conflict affects no rows; SeaORM reports a conflict only for inserts that return the key.
        _ => Entity::find_by_id(key).one(db).await,
    }
}

/// Deletes keys that were created before this time.
pub async fn delete_older(db: &impl ConnectionTrait, expired: DateTime<Utc>) -> Result<u64, DbErr> {
    Ok(Entity::delete_many().filter(Column::CreatedAt.lt(expired)).exec(db).await?.rows_affected)
}
