//! Statistics: sums over the usage totals, and counts of objects created in a time range. Only the parts of an hour at
//! the edges of a range are read from the ledger.

use std::ops::{AddAssign, Range, SubAssign};

use chrono::{DateTime, Timelike as _, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::{DbBackend, FromQueryResult, QueryResult, QuerySelect as _, Statement, TryGetable};

use super::messages::placeholders;
use super::usage::{Sums, bucket, start, totals_by_user};
use crate::entity::enums::{Dimension, Span};
use crate::entity::ids::UserId;
use crate::entity::user;

mod counts;

pub use counts::{Created, active_users, created};

/// A half-open time range. A bound that is absent is infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRange {
    /// The start, inclusive.
    pub from: Option<DateTime<Utc>>,
    /// The end, exclusive.
    pub to: Option<DateTime<Utc>>,
}

/// Buckets of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Their length.
    pub span: Span,
    /// Their numbers.
    pub numbers: Range<i32>,
}

/// What sums are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// Users. Deleted users are one group, with the key nil.
    User,
    /// Models.
    Model,
    /// Characters. Chats without a character, or with one that is not visible to this user, are one group, with the key
    /// nil.
    Character(UserId),
}

/// The maximum number of deleted users that are read for a report. A sweep removes deleted users within seconds.
const MAX_DELETED: u64 = 1_000;
/// The maximum number of parts of [`TimeRange::parts`]: hours and days, months, days and hours.
const MAX_PARTS: usize = 5;

impl TimeRange {
    /// The range in buckets that are as long as possible, without the parts of an hour at its edges.
    pub fn parts(self) -> Vec<Buckets> {
        let mut parts = Vec::with_capacity(MAX_PARTS);
        self.split(Span::Month, &mut parts);
        parts
    }

    fn split(self, span: Span, parts: &mut Vec<Buckets>) {
        let finer = match span {
            Span::Month => Some(Span::Day),
            Span::Day => Some(Span::Hour),
            Span::Hour => None,
        };
        let numbers = self.whole(span);
        if numbers.is_empty() {
            if let Some(finer) = finer {
                self.split(finer, parts);
            }
            return;
        }
        let (first, last) = (start(span, numbers.start), start(span, numbers.end));
        if let (Some(_), Some(finer)) = (self.from, finer) {
            Self { from: self.from, to: first }.split(finer, parts);
        }
        parts.push(Buckets { span, numbers });
        if let (Some(_), Some(finer)) = (self.to, finer) {
            Self { from: last, to: self.to }.split(finer, parts);
        }
    }

    /// The buckets that lie completely in the range.
    fn whole(self, span: Span) -> Range<i32> {
        let first = self.from.map_or(i32::MIN, |from| {
            let number = bucket(span, from);
            if start(span, number) == Some(from) { number } else { number.saturating_add(1) }
        });
        first..self.to.map_or(i32::MAX, |to| bucket(span, to))
    }

    /// The parts of an hour at the edges.
    fn edges(self) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let hour = |time: DateTime<Utc>| start(Span::Hour, bucket(Span::Hour, time));
        let next = |time: DateTime<Utc>| start(Span::Hour, bucket(Span::Hour, time).saturating_add(1));
        let is_whole = |time: DateTime<Utc>| time.minute() == 0 && time.second() == 0 && time.nanosecond() == 0;
        let left = self.from.filter(|from| !is_whole(*from)).and_then(|from| Some((from, next(from)?)));
        let right = self.to.filter(|to| !is_whole(*to)).and_then(|to| Some((hour(to)?, to)));
        match (left, right, self.from, self.to) {
            // Both bounds are in the same hour.
            (_, _, Some(from), Some(to)) if hour(from) == hour(to) => vec![(from, to)],
            (left, right, ..) => left.into_iter().chain(right).collect(),
        }
    }

    /// Condition on a column of UUIDv7 ids: created in the range.
    fn created(self, id: &str, values: &mut Vec<Value>) -> String {
        let mut bound = |time: DateTime<Utc>, operator: &str| {
            let milliseconds = u128::try_from(time.timestamp_millis()).unwrap_or(0);
            values.push(Uuid::from_u128(milliseconds << 80).into());
            format!(" AND {id} {operator} ${}", values.len())
        };
        let from = self.from.map(|from| bound(from, ">="));
        let to = self.to.map(|to| bound(to, "<"));
        format!("TRUE{}{}", from.unwrap_or_default(), to.unwrap_or_default())
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.replies += other.replies;
        self.failed_replies += other.failed_replies;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cost += other.cost;
    }
}

impl SubAssign for Sums {
    fn sub_assign(&mut self, other: Self) {
        self.replies -= other.replies;
        self.failed_replies -= other.failed_replies;
        self.input_tokens -= other.input_tokens;
        self.output_tokens -= other.output_tokens;
        self.cost -= other.cost;
    }
}

impl FromQueryResult for Sums {
    fn from_query_result(row: &QueryResult, pre: &str) -> Result<Self, DbErr> {
        Ok(Self {
            replies: row.try_get(pre, "reply_count")?,
            failed_replies: row.try_get(pre, "failed_reply_count")?,
            input_tokens: row.try_get(pre, "input_tokens")?,
            output_tokens: row.try_get(pre, "output_tokens")?,
            cost: row.try_get(pre, "cost_nanodollars")?,
        })
    }
}

/// The sums of the columns of a row source. PostgreSQL's SUM of integers is a decimal number.
const SUMS: &str = "CAST(COALESCE(SUM(reply_count), 0) AS BIGINT) AS reply_count, \
    CAST(COALESCE(SUM(failed_reply_count), 0) AS BIGINT) AS failed_reply_count, \
    CAST(COALESCE(SUM(input_tokens), 0) AS BIGINT) AS input_tokens, \
    CAST(COALESCE(SUM(output_tokens), 0) AS BIGINT) AS output_tokens, \
    CAST(COALESCE(SUM(cost_nanodollars), 0) AS BIGINT) AS cost_nanodollars";
const COLUMNS: &str = "reply_count, failed_reply_count, input_tokens, output_tokens, cost_nanodollars";

/// The condition for totals of these buckets. Its numbers are literals, as in the partial index. `of` is the only user,
/// if there is one; the totals of a single user are those of the dimension `User`.
fn in_buckets(dimension: Dimension, buckets: &Buckets, of: Option<UserId>, values: &mut Vec<Value>) -> String {
    let dimension = if of.is_some() { Dimension::User } else { dimension };
    let user = of.map(|id| {
        values.push(id.into());
        format!(" AND user_id = ${}", values.len())
    });
    format!(
        "dimension = {} AND span = {} AND start >= {} AND start < {}{}",
        dimension.to_value(),
        buckets.span.to_value(),
        buckets.numbers.start,
        buckets.numbers.end,
        user.unwrap_or_default(),
    )
}

/// A column of `t` with the key of a group, and a join with `v` that finds the keys that are shown.
fn key(group: GroupBy, values: &mut Vec<Value>) -> (&'static str, String) {
    match group {
        GroupBy::Model => ("model_id", String::new()),
        GroupBy::User => ("user_id", " LEFT JOIN users v ON v.id = t.user_id AND v.deleted_at IS NULL".to_owned()),
        GroupBy::Character(viewer) => {
            values.push(viewer.into());
            let join = format!(
                " LEFT JOIN characters v ON v.id = t.character_id AND v.deleted_at IS NULL \
                 AND (v.is_public OR v.owner_id = ${})",
                values.len(),
            );
            ("character_id", join)
        }
    }
}

/// The key that is shown: nil for one that is not found by the join.
fn shown(group: GroupBy, column: &str, db: &impl ConnectionTrait) -> String {
    let nil = match db.get_database_backend() {
        DbBackend::Sqlite => "x'00000000000000000000000000000000'",
        _ => "CAST('00000000-0000-0000-0000-000000000000' AS UUID)",
    };
    match group {
        GroupBy::Model => format!("t.{column}"),
        GroupBy::User | GroupBy::Character(_) => format!("COALESCE(v.id, {nil})"),
    }
}

impl GroupBy {
    fn dimension(self) -> Dimension {
        match self {
            Self::User => Dimension::User,
            Self::Model => Dimension::Model,
            Self::Character(_) => Dimension::Character,
        }
    }
}

/// The sums of all calls in a range.
///
/// # Errors
/// When the database fails. The same holds for the functions below.
pub async fn sums(db: &impl ConnectionTrait, range: TimeRange) -> Result<Sums, DbErr> {
    let mut all = Sums::default();
    for part in range.parts() {
        let mut values = Vec::new();
        let condition = in_buckets(Dimension::Model, &part, None, &mut values);
        all += one(db, format!("SELECT {SUMS} FROM usage_totals WHERE {condition}"), values).await?;
    }
    for (from, to) in range.edges() {
        let sql = format!(
            "SELECT {SUMS} FROM (SELECT CASE WHEN kind = 0 THEN 1 ELSE 0 END AS reply_count, \
             CASE WHEN kind = 0 AND outcome IN (3, 4) THEN 1 ELSE 0 END AS failed_reply_count, input_tokens, \
             output_tokens, cost_nanodollars FROM usage_ledger WHERE started_at >= $1 AND started_at < $2) AS edge"
        );
        all += one(db, sql, vec![from.into(), to.into()]).await?;
    }
    Ok(all)
}

async fn one(db: &impl ConnectionTrait, sql: String, values: Vec<Value>) -> Result<Sums, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(Sums::find_by_statement(statement).one(db).await?.unwrap_or_default())
}

/// The `limit` groups with the highest cost in these buckets, highest first. Groups of the same cost are ordered by
/// tokens and replies.
pub async fn top<K: TryGetable>(
    db: &impl ConnectionTrait,
    parts: &[Buckets],
    group: GroupBy,
    of: Option<UserId>,
    limit: usize,
) -> Result<Vec<K>, DbErr> {
    let mut values = Vec::new();
    let (column, join) = key(group, &mut values);
    let table = if of.is_some() { totals_by_user(db) } else { "usage_totals" };
    let part = |part: &Buckets| {
        let condition = in_buckets(group.dimension(), part, of, &mut values);
        format!("SELECT {column}, {COLUMNS} FROM {table} WHERE {condition}")
    };
    let parts: Vec<String> = parts.iter().map(part).collect();
    let sql = format!(
        "SELECT key FROM (SELECT {} AS key, {SUMS} FROM (SELECT {column}, {SUMS} FROM ({}) AS parts GROUP BY {column}) \
         AS t{join} GROUP BY 1) AS grouped \
         ORDER BY cost_nanodollars DESC, input_tokens + output_tokens DESC, reply_count DESC, key LIMIT {limit}",
        shown(group, column, db),
        parts.join(" UNION ALL "),
    );
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| row.try_get("", "key")).collect()
}

/// The sums of each of these buckets, without regard to groups. Buckets without a call are absent.
pub async fn series(
    db: &impl ConnectionTrait,
    buckets: &Buckets,
    of: Option<UserId>,
) -> Result<Vec<(i32, Sums)>, DbErr> {
    let mut values = Vec::new();
    let condition = in_buckets(Dimension::Model, buckets, of, &mut values);
    let table = if of.is_some() { totals_by_user(db) } else { "usage_totals" };
    let sql = format!("SELECT start, {SUMS} FROM {table} WHERE {condition} GROUP BY start");
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| Ok((row.try_get("", "start")?, Sums::from_query_result(row, "")?))).collect()
}

/// The sums of each of these buckets for each of the groups with these keys.
pub async fn grouped_series<K: TryGetable + Into<Value> + Clone>(
    db: &impl ConnectionTrait,
    buckets: &Buckets,
    group: GroupBy,
    of: Option<UserId>,
    keys: &[K],
) -> Result<Vec<(i32, K, Sums)>, DbErr> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut values: Vec<Value> = keys.iter().map(|key| key.clone().into()).collect();
    let listed = placeholders(1, keys.len());
    let (column, join) = key(group, &mut values);
    let condition = in_buckets(group.dimension(), buckets, of, &mut values);
    // Only the rows of these users are read. The group of deleted users includes those that are not swept yet.
    let users = match group {
        GroupBy::User => {
            let first = values.len() + 1;
            values.extend(keys.iter().map(|key| key.clone().into()));
            values.extend(deleted_users(db).await?.into_iter().map(Value::from));
            format!(" AND user_id IN ({})", placeholders(first, values.len() + 1 - first))
        }
        GroupBy::Model | GroupBy::Character(_) => String::new(),
    };
    let is_by_user = of.is_some() || group == GroupBy::User;
    let table = if is_by_user { totals_by_user(db) } else { "usage_totals" };
    let sql = format!(
        "SELECT start, key, {COLUMNS} FROM (SELECT start, {} AS key, {SUMS} FROM (SELECT start, {column}, {SUMS} \
         FROM {table} WHERE {condition}{users} GROUP BY start, {column}) AS t{join} GROUP BY 1, 2) AS grouped \
         WHERE key IN ({listed})",
        shown(group, column, db),
    );
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    let row =
        |row: &QueryResult| Ok((row.try_get("", "start")?, row.try_get("", "key")?, Sums::from_query_result(row, "")?));
    rows.iter().map(row).collect()
}

/// The deleted users that are not swept yet.
async fn deleted_users(db: &impl ConnectionTrait) -> Result<Vec<UserId>, DbErr> {
    let deleted = user::Entity::find().filter(user::Column::DeletedAt.is_not_null()).limit(MAX_DELETED);
    deleted.select_only().column(user::Column::Id).into_tuple().all(db).await
}

/// The number of running replies of all nodes.
pub async fn running_replies(db: &impl ConnectionTrait) -> Result<i64, DbErr> {
    count(db, "SELECT COUNT(*) AS count FROM messages WHERE status = 1".to_owned(), Vec::new()).await
}

async fn count(db: &impl ConnectionTrait, sql: String, values: Vec<Value>) -> Result<i64, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let row = db.query_one_raw(statement).await?;
    row.map_or(Ok(0), |row| row.try_get("", "count"))
}

/// The chats and messages of a user that exist.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Owned {
    /// The user.
    pub owner_id: UserId,
    /// The number of chats.
    pub chat_count: i64,
    /// The number of messages.
    pub message_count: i64,
    /// When the oldest message was created.
    pub first_message_at: Option<DateTime<Utc>>,
    /// When the newest message was created.
    pub last_message_at: Option<DateTime<Utc>>,
}

/// What these users own. The oldest message of a chat is a root, the newest a leaf, so two index lookups per chat find
/// them. Users without chats are absent.
pub async fn owned(db: &impl ConnectionTrait, users: &[UserId]) -> Result<Vec<Owned>, DbErr> {
    let sql = format!(
        "SELECT c.owner_id, COUNT(*) AS chat_count, CAST(SUM(c.message_count) AS BIGINT) AS message_count, \
         MIN((SELECT m.created_at FROM messages m WHERE m.chat_id = c.id AND m.depth = 0 ORDER BY m.id LIMIT 1)) \
         AS first_message_at, \
         MAX((SELECT m.created_at FROM messages m WHERE m.chat_id = c.id AND m.is_leaf ORDER BY m.id DESC LIMIT 1)) \
         AS last_message_at \
         FROM chats c WHERE c.owner_id IN ({}) AND c.deleted_at IS NULL GROUP BY c.owner_id",
        placeholders(1, users.len()),
    );
    let values = users.iter().map(|id| Value::from(*id));
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Owned::find_by_statement(statement).all(db).await
}

/// The sums of all calls of each of these users. Users without a call are absent.
pub async fn sums_of(db: &impl ConnectionTrait, users: &[UserId]) -> Result<Vec<(UserId, Sums)>, DbErr> {
    let sql = format!(
        "SELECT user_id, {SUMS} FROM {} WHERE dimension = 0 AND span = 2 AND user_id IN ({}) GROUP BY user_id",
        totals_by_user(db),
        placeholders(1, users.len()),
    );
    let values = users.iter().map(|id| Value::from(*id));
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| Ok((row.try_get("", "user_id")?, Sums::from_query_result(row, "")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, to: &str) -> TimeRange {
        let time = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        TimeRange { from: time(from), to: time(to) }
    }

    fn parts(from: &str, to: &str) -> Vec<(Span, i32)> {
        range(from, to).parts().into_iter().map(|part| (part.span, part.numbers.end - part.numbers.start)).collect()
    }

    #[test]
    fn a_range_is_split_into_the_longest_buckets() {
        use Span::{Day, Hour, Month};
        for (from, to, wanted) in [
            ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", vec![(Month, 12)]),
            ("2026-01-31T22:00:00Z", "2026-03-02T01:30:00Z", vec![(Hour, 2), (Month, 1), (Day, 1), (Hour, 1)]),
            ("2026-01-30T22:10:00Z", "2026-03-01T00:00:00Z", vec![(Hour, 1), (Day, 1), (Month, 1)]),
            ("2026-01-02T00:00:00Z", "2026-01-31T00:00:00Z", vec![(Day, 29)]),
            ("2026-01-02T05:00:00Z", "2026-01-02T07:00:00Z", vec![(Hour, 2)]),
            ("2026-01-02T05:00:01Z", "2026-01-02T06:59:59Z", vec![]),
            ("2026-01-02T05:00:00Z", "2026-01-02T05:00:00Z", vec![]),
            ("1969-12-31T23:00:00Z", "1970-01-01T01:00:00Z", vec![(Hour, 2)]),
        ] {
            assert_eq!(parts(from, to), wanted, "{from} {to}");
        }
        assert_eq!(range("", "").parts(), [Buckets { span: Month, numbers: i32::MIN..i32::MAX }]);
        let ends = range("", "2026-01-01T01:00:00Z").parts();
        assert_eq!(ends[0], Buckets { span: Month, numbers: i32::MIN..2026 * 12 });
        assert_eq!((ends.len(), ends[1].span), (2, Hour));
    }

    #[test]
    fn parts_of_hours_are_the_edges() {
        for (from, to, wanted) in [
            ("2026-01-02T05:00:00Z", "2026-01-02T07:00:00Z", vec![]),
            ("2026-01-02T05:00:00.001Z", "2026-01-02T07:00:00Z", vec![("05:00:00.001", "06:00:00")]),
            ("2026-01-02T05:00:00Z", "2026-01-02T07:10:00Z", vec![("07:00:00", "07:10:00")]),
            ("2026-01-02T05:30:00Z", "2026-01-02T06:30:00Z", vec![("05:30:00", "06:00:00"), ("06:00:00", "06:30:00")]),
            ("2026-01-02T05:30:00Z", "2026-01-02T05:40:00Z", vec![("05:30:00", "05:40:00")]),
            ("2026-01-02T05:00:00Z", "2026-01-02T05:40:00Z", vec![("05:00:00", "05:40:00")]),
            ("", "2026-01-02T05:40:00Z", vec![("05:00:00", "05:40:00")]),
        ] {
            let at = |time: &str| format!("2026-01-02T{time}Z").parse::<DateTime<Utc>>().unwrap();
            let wanted: Vec<_> = wanted.into_iter().map(|(from, to)| (at(from), at(to))).collect();
            assert_eq!(range(from, to).edges(), wanted, "{from} {to}");
        }
    }
}
