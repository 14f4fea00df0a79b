//! The usage ledger and its totals: writes. [`super::statistics`] reads them.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Datelike as _, TimeZone as _, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, LockType, OnConflict};
use sea_orm::{
    DbBackend, ExprTrait as _, FromQueryResult as _, QueryOrder as _, QuerySelect as _, Statement, TryInsertResult,
};

use crate::entity::enums::{CallKind, Dimension, MessageStatus, Span};
use crate::entity::ids::{CharacterId, UserId};
use crate::entity::ledger_entry::{ActiveModel, Column, Entity, Model};
use crate::entity::{usage_total, user};

/// The seconds of an hour and of a day.
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The user of a total that has none.
pub const NO_USER: UserId = UserId(Uuid::nil());
/// The character of a total that has none.
pub const NO_CHARACTER: CharacterId = CharacterId(Uuid::nil());

/// The number of the bucket that contains a time: hours or days since 1970-01-01, or months since the year 0, in UTC.
pub fn bucket(span: Span, time: DateTime<Utc>) -> i32 {
    match span {
        Span::Hour => number(time.timestamp().div_euclid(HOUR)),
        Span::Day => number(time.timestamp().div_euclid(DAY)),
        Span::Month => time.year() * 12 + number(time.month0().into()),
    }
}

/// When a bucket begins. None beyond the times that the application can represent.
pub fn start(span: Span, bucket: i32) -> Option<DateTime<Utc>> {
    match span {
        Span::Hour => DateTime::from_timestamp(i64::from(bucket) * HOUR, 0),
        Span::Day => DateTime::from_timestamp(i64::from(bucket) * DAY, 0),
        Span::Month => {
            let month = u32::try_from(bucket.rem_euclid(12)).ok()? + 1;
            Utc.with_ymd_and_hms(bucket.div_euclid(12), month, 1, 0, 0, 0).single()
        }
    }
}

/// All times of the application are in years of at most four digits.
fn number(bucket: i64) -> i32 {
    i32::try_from(bucket).unwrap_or(i32::MAX)
}

type Key = (Dimension, Span, i32, UserId, String, CharacterId);

/// Sums of provider calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Ended replies. Titles and summaries are not counted.
    pub replies: i64,
    /// Replies that are FAILED or INTERRUPTED.
    pub failed_replies: i64,
    /// Input tokens of all calls, including cached ones.
    pub input_tokens: i64,
    /// Output tokens of all calls.
    pub output_tokens: i64,
    /// The cost of all calls, in billionths of a US dollar.
    pub cost: i64,
}

/// Enters provider calls into the ledger and adds them to the totals. A call that was entered before is skipped. The
/// user of a call is removed if their row no longer exists; otherwise the row is locked against deletion until the
/// transaction ends. Any transaction may enter calls after it has locked chats: users are locked after chats, and
/// totals after users, each in the order of their keys.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn record(db: &impl ConnectionTrait, mut entries: Vec<Model>) -> Result<(), DbErr> {
    if entries.is_empty() {
        return Ok(());
    }
    entries.sort_unstable_by_key(|entry| entry.id);
    let users: HashSet<UserId> = entries.iter().filter_map(|entry| entry.user_id).collect();
    let users = user::Entity::find().filter(user::Column::Id.is_in(users)).order_by_asc(user::Column::Id);
    let users = users.lock(LockType::KeyShare).select_only().column(user::Column::Id);
    let users: HashSet<UserId> = users.into_tuple().all(db).await?.into_iter().collect();
    for entry in entries.iter_mut().filter(|entry| entry.user_id.is_none_or(|id| !users.contains(&id))) {
        (entry.user_id, entry.chat_id) = (None, None);
    }
    let rows = entries.iter().map(|entry| ActiveModel::from(entry.clone()).reset_all());
    let insert = Entity::insert_many(rows).on_conflict_do_nothing_on([Column::Id]);
    let entered: HashSet<Uuid> = match insert.exec_with_returning_keys(db).await? {
        TryInsertResult::Inserted(ids) => ids.into_iter().collect(),
        TryInsertResult::Conflicted | TryInsertResult::Empty => return Ok(()),
    };
    let mut totals = BTreeMap::new();
    entries.iter().filter(|entry| entered.contains(&entry.id)).for_each(|entry| add(&mut totals, entry));
    add_to_totals(db, totals).await
}

fn add(totals: &mut BTreeMap<Key, Sums>, entry: &Model) {
    let user = entry.user_id.unwrap_or(NO_USER);
    let character = entry.character_id.unwrap_or(NO_CHARACTER);
    let is_reply = entry.kind == CallKind::Reply;
    let has_failed = matches!(entry.outcome, MessageStatus::Failed | MessageStatus::Interrupted);
    for span in [Span::Hour, Span::Day, Span::Month] {
        let start = bucket(span, entry.started_at);
        for key in [
            (Dimension::User, span, start, user, entry.model_id.clone(), character),
            (Dimension::Model, span, start, NO_USER, entry.model_id.clone(), NO_CHARACTER),
            (Dimension::Character, span, start, NO_USER, String::new(), character),
        ] {
            let sums: &mut Sums = totals.entry(key).or_default();
            sums.replies += i64::from(is_reply);
            sums.failed_replies += i64::from(is_reply && has_failed);
            sums.input_tokens += i64::from(entry.input_tokens);
            sums.output_tokens += i64::from(entry.output_tokens);
            sums.cost += entry.cost_nanodollars.unwrap_or(0);
        }
    }
}

/// Adds sums to the totals, in the order of their keys, so that two transactions never wait for each other.
async fn add_to_totals(db: &impl ConnectionTrait, totals: BTreeMap<Key, Sums>) -> Result<(), DbErr> {
    use usage_total::Column as Total;
    let rows: Vec<usage_total::ActiveModel> = totals.into_iter().map(|(key, sums)| total(key, sums).into()).collect();
    let added = [Total::ReplyCount, Total::FailedReplyCount, Total::InputTokens, Total::OutputTokens];
    let added = added.into_iter().chain([Total::CostNanodollars]);
    let mut sum = OnConflict::columns([
        Total::Dimension,
        Total::Span,
        Total::Start,
        Total::UserId,
        Total::ModelId,
        Total::CharacterId,
    ]);
    for column in added {
        sum.value(column, Expr::col((usage_total::Entity, column)).add(Expr::col(("excluded", column))));
    }
    for rows in rows.chunks(super::INSERT_ROWS) {
        let rows = rows.iter().map(|row| row.clone().reset_all());
        usage_total::Entity::insert_many(rows).on_conflict(sum.clone()).exec_without_returning(db).await?;
    }
    Ok(())
}

fn total((dimension, span, start, user_id, model_id, character_id): Key, sums: Sums) -> usage_total::Model {
    usage_total::Model {
        dimension,
        span,
        start,
        user_id,
        model_id,
        character_id,
        reply_count: sums.replies,
        failed_reply_count: sums.failed_replies,
        input_tokens: sums.input_tokens,
        output_tokens: sums.output_tokens,
        cost_nanodollars: sums.cost,
    }
}

/// Removes a user from up to `limit` ledger entries and up to `limit` totals, whose sums are added to those without a
/// user. Returns false when there are none left. The user's row is locked, so that no call of the user is entered
/// meanwhile.
pub async fn anonymize(db: &impl ConnectionTrait, id: UserId, limit: u64) -> Result<bool, DbErr> {
    let row = user::Entity::find_by_id(id).lock_exclusive().select_only().column(user::Column::Id);
    row.into_tuple::<UserId>().one(db).await?;
    let entries = Entity::find().filter(Column::UserId.eq(id)).order_by_asc(Column::StartedAt).limit(limit);
    let entries: Vec<Uuid> = entries.select_only().column(Column::Id).into_tuple().all(db).await?;
    let sql = format!("SELECT * FROM {} WHERE dimension = 0 AND user_id = $1 LIMIT {limit}", totals_by_user(db));
    let totals = Statement::from_sql_and_values(db.get_database_backend(), sql, [id.into()]);
    let totals = usage_total::Model::find_by_statement(totals).all(db).await?;
    if entries.is_empty() && totals.is_empty() {
        return Ok(false);
    }
    Entity::update_many()
        .col_expr(Column::UserId, Expr::value(None::<UserId>))
        .col_expr(Column::ChatId, Expr::value(None::<Uuid>))
        .filter(Column::Id.is_in(entries))
        .exec(db)
        .await?;
    let mut moved = BTreeMap::new();
    for total in totals {
        let usage_total::Model { dimension, span, start, user_id, model_id, character_id, .. } = total;
        let key = (dimension, span, start, user_id, model_id.clone(), character_id);
        usage_total::Entity::delete_by_id(key).exec(db).await?;
        let sums = Sums {
            replies: total.reply_count,
            failed_replies: total.failed_reply_count,
            input_tokens: total.input_tokens,
            output_tokens: total.output_tokens,
            cost: total.cost_nanodollars,
        };
        moved.insert((dimension, span, start, NO_USER, model_id, character_id), sums);
    }
    add_to_totals(db, moved).await?;
    Ok(true)
}

/// The table of totals, for a query of the dimension `User` with a condition on the user. Without statistics, SQLite
/// would prefer the primary key, which begins with the time.
pub(super) fn totals_by_user(db: &impl ConnectionTrait) -> &'static str {
    match db.get_database_backend() {
        DbBackend::Sqlite => "usage_totals INDEXED BY usage_totals_by_user",
        _ => "usage_totals",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_in_utc() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let last = at("2026-12-31T23:59:59.999Z");
        let first = at("2027-01-01T00:00:00Z");
        for span in [Span::Hour, Span::Day, Span::Month] {
            assert_eq!(bucket(span, first) - bucket(span, last), 1, "{span:?}");
            assert_eq!(start(span, bucket(span, first)), Some(first));
            assert!(start(span, bucket(span, last)).unwrap() < last);
        }
        assert_eq!(bucket(Span::Month, first), 2027 * 12);
        assert_eq!(bucket(Span::Hour, first), bucket(Span::Day, first) * 24);
        let before = Utc.timestamp_millis_opt(-1).unwrap();
        assert_eq!((bucket(Span::Hour, before), bucket(Span::Day, before)), (-1, -1));
    }
}
