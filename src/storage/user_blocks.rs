//! Queries on blocks between users.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryOrder, QuerySelect};

use crate::entity::ids::UserId;
use crate::entity::user_block::{ActiveModel, Column, Entity, Model};

/// Inserts a block. Does nothing if it exists.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn insert(db: &impl ConnectionTrait, block: Model) -> Result<(), DbErr> {
    let insert = Entity::insert(ActiveModel::from(block).reset_all());
    let insert = insert.on_conflict_do_nothing_on([Column::BlockerId, Column::BlockedId]);
    insert.exec_without_returning(db).await.map(drop)
}

/// Deletes a block, if there is one.
pub async fn delete(db: &impl ConnectionTrait, blocker: UserId, blocked: UserId) -> Result<(), DbErr> {
    Entity::delete_by_id((blocker, blocked)).exec(db).await.map(drop)
}

/// Whether either user has blocked the other.
pub async fn is_between(db: &impl ConnectionTrait, one: UserId, other: UserId) -> Result<bool, DbErr> {
    let by = |blocker: UserId, blocked: UserId| {
        Condition::all().add(Column::BlockerId.eq(blocker)).add(Column::BlockedId.eq(blocked))
    };
    let either = Condition::any().add(by(one, other)).add(by(other, one));
    Ok(Entity::find().filter(either).limit(1).count(db).await? > 0)
}

/// The users of this list that a user has blocked.
pub async fn among(db: &impl ConnectionTrait, blocker: UserId, users: &[UserId]) -> Result<Vec<UserId>, DbErr> {
    let blocks = Entity::find().filter(Column::BlockerId.eq(blocker));
    let found = blocks.filter(Column::BlockedId.is_in(users.iter().copied()));
    found.select_only().column(Column::BlockedId).into_tuple().all(db).await
}

/// The users that a user has blocked, latest first, at most `limit`.
pub async fn of(db: &impl ConnectionTrait, blocker: UserId, limit: u64) -> Result<Vec<UserId>, DbErr> {
    let blocks = Entity::find().filter(Column::BlockerId.eq(blocker)).limit(limit);
    let latest = blocks.order_by_desc(Column::CreatedAt).order_by_desc(Column::BlockedId);
    latest.select_only().column(Column::BlockedId).into_tuple().all(db).await
}

/// The number of users that a user has blocked.
pub async fn count(db: &impl ConnectionTrait, blocker: UserId) -> Result<u64, DbErr> {
    Entity::find().filter(Column::BlockerId.eq(blocker)).count(db).await
}
