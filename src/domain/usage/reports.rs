//! Statistics, usage series and quotas. All reads of a report see the same state of the database.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, TryGetable, Value};

use super::{Created, Sums};
use crate::clock::Clock;
use crate::domain::input::Checks;
use crate::domain::{FieldErrorCode, Result, Viewer};
use crate::entity::enums::{Permission, Span};
use crate::entity::ids::{CharacterId, UserId};
use crate::entity::{character, user};
use crate::storage::statistics::{self, Buckets, GroupBy, Owned, TimeRange};
use crate::storage::usage::{bucket, start};
use crate::storage::{self, Database};

/// The maximum number of time steps of a series.
pub const MAX_STEPS: usize = 1_000;
/// The maximum number of groups of a series. The remaining groups are summed.
const MAX_GROUPS: usize = 20;

/// Reads statistics, usage and quotas. Cheap to clone.
#[derive(Clone)]
pub struct UsageReports {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Statistics for a time range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemStats {
    /// What was created in the range and still exists.
    pub created: Created,
    /// Users with a reply that started in the range.
    pub active_users: i64,
    /// The provider calls that started in the range and have ended.
    pub calls: Sums,
}

/// Statistics of a user.
#[derive(Debug, Clone, Default)]
pub struct UserStats {
    /// The user's chats and messages. None if there are none.
    pub owned: Option<Owned>,
    /// The user's provider calls.
    pub calls: Sums,
}

/// What a series is grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Users.
    User,
    /// Models.
    Model,
    /// Characters.
    Character,
}

/// A request for a series.
#[derive(Debug, Clone)]
pub struct SeriesQuery {
    /// The start of the first bucket.
    pub from: DateTime<Utc>,
    /// The end of the last bucket.
    pub to: DateTime<Utc>,
    /// The length of a bucket.
    pub interval: Span,
    /// What each bucket is divided by.
    pub group: Option<Group>,
    /// Only calls of this user.
    pub user_id: Option<UserId>,
}

/// The group of a bucket.
#[derive(Debug, Clone)]
pub enum Subject {
    /// All groups, the remaining groups, deleted users, or chats without a character that the viewer may see.
    None,
    /// A user.
    User(Arc<user::Model>),
    /// A model.
    Model(String),
    /// A character.
    Character(Arc<character::Model>),
}

/// A bucket of a series.
#[derive(Debug, Clone)]
pub struct UsageBucket {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// Whether it holds the remaining groups.
    pub is_rest: bool,
    /// The group.
    pub subject: Subject,
    /// The calls that started in it.
    pub calls: Sums,
}

/// A time series: in each step one bucket for each group, then one for the remaining groups, if there are any.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// The buckets, by start and group.
    pub buckets: Vec<UsageBucket>,
    /// The number of time steps.
    pub steps: usize,
}

/// The groups of a series, with the sums of each step in which there are calls.
type Groups = Vec<(Subject, HashMap<i32, Sums>)>;

impl UsageReports {
    /// Statistics of the whole system for a range.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::domain::Error::Forbidden) without STATS_READ;
    /// [`Error::Invalid`](crate::domain::Error::Invalid) for a range that ends before it starts. The same holds for the
    /// methods below.
    pub async fn stats(
        &self,
        viewer: &Viewer,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<SystemStats> {
        viewer.require(Permission::StatsRead)?;
        let mut checks = Checks::default();
        check_order(&mut checks, from, to);
        checks.finish()?;
        let range = TimeRange { from, to };
        let db = self.database.snapshot().await?;
        Ok(SystemStats {
            created: statistics::created(&db, range).await?,
            active_users: statistics::active_users(&db, range).await?,
            calls: statistics::sums(&db, range).await?,
        })
    }

    /// The number of replies that are running on all nodes.
    pub async fn running_replies(&self, viewer: &Viewer) -> Result<i64> {
        viewer.require(Permission::StatsRead)?;
        Ok(statistics::running_replies(self.database.reader()).await?)
    }

    /// A time series. It has every step of its range, and at most 20 groups: those with the highest cost in the whole
    /// range.
    pub async fn series(&self, viewer: &Viewer, query: SeriesQuery) -> Result<Series> {
        viewer.require(Permission::StatsRead)?;
        let numbers = steps(&query)?;
        if numbers.is_empty() {
            return Ok(Series::default());
        }
        let buckets = Buckets { span: query.interval, numbers };
        let db = self.database.snapshot().await?;
        let (groups, rest) = groups(&db, viewer, &query, &buckets).await?;
        let mut series = Series { buckets: Vec::new(), steps: buckets.numbers.len() };
        for number in buckets.numbers {
            let Some(start) = start(query.interval, number) else { break };
            for (subject, sums) in &groups {
                let calls = sums.get(&number).copied().unwrap_or_default();
                series.buckets.push(UsageBucket { start, is_rest: false, subject: subject.clone(), calls });
            }
            if let Some(rest) = &rest {
                let calls = rest.get(&number).copied().unwrap_or_default();
                series.buckets.push(UsageBucket { start, is_rest: true, subject: Subject::None, calls });
            }
        }
        Ok(series)
    }

    /// The statistics of these users. The caller checks that the viewer may see them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stats_of(&self, users: &[UserId]) -> Result<HashMap<UserId, UserStats>> {
        let db = self.database.snapshot().await?;
        let mut stats: HashMap<UserId, UserStats> = users.iter().map(|id| (*id, UserStats::default())).collect();
        for owned in statistics::owned(&db, users).await? {
            let id = owned.owner_id;
            stats.entry(id).or_default().owned = Some(owned);
        }
        for (user, calls) in statistics::sums_of(&db, users).await? {
            stats.entry(user).or_default().calls = calls;
        }
        Ok(stats)
    }
}

/// The groups of a series, and the remaining groups.
async fn groups(
    db: &impl ConnectionTrait,
    viewer: &Viewer,
    query: &SeriesQuery,
    buckets: &Buckets,
) -> Result<(Groups, Option<HashMap<i32, Sums>>)> {
    let of = query.user_id;
    let is_known = match of {
        Some(id) => !storage::users::find_all(db, &[id]).await?.is_empty(),
        None => true,
    };
    let mut total: HashMap<i32, Sums> = HashMap::new();
    if is_known {
        total.extend(statistics::series(db, buckets, of).await?);
    }
    let Some(group) = query.group else { return Ok((vec![(Subject::None, total)], None)) };
    if !is_known {
        return Ok((Vec::new(), Some(total)));
    }
    let parts = TimeRange { from: Some(query.from), to: Some(query.to) }.parts();
    let (groups, has_rest) = match group {
        Group::User => {
            let (keys, sums, has_rest) = top::<UserId>(db, &parts, buckets, GroupBy::User, of).await?;
            let users = storage::users::find_all(db, &keys).await?;
            let users: HashMap<UserId, Arc<user::Model>> =
                users.into_iter().map(|user| (user.id, Arc::new(user))).collect();
            let subject = |id: &UserId| users.get(id).cloned().map_or(Subject::None, Subject::User);
            (of_keys(&keys, sums, subject), has_rest)
        }
        Group::Model => {
            let (keys, sums, has_rest) = top::<String>(db, &parts, buckets, GroupBy::Model, of).await?;
            (of_keys(&keys, sums, |id| Subject::Model(id.clone())), has_rest)
        }
        Group::Character => {
            let (keys, sums, has_rest) =
                top::<CharacterId>(db, &parts, buckets, GroupBy::Character(viewer.user_id), of).await?;
            let characters = storage::characters::find_all(db, viewer.user_id, &keys).await?;
            let characters: HashMap<CharacterId, Arc<character::Model>> =
                characters.into_iter().map(|character| (character.id, Arc::new(character))).collect();
            let subject = |id: &CharacterId| characters.get(id).cloned().map_or(Subject::None, Subject::Character);
            (of_keys(&keys, sums, subject), has_rest)
        }
    };
    let rest = (has_rest || groups.is_empty()).then(|| {
        for (number, sums) in &mut total {
            groups.iter().filter_map(|(_, group)| group.get(number)).for_each(|group| *sums -= *group);
        }
        total
    });
    Ok((groups, rest))
}

/// The groups with the highest cost, the sums of their steps, and whether there are other groups.
async fn top<K: TryGetable + Into<Value> + Clone>(
    db: &impl ConnectionTrait,
    parts: &[Buckets],
    buckets: &Buckets,
    group: GroupBy,
    of: Option<UserId>,
) -> Result<(Vec<K>, Vec<(i32, K, Sums)>, bool)> {
    let mut keys: Vec<K> = statistics::top(db, parts, group, of, MAX_GROUPS + 1).await?;
    let has_rest = keys.len() > MAX_GROUPS;
    keys.truncate(MAX_GROUPS);
    let sums = statistics::grouped_series(db, buckets, group, of, &keys).await?;
    Ok((keys, sums, has_rest))
}

fn of_keys<K: Eq + Hash>(keys: &[K], sums: Vec<(i32, K, Sums)>, subject: impl Fn(&K) -> Subject) -> Groups {
    let mut by_key: HashMap<K, HashMap<i32, Sums>> = HashMap::new();
    for (number, key, sums) in sums {
        by_key.entry(key).or_default().insert(number, sums);
    }
    keys.iter().map(|key| (subject(key), by_key.remove(key).unwrap_or_default())).collect()
}

/// The numbers of the steps of a series.
fn steps(query: &SeriesQuery) -> Result<Range<i32>> {
    let mut checks = Checks::default();
    let numbers = bucket(query.interval, query.from)..bucket(query.interval, query.to);
    for (path, time, number) in [("from", query.from, numbers.start), ("to", query.to, numbers.end)] {
        if start(query.interval, number) != Some(time) {
            let why = "Must be the start of an hour, day or month in UTC, according to `interval`.";
            checks.fail(path, FieldErrorCode::OutOfRange, why);
        }
    }
    check_order(&mut checks, Some(query.from), Some(query.to));
    if numbers.len() > MAX_STEPS {
        let message = format!("At most {MAX_STEPS} time steps are allowed.");
        checks.fail("to", FieldErrorCode::OutOfRange, message);
    }
    checks.finish()?;
    Ok(numbers)
}

fn check_order(checks: &mut Checks, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) {
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        checks.fail("to", FieldErrorCode::OutOfRange, "`to` must not be before `from`.");
    }
}
