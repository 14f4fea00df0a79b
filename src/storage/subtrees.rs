//! Queries that move a message and its descendants to a chat that is marked as deleted.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryOrder as _, QuerySelect as _, Statement};

use crate::entity::ids::{ChatId, MessageId};
use crate::entity::message::{Column, Entity};
use crate::storage::greater_than;
use crate::storage::messages::placeholders;

/// Up to `limit` messages of a chat below these messages, parents before their children.
///
/// `NOT … <> …`, here and in [`mark_leaf`], keeps SQLite from using the index by chat, for which it would read all
/// messages of the chat at each step.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn below(
    db: &impl ConnectionTrait,
    chat: ChatId,
    parents: &[MessageId],
    limit: u64,
) -> Result<Vec<MessageId>, DbErr> {
    let mut values: Vec<Value> = vec![chat.into()];
    values.extend(parents.iter().map(|id| Value::from(*id)));
    let keys = placeholders(2, parents.len());
    let sql = format!(
        "WITH RECURSIVE below (id) AS ( \
            SELECT id FROM messages WHERE parent_id IN ({keys}) AND NOT chat_id <> $1 \
            UNION ALL \
            SELECT m.id FROM below JOIN messages m ON m.parent_id = below.id WHERE NOT m.chat_id <> $1 \
         ) SELECT id FROM below LIMIT {limit}"
    );
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}

/// Moves messages to another chat.
pub async fn move_to(db: &impl ConnectionTrait, chat: ChatId, messages: &[MessageId]) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::ChatId, Expr::value(chat));
    update.filter(Column::Id.is_in(messages.iter().copied())).exec(db).await.map(drop)
}

/// Up to `limit` messages of a chat in the order of their depths, after this one.
pub async fn by_depth(
    db: &impl ConnectionTrait,
    chat: ChatId,
    after: Option<(i32, MessageId)>,
    limit: u64,
) -> Result<Vec<(i32, MessageId)>, DbErr> {
    let after = after.map(|(depth, id)| greater_than([Column::Depth, Column::Id], [depth.into(), id.into()], true));
    let page = Entity::find().filter(Column::ChatId.eq(chat)).filter(Condition::all().add_option(after));
    let page = page.order_by_asc(Column::Depth).order_by_asc(Column::Id).limit(limit);
    page.select_only().columns([Column::Depth, Column::Id]).into_tuple().all(db).await
}

/// Another chat than `chat` that has children of these messages.
pub async fn chat_of_children(
    db: &impl ConnectionTrait,
    chat: ChatId,
    parents: &[MessageId],
) -> Result<Option<ChatId>, DbErr> {
    let children = Entity::find().filter(Column::ParentId.is_in(parents.iter().copied()));
    let others = children.filter(Column::ChatId.ne(chat));
    others.select_only().column(Column::ChatId).limit(1).into_tuple().one(db).await
}

/// Makes a message a leaf if it has no children in its chat.
pub async fn mark_leaf(db: &impl ConnectionTrait, chat: ChatId, id: MessageId) -> Result<(), DbErr> {
    let sql = "UPDATE messages SET is_leaf = TRUE WHERE id = $1 AND chat_id = $2 \
               AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.parent_id = $1 AND NOT m.chat_id <> $2)";
    let values = [id.into(), chat.into()];
    db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await.map(drop)
}
