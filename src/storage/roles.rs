//! Queries on roles and their assignment to users.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::LockType;
use sea_orm::{IntoActiveModel as _, JoinType, QueryOrder, QuerySelect, SqlErr};

use crate::entity::ids::{RoleId, UserId};
use crate::entity::role::{ActiveModel, Column, Entity, Model};
use crate::entity::{user, user_role};
use crate::storage::without_key;

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

/// Roles by id.
pub async fn find_all(db: &impl ConnectionTrait, ids: &[RoleId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// The roles of these users, by name.
pub async fn of_users(db: &impl ConnectionTrait, ids: &[UserId]) -> Result<Vec<(UserId, Model)>, DbErr> {
    let has = Entity::belongs_to(user_role::Entity).from(Column::Id).to(user_role::Column::RoleId);
    let rows = Entity::find()
        .join(JoinType::InnerJoin, has.into())
        .select_also(user_role::Entity)
        .filter(user_role::Column::UserId.is_in(ids.iter().copied()))
        .order_by_asc(Column::Name)
        .all(db)
        .await?;
    Ok(rows.into_iter().filter_map(|(role, has)| Some((has?.user_id, role))).collect())
}

/// Locks a role until the transaction ends. Returns false if it does not exist.
pub async fn lock(db: &impl ConnectionTrait, id: RoleId) -> Result<bool, DbErr> {
    Ok(Entity::find_by_id(id).lock_exclusive().one(db).await?.is_some())
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

/// Writes all columns of a role except its id. Returns whether its name was free, as [`insert`] does.
pub async fn update(db: &impl ConnectionTrait, role: Model) -> Result<bool, DbErr> {
    let id = role.id;
    let update = Entity::update_many().set(without_key(ActiveModel::from(role))).filter(Column::Id.eq(id));
    was_free(update.exec(db).await.map(drop))
}

/// Deletes a role and its assignments.
pub async fn delete(db: &impl ConnectionTrait, id: RoleId) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(db).await.map(drop)
}

/// Whether a user has a role, and whether any other active user has it.
pub async fn holders(db: &impl ConnectionTrait, role_id: RoleId, user_id: UserId) -> Result<(bool, bool), DbErr> {
    let owner = user_role::Entity::belongs_to(user::Entity).from(user_role::Column::UserId).to(user::Column::Id);
    let holders = user_role::Entity::find().filter(user_role::Column::RoleId.eq(role_id));
    let has = holders.clone().filter(user_role::Column::UserId.eq(user_id)).limit(1).count(db).await?;
    let others = holders
        .join(JoinType::InnerJoin, owner.into())
        .filter(user_role::Column::UserId.ne(user_id))
        .filter(user::Column::IsActive.eq(true))
        .filter(user::Column::DeletedAt.is_null())
        .limit(1)
        .count(db)
        .await?;
    Ok((has > 0, others > 0))
}

/// Whether any user has the role.
pub async fn is_assigned(db: &impl ConnectionTrait, role_id: RoleId) -> Result<bool, DbErr> {
    Ok(user_role::Entity::find().filter(user_role::Column::RoleId.eq(role_id)).limit(1).count(db).await? > 0)
}

/// Gives a user a role that they do not have.
pub async fn assign(db: &impl ConnectionTrait, user_id: UserId, role_id: RoleId) -> Result<(), DbErr> {
    user_role::Model { user_id, role_id }.into_active_model().insert(db).await.map(drop)
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

/// Removes all roles of a user.
pub async fn remove_all(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), DbErr> {
    user_role::Entity::delete_many().filter(user_role::Column::UserId.eq(user_id)).exec(db).await.map(drop)
}

fn was_free(outcome: Result<(), DbErr>) -> Result<bool, DbErr> {
    match outcome {
        Ok(()) => Ok(true),
        Err(cause) if matches!(cause.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(cause) => Err(cause),
    }
}
