//! Queries on the chunks of running replies. Chunks are immutable, and without gaps within a reply.

use sea_orm::QueryOrder as _;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use crate::entity::ids::MessageId;
use crate::entity::reply_chunk::{ActiveModel, Column, Entity, Model};
use crate::storage::INSERT_ROWS;

/// Inserts chunks. Existing ones, from a commit whose answer was lost, are left unchanged.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn append(db: &impl ConnectionTrait, chunks: &[Model]) -> Result<(), DbErr> {
    for rows in chunks.chunks(INSERT_ROWS) {
        let rows = rows.iter().map(|row| ActiveModel::from(row.clone()).reset_all());
        let key = OnConflict::columns([Column::MessageId, Column::Start]).do_nothing().to_owned();
        Entity::insert_many(rows).on_conflict(key).exec_without_returning(db).await?;
    }
    Ok(())
}

/// The chunks of a reply that end after a position, in order. The first one may begin before it.
pub async fn after(db: &impl ConnectionTrait, reply: MessageId, position: i32) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::MessageId.eq(reply))
        .filter(Column::EndPosition.gt(position))
        .order_by_asc(Column::Start)
        .all(db)
        .await
}

/// The chunks of several replies, by reply and position.
pub async fn of_all(db: &impl ConnectionTrait, replies: &[MessageId]) -> Result<Vec<Model>, DbErr> {
    let chunks = Entity::find().filter(Column::MessageId.is_in(replies.iter().copied()));
    chunks.order_by_asc(Column::MessageId).order_by_asc(Column::Start).all(db).await
}

/// Deletes the chunks of replies that have their final rows.
pub async fn delete(db: &impl ConnectionTrait, replies: &[MessageId]) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::MessageId.is_in(replies.iter().copied())).exec(db).await.map(drop)
}
