//! Queries on roles and their assignment to users.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::LockType;
use sea_orm::{IntoActiveModel as _, QueryOrder, QuerySelect, SqlErr};

use crate::entity::ids::{RoleId, UserId};
use crate::entity::role::{ActiveModel, Column, Entity, Model};
use crate::entity::user_role;

/// Up to `limit` roles, by name.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn all(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find().order_by_asc(Column::NameKey).limit(limit).all(db).await
}

/// The number of roles.
pub async fn count(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().count(db).await
}

/// The existing ones of these roles, by id, locked until the transaction ends. The lock prevents changes of the roles,
/// but not their assignment.
pub async fn lock_all(db: &impl ConnectionTrait, ids: &[RoleId]) -> Result<Vec<Model>, DbErr> {
    let roles = Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
    roles.order_by_asc(Column::Id).lock(LockType::NoKeyUpdate).all(db).await
}

/// Inserts a role. Returns whether its name was free. If not, nothing is inserted, and the transaction is rolled back.
pub async fn insert(db: &impl ConnectionTrait, role: Model) -> Result<bool, DbErr> {
    was_free(Entity::insert(role.into_active_model().reset_all()).exec_without_returning(db).await.map(drop))
}

/// Writes all columns of a role. Returns whether its name was free, as [`insert`] does.
pub async fn update(db: &impl ConnectionTrait, role: Model) -> Result<bool, DbErr> {
    let id = role.id;
    let update = Entity::update_many().set(ActiveModel::from(role).reset_all()).filter(Column::Id.eq(id));
    was_free(update.exec(db).await.map(drop))
}

/// Deletes a role and its assignments.
pub async fn delete(db: &impl ConnectionTrait, id: RoleId) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(db).await.map(drop)
}

/// Replaces a user's roles by exactly these.
pub async fn set(db: &impl ConnectionTrait, user_id: UserId, roles: &[RoleId]) -> Result<(), DbErr> {
    user_role::Entity::delete_many().filter(user_role::Column::UserId.eq(user_id)).exec(db).await?;
    if roles.is_empty() {
        return Ok(());
    }
    let rows = roles.iter().map(|role_id| user_role::Model { user_id, role_id: *role_id }.into_active_model());
    user_role::Entity::insert_many(rows).exec_without_returning(db).await.map(drop)
}

fn was_free(outcome: Result<(), DbErr>) -> Result<bool, DbErr> {
    match outcome {
        Ok(()) => Ok(true),
        Err(cause) if matches!(cause.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(cause) => Err(cause),
    }
}
