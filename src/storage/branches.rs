//! Queries on the trees of messages: ranges of branches, ancestors and leaves, for many messages at once.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{DbBackend, FromQueryResult, QuerySelect as _, Statement};

use crate::entity::ids::{ChatId, MessageId};
use crate::entity::message::{Column, Entity, Model};
use crate::storage::chats::Readable;
use crate::storage::messages::{SIZE, in_chats, nth_newest, placeholders};

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

/// The maximum number of ranges that one statement reads.
pub const MAX_PARTS: usize = 100;
/// The size of a subtree that is read as a whole to find its newest leaf.
const FEW: u32 = 32;

/// The statement of [`super::messages::branch`] for several ranges, as common table expressions that end with `walk
/// (part, id, depth)`.
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

/// Several parts of branches, at most [`MAX_PARTS`] that are not empty: each message with the index of its part, from
/// the root's side down, up to `max_bytes` as [`super::messages::find_within`] has it.
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

/// A climb from the leaf `l` to its ancestor at the depth `to`, by jumps.
fn climb(to: &str) -> String {
    format!(
        "WITH RECURSIVE climb (id, chat_id, parent_id, depth, jump_id, jump_depth) AS ( \
            SELECT l.id, l.chat_id, l.parent_id, l.depth, l.jump_id, l.jump_depth \
            UNION ALL \
            SELECT m.id, m.chat_id, m.parent_id, m.depth, m.jump_id, m.jump_depth FROM climb JOIN messages m \
                ON m.id = CASE WHEN climb.jump_depth >= {to} THEN climb.jump_id ELSE climb.parent_id END \
            WHERE climb.depth > {to} \
         )"
    )
}

/// The newest leaf at or below each of these messages.
///
/// Both databases would otherwise use the index by depth and read all messages of the chat for each message below.
/// `CROSS JOIN` keeps SQLite from it, and the plus in `+l.depth` from sorting all leaves. PostgreSQL reads the children
/// of each message in a `LATERAL` query with a limit, which it cannot turn into a join with the whole chat, whatever it
/// knows about the table. `NOT … IS DISTINCT FROM` is an equality without an index.
///
/// If at most [`FEW`] messages are below it, they are read. Otherwise the leaves of the chat are tried, newest first,
/// and only those that are deep enough: for most messages of a chat, one of the first is below it.
pub async fn newest_leaves_below(
    db: &impl ConnectionTrait,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, MessageDepth>, DbErr> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    let mut values: Vec<Value> = messages.iter().map(|id| Value::from(*id)).collect();
    // Only the newest children of a message are considered, because SQLite reads all of them before it returns the
    // first. With one more than FEW, the subtree is not small.
    let newest = u64::from(FEW) + 1;
    let children = match db.get_database_backend() {
        DbBackend::Postgres => format!(
            "CROSS JOIN LATERAL (SELECT c.id, c.is_leaf FROM messages c WHERE c.parent_id = below.id \
             AND NOT c.chat_id IS DISTINCT FROM t.chat_id ORDER BY c.id DESC LIMIT {newest}) AS m"
        ),
        _ => format!(
            "CROSS JOIN messages m WHERE m.parent_id = below.id AND m.chat_id = t.chat_id AND m.id >= {}",
            nth_newest("n.parent_id = below.id AND n.chat_id = t.chat_id", newest, &mut values)
        ),
    };
    let sql = format!(
        "WITH found (target, leaf) AS MATERIALIZED (SELECT t.id, COALESCE( \
            (SELECT counted.id FROM (SELECT id, is_leaf, COUNT(*) OVER () AS size FROM ( \
                WITH RECURSIVE below (id, is_leaf) AS ( \
                    SELECT t.id, t.is_leaf \
                    UNION ALL \
                    SELECT m.id, m.is_leaf FROM below {children} \
                ) SELECT id, is_leaf FROM below LIMIT {FEW} + 1 \
             ) AS few) AS counted WHERE counted.size <= {FEW} AND counted.is_leaf ORDER BY counted.id DESC LIMIT 1), \
            (SELECT l.id FROM messages l WHERE l.chat_id = t.chat_id AND l.is_leaf AND +l.depth > t.depth AND EXISTS ( \
                {} SELECT 1 FROM climb WHERE climb.id = t.id \
             ) ORDER BY l.id DESC LIMIT 1) \
         ) FROM messages t WHERE t.id IN ({})) \
         SELECT found.target, m.id, m.chat_id, m.depth FROM found JOIN messages m ON m.id = found.leaf",
        climb("t.depth"),
        placeholders(1, messages.len()),
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let found = LeafBelow::find_by_statement(statement).all(db).await?;
    let leaf = |found: LeafBelow| {
        let LeafBelow { target, id, chat_id, depth } = found;
        (target, MessageDepth { id, chat_id, depth })
    };
    Ok(found.into_iter().map(leaf).collect())
}

/// The newest leaf of a chat below the children of `parent`, which is a message with its depth, or below the roots.
/// Children that were moved to another chat are left out, and what is below them.
pub async fn newest_leaf_below_children(
    db: &impl ConnectionTrait,
    chat: ChatId,
    parent: Option<(MessageId, i32)>,
) -> Result<Option<MessageId>, DbErr> {
    let (parent, depth) = parent.unwrap_or((MessageId(Uuid::nil()), -1));
    let sql = format!(
        "SELECT l.id FROM messages l WHERE l.chat_id = $1 AND l.is_leaf AND +l.depth >= $2 AND EXISTS ( \
            {} SELECT 1 FROM climb WHERE climb.depth = $2 AND climb.chat_id = $1 AND (climb.depth = 0 OR climb.parent_id = $3) \
         ) ORDER BY l.id DESC LIMIT 1",
        climb("$2"),
    );
    let values = [chat.into(), depth.saturating_add(1).into(), parent.into()];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let row = db.query_one_raw(statement).await?;
    row.map(|row| row.try_get("", "id")).transpose()
}

/// A leaf at or below a message.
#[derive(Debug, Clone, Copy, FromQueryResult)]
struct LeafBelow {
    target: MessageId,
    id: MessageId,
    chat_id: ChatId,
    depth: i32,
}
