//! Statistics and usage of the whole system.

use async_graphql::{Context, ID, Object};

use crate::domain::Result;
use crate::domain::usage::SeriesQuery;
use crate::graphql::budget::Series;
use crate::graphql::context::ContextExt as _;
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;
use crate::graphql::usage::{SystemStats, UsageBucket, UsageGroup, UsageInterval};

/// The statements of `stats`, and those of `usage`.
const STATS_STATEMENTS: u64 = 12;
const USAGE_STATEMENTS: u64 = 6;

/// The fields of `Admin` for statistics and usage.
#[derive(Debug, Default)]
pub struct AdminUsage;

#[Object]
impl AdminUsage {
    /// Statistics of what was created or spent in a time range, which includes `from` and excludes `to`. INVALID_INPUT
    /// if `to` is before `from`. Requires STATS_READ.
    async fn stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The start of the range. If absent, the range has no start.")] from: Option<DateTime>,
        #[graphql(desc = "The end of the range. If absent, the range has no end.")] to: Option<DateTime>,
    ) -> Result<Option<SystemStats>> {
        let viewer = ctx.viewer()?;
        ctx.budget().statements(STATS_STATEMENTS)?;
        let stats = ctx.state().usage.stats(viewer, from.map(|time| time.0), to.map(|time| time.0)).await?;
        Ok(Some(stats.into()))
    }

    /// The number of replies that are being written, on all nodes. Requires STATS_READ.
    async fn streaming_reply_count(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        ctx.budget().statements(1)?;
        let count = ctx.state().usage.running_replies(ctx.viewer()?).await?;
        Ok(Some(i32::try_from(count).unwrap_or(i32::MAX)))
    }

    /// A time series of usage, with every bucket of the range, also if there was no usage. With `groupBy`, each time
    /// step has one bucket for each of the 20 groups with the highest cost in the whole range, highest first, then one
    /// bucket with `isRest` for the remaining groups, if there are any. Empty if `from` equals `to`. INVALID_INPUT if
    /// `from` or `to` is not the start of a bucket, if `to` is before `from`, or if there are more than 1,000 time
    /// steps. Requires STATS_READ.
    async fn usage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The start of the first bucket, in UTC.")] from: DateTime,
        #[graphql(desc = "The end of the last bucket, in UTC.")] to: DateTime,
        #[graphql(desc = "The length of a bucket.")] interval: UsageInterval,
        #[graphql(desc = "The grouping of each time step. If absent, each time step has one bucket.")] group_by: Option<
            UsageGroup,
        >,
        #[graphql(desc = "The ID of a user. If absent, the usage of all users is returned.")] user_id: Option<ID>,
    ) -> Result<Option<Series<UsageBucket>>> {
        let viewer = ctx.viewer()?;
        let user_id = ids::parse_optional(user_id.as_ref(), "userId")?;
        ctx.budget().statements(USAGE_STATEMENTS)?;
        let query =
            SeriesQuery { from: from.0, to: to.0, interval: interval.into(), group: group_by.map(Into::into), user_id };
        let series = ctx.state().usage.series(viewer, query).await?;
        let items = series.buckets.into_iter().map(UsageBucket).collect();
        Ok(Some(Series { items, steps: series.steps }))
    }
}
