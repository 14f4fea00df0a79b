//! Usage: statistics of users and of the whole system, and usage series; quotas.

mod quota;
mod stats;

pub use quota::Quota;
pub use stats::{SystemStats, UsageBucket, UsageGroup, UsageInterval, UserStats};
