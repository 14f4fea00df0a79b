//! Queries on the parts of branches that prompts are built from, and on summaries. No query becomes slower with the
//! length of a branch: a limit of tokens bounds what is read, and jump pointers find where it begins.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, FromQueryResult, QuerySelect as _, Statement, TryInsertResult};

use crate::entity::enums::MessageRole;
use crate::entity::ids::MessageId;
use crate::entity::message::{Column, Entity, Model};
use crate::entity::summary;
use crate::storage::chats::Readable;
use crate::storage::messages::{SIZE, in_chats, placeholders};

/// The maximum number of rows of one UPDATE.
const UPDATED_ROWS: usize = 500;

/// The end of a branch, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct BranchEnd {
    /// The last message.
    pub id: MessageId,
    /// Its depth.
    pub depth: i32,
    /// The estimated tokens of the branch.
    pub branch_tokens: i32,
    /// Those of the branch without the last message.
    pub parent_tokens: i32,
    /// The nearest message at or above it that has a summary.
    pub checkpoint_id: Option<MessageId>,
    /// The tokens that the provider counted for 1,000 estimated ones.
    pub token_ratio: i32,
}

/// The ends of branches: those of these messages that are in readable chats.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn ends(db: &impl ConnectionTrait, readable: Readable, ids: &[MessageId]) -> Result<Vec<BranchEnd>, DbErr> {
    let above = "COALESCE((SELECT above.branch_tokens FROM messages above WHERE above.id = messages.parent_id), 0)";
    in_chats(readable)
        .filter(Column::Id.is_in(ids.iter().copied()))
        .select_only()
        .columns([Column::Id, Column::Depth, Column::BranchTokens, Column::CheckpointId, Column::TokenRatio])
        .expr_as(Expr::cust(above), "parent_tokens")
        .into_model::<BranchEnd>()
        .all(db)
        .await
}

/// The newest messages of a branch, from the root's side down: `last` and those of its ancestors whose `branch_tokens`
/// are at least `least_tokens`, below the message `checkpoint`. Stops early at messages that have more than `max_bytes`
/// together.
pub async fn newest(
    db: &impl ConnectionTrait,
    last: MessageId,
    least_tokens: i32,
    checkpoint: Option<MessageId>,
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut values: Vec<Value> =
        vec![last.into(), least_tokens.into(), i64::try_from(max_bytes).unwrap_or(i64::MAX).into()];
    let below = checkpoint.map_or("", |_| "AND m.id <> $4");
    values.extend(checkpoint.map(Value::from));
    let sql = format!(
        "WITH RECURSIVE walk (id, parent_id, depth) AS ( \
            SELECT id, parent_id, depth FROM messages WHERE id = $1 \
            UNION ALL \
            SELECT m.id, m.parent_id, m.depth FROM walk JOIN messages m ON m.id = walk.parent_id \
            WHERE m.branch_tokens >= $2 {below} \
         ) SELECT m.* FROM (SELECT id, size, SUM(size) OVER (ORDER BY depth DESC) AS total \
            FROM (SELECT walk.id, walk.depth, {SIZE} AS size FROM walk JOIN messages m ON m.id = walk.id) AS sized \
         ) AS summed JOIN messages m ON m.id = summed.id WHERE summed.total - summed.size <= $3 ORDER BY m.depth"
    );
    Model::find_by_statement(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).all(db).await
}

/// A message of a branch, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Reached {
    /// The index of the search.
    pub part: i32,
    /// The message.
    pub id: MessageId,
    /// Its parent.
    pub parent_id: Option<MessageId>,
    /// Its depth.
    pub depth: i32,
    /// The estimated tokens of the branch up to and including it.
    pub branch_tokens: i32,
    /// Its author.
    pub role: MessageRole,
}

/// For each message and number of tokens: the first message of the branch up to the message at which `branch_tokens`
/// reaches the number. Absent if the message itself does not reach it. At most [`super::branches::MAX_PARTS`] searches.
pub async fn first_reaching(db: &impl ConnectionTrait, searches: &[(MessageId, i32)]) -> Result<Vec<Reached>, DbErr> {
    if searches.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = Vec::new();
    let seed = |(part, (id, least)): (usize, &(MessageId, i32))| {
        values.push(Value::from(*id));
        format!(
            "SELECT {part} AS part, {least} AS least, id, parent_id, jump_id, depth, branch_tokens, role FROM messages \
             WHERE id = ${} AND branch_tokens >= {least}",
            values.len(),
        )
    };
    let seeds: Vec<String> = searches.iter().enumerate().map(seed).collect();
    // Along a branch, `branch_tokens` never decrease. The jump pointer of a root is the root itself.
    let sql = format!(
        "WITH RECURSIVE seeds (part, least, id, parent_id, jump_id, depth, branch_tokens, role) AS ({}), \
         climb (part, least, id, parent_id, jump_id, depth, branch_tokens, role) AS ( \
            SELECT part, least, id, parent_id, jump_id, depth, branch_tokens, role FROM seeds \
            UNION ALL \
            SELECT climb.part, climb.least, m.id, m.parent_id, m.jump_id, m.depth, m.branch_tokens, m.role \
                FROM climb JOIN messages jump ON jump.id = climb.jump_id JOIN messages m ON m.id = \
                CASE WHEN jump.branch_tokens >= climb.least THEN climb.jump_id ELSE climb.parent_id END \
            WHERE climb.depth > 0 AND m.branch_tokens >= climb.least \
         ) SELECT part, id, parent_id, depth, branch_tokens, role FROM (SELECT climb.*, \
            ROW_NUMBER() OVER (PARTITION BY part ORDER BY depth) AS place FROM climb) AS ranked WHERE place = 1",
        seeds.join(" UNION ALL "),
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Reached::find_by_statement(statement).all(db).await
}

/// A summary, and the position of the message that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Checkpoint {
    /// The last message that the summary covers.
    pub message_id: MessageId,
    /// The text of the summary. Empty if only sizes were requested.
    pub content: String,
    /// The estimated tokens of the text in a prompt.
    pub tokens: i32,
    /// The depth of the message.
    pub depth: i32,
    /// The estimated tokens of the branch up to and including the message.
    pub branch_tokens: i32,
}

/// The summary that belongs to a message.
pub async fn checkpoint(db: &impl ConnectionTrait, id: MessageId) -> Result<Option<Checkpoint>, DbErr> {
    Ok(checkpoints(db, &[id], "s.content").await?.pop())
}

/// The summaries that belong to these messages, without their texts.
pub async fn checkpoint_sizes(db: &impl ConnectionTrait, ids: &[MessageId]) -> Result<Vec<Checkpoint>, DbErr> {
    checkpoints(db, ids, "''").await
}

async fn checkpoints(db: &impl ConnectionTrait, ids: &[MessageId], content: &str) -> Result<Vec<Checkpoint>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT s.message_id, {content} AS content, s.tokens, m.depth, m.branch_tokens \
         FROM summaries s JOIN messages m ON m.id = s.message_id WHERE s.message_id IN ({})",
        placeholders(1, ids.len()),
    );
    let values: Vec<Value> = ids.iter().map(|id| Value::from(*id)).collect();
    Checkpoint::find_by_statement(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).all(db).await
}

/// Inserts a summary. Returns false if the message has one already.
pub async fn insert_summary(db: &impl ConnectionTrait, summary: summary::Model) -> Result<bool, DbErr> {
    let row = summary::ActiveModel::from(summary).reset_all();
    let insert = summary::Entity::insert(row).on_conflict_do_nothing_on([summary::Column::MessageId]);
    // A conflict affects no rows; SeaORM reports a conflict only for inserts that return the key.
    Ok(matches!(insert.exec_without_returning(db).await?, TryInsertResult::Inserted(rows) if rows > 0))
}

/// Lets the messages of a branch find the summary of `checkpoint`: those from it down to `last`, and up to `max_below`
/// messages below `last`.
pub async fn set_checkpoint(
    db: &impl ConnectionTrait,
    checkpoint: MessageId,
    last: MessageId,
    max_below: u64,
) -> Result<(), DbErr> {
    let sql = format!(
        "WITH RECURSIVE above (id, parent_id) AS ( \
            SELECT id, parent_id FROM messages WHERE id = $1 \
            UNION ALL \
            SELECT m.id, m.parent_id FROM above JOIN messages m ON m.id = above.parent_id WHERE above.id <> $2 \
         ), below (id) AS ( \
            SELECT id FROM messages WHERE parent_id = $1 \
            UNION ALL \
            SELECT m.id FROM below JOIN messages m ON m.parent_id = below.id \
         ) SELECT id FROM above UNION ALL SELECT id FROM (SELECT id FROM below LIMIT {max_below}) AS newer"
    );
    let values: [Value; 2] = [last.into(), checkpoint.into()];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let mut ids: Vec<MessageId> = Vec::new();
    for row in db.query_all_raw(statement).await? {
        ids.push(row.try_get("", "id")?);
    }
    for ids in ids.chunks(UPDATED_ROWS) {
        // Along a branch, later messages have greater ids. A later summary further down stays the nearest.
        let is_further = Condition::any().add(Column::CheckpointId.is_null()).add(Column::CheckpointId.lt(checkpoint));
        let update = Entity::update_many()
            .col_expr(Column::CheckpointId, Expr::value(checkpoint))
            .filter(Column::Id.is_in(ids.iter().copied()))
            .filter(is_further);
        update.exec(db).await?;
    }
    Ok(())
}
