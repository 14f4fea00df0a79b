//! Queries on direct messages. Every query for a reader requires that the reader takes part in the conversation.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, QueryOrder, QuerySelect, Statement};
use serde::{Deserialize, Serialize};

use crate::entity::direct_message::{ActiveModel, Column, Entity, Model};
use crate::entity::ids::{ConversationId, DirectMessageId, UserId};
use crate::storage::page::{Page, Window};

/// A cursor in a conversation: the time of a message, which is different for each message of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DirectMessageCursor {
    /// The time.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub at: DateTime<Utc>,
}

impl From<&Model> for DirectMessageCursor {
    fn from(message: &Model) -> Self {
        Self { at: message.created_at }
    }
}

/// A request for one page of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessagesQuery {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The requested page.
    pub window: Window<DirectMessageCursor>,
}

/// The maximum number of pages that one statement reads.
pub const MAX_PAGES: usize = 100;

/// Those of these messages that a user may read. Stops once the result has more than `max_bytes`; a caller that
/// receives more must treat its request as too large.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find_all(
    db: &impl ConnectionTrait,
    user: UserId,
    ids: &[DirectMessageId],
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut values: Vec<Value> = ids.iter().map(|id| Value::from(*id)).collect();
    let keys: Vec<String> = (1..=ids.len()).map(|number| format!("${number}")).collect();
    values.push(user.into());
    let picked = format!(
        "SELECT 0 AS part, m.id, {SIZE} AS size FROM direct_messages m WHERE m.id IN ({}) AND EXISTS \
         (SELECT 1 FROM conversations c WHERE c.id = m.conversation_id AND c.user_id = ${})",
        keys.join(", "),
        values.len(),
    );
    Ok(within(db, &picked, values, max_bytes).await?.into_iter().map(|row| row.message).collect())
}

/// A page of messages for each of at most [`MAX_PAGES`] queries, oldest first. A page is empty if the user does not
/// take part in the conversation. Limited by `max_bytes` as [`find_all`].
pub async fn pages(
    db: &impl ConnectionTrait,
    user: UserId,
    queries: &[MessagesQuery],
    max_bytes: u64,
) -> Result<Vec<Page<Model>>, DbErr> {
    let mut values: Vec<Value> = vec![user.into()];
    let part = |(number, query): (usize, &MessagesQuery)| {
        let MessagesQuery { conversation_id, window } = query;
        values.push((*conversation_id).into());
        let mut condition = format!(
            "m.conversation_id = (SELECT c.id FROM conversations c WHERE c.id = ${} AND c.user_id = $1)",
            values.len(),
        );
        for (cursor, operator) in [(window.after, '>'), (window.before, '<')] {
            if let Some(cursor) = cursor {
                values.push(cursor.at.into());
                condition += &format!(" AND m.created_at {operator} ${}", values.len());
            }
        }
        let order = if window.from_end { "DESC" } else { "ASC" };
        // In a subquery of its own, because SQLite allows a limit only after the last part of a union.
        format!(
            "SELECT * FROM (SELECT {number} AS part, m.id, {SIZE} AS size FROM direct_messages m WHERE {condition} \
             ORDER BY m.created_at {order} LIMIT {}) AS part_{number}",
            u64::from(window.limit) + 1,
        )
    };
    let parts: Vec<String> = queries.iter().enumerate().map(part).collect();
    let mut rows: Vec<Vec<Model>> = vec![Vec::new(); queries.len()];
    for row in within(db, &parts.join(" UNION ALL "), values, max_bytes).await? {
        if let Some(rows) = usize::try_from(row.part).ok().and_then(|part| rows.get_mut(part)) {
            rows.push(row.message);
        }
    }
    let page = |(query, mut rows): (&MessagesQuery, Vec<Model>)| {
        if query.window.from_end {
            rows.reverse();
        }
        query.window.page(rows)
    };
    Ok(queries.iter().zip(rows).map(page).collect())
}

/// The approximate memory of a message in addition to its fixed columns, in bytes.
const SIZE: &str = "OCTET_LENGTH(m.content)";

/// A message that was found for a part of a query.
#[derive(Debug, FromQueryResult)]
struct OfPart {
    part: i32,
    #[sea_orm(nested)]
    message: Model,
}

/// The messages that `picked` selects, by part and time, until they exceed `max_bytes` together. `picked` has the
/// columns `part`, `id` and `size`.
async fn within(
    db: &impl ConnectionTrait,
    picked: &str,
    mut values: Vec<Value>,
    max_bytes: u64,
) -> Result<Vec<OfPart>, DbErr> {
    values.push(i64::try_from(max_bytes).unwrap_or(i64::MAX).into());
    let sql = format!(
        "SELECT summed.part, m.* FROM (SELECT part, id, size, SUM(size) OVER (ORDER BY part, id) AS total \
         FROM ({picked}) AS picked) AS summed JOIN direct_messages m ON m.id = summed.id \
         WHERE summed.total - summed.size <= ${} ORDER BY summed.part, m.created_at",
        values.len(),
    );
    OfPart::find_by_statement(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).all(db).await
}

/// A message of a conversation. The caller must know that the user takes part in it.
pub async fn find_in(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
    id: DirectMessageId,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(Column::ConversationId.eq(conversation)).one(db).await
}

/// The number of messages from a sender after a time.
pub async fn count_after(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
    sender: UserId,
    time: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let messages = Entity::find().filter(Column::ConversationId.eq(conversation)).filter(Column::CreatedAt.gt(time));
    messages.filter(Column::SenderId.eq(sender)).count(db).await
}

/// Inserts a message.
pub async fn insert(db: &impl ConnectionTrait, message: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(message).reset_all()).exec_without_returning(db).await.map(drop)
}

/// Deletes up to `limit` messages of a conversation. Returns whether there may be more.
pub async fn delete_some(db: &impl ConnectionTrait, conversation: ConversationId, limit: u64) -> Result<bool, DbErr> {
    let batch = Entity::find().filter(Column::ConversationId.eq(conversation)).order_by_asc(Column::CreatedAt);
    let batch: Vec<DirectMessageId> = batch.limit(limit).select_only().column(Column::Id).into_tuple().all(db).await?;
    if batch.is_empty() {
        return Ok(false);
    }
    let is_full = batch.len() as u64 == limit;
    Entity::delete_many().filter(Column::Id.is_in(batch)).exec(db).await?;
    Ok(is_full)
}
