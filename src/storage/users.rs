//! Queries that change and delete users. Deleted users that are not swept yet are excluded.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{Condition, IntoActiveModel as _, JoinType, QueryOrder, QuerySelect, SqlErr};

use crate::entity::ids::{CharacterId, RoleId, SessionId, UserId};
use crate::entity::user::{Column, Entity, Model};
use crate::entity::{character, chat, role, session, user_role};

/// A user, locked until the transaction ends. Every transaction that changes an account or begins a session holds this
/// lock.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn lock(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(Column::DeletedAt.is_null()).lock_exclusive().one(db).await
}

/// Writes all columns of a user. Returns whether both names were free. If not, nothing is written, and the transaction
/// is rolled back.
pub async fn update(db: &impl ConnectionTrait, user: Model) -> Result<bool, DbErr> {
    match user.into_active_model().reset_all().update(db).await {
        Ok(_) => Ok(true),
        Err(cause) if matches!(cause.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Locks a role until the transaction ends. Returns false if it does not exist.
pub async fn lock_role(db: &impl ConnectionTrait, id: RoleId) -> Result<bool, DbErr> {
    Ok(role::Entity::find_by_id(id).lock_exclusive().one(db).await?.is_some())
}

/// Whether a user has a role, and whether any other active user has it.
pub async fn who_has(db: &impl ConnectionTrait, role_id: RoleId, user_id: UserId) -> Result<(bool, bool), DbErr> {
    let owner = user_role::Entity::belongs_to(Entity).from(user_role::Column::UserId).to(Column::Id);
    let holders = user_role::Entity::find().filter(user_role::Column::RoleId.eq(role_id));
    let has = holders.clone().filter(user_role::Column::UserId.eq(user_id)).limit(1).count(db).await?;
    let others = holders
        .join(JoinType::InnerJoin, owner.into())
        .filter(user_role::Column::UserId.ne(user_id))
        .filter(Column::IsActive.eq(true))
        .filter(Column::DeletedAt.is_null())
        .limit(1)
        .count(db)
        .await?;
    Ok((has > 0, others > 0))
}

/// The sessions of these users that have not expired, most recently used first.
pub async fn sessions(
    db: &impl ConnectionTrait,
    users: &[UserId],
    now: DateTime<Utc>,
) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::find()
        .filter(session::Column::UserId.is_in(users.iter().copied()))
        .filter(session::Column::ExpiresAt.gt(now))
        .order_by_desc(session::Column::LastUsedAt)
        .order_by_desc(session::Column::Id)
        .all(db)
        .await
}

/// Deletes all sessions of a user except `but`, and returns their ids.
pub async fn delete_sessions(
    db: &impl ConnectionTrait,
    user_id: UserId,
    but: Option<SessionId>,
) -> Result<Vec<SessionId>, DbErr> {
    let which = Condition::all()
        .add(session::Column::UserId.eq(user_id))
        .add_option(but.map(|kept| session::Column::Id.ne(kept)));
    let ids = session::Entity::find().filter(which.clone()).select_only().column(session::Column::Id);
    let ids: Vec<SessionId> = ids.into_tuple().all(db).await?;
    session::Entity::delete_many().filter(which).exec(db).await?;
    Ok(ids)
}

/// Deletes all but the `kept` most recently used sessions of a user, and returns their ids.
pub async fn delete_sessions_beyond(
    db: &impl ConnectionTrait,
    user_id: UserId,
    kept: u64,
) -> Result<Vec<SessionId>, DbErr> {
    let beyond = session::Entity::find()
        .filter(session::Column::UserId.eq(user_id))
        .order_by_desc(session::Column::LastUsedAt)
        .order_by_desc(session::Column::Id)
        .offset(kept)
        .limit(i64::MAX.unsigned_abs());
    let ids: Vec<SessionId> = beyond.select_only().column(session::Column::Id).into_tuple().all(db).await?;
    if !ids.is_empty() {
        session::Entity::delete_many().filter(session::Column::Id.is_in(ids.clone())).exec(db).await?;
    }
    Ok(ids)
}

/// Removes all roles of a user.
pub async fn delete_roles(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), DbErr> {
    user_role::Entity::delete_many().filter(user_role::Column::UserId.eq(user_id)).exec(db).await.map(drop)
}

/// The next deleted user that is not swept yet, by id.
pub async fn find_deleted(db: &impl ConnectionTrait, after: Option<UserId>) -> Result<Option<UserId>, DbErr> {
    Entity::find()
        .filter(Column::DeletedAt.is_not_null())
        .filter(Condition::all().add_option(after.map(|after| Column::Id.gt(after))))
        .order_by_asc(Column::Id)
        .select_only()
        .column(Column::Id)
        .into_tuple()
        .one(db)
        .await
}

/// Makes the characters of a user private.
pub async fn hide_characters(db: &impl ConnectionTrait, owner: UserId) -> Result<(), DbErr> {
    let hidden = character::Entity::update_many().col_expr(character::Column::IsPublic, Expr::value(false));
    let hidden = hidden.filter(character::Column::OwnerId.eq(owner)).filter(character::Column::IsPublic.eq(true));
    hidden.exec(db).await.map(drop)
}

/// Deletes up to `limit` characters of a user. Chats of other users with them continue without a character. Returns
/// false when there are none left.
pub async fn sweep_characters(db: &impl ConnectionTrait, owner: UserId, limit: u64) -> Result<bool, DbErr> {
    let batch = character::Entity::find().filter(character::Column::OwnerId.eq(owner)).limit(limit);
    let batch: Vec<CharacterId> = batch.select_only().column(character::Column::Id).into_tuple().all(db).await?;
    if batch.is_empty() {
        return Ok(false);
    }
    character::Entity::delete_many().filter(character::Column::Id.is_in(batch)).exec(db).await?;
    Ok(true)
}

/// Deletes a deleted user's row if the user owns no chats any more. Returns whether the row is gone.
pub async fn delete(db: &impl ConnectionTrait, id: UserId) -> Result<bool, DbErr> {
    if chat::Entity::find().filter(chat::Column::OwnerId.eq(id)).limit(1).count(db).await? > 0 {
        return Ok(false);
    }
    let deleted = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::DeletedAt.is_not_null());
    Ok(deleted.exec(db).await?.rows_affected == 1)
}
