//! Queries on password reset tokens.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{IntoActiveModel as _, JoinType, QuerySelect, QueryTrait as _};

use crate::entity::ids::{RoleId, UserId};
use crate::entity::password_reset::{Column, Entity, Model};
use crate::entity::{user, user_role};

/// Inserts a token, replacing the previous one of the user.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn replace(db: &impl ConnectionTrait, reset: Model) -> Result<(), DbErr> {
    let again = OnConflict::column(Column::UserId).update_columns([Column::TokenHash, Column::ExpiresAt]).to_owned();
    let insert = Entity::insert(reset.into_active_model().reset_all()).on_conflict(again);
    insert.exec_without_returning(db).await.map(drop)
}

/// The user of a token, unless it has expired.
pub async fn find_user(
    db: &impl ConnectionTrait,
    hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<user::Model>, DbErr> {
    let reset = user::Entity::belongs_to(Entity).from(user::Column::Id).to(Column::UserId);
    user::Entity::find()
        .join(JoinType::InnerJoin, reset.into())
        .filter(Column::TokenHash.eq(hash))
        .filter(Column::ExpiresAt.gt(now))
        .filter(user::Column::DeletedAt.is_null())
        .one(db)
        .await
}

/// Deletes a token when it is used. Returns false if it does not exist or has expired.
pub async fn take(db: &impl ConnectionTrait, hash: &[u8], now: DateTime<Utc>) -> Result<bool, DbErr> {
    let taken = Entity::delete_many().filter(Column::TokenHash.eq(hash)).filter(Column::ExpiresAt.gt(now));
    Ok(taken.exec(db).await?.rows_affected == 1)
}

/// Deletes the token of a user.
pub async fn delete(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), DbErr> {
    Entity::delete_by_id(user_id).exec(db).await.map(drop)
}

/// Deletes the tokens of all users with this role.
pub async fn delete_of_role(db: &impl ConnectionTrait, role_id: RoleId) -> Result<(), DbErr> {
    let holders = user_role::Entity::find().filter(user_role::Column::RoleId.eq(role_id));
    let holders = holders.select_only().column(user_role::Column::UserId).into_query();
    Entity::delete_many().filter(Column::UserId.in_subquery(holders)).exec(db).await.map(drop)
}

/// Deletes expired tokens.
pub async fn delete_expired(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(db).await.map(drop)
}
