//! Queries on personal access tokens.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{IntoActiveModel as _, JoinType, QueryOrder, QuerySelect};

use crate::entity::ids::{PersonalAccessTokenId, UserId};
use crate::entity::personal_access_token::{Column, Entity, Model};
use crate::entity::user;

/// Inserts a token.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn insert(db: &impl ConnectionTrait, token: Model) -> Result<(), DbErr> {
    token.into_active_model().insert(db).await.map(drop)
}

/// The token with this hash, and its user.
pub async fn find_by_hash(db: &impl ConnectionTrait, hash: &[u8]) -> Result<Option<(Model, user::Model)>, DbErr> {
    let owner = Entity::belongs_to(user::Entity).from(Column::UserId).to(user::Column::Id);
    let row = Entity::find()
        .filter(Column::TokenHash.eq(hash))
        .filter(user::Column::DeletedAt.is_null())
        .join(JoinType::InnerJoin, owner.into())
        .select_also(user::Entity)
        .one(db)
        .await?;
    Ok(row.and_then(|(token, user)| Some((token, user?))))
}

/// A token.
pub async fn find(db: &impl ConnectionTrait, id: PersonalAccessTokenId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// Tokens, of any users.
pub async fn find_all(db: &impl ConnectionTrait, ids: &[PersonalAccessTokenId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// The tokens of these users, newest first.
pub async fn of_users(db: &impl ConnectionTrait, users: &[UserId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::UserId.is_in(users.iter().copied())).order_by_desc(Column::Id).all(db).await
}

/// The number of tokens of a user.
pub async fn count(db: &impl ConnectionTrait, user_id: UserId) -> Result<u64, DbErr> {
    Entity::find().filter(Column::UserId.eq(user_id)).count(db).await
}

/// Deletes a token. Returns whether it existed.
pub async fn delete(db: &impl ConnectionTrait, id: PersonalAccessTokenId) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id(id).exec(db).await?.rows_affected == 1)
}

/// Deletes all tokens of a user.
pub async fn delete_all(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(db).await.map(drop)
}

/// Deletes expired tokens.
pub async fn delete_expired(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(db).await.map(drop)
}

/// Records that a token and its user were active at `now`.
pub async fn touch(db: &impl ConnectionTrait, token: &Model, now: DateTime<Utc>) -> Result<(), DbErr> {
    super::users::touch(db, token.user_id, now).await?;
    let used = Entity::update_many().col_expr(Column::LastUsedAt, Expr::value(now));
    used.filter(Column::Id.eq(token.id)).exec(db).await.map(drop)
}
