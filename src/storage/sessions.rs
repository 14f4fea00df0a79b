//! Queries on sessions: sign-ins with their refresh tokens.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{Condition, FromQueryResult, IntoActiveModel as _, JoinType, QueryOrder, QuerySelect};

use crate::entity::ids::{SessionId, UserId};
use crate::entity::session::{Column, Entity, Model};
use crate::entity::{role, user, user_role};

/// A session and its user.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find_with_user(db: &impl ConnectionTrait, id: SessionId) -> Result<Option<(Model, user::Model)>, DbErr> {
    let owner = Entity::belongs_to(user::Entity).from(Column::UserId).to(user::Column::Id);
    let row = Entity::find_by_id(id)
        .filter(user::Column::DeletedAt.is_null())
        .join(JoinType::InnerJoin, owner.into())
        .select_also(user::Entity)
        .one(db)
        .await?;
    Ok(row.and_then(|(session, user)| Some((session, user?))))
}

/// Those of these sessions that belong to a user.
pub async fn find_all(db: &impl ConnectionTrait, owner: UserId, ids: &[SessionId]) -> Result<Vec<Model>, DbErr> {
    let sessions = Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
    sessions.filter(Column::UserId.eq(owner)).all(db).await
}

/// The part of a session that authentication needs, joined with one role of its user.
#[derive(Debug, Clone, FromQueryResult)]
pub struct SessionState {
    /// The user.
    pub user_id: UserId,
    /// When it was last used.
    pub last_used_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// Whether the user may sign in.
    pub is_active: bool,
    /// The permissions of one role of the user. None if the user has no roles.
    pub permissions: Option<String>,
}

/// The state of a session, in one statement: one row per role of its user, or one row without a role. No rows if the
/// session does not exist.
pub async fn state(db: &impl ConnectionTrait, id: SessionId) -> Result<Vec<SessionState>, DbErr> {
    let owner = Entity::belongs_to(user::Entity).from(Column::UserId).to(user::Column::Id);
    let has = user::Entity::belongs_to(user_role::Entity).from(user::Column::Id).to(user_role::Column::UserId);
    let role = user_role::Entity::belongs_to(role::Entity).from(user_role::Column::RoleId).to(role::Column::Id);
    Entity::find_by_id(id)
        .join(JoinType::InnerJoin, owner.into())
        .join(JoinType::LeftJoin, has.into())
        .join(JoinType::LeftJoin, role.into())
        .filter(user::Column::DeletedAt.is_null())
        .select_only()
        .columns([Column::UserId, Column::LastUsedAt, Column::ExpiresAt])
        .column(user::Column::IsActive)
        .column(role::Column::Permissions)
        .into_model()
        .all(db)
        .await
}

/// The sessions of these users that have not expired, most recently used first.
pub async fn of_users(db: &impl ConnectionTrait, users: &[UserId], now: DateTime<Utc>) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.is_in(users.iter().copied()))
        .filter(Column::ExpiresAt.gt(now))
        .order_by_desc(Column::LastUsedAt)
        .order_by_desc(Column::Id)
        .all(db)
        .await
}

/// Inserts a session.
pub async fn insert(db: &impl ConnectionTrait, session: Model) -> Result<(), DbErr> {
    session.into_active_model().insert(db).await.map(drop)
}

/// Replaces the refresh token of `from.generation` by its successor. Returns false if it was replaced already.
pub async fn rotate(
    db: &impl ConnectionTrait,
    from: &Model,
    next_hash: &[u8],
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let updated = Entity::update_many()
        .col_expr(Column::Generation, Expr::value(from.generation + 1))
        .col_expr(Column::PreviousRefreshHash, Expr::value(from.refresh_hash.clone()))
        .col_expr(Column::RefreshHash, Expr::value(next_hash.to_vec()))
        .col_expr(Column::RotatedAt, Expr::value(now))
        .col_expr(Column::LastUsedAt, Expr::value(now))
        .col_expr(Column::ExpiresAt, Expr::value(expires_at))
        .filter(Column::Id.eq(from.id))
        .filter(Column::Generation.eq(from.generation))
        .exec(db)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Records that a session and its user were active at `now`.
pub async fn touch(
    db: &impl ConnectionTrait,
    session_id: SessionId,
    user_id: UserId,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    // The user before the session: transactions that delete sessions lock in this order.
    super::users::touch(db, user_id, now).await?;
    let used = Entity::update_many().col_expr(Column::LastUsedAt, Expr::value(now));
    used.filter(Column::Id.eq(session_id)).exec(db).await.map(drop)
}

/// Deletes a session. Returns whether it existed.
pub async fn delete(db: &impl ConnectionTrait, id: SessionId) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id(id).exec(db).await?.rows_affected == 1)
}

/// Deletes all sessions of a user except `but`, and returns their ids.
pub async fn delete_of_user(
    db: &impl ConnectionTrait,
    user_id: UserId,
    but: Option<SessionId>,
) -> Result<Vec<SessionId>, DbErr> {
    let which = Condition::all().add(Column::UserId.eq(user_id)).add_option(but.map(|kept| Column::Id.ne(kept)));
    let ids = Entity::find().filter(which.clone()).select_only().column(Column::Id);
    let ids: Vec<SessionId> = ids.into_tuple().all(db).await?;
    Entity::delete_many().filter(which).exec(db).await?;
    Ok(ids)
}

/// Deletes all but the `kept` most recently used sessions of a user, and returns their ids.
pub async fn delete_beyond(db: &impl ConnectionTrait, user_id: UserId, kept: u64) -> Result<Vec<SessionId>, DbErr> {
    let beyond = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .order_by_desc(Column::LastUsedAt)
        .order_by_desc(Column::Id)
        .offset(kept)
        .limit(i64::MAX.unsigned_abs());
    let ids: Vec<SessionId> = beyond.select_only().column(Column::Id).into_tuple().all(db).await?;
    if !ids.is_empty() {
        Entity::delete_many().filter(Column::Id.is_in(ids.clone())).exec(db).await?;
    }
    Ok(ids)
}

/// Deletes expired sessions.
pub async fn delete_expired(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<u64, DbErr> {
    Ok(Entity::delete_many().filter(Column::ExpiresAt.lt(now)).exec(db).await?.rows_affected)
}
