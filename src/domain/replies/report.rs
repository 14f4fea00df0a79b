//! The log line and the metrics of a reply that ended.

use std::time::Duration;

use crate::entity::message;
use crate::llm::registry::Registry;
use crate::metrics::{EndedReply, Metrics};

/// The label of replies whose model is not configured any more.
const OTHER_MODEL: &str = "other";

/// Logs and counts a reply whose final row is saved. The fields have the names of OpenTelemetry's conventions for
/// generative AI (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>).
pub(super) fn ended(row: &message::Model, models: &Registry, metrics: &Metrics) {
    let model = row.model_id.as_deref().unwrap_or(OTHER_MODEL);
    let time =
        |milliseconds: Option<i32>| milliseconds.and_then(|time| u64::try_from(time).ok()).map(Duration::from_millis);
    let (first_token, duration) = (time(row.time_to_first_token_ms), time(row.duration_ms));
    tracing::info!(
        duologue.reply.id = %row.id,
        gen_ai.conversation.id = %row.chat_id,
        gen_ai.response.model = model,
        duologue.reply.outcome = row.status.name(),
        error.type = row.error_code.map(|code| code.name()),
        gen_ai.usage.input_tokens = row.input_tokens,
        gen_ai.usage.output_tokens = row.output_tokens,
        duologue.reply.cost_dollars = row.cost_nanodollars.map(|cost| cost as f64 / 1e9),
        gen_ai.server.time_to_first_token = first_token.map(|time| time.as_secs_f64()),
        gen_ai.client.operation.duration = duration.map(|time| time.as_secs_f64()),
        "reply ended"
    );
    let count = |tokens: Option<i32>| tokens.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    let cached_input_tokens = count(row.cached_input_tokens);
    metrics.reply_ended(EndedReply {
        model: if models.get(model).is_some() { model } else { OTHER_MODEL },
        outcome: row.status.name(),
        time_to_first_token: first_token,
        duration,
        input_tokens: count(row.input_tokens).saturating_sub(cached_input_tokens),
        cached_input_tokens,
        output_tokens: count(row.output_tokens),
        nanodollars: row.cost_nanodollars.and_then(|cost| u64::try_from(cost).ok()),
    });
}
