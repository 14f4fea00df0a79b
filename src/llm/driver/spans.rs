//! The span of a request to a provider (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>).

use crate::entity::enums::FinishReason;
use crate::llm::registry::Model;
use crate::llm::{CompletionRequest, Event, ProviderError, Usage};
use crate::traces::{Array, Span, SpanKind, Traces, Value};

/// Starts the span of a request to a model. Its name contains only names of the configuration.
pub(super) fn start(traces: &Traces, model: &Model, request: &CompletionRequest) -> Span {
    let span = traces.start(SpanKind::Client, || format!("chat {}", model.upstream));
    span.set("gen_ai.operation.name", || "chat");
    span.set("gen_ai.provider.name", || model.provider.clone());
    span.set("gen_ai.request.model", || model.upstream.clone());
    if let Some(most) = request.max_output_tokens {
        span.set("gen_ai.request.max_tokens", || i64::from(most));
    }
    span
}

/// Records what an event says about the request.
pub(super) fn record(span: &Span, event: &Result<Event, ProviderError>) {
    match event {
        Ok(Event::Usage(usage)) => record_usage(span, *usage),
        Ok(Event::Finished(reason)) => {
            span.set("gen_ai.response.finish_reasons", || Value::Array(Array::String(vec![name(*reason).into()])));
        }
        Ok(_) => {}
        Err(error) => span.fail(|| error.code.name().into()),
    }
}

/// Records the token counts that the provider reported.
pub(super) fn record_usage(span: &Span, usage: Usage) {
    span.set("gen_ai.usage.input_tokens", || i64::from(usage.input_tokens));
    span.set("gen_ai.usage.output_tokens", || i64::from(usage.output_tokens));
    span.set("gen_ai.usage.cache_read.input_tokens", || i64::from(usage.cached_input_tokens));
}

fn name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::Other => "other",
    }
}
