//! The token usage of a reply.

use async_graphql::SimpleObject;

use crate::entity::message;
use crate::graphql::scalars::Microdollars;

/// The token usage, cost and duration of a reply.
#[derive(Debug, Clone, SimpleObject)]
pub struct TokenUsage {
    /// The number of input tokens, including cached ones.
    input_tokens: i32,
    /// The number of output tokens, including reasoning.
    output_tokens: i32,
    /// The number of input tokens that were read from the provider's cache.
    cached_input_tokens: i32,
    /// Whether the token counts are estimated by this server, because the provider returned none.
    is_estimate: bool,
    /// The cost of the reply. 0 for a model without prices.
    cost: Microdollars,
    /// The time from the start of the reply to its first event, in milliseconds. Null if there was none.
    time_to_first_token_ms: Option<i32>,
    /// The time from the start of the reply to its end, in milliseconds.
    duration_ms: Option<i32>,
}

impl TokenUsage {
    /// The usage of a reply. None until it has ended, and if nothing was generated.
    pub fn of(row: &message::Model) -> Option<Self> {
        Some(Self {
            input_tokens: row.input_tokens?,
            output_tokens: row.output_tokens?,
            cached_input_tokens: row.cached_input_tokens.unwrap_or(0),
            is_estimate: row.is_usage_estimate,
            cost: Microdollars::from_nanodollars(row.cost_nanodollars.unwrap_or(0)),
            time_to_first_token_ms: row.time_to_first_token_ms,
            duration_ms: row.duration_ms,
        })
    }
}
