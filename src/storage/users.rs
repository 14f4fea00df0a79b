//! Queries on users. Deleted users that are not swept yet are excluded, except where they are swept.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, LikeExpr, LockType, Query};
use sea_orm::{Condition, IntoActiveModel as _, QueryOrder, QuerySelect, Select, SqlErr};
use serde::{Deserialize, Serialize};

use crate::entity::ids::{RoleId, UserId};
use crate::entity::user::{Column, Entity, Model};
use crate::entity::{chat, user_role};
use crate::storage::page::{Page, Window};
use crate::storage::{escape_like, greater_than};

/// A cursor in the list of users, by username.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCursor {
    /// The folded username.
    pub username_key: String,
    /// The id.
    pub id: UserId,
}

impl From<&Model> for UserCursor {
    fn from(user: &Model) -> Self {
        Self { username_key: user.username_key.clone(), id: user.id }
    }
}

/// The filter of a list. All given fields must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Text that the username, the e-mail address or the full name contains, folded to lower case.
    pub query: Option<String>,
    /// Whether the user may sign in.
    pub is_active: Option<bool>,
    /// Users with this role.
    pub role_id: Option<RoleId>,
}

impl Filter {
    fn condition(&self) -> Condition {
        let found = self.query.as_ref().map(|text| {
            let pattern = || LikeExpr::new(format!("%{}%", escape_like(text))).escape('\\');
            Condition::any()
                .add(Column::UsernameKey.like(pattern()))
                .add(Column::EmailKey.like(pattern()))
                .add(Column::FullNameKey.like(pattern()))
        });
        let with_role = self.role_id.map(|role_id| {
            let mut holders = Query::select();
            holders.column(user_role::Column::UserId).from(user_role::Entity);
            holders.and_where(user_role::Column::RoleId.eq(role_id));
            Column::Id.in_subquery(holders)
        });
        Condition::all()
            .add(Column::DeletedAt.is_null())
            .add_option(found)
            .add_option(self.is_active.map(|wanted| Column::IsActive.eq(wanted)))
            .add_option(with_role)
    }
}

/// A page of the users, by username.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &Filter,
    window: Window<UserCursor>,
) -> Result<Page<Model>, DbErr> {
    let compare = |cursor: &UserCursor, is_greater: bool| {
        let values = [cursor.username_key.clone().into(), cursor.id.into()];
        greater_than([Column::UsernameKey, Column::Id], values, is_greater)
    };
    let query = Entity::find().filter(filter.condition());
    let rows = window.apply(query, &[Column::UsernameKey, Column::Id], false, compare).all(db).await?;
    Ok(window.page(rows))
}

/// The number of users that match the filter.
pub async fn count(db: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find().filter(filter.condition()).count(db).await
}

/// The user with this folded username.
pub async fn find_by_username(db: &impl ConnectionTrait, key: &str) -> Result<Option<Model>, DbErr> {
    alive().filter(Column::UsernameKey.eq(key)).one(db).await
}

/// The user with this folded e-mail address.
pub async fn find_by_email(db: &impl ConnectionTrait, key: &str) -> Result<Option<Model>, DbErr> {
    alive().filter(Column::EmailKey.eq(key)).one(db).await
}

/// The users with these ids, in no particular order.
pub async fn find_all(db: &impl ConnectionTrait, ids: &[UserId]) -> Result<Vec<Model>, DbErr> {
    alive().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// Whether the username and the e-mail address are taken.
pub async fn taken(db: &impl ConnectionTrait, username_key: &str, email_key: &str) -> Result<(bool, bool), DbErr> {
    let either = Condition::any().add(Column::UsernameKey.eq(username_key)).add(Column::EmailKey.eq(email_key));
    let found = Entity::find().filter(either).all(db).await?;
    Ok((
        found.iter().any(|user| user.username_key == username_key),
        found.iter().any(|user| user.email_key == email_key),
    ))
}

/// A user, locked until the transaction ends. Every transaction that changes an account or begins a session holds this
/// lock. It does not prevent other transactions from inserting rows that refer to the user.
pub async fn lock(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Model>, DbErr> {
    alive().filter(Column::Id.eq(id)).lock(LockType::NoKeyUpdate).one(db).await
}

/// Inserts a user. Returns whether both names were free. If not, nothing is inserted, and the transaction is rolled
/// back.
pub async fn insert(db: &impl ConnectionTrait, user: Model) -> Result<bool, DbErr> {
    match user.into_active_model().insert(db).await {
        Ok(_) => Ok(true),
        Err(cause) if matches!(cause.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(cause) => Err(cause),
    }
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

/// Records that a user was active at `now`.
pub(super) async fn touch(db: &impl ConnectionTrait, id: UserId, now: DateTime<Utc>) -> Result<(), DbErr> {
    let seen = Entity::update_many().col_expr(Column::LastSeenAt, Expr::value(now));
    seen.filter(Column::Id.eq(id)).exec(db).await.map(drop)
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

/// Deletes a deleted user's row if the user owns no chats and takes part in no conversations any more. Returns whether
/// the row is gone.
pub async fn delete(db: &impl ConnectionTrait, id: UserId) -> Result<bool, DbErr> {
    if chat::Entity::find().filter(chat::Column::OwnerId.eq(id)).limit(1).count(db).await? > 0 {
        return Ok(false);
    }
    if super::conversations::find_any(db, id).await?.is_some() {
        return Ok(false);
    }
    let deleted = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::DeletedAt.is_not_null());
    Ok(deleted.exec(db).await?.rows_affected == 1)
}

fn alive() -> Select<Entity> {
    Entity::find().filter(Column::DeletedAt.is_null())
}
