//! Usage: statistics of users and of the whole system, and usage series; quotas; token usage of replies.

mod quota;
mod stats;
mod token_usage;

pub use quota::Quota;
pub use stats::{SystemStats, UsageBucket, UsageGroup, UsageInterval, UserStats};
pub use token_usage::TokenUsage;
