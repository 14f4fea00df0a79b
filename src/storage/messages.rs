//! Messages and the tree that they stand in. Nothing here costs more for a longer chat.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Query;
use sea_orm::{Condition, ExprTrait as _, FromQueryResult, QueryOrder, QuerySelect, Statement};

use crate::entity::enums::MessageStatus;
use crate::entity::ids::{BootId, ChatId, MessageId, ToolCallId, UserId};
use crate::entity::message::{ActiveModel, Column, Entity, Model};
use crate::entity::{chat, tool_call};
use crate::storage::INSERT_ROWS;
use crate::storage::chats::Readable;

/// A message of an owner's chat.
///
/// # Errors
/// When the database fails; as everywhere below.
pub async fn find(db: &impl ConnectionTrait, owner: UserId, id: MessageId) -> Result<Option<Model>, DbErr> {
    in_chats(Readable::Of(owner)).filter(Column::Id.eq(id)).one(db).await
}

/// Those of these messages that stand in chats that may be read.
pub async fn find_all(db: &impl ConnectionTrait, readable: Readable, ids: &[MessageId]) -> Result<Vec<Model>, DbErr> {
    in_chats(readable).filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A message, whosever it is.
pub async fn find_any(db: &impl ConnectionTrait, id: MessageId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The message that holds a tool call, in the owner's chats.
pub async fn find_by_call(db: &impl ConnectionTrait, owner: UserId, id: ToolCallId) -> Result<Option<Model>, DbErr> {
    match tool_call::Entity::find_by_id(id).one(db).await? {
        Some(call) => find(db, owner, call.message_id).await,
        None => Ok(None),
    }
}

/// About how much memory a message takes beside its fixed columns, in bytes. Both databases know it without reading the text.
const SIZE: &str = "(OCTET_LENGTH(m.body) + COALESCE(OCTET_LENGTH(m.layout), 0))";

/// The messages that `picked` gives, a selection of `messages m` with the columns `id` and `size`, in the order of their ids,
/// until they have more than `max_bytes` together: a caller that gets more than that asked for too much.
async fn within(
    db: &impl ConnectionTrait,
    picked: &str,
    mut values: Vec<Value>,
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    values.push(i64::try_from(max_bytes).unwrap_or(i64::MAX).into());
    let sql = format!(
        "SELECT m.* FROM (SELECT id, size, SUM(size) OVER (ORDER BY id) AS total FROM ({picked}) AS picked) AS summed \
         JOIN messages m ON m.id = summed.id WHERE summed.total - summed.size <= ${} ORDER BY m.id",
        values.len(),
    );
    Entity::find().from_raw_sql(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).all(db).await
}

/// A condition on `m`: it stands in a chat that may be read. Beside it, its own keys must be given.
fn in_readable_chat(readable: Readable, values: &mut Vec<Value>) -> String {
    let owned = match readable {
        Readable::Of(owner) => {
            values.push(owner.into());
            format!(" AND c.owner_id = ${}", values.len())
        }
        Readable::All => String::new(),
    };
    format!("EXISTS (SELECT 1 FROM chats c WHERE c.id = m.chat_id AND c.deleted_at IS NULL{owned})")
}

/// Those of these messages that stand in chats that may be read, by id, up to `max_bytes` as [`within`] has it.
pub async fn find_within(
    db: &impl ConnectionTrait,
    readable: Readable,
    ids: &[MessageId],
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut values = ids.iter().map(|id| Value::from(*id)).collect();
    let keys = placeholders(1, ids.len());
    let may_be_read = in_readable_chat(readable, &mut values);
    let picked = format!("SELECT m.id, {SIZE} AS size FROM messages m WHERE m.id IN ({keys}) AND {may_be_read}");
    within(db, &picked, values, max_bytes).await
}

/// The first `limit` messages right below each of these, oldest first, up to `max_bytes` as [`within`] has it.
pub async fn children(
    db: &impl ConnectionTrait,
    readable: Readable,
    parents: &[MessageId],
    limit: u64,
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut values = parents.iter().map(|id| Value::from(*id)).collect();
    let keys = placeholders(1, parents.len());
    let may_be_read = in_readable_chat(readable, &mut values);
    let picked = format!(
        "SELECT m.id, {SIZE} AS size FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY parent_id ORDER BY id) AS place \
         FROM messages WHERE parent_id IN ({keys})) AS numbered JOIN messages m ON m.id = numbered.id \
         WHERE numbered.place <= {limit} AND {may_be_read}"
    );
    within(db, &picked, values, max_bytes).await
}

/// The first `limit` messages of each of these chats that follow nothing, oldest first, up to `max_bytes` as [`within`] has it.
pub async fn roots(
    db: &impl ConnectionTrait,
    readable: Readable,
    chats: &[ChatId],
    limit: u64,
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut values = chats.iter().map(|id| Value::from(*id)).collect();
    let keys = placeholders(1, chats.len());
    let may_be_read = in_readable_chat(readable, &mut values);
    let picked = format!(
        "SELECT m.id, {SIZE} AS size FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY chat_id ORDER BY id) AS place \
         FROM messages WHERE chat_id IN ({keys}) AND depth = 0) AS numbered JOIN messages m ON m.id = numbered.id \
         WHERE numbered.place <= {limit} AND {may_be_read}"
    );
    within(db, &picked, values, max_bytes).await
}

/// The part of a branch between two depths (`from` included, `to` not), from the root's side down. `below` is any message of
/// the branch at depth `to - 1` or deeper. Jumps find the deepest one wanted, parent pointers the others.
pub async fn branch(db: &impl ConnectionTrait, below: MessageId, from: i32, to: i32) -> Result<Vec<Model>, DbErr> {
    if from >= to {
        return Ok(Vec::new());
    }
    let sql = "
        WITH RECURSIVE climb (id, parent_id, depth, jump_id, jump_depth) AS (
            SELECT id, parent_id, depth, jump_id, jump_depth FROM messages WHERE id = $1
            UNION ALL
            SELECT m.id, m.parent_id, m.depth, m.jump_id, m.jump_depth FROM climb JOIN messages m
                ON m.id = CASE WHEN climb.jump_depth >= $2 THEN climb.jump_id ELSE climb.parent_id END
            WHERE climb.depth > $2
        ), walk (id, parent_id, depth) AS (
            SELECT id, parent_id, depth FROM climb WHERE depth = $2
            UNION ALL
            SELECT m.id, m.parent_id, m.depth FROM walk JOIN messages m ON m.id = walk.parent_id WHERE walk.depth > $3
        )
        SELECT messages.* FROM walk JOIN messages ON messages.id = walk.id ORDER BY messages.depth";
    let values = [below.into(), (to - 1).into(), from.into()];
    Entity::find().from_raw_sql(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).all(db).await
}

/// Where a message stands, without what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Spot {
    /// The message.
    pub id: MessageId,
    /// Its chat.
    pub chat_id: ChatId,
    /// Its depth.
    pub depth: i32,
}

/// Where those of these messages stand that stand in chats that may be read.
pub async fn spots(db: &impl ConnectionTrait, readable: Readable, ids: &[MessageId]) -> Result<Vec<Spot>, DbErr> {
    let found = in_chats(readable).filter(Column::Id.is_in(ids.iter().copied()));
    found.select_only().columns([Column::Id, Column::ChatId, Column::Depth]).into_model::<Spot>().all(db).await
}

/// A part of a branch: as [`branch`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchPart {
    /// Any message of the branch at the depth `to - 1` or deeper.
    pub below: MessageId,
    /// The depth at which it begins.
    pub from: i32,
    /// The depth before which it ends.
    pub to: i32,
}

/// The most parts of branches that one statement reads.
pub const MAX_PARTS: usize = 100;

/// The statement of [`branch`] for several parts, as common table expressions that end with `walk (part, id, depth)`.
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
/// root's side down, up to `max_bytes` as [`within`] has it.
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
) -> Result<HashMap<MessageId, Spot>, DbErr> {
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
            let leaf = newest.entry(target).or_insert(Spot { id, chat_id, depth });
            if id > leaf.id {
                *leaf = Spot { id, chat_id, depth };
            }
        }
    }
    Ok(newest)
}

/// Whether a reply is being written in a chat.
pub async fn is_streaming_in(db: &impl ConnectionTrait, chat: ChatId) -> Result<bool, DbErr> {
    let streaming = Entity::find().filter(Column::ChatId.eq(chat)).filter(streaming());
    Ok(streaming.select_only().column(Column::Id).into_tuple::<MessageId>().one(db).await?.is_some())
}

/// Adds messages, parents before children.
pub async fn insert(db: &impl ConnectionTrait, messages: &[Model]) -> Result<(), DbErr> {
    let rows = messages.iter().map(|message| ActiveModel::from(message.clone()).reset_all());
    Entity::insert_many(rows).exec_without_returning(db).await.map(|_| ())
}

/// Notes that something follows a message now.
pub async fn mark_followed(db: &impl ConnectionTrait, id: MessageId) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::IsLeaf, Expr::value(false)).filter(Column::Id.eq(id));
    update.filter(leaf()).exec(db).await.map(|_| ())
}

/// The one way in which a reply ends: writes its final row if it is still STREAMING and owned by `owner`. False means that it has
/// ended already, or is gone.
pub async fn finish(db: &impl ConnectionTrait, owner: Option<BootId>, reply: &Model) -> Result<bool, DbErr> {
    // A message that follows the reply, or a stop, may have been written meanwhile: those columns stay as they are.
    let mut row = ActiveModel::from(reply.clone()).reset_all();
    row.is_leaf = sea_orm::NotSet;
    row.is_stop_requested = sea_orm::NotSet;
    let ended = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(reply.id))
        .filter(streaming())
        .filter(owner.map_or(Column::BootId.is_null(), |boot| Column::BootId.eq(boot)))
        .exec(db)
        .await?;
    Ok(ended.rows_affected > 0)
}

/// These messages, in any chat.
pub async fn find_any_of(db: &impl ConnectionTrait, ids: &[MessageId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// Asks the server that writes a reply to stop.
pub async fn request_stop(db: &impl ConnectionTrait, id: MessageId) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::IsStopRequested, Expr::value(true));
    update.filter(Column::Id.eq(id)).filter(streaming()).exec(db).await.map(|_| ())
}

/// Asks whichever server writes in a chat to stop.
pub async fn request_stop_in(db: &impl ConnectionTrait, chat: ChatId) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::IsStopRequested, Expr::value(true));
    update.filter(Column::ChatId.eq(chat)).filter(streaming()).exec(db).await.map(|_| ())
}

/// Asks the servers that write replies in an owner's chats to stop.
pub async fn request_stop_of(db: &impl ConnectionTrait, owner: UserId) -> Result<(), DbErr> {
    let mut chats = Query::select();
    chats.column(chat::Column::Id).from(chat::Entity).and_where(chat::Column::OwnerId.eq(owner));
    let update = Entity::update_many().col_expr(Column::IsStopRequested, Expr::value(true));
    update.filter(Column::ChatId.in_subquery(chats)).filter(streaming()).exec(db).await.map(drop)
}

/// Those of a node's running replies that a stop was requested for.
pub async fn stop_requests(db: &impl ConnectionTrait, boot: BootId) -> Result<Vec<MessageId>, DbErr> {
    let running = Entity::find().filter(streaming()).filter(Column::BootId.eq(boot));
    let stopped = running.filter(Column::IsStopRequested.into_expr());
    stopped.select_only().column(Column::Id).into_tuple().all(db).await
}

/// Those of these replies that are STREAMING and owned by this node, locked until the transaction ends so that none ends before.
pub async fn lock_owned(db: &impl ConnectionTrait, boot: BootId, ids: &[MessageId]) -> Result<Vec<MessageId>, DbErr> {
    let owned = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).filter(streaming());
    let owned = owned.filter(Column::BootId.eq(boot)).order_by_asc(Column::Id);
    owned.lock_exclusive().select_only().column(Column::Id).into_tuple().all(db).await
}

/// The nodes that own running replies; none for replies that name no owner.
pub async fn running_owners(db: &impl ConnectionTrait) -> Result<Vec<Option<BootId>>, DbErr> {
    let running = Entity::find().filter(streaming()).select_only().column(Column::BootId).distinct();
    running.into_tuple().all(db).await
}

/// Up to `limit` running replies of an owner, by id from `after` on.
pub async fn find_running(
    db: &impl ConnectionTrait,
    owner: Option<BootId>,
    after: Option<MessageId>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(streaming())
        .filter(owner.map_or(Column::BootId.is_null(), |boot| Column::BootId.eq(boot)))
        .filter(Condition::all().add_option(after.map(|after| Column::Id.gt(after))))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Registers tool calls; those that are registered already stay as they are.
pub async fn insert_calls(db: &impl ConnectionTrait, calls: Vec<tool_call::Model>) -> Result<(), DbErr> {
    for rows in calls.chunks(INSERT_ROWS) {
        let rows = rows.iter().map(|row| tool_call::ActiveModel::from(row.clone()).reset_all());
        let insert = tool_call::Entity::insert_many(rows).on_conflict_do_nothing_on([tool_call::Column::Id]);
        insert.exec_without_returning(db).await?;
    }
    Ok(())
}

/// Written into the statement, not bound to it: only so does a partial index serve it.
pub(super) fn streaming() -> Expr {
    Column::Status.into_expr().eq(Expr::Constant(Value::from(MessageStatus::Streaming.to_value())))
}

/// As the partial index has it.
fn leaf() -> Expr {
    Column::IsLeaf.into_expr()
}

/// Messages by their own keys, and then their chats: joined, the database may begin with all the chats of an owner.
fn in_chats(readable: Readable) -> Select<Entity> {
    let mut chat = Query::select();
    chat.expr(Expr::Constant(Value::from(1)))
        .from(chat::Entity)
        .and_where(Expr::col((chat::Entity, chat::Column::Id)).equals((Entity, Column::ChatId)))
        .cond_where(readable.condition());
    Entity::find().filter(Expr::exists(chat))
}

fn placeholders(first: usize, count: usize) -> String {
    let numbers: Vec<String> = (first..first + count).map(|number| format!("${number}")).collect();
    numbers.join(", ")
}
