//! Counts of what was created in a time range, and of the users that were active in it.

use sea_orm::Statement;
use sea_orm::entity::prelude::*;

use super::{TimeRange, count};

/// What was created in a time range and still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Created {
    /// Accounts.
    pub users: i64,
    /// Chats.
    pub chats: i64,
    /// Messages.
    pub messages: i64,
}

/// Counts what was created in a range, by the time in the ids, for which there is an index. Deleted users and chats
/// that are not swept yet are subtracted; there are few of them.
pub async fn created(db: &impl ConnectionTrait, range: TimeRange) -> Result<Created, DbErr> {
    let existing = async |table: &str| {
        let mut values = Vec::new();
        let [all, deleted] = [(); 2].map(|()| range.created("id", &mut values));
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM {table} WHERE {all}) \
             - (SELECT COUNT(*) FROM {table} WHERE deleted_at IS NOT NULL AND {deleted}) AS count"
        );
        count(db, sql, values).await
    };
    let messages = messages_in(db, range).await?;
    Ok(Created { users: existing("users").await?, chats: existing("chats").await?, messages })
}

/// The number of messages that were created in a range and still exist. If the range has most of the time in which
/// there are messages, those outside are counted and subtracted from all, so that at most about half of the messages
/// are read.
async fn messages_in(db: &impl ConnectionTrait, range: TimeRange) -> Result<i64, DbErr> {
    if !has_most_messages(db, range).await? {
        return count_messages(db, range).await;
    }
    let sql = "SELECT CAST(COALESCE(SUM(message_count), 0) AS BIGINT) AS count FROM chats WHERE deleted_at IS NULL";
    let mut messages = count(db, sql.to_owned(), Vec::new()).await?;
    let before = range.from.map(|from| TimeRange { from: None, to: Some(from) });
    let after = range.to.map(|to| TimeRange { from: Some(to), to: None });
    for outside in before.into_iter().chain(after) {
        messages -= count_messages(db, outside).await?;
    }
    Ok(messages)
}

/// Whether a range has more than half of the time between the oldest and the newest message.
async fn has_most_messages(db: &impl ConnectionTrait, range: TimeRange) -> Result<bool, DbErr> {
    // With a condition, the plans are index searches.
    let sql = "SELECT (SELECT id FROM messages WHERE id > $1 ORDER BY id LIMIT 1) AS oldest, \
        (SELECT id FROM messages WHERE id > $1 ORDER BY id DESC LIMIT 1) AS newest";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [Uuid::nil().into()]);
    let Some(row) = db.query_one_raw(statement).await? else { return Ok(true) };
    let time = |id: Uuid| i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX);
    let ends: (Option<Uuid>, Option<Uuid>) = (row.try_get("", "oldest")?, row.try_get("", "newest")?);
    let (Some(oldest), Some(newest)) = (ends.0.map(time), ends.1.map(time)) else { return Ok(true) };
    let from = range.from.map_or(oldest, |from| from.timestamp_millis().max(oldest));
    let to = range.to.map_or(newest, |to| to.timestamp_millis().min(newest));
    Ok(to.saturating_sub(from) > (newest - oldest) / 2)
}

/// Counts the messages of a range, without those of chats that are deleted and not swept yet. The cross join makes
/// SQLite begin with these chats, which are few, and not with all messages of the range.
async fn count_messages(db: &impl ConnectionTrait, range: TimeRange) -> Result<i64, DbErr> {
    let mut values = Vec::new();
    let (all, deleted) = (range.created("id", &mut values), range.created("m.id", &mut values));
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM messages WHERE {all}) - (SELECT COUNT(*) FROM chats c CROSS JOIN messages m \
         WHERE m.chat_id = c.id AND c.deleted_at IS NOT NULL AND {deleted}) AS count"
    );
    count(db, sql, values).await
}

/// The number of users with a reply that started in a range, ended or running.
pub async fn active_users(db: &impl ConnectionTrait, range: TimeRange) -> Result<i64, DbErr> {
    let mut values = Vec::new();
    let (mut ended, mut running) = (String::new(), String::new());
    for (time, operator) in [(range.from, ">="), (range.to, "<")] {
        if let Some(time) = time {
            values.push(time.into());
            let number = values.len();
            ended.push_str(&format!(" AND l.started_at {operator} ${number}"));
            // A condition on the id would make SQLite read all messages of the range instead of the running ones.
            running.push_str(&format!(" AND m.created_at {operator} ${number}"));
        }
    }
    let sql = format!(
        "SELECT COUNT(*) AS count FROM users u WHERE u.deleted_at IS NULL AND (EXISTS (SELECT 1 FROM usage_ledger l \
         WHERE l.user_id = u.id AND l.kind = 0{ended}) OR u.id IN (SELECT c.owner_id FROM messages m \
         JOIN chats c ON c.id = m.chat_id WHERE m.status = 1{running}))"
    );
    count(db, sql, values).await
}
