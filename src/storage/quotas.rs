//! Queries on quotas: the limits of users, their usage in a month, and the reservations of running replies.

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, Statement};

use crate::entity::ids::{MessageId, UserId};
use crate::entity::quota_reservation::{ActiveModel, Column, Entity, Model};
use crate::storage::messages::placeholders;

/// The monthly limits that apply to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromQueryResult)]
pub struct Limits {
    /// The limit of the cost, in millionths of a US dollar. None if there is none.
    pub cost_limit: Option<i64>,
    /// The limit of input and output tokens. None if there is none.
    pub token_limit: Option<i64>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_unlimited(self) -> bool {
        self == Self::default()
    }
}

/// Amounts that count against the limits of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromQueryResult)]
pub struct Amounts {
    /// Input and output tokens.
    pub tokens: i64,
    /// The cost in billionths of a US dollar.
    pub cost: i64,
}

/// The limits that apply to these users: their own ones; for each limit that a user does not have, the highest one of
/// their roles.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn limits(db: &impl ConnectionTrait, users: &[UserId]) -> Result<Vec<(UserId, Limits)>, DbErr> {
    let sql = format!(
        "SELECT u.id, COALESCE(u.cost_limit, MAX(r.cost_limit)) AS cost_limit, \
         COALESCE(u.token_limit, MAX(r.token_limit)) AS token_limit \
         FROM users u LEFT JOIN user_roles h ON h.user_id = u.id LEFT JOIN roles r ON r.id = h.role_id \
         WHERE u.id IN ({}) GROUP BY u.id, u.cost_limit, u.token_limit",
        placeholders(1, users.len()),
    );
    let values = users.iter().map(|id| Value::from(*id));
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| Ok((row.try_get("", "id")?, Limits::from_query_result(row, "")?))).collect()
}

/// The settled usage of these users in a month. Users without usage are absent.
pub async fn used(db: &impl ConnectionTrait, users: &[UserId], month: i32) -> Result<Vec<(UserId, Amounts)>, DbErr> {
    let sql = format!(
        "SELECT user_id, CAST(SUM(input_tokens + output_tokens) AS BIGINT) AS tokens, \
         CAST(SUM(cost_nanodollars) AS BIGINT) AS cost FROM usage_totals \
         WHERE dimension = 0 AND span = 2 AND start = {month} AND user_id IN ({}) GROUP BY user_id",
        placeholders(1, users.len()),
    );
    let values = users.iter().map(|id| Value::from(*id));
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| Ok((row.try_get("", "user_id")?, Amounts::from_query_result(row, "")?))).collect()
}

/// The usage of a user in a month together with the reservations of running replies. One statement, so that a reply
/// that ends meanwhile is counted exactly once.
pub async fn used_and_reserved(db: &impl ConnectionTrait, user: UserId, month: i32) -> Result<Amounts, DbErr> {
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(tokens), 0) AS BIGINT) AS tokens, CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost \
         FROM (SELECT input_tokens + output_tokens AS tokens, cost_nanodollars AS cost FROM usage_totals \
         WHERE dimension = 0 AND span = 2 AND start = {month} AND user_id = $1 \
         UNION ALL SELECT r.tokens, r.cost_nanodollars FROM quota_reservations r \
         JOIN messages m ON m.id = r.message_id AND m.status = 1 WHERE r.user_id = $1 AND r.month = {month}) AS amounts"
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [user.into()]);
    Ok(Amounts::find_by_statement(statement).one(db).await?.unwrap_or_default())
}

/// Inserts a reservation.
pub async fn reserve(db: &impl ConnectionTrait, reservation: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(reservation).reset_all()).exec_without_returning(db).await.map(drop)
}

/// Deletes the reservations of replies that have ended.
pub async fn release(db: &impl ConnectionTrait, replies: &[MessageId]) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::MessageId.is_in(replies.iter().copied())).exec(db).await.map(drop)
}
