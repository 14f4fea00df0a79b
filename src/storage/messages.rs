//! Queries on messages and their trees. No query becomes slower with the length of a chat, unless its comment says so.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Query;
use sea_orm::{Condition, ExprTrait as _, FromQueryResult as _, QueryOrder, QuerySelect, Statement};

use crate::entity::enums::{MessageRole, MessageStatus, Rating};
use crate::entity::ids::{BootId, ChatId, MessageId, ToolCallId, UserId};
use crate::entity::message::{ActiveModel, Column, Entity, Model};
use crate::entity::{chat, tool_call};
use crate::storage::chats::Readable;
use crate::storage::{INSERT_ROWS, without_key};

/// A message in a chat of this owner.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn find(db: &impl ConnectionTrait, owner: UserId, id: MessageId) -> Result<Option<Model>, DbErr> {
    in_chats(Readable::Of(owner)).filter(Column::Id.eq(id)).one(db).await
}

/// Those of these messages that are in readable chats.
pub async fn find_all(db: &impl ConnectionTrait, readable: Readable, ids: &[MessageId]) -> Result<Vec<Model>, DbErr> {
    in_chats(readable).filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// A message in any chat.
pub async fn find_any(db: &impl ConnectionTrait, id: MessageId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The messages that contain these tool calls, in chats of this owner, limited by `max_bytes` as in [`within`].
pub async fn find_by_calls(
    db: &impl ConnectionTrait,
    owner: UserId,
    ids: &[ToolCallId],
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut values = ids.iter().map(|id| Value::from(*id)).collect();
    let keys = placeholders(1, ids.len());
    let may_be_read = in_readable_chat(Readable::Of(owner), &mut values);
    let picked = format!(
        "SELECT m.id, {SIZE} AS size FROM messages m \
         WHERE m.id IN (SELECT message_id FROM tool_calls WHERE id IN ({keys})) AND {may_be_read}"
    );
    within(db, &picked, values, max_bytes).await
}

/// The approximate memory of a message in addition to its fixed columns, in bytes. Both databases know these lengths
/// without reading the text.
pub(super) const SIZE: &str = "(OCTET_LENGTH(m.body) + COALESCE(OCTET_LENGTH(m.layout), 0))";

/// The messages that `picked` selects, by id, until they exceed `max_bytes` together; a caller that receives more must
/// treat its request as too large. `picked` is a selection from `messages m` with the columns `id` and `size`.
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
    Model::find_by_statement(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).all(db).await
}

/// A condition on `m`: the message is in a readable chat. The caller must also restrict the messages by key.
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

/// A condition on `m`: one of these messages, in a readable chat.
fn is_readable_one_of(ids: &[MessageId], readable: Readable, values: &mut Vec<Value>) -> String {
    let first = values.len() + 1;
    values.extend(ids.iter().map(|id| Value::from(*id)));
    format!("m.id IN ({}) AND {}", placeholders(first, ids.len()), in_readable_chat(readable, values))
}

/// Those of these messages that are in readable chats and have at most `max_bytes` each.
pub async fn find_short(
    db: &impl ConnectionTrait,
    readable: Readable,
    ids: &[MessageId],
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut values = vec![i64::try_from(max_bytes).unwrap_or(i64::MAX).into()];
    let wanted = is_readable_one_of(ids, readable, &mut values);
    let sql = format!("SELECT m.* FROM messages m WHERE {wanted} AND {SIZE} <= $1");
    Model::find_by_statement(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).all(db).await
}

/// Those of these messages that are in readable chats, by id, limited by `max_bytes` as in [`within`].
pub async fn find_within(
    db: &impl ConnectionTrait,
    readable: Readable,
    ids: &[MessageId],
    max_bytes: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut values = Vec::new();
    let wanted = is_readable_one_of(ids, readable, &mut values);
    let picked = format!("SELECT m.id, {SIZE} AS size FROM messages m WHERE {wanted}");
    within(db, &picked, values, max_bytes).await
}

/// The newest `limit` direct children of each of these messages, oldest first, limited by `max_bytes` as in [`within`].
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
    let oldest = nth_newest("n.parent_id = p.id AND n.chat_id = p.chat_id", limit, &mut values);
    let picked = format!(
        "SELECT m.id, {SIZE} AS size FROM messages p JOIN messages m ON m.parent_id = p.id AND m.id >= {oldest} \
         WHERE p.id IN ({keys}) AND m.chat_id = p.chat_id AND {may_be_read}"
    );
    within(db, &picked, values, max_bytes).await
}

/// The newest `limit` messages without a parent in each of these chats, oldest first, limited by `max_bytes` as in
/// [`within`].
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
    let oldest = nth_newest("n.chat_id = p.id AND n.depth = 0", limit, &mut values);
    let picked = format!(
        "SELECT m.id, {SIZE} AS size FROM chats p JOIN messages m ON m.chat_id = p.id AND m.depth = 0 \
         AND m.id >= {oldest} WHERE p.id IN ({keys}) AND {may_be_read}"
    );
    within(db, &picked, values, max_bytes).await
}

/// The id of the `limit`-th newest message `n` with this condition, or the smallest id if there are fewer. Unlike a
/// window function, it reads no more than `limit` of them.
pub(super) fn nth_newest(condition: &str, limit: u64, values: &mut Vec<Value>) -> String {
    values.push(MessageId(Uuid::nil()).into());
    let offset = limit.saturating_sub(1);
    let smallest = values.len();
    format!(
        "COALESCE((SELECT n.id FROM messages n WHERE {condition} ORDER BY n.id DESC LIMIT 1 OFFSET {offset}), ${smallest})"
    )
}

/// The messages of a branch between two depths (`from` inclusive, `to` exclusive), from the root downwards. `below` is
/// any message of the branch at depth `to - 1` or deeper. Jump pointers find the deepest of them, parent pointers the
/// others.
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
    Model::find_by_statement(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).all(db).await
}

/// Inserts messages, parents before children.
pub async fn insert(db: &impl ConnectionTrait, messages: &[Model]) -> Result<(), DbErr> {
    let rows = messages.iter().map(|message| ActiveModel::from(message.clone()).reset_all());
    Entity::insert_many(rows).exec_without_returning(db).await.map(|_| ())
}

/// Records that a message has a child.
pub async fn mark_followed(db: &impl ConnectionTrait, id: MessageId) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::IsLeaf, Expr::value(false)).filter(Column::Id.eq(id));
    update.filter(leaf()).exec(db).await.map(|_| ())
}

/// Ends a reply: writes its final row if it is still STREAMING and owned by `owner`. Replies end in no other way.
/// Returns false if the reply has ended already or was deleted.
pub async fn finish(db: &impl ConnectionTrait, owner: Option<BootId>, reply: &Model) -> Result<bool, DbErr> {
    let mut row = without_key(ActiveModel::from(reply.clone()));
    // They may have been changed meanwhile: by a message that follows the reply, its deletion, a summary, a stop
    // request or a rating.
    let changed = [Column::IsLeaf, Column::ChatId, Column::IsStopRequested, Column::CheckpointId, Column::Rating];
    // They never change. SQLite would write their index entries again.
    let place = [Column::ParentId, Column::Depth, Column::JumpId, Column::JumpDepth];
    let origin = [Column::Role, Column::IdempotencyKey, Column::CreatedAt];
    for column in changed.into_iter().chain(place).chain(origin) {
        row.not_set(column);
    }
    let ended = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(reply.id))
        .filter(streaming())
        .filter(owner.map_or(Column::BootId.is_null(), |boot| Column::BootId.eq(boot)))
        .exec(db)
        .await?;
    Ok(ended.rows_affected > 0)
}

/// Rates an assistant's message in a chat of this owner.
pub async fn rate(
    db: &impl ConnectionTrait,
    owner: UserId,
    id: MessageId,
    rating: Option<Rating>,
) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::Rating, Expr::value(rating));
    let update = update.filter(Column::Id.eq(id)).filter(Column::Role.eq(MessageRole::Assistant));
    update.filter(in_chat(Readable::Of(owner))).exec(db).await.map(drop)
}

/// These messages, in any chat.
pub async fn find_any_of(db: &impl ConnectionTrait, ids: &[MessageId]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// Requests the node that writes a reply to stop.
pub async fn request_stop(db: &impl ConnectionTrait, id: MessageId) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::IsStopRequested, Expr::value(true));
    update.filter(Column::Id.eq(id)).filter(streaming()).exec(db).await.map(|_| ())
}

/// Requests the node that writes a reply in this chat to stop.
pub async fn request_stop_in(db: &impl ConnectionTrait, chat: ChatId) -> Result<(), DbErr> {
    let update = Entity::update_many().col_expr(Column::IsStopRequested, Expr::value(true));
    update.filter(Column::ChatId.eq(chat)).filter(streaming()).exec(db).await.map(|_| ())
}

/// The replies that are STREAMING in a chat.
pub async fn streaming_in(db: &impl ConnectionTrait, chat: ChatId) -> Result<Vec<MessageId>, DbErr> {
    let replies = Entity::find().filter(Column::ChatId.eq(chat)).filter(streaming());
    replies.select_only().column(Column::Id).into_tuple().all(db).await
}

/// Requests the nodes that write replies in an owner's chats to stop.
pub async fn request_stop_of(db: &impl ConnectionTrait, owner: UserId) -> Result<(), DbErr> {
    let mut chats = Query::select();
    chats.column(chat::Column::Id).from(chat::Entity).and_where(chat::Column::OwnerId.eq(owner));
    let update = Entity::update_many().col_expr(Column::IsStopRequested, Expr::value(true));
    update.filter(Column::ChatId.in_subquery(chats)).filter(streaming()).exec(db).await.map(drop)
}

/// The running replies of a node for which a stop was requested.
pub async fn stop_requests(db: &impl ConnectionTrait, boot: BootId) -> Result<Vec<MessageId>, DbErr> {
    let running = Entity::find().filter(streaming()).filter(Column::BootId.eq(boot));
    let stopped = running.filter(Column::IsStopRequested.into_expr());
    stopped.select_only().column(Column::Id).into_tuple().all(db).await
}

/// Those of these replies that are STREAMING and owned by this node. They are locked until the transaction ends, so
/// that none of them ends earlier.
pub async fn lock_owned(db: &impl ConnectionTrait, boot: BootId, ids: &[MessageId]) -> Result<Vec<MessageId>, DbErr> {
    let owned = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).filter(streaming());
    let owned = owned.filter(Column::BootId.eq(boot)).order_by_asc(Column::Id);
    owned.lock_exclusive().select_only().column(Column::Id).into_tuple().all(db).await
}

/// The nodes that own running replies. None stands for replies without an owner.
pub async fn running_owners(db: &impl ConnectionTrait) -> Result<Vec<Option<BootId>>, DbErr> {
    let running = Entity::find().filter(streaming()).select_only().column(Column::BootId).distinct();
    running.into_tuple().all(db).await
}

/// Up to `limit` running replies of an owner, by id, after the id `after`.
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

/// Inserts tool calls. Existing ones are left unchanged.
pub async fn insert_calls(db: &impl ConnectionTrait, calls: Vec<tool_call::Model>) -> Result<(), DbErr> {
    for rows in calls.chunks(INSERT_ROWS) {
        let rows = rows.iter().map(|row| tool_call::ActiveModel::from(row.clone()).reset_all());
        let insert = tool_call::Entity::insert_many(rows).on_conflict_do_nothing_on([tool_call::Column::Id]);
        insert.exec_without_returning(db).await?;
    }
    Ok(())
}

/// A literal instead of a bound value: the partial index can only be used with a literal.
pub(super) fn streaming() -> Expr {
    Column::Status.into_expr().eq(Expr::Constant(Value::from(MessageStatus::Streaming.to_value())))
}

/// In the same form as in the partial index.
fn leaf() -> Expr {
    Column::IsLeaf.into_expr()
}

/// The messages are restricted by key, not by a join with the chats, with which the database may start from all chats
/// of an owner.
pub(super) fn in_chats(readable: Readable) -> Select<Entity> {
    Entity::find().filter(in_chat(readable))
}

fn in_chat(readable: Readable) -> Expr {
    let mut chat = Query::select();
    chat.expr(Expr::Constant(Value::from(1)))
        .from(chat::Entity)
        .and_where(Expr::col((chat::Entity, chat::Column::Id)).equals((Entity, Column::ChatId)))
        .cond_where(readable.condition());
    Expr::exists(chat)
}

pub(super) fn placeholders(first: usize, count: usize) -> String {
    let numbers: Vec<String> = (first..first + count).map(|number| format!("${number}")).collect();
    numbers.join(", ")
}
