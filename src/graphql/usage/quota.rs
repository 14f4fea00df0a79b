//! The type `Quota`: the monthly limits of a user and their usage.

use async_graphql::SimpleObject;

use crate::domain::usage as domain;
use crate::graphql::scalars::{Count, DateTime, Microdollars};

/// The monthly limits that apply to a user, and the usage of the current month (UTC). Running replies are not included.
/// A reply counts in the month in which it started; one that failed before its first token is free. Titles and
/// summaries are charged too. The user's own limits apply; otherwise, for each limit, the highest one of the user's
/// roles.
#[derive(Debug, SimpleObject)]
pub struct Quota {
    /// The limit of the cost. Null if there is none.
    cost_limit: Option<Microdollars>,
    /// The cost of the month, rounded to the nearest microdollar.
    cost_used: Microdollars,
    /// The limit of input and output tokens. Null if there is none.
    token_limit: Option<Count>,
    /// The input tokens, including cached ones, and output tokens of the month.
    tokens_used: Count,
    /// The time when the next month begins.
    resets_at: DateTime,
}

impl From<domain::Quota> for Quota {
    fn from(quota: domain::Quota) -> Self {
        Self {
            cost_limit: quota.limits.cost_limit.map(Microdollars),
            cost_used: Microdollars::from_nanodollars(quota.used.cost),
            token_limit: quota.limits.token_limit.map(Count),
            tokens_used: Count(quota.used.tokens),
            resets_at: DateTime(quota.resets_at),
        }
    }
}
