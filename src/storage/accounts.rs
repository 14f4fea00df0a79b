//! Users, their roles and their sessions.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, FromQueryResult,
    IntoActiveModel as _, JoinType, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
    SqlErr,
};

use crate::entity::ids::{RoleId, SessionId, UserId};
use crate::entity::{role, session, user, user_role};

/// Inserts a user. Returns whether both names were free. If not, nothing is inserted, and the transaction is rolled
/// back.
pub async fn insert_user(db: &impl ConnectionTrait, user: user::Model) -> Result<bool, DbErr> {
    match user.into_active_model().insert(db).await {
        Ok(_) => Ok(true),
        Err(cause) if matches!(cause.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Gives a user a role that they do not have.
pub async fn insert_user_role(db: &impl ConnectionTrait, user_id: UserId, role_id: RoleId) -> Result<(), DbErr> {
    user_role::Model { user_id, role_id }.into_active_model().insert(db).await.map(drop)
}

/// Whether the username and the e-mail address are taken.
pub async fn taken(db: &impl ConnectionTrait, username_key: &str, email_key: &str) -> Result<(bool, bool), DbErr> {
    let either =
        Condition::any().add(user::Column::UsernameKey.eq(username_key)).add(user::Column::EmailKey.eq(email_key));
    let found = user::Entity::find().filter(either).all(db).await?;
    Ok((
        found.iter().any(|user| user.username_key == username_key),
        found.iter().any(|user| user.email_key == email_key),
    ))
}

/// The user with this folded username.
pub async fn user_by_username(db: &impl ConnectionTrait, key: &str) -> Result<Option<user::Model>, DbErr> {
    alive().filter(user::Column::UsernameKey.eq(key)).one(db).await
}

/// The user with this folded e-mail address.
pub async fn user_by_email(db: &impl ConnectionTrait, key: &str) -> Result<Option<user::Model>, DbErr> {
    alive().filter(user::Column::EmailKey.eq(key)).one(db).await
}

/// The users with these ids, in no particular order.
pub async fn users_by_ids(db: &impl ConnectionTrait, ids: &[UserId]) -> Result<Vec<user::Model>, DbErr> {
    alive().filter(user::Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// Whether any user has the role.
pub async fn is_role_given(db: &impl ConnectionTrait, role_id: RoleId) -> Result<bool, DbErr> {
    Ok(user_role::Entity::find().filter(user_role::Column::RoleId.eq(role_id)).limit(1).count(db).await? > 0)
}

/// A role.
pub async fn role(db: &impl ConnectionTrait, id: RoleId) -> Result<Option<role::Model>, DbErr> {
    role::Entity::find_by_id(id).one(db).await
}

/// The roles of these users, by name.
pub async fn roles_of_users(db: &impl ConnectionTrait, ids: &[UserId]) -> Result<Vec<(UserId, role::Model)>, DbErr> {
    let has = role::Entity::belongs_to(user_role::Entity).from(role::Column::Id).to(user_role::Column::RoleId);
    let rows = role::Entity::find()
        .join(JoinType::InnerJoin, has.into())
        .select_also(user_role::Entity)
        .filter(user_role::Column::UserId.is_in(ids.iter().copied()))
        .order_by_asc(role::Column::Name)
        .all(db)
        .await?;
    Ok(rows.into_iter().filter_map(|(role, has)| Some((has?.user_id, role))).collect())
}

/// Inserts a session.
pub async fn insert_session(db: &impl ConnectionTrait, session: session::Model) -> Result<(), DbErr> {
    session.into_active_model().insert(db).await.map(drop)
}

/// A session and its user.
pub async fn session_with_user(
    db: &impl ConnectionTrait,
    id: SessionId,
) -> Result<Option<(session::Model, user::Model)>, DbErr> {
    let owner = session::Entity::belongs_to(user::Entity).from(session::Column::UserId).to(user::Column::Id);
    let row = session::Entity::find_by_id(id)
        .filter(user::Column::DeletedAt.is_null())
        .join(JoinType::InnerJoin, owner.into())
        .select_also(user::Entity)
        .one(db)
        .await?;
    Ok(row.and_then(|(session, user)| Some((session, user?))))
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
pub async fn session_state(db: &impl ConnectionTrait, id: SessionId) -> Result<Vec<SessionState>, DbErr> {
    let owner = session::Entity::belongs_to(user::Entity).from(session::Column::UserId).to(user::Column::Id);
    let has = user::Entity::belongs_to(user_role::Entity).from(user::Column::Id).to(user_role::Column::UserId);
    let role = user_role::Entity::belongs_to(role::Entity).from(user_role::Column::RoleId).to(role::Column::Id);
    session::Entity::find_by_id(id)
        .join(JoinType::InnerJoin, owner.into())
        .join(JoinType::LeftJoin, has.into())
        .join(JoinType::LeftJoin, role.into())
        .filter(user::Column::DeletedAt.is_null())
        .select_only()
        .columns([session::Column::UserId, session::Column::LastUsedAt, session::Column::ExpiresAt])
        .column(user::Column::IsActive)
        .column(role::Column::Permissions)
        .into_model()
        .all(db)
        .await
}

/// Replaces the refresh token of `from.generation` by its successor. Returns false if it was replaced already.
pub async fn rotate_session(
    db: &impl ConnectionTrait,
    from: &session::Model,
    next_hash: &[u8],
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let updated = session::Entity::update_many()
        .col_expr(session::Column::Generation, Expr::value(from.generation + 1))
        .col_expr(session::Column::PreviousRefreshHash, Expr::value(from.refresh_hash.clone()))
        .col_expr(session::Column::RefreshHash, Expr::value(next_hash.to_vec()))
        .col_expr(session::Column::RotatedAt, Expr::value(now))
        .col_expr(session::Column::LastUsedAt, Expr::value(now))
        .col_expr(session::Column::ExpiresAt, Expr::value(expires_at))
        .filter(session::Column::Id.eq(from.id))
        .filter(session::Column::Generation.eq(from.generation))
        .exec(db)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Deletes a session. Returns whether it existed.
pub async fn delete_session(db: &impl ConnectionTrait, id: SessionId) -> Result<bool, DbErr> {
    Ok(session::Entity::delete_by_id(id).exec(db).await?.rows_affected == 1)
}

/// Deletes expired sessions.
pub async fn delete_expired_sessions(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<u64, DbErr> {
    Ok(session::Entity::delete_many().filter(session::Column::ExpiresAt.lt(now)).exec(db).await?.rows_affected)
}

/// Records that a session and its user were active at `now`.
pub async fn touch(
    db: &impl ConnectionTrait,
    session_id: SessionId,
    user_id: UserId,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    // The user before the session: transactions that delete sessions lock in this order.
    touch_user(db, user_id, now).await?;
    let used = session::Entity::update_many().col_expr(session::Column::LastUsedAt, Expr::value(now));
    used.filter(session::Column::Id.eq(session_id)).exec(db).await.map(drop)
}

/// Records that a user was active at `now`.
pub(super) async fn touch_user(db: &impl ConnectionTrait, id: UserId, now: DateTime<Utc>) -> Result<(), DbErr> {
    let seen = user::Entity::update_many().col_expr(user::Column::LastSeenAt, Expr::value(now));
    seen.filter(user::Column::Id.eq(id)).exec(db).await.map(drop)
}

fn alive() -> Select<user::Entity> {
    user::Entity::find().filter(user::Column::DeletedAt.is_null())
}
