//! Queries on the trees of messages: ranges of branches, ancestors and leaves, for many messages at once.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, QuerySelect as _, Statement};

use crate::entity::ids::{ChatId, MessageId};
use crate::entity::message::{Column, Entity, Model};
use crate::storage::chats::Readable;
use crate::storage::messages::{SIZE, in_chats, placeholders};

/// The position of a message, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct MessageDepth {
    /// The message.
    pub id: MessageId,
    /// Its chat.
    pub chat_id: ChatId,
    /// Its depth.
    pub depth: i32,
}

/// The positions of those of these messages that are in readable chats.
pub async fn depths(
    db: &impl ConnectionTrait,
    readable: Readable,
    ids: &[MessageId],
) -> Result<Vec<MessageDepth>, DbErr> {
    let found = in_chats(readable).filter(Column::Id.is_in(ids.iter().copied()));
    found.select_only().columns([Column::Id, Column::ChatId, Column::Depth]).into_model::<MessageDepth>().all(db).await
}

/// The jump pointer of a message: an ancestor and its depth.
pub async fn jump(db: &impl ConnectionTrait, id: MessageId) -> Result<Option<(MessageId, i32)>, DbErr> {
    let pointer = Entity::find_by_id(id).select_only().columns([Column::JumpId, Column::JumpDepth]);
    pointer.into_tuple().one(db).await
}

/// A range of a branch, as in [`super::messages::branch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchPart {
    /// Any message of the branch at depth `to - 1` or deeper.
    pub below: MessageId,
    /// The first depth (inclusive).
    pub from: i32,
    /// The last depth (exclusive).
    pub to: i32,
}

/// The most ranges that one statement reads.
pub const MAX_PARTS: usize = 100;

/// The statement of [`super::messages::branch`] for several ranges, as common table expressions that end with `walk (part, id, depth)`.
fn walk(parts: &[BranchPart], values: &mut Vec<Value>) -> String {
    let seed = |(number, part): (usize, &BranchPart)| {
        values.push(part.below.into());
        format!(
            "SELECT {number} AS part, {} AS low, {} AS high, id, parent_id, depth, jump_id, jump_depth FROM messages \
             WHERE id = ${}",
            part.from,
            part.to - 1,
            values.len(),
        )
    };
    let seeds: Vec<String> = parts.iter().enumerate().map(seed).collect();
    format!(
        "WITH RECURSIVE seeds (part, low, high, id, parent_id, depth, jump_id, jump_depth) AS ({}), \
         climb (part, low, high, id, parent_id, depth, jump_id, jump_depth) AS ( \
            SELECT part, low, high, id, parent_id, depth, jump_id, jump_depth FROM seeds \
            UNION ALL \
            SELECT climb.part, climb.low, climb.high, m.id, m.parent_id, m.depth, m.jump_id, m.jump_depth \
                FROM climb JOIN messages m \
                ON m.id = CASE WHEN climb.jump_depth >= climb.high THEN climb.jump_id ELSE climb.parent_id END \
            WHERE climb.depth > climb.high \
         ), walk (part, low, id, parent_id, depth) AS ( \
            SELECT part, low, id, parent_id, depth FROM climb WHERE depth = high \
            UNION ALL \
            SELECT walk.part, walk.low, m.id, m.parent_id, m.depth \
                FROM walk JOIN messages m ON m.id = walk.parent_id WHERE walk.depth > walk.low \
         )",
        seeds.join(" UNION ALL "),
    )
}

/// A message of one of several parts.
#[derive(Debug, FromQueryResult)]
struct OfPart {
    part: i32,
    #[sea_orm(nested)]
    message: Model,
}

/// Several parts of branches, at most [`MAX_PARTS`] that are not empty: each message with the index of its part, from the
/// root's side down, up to `max_bytes` as [`super::messages::find_within`] has it.
pub async fn branches(
    db: &impl ConnectionTrait,
    parts: &[BranchPart],
    max_bytes: u64,
) -> Result<Vec<(usize, Model)>, DbErr> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = Vec::new();
    let walk = walk(parts, &mut values);
    values.push(i64::try_from(max_bytes).unwrap_or(i64::MAX).into());
    let sql = format!(
        "{walk} SELECT summed.part, m.* FROM (SELECT part, id, size, SUM(size) OVER (ORDER BY part, depth) AS total \
         FROM (SELECT walk.part, walk.id, walk.depth, {SIZE} AS size FROM walk JOIN messages m ON m.id = walk.id) AS sized) \
         AS summed JOIN messages m ON m.id = summed.id WHERE summed.total - summed.size <= ${} \
         ORDER BY summed.part, m.depth",
        values.len(),
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let rows = OfPart::find_by_statement(statement).all(db).await?;
    Ok(rows.into_iter().map(|row| (usize::try_from(row.part).unwrap_or(usize::MAX), row.message)).collect())
}

/// The ancestors of messages at a depth each, or the messages themselves; those that are there, with their index.
pub async fn ancestors(db: &impl ConnectionTrait, of: &[(MessageId, i32)]) -> Result<Vec<(usize, MessageId)>, DbErr> {
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<BranchPart> =
        of.iter().map(|(id, depth)| BranchPart { below: *id, from: *depth, to: depth.saturating_add(1) }).collect();
    let mut values = Vec::new();
    let sql = format!("{} SELECT part, id FROM walk", walk(&parts, &mut values));
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let mut found = Vec::new();
    for row in db.query_all_raw(statement).await? {
        let part: i32 = row.try_get("", "part")?;
        found.push((usize::try_from(part).unwrap_or(usize::MAX), row.try_get("", "id")?));
    }
    Ok(found)
}

/// A leaf at or below a message.
#[derive(Debug, Clone, Copy, FromQueryResult)]
struct LeafBelow {
    target: MessageId,
    id: MessageId,
    chat_id: ChatId,
    depth: i32,
}

/// The newest leaf at or below each of these messages. The newest leaves of their chats are tried first, by jumps: that takes no
/// longer in a longer chat. For a message with none of these below it, everything below it is read.
pub async fn newest_leaves_below(
    db: &impl ConnectionTrait,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, MessageDepth>, DbErr> {
    const NEWEST: u64 = 32;
    let mut newest = HashMap::new();
    let climb = |keys: &str| {
        format!(
            "WITH RECURSIVE targets (id, chat_id, depth) AS (SELECT id, chat_id, depth FROM messages WHERE id IN ({keys})), \
             leaves (chat_id, id) AS (SELECT chat_id, id FROM (SELECT chat_id, id, \
                ROW_NUMBER() OVER (PARTITION BY chat_id ORDER BY id DESC) AS place FROM messages \
                WHERE chat_id IN (SELECT chat_id FROM targets) AND is_leaf) AS numbered WHERE place <= {NEWEST}), \
             climb (target, high, leaf, leaf_depth, chat_id, id, parent_id, depth, jump_id, jump_depth) AS ( \
                SELECT targets.id, targets.depth, m.id, m.depth, m.chat_id, m.id, m.parent_id, m.depth, m.jump_id, \
                    m.jump_depth FROM targets JOIN leaves ON leaves.chat_id = targets.chat_id \
                    JOIN messages m ON m.id = leaves.id WHERE m.depth >= targets.depth \
                UNION ALL \
                SELECT climb.target, climb.high, climb.leaf, climb.leaf_depth, m.chat_id, m.id, m.parent_id, m.depth, \
                    m.jump_id, m.jump_depth FROM climb JOIN messages m \
                    ON m.id = CASE WHEN climb.jump_depth >= climb.high THEN climb.jump_id ELSE climb.parent_id END \
                WHERE climb.depth > climb.high \
             ) SELECT target, leaf AS id, chat_id, leaf_depth AS depth FROM climb WHERE depth = high AND id = target"
        )
    };
    let descend = |keys: &str| {
        format!(
            "WITH RECURSIVE below (target, id, chat_id, depth, is_leaf) AS ( \
                SELECT id, id, chat_id, depth, is_leaf FROM messages WHERE id IN ({keys}) \
                UNION ALL \
                SELECT below.target, m.id, m.chat_id, m.depth, m.is_leaf FROM below JOIN messages m \
                    ON m.parent_id = below.id \
             ) SELECT target, id, chat_id, depth FROM below WHERE is_leaf"
        )
    };
    for sql in [&climb as &(dyn Fn(&str) -> String + Sync), &descend] {
        let missing: Vec<Value> =
            messages.iter().filter(|id| !newest.contains_key(*id)).map(|id| Value::from(*id)).collect();
        if missing.is_empty() {
            break;
        }
        let sql = sql(&placeholders(1, missing.len()));
        let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, missing);
        for LeafBelow { target, id, chat_id, depth } in LeafBelow::find_by_statement(statement).all(db).await? {
            let leaf = newest.entry(target).or_insert(MessageDepth { id, chat_id, depth });
            if id > leaf.id {
                *leaf = MessageDepth { id, chat_id, depth };
            }
        }
    }
    Ok(newest)
}
