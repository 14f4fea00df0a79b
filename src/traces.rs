//! Traces of OpenTelemetry (<https://opentelemetry.io/docs/specs/otel/trace/api/>): one span for each HTTP request,
//! GraphQL operation, reply and request to a provider. The names follow the semantic conventions
//! (<https://opentelemetry.io/docs/specs/semconv/>).
//!
//! A span contains ids, names, counts and codes. It contains no messages, documents, variables, headers, users or
//! addresses. The only text of a client in it is the name of an operation, cut to a maximum length.
//!
//! The parent of a span is the span around the code that starts it ([`Span::within`]). The spans are not those of the
//! log (`tracing`), because a parent there ends only after all its children: a request would last as long as the reply
//! that it started. The filter of the log would also apply to traces.

mod export;

use std::borrow::Cow;
use std::future::Future;

use futures_util::future::Either;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{FutureExt as _, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;

pub use export::{Collector, Export};
pub use opentelemetry::trace::SpanKind;
pub use opentelemetry::{Array, Value};

/// Starts spans. Without a collector, spans are empty and cost nothing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<SdkTracer>);

/// A span, which ends when it is dropped.
#[must_use]
#[derive(Debug, Default)]
pub struct Span(Option<Context>);

/// The headers by which a request continues a trace (<https://www.w3.org/TR/trace-context/>).
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceHeaders<'a> {
    /// `traceparent`: the trace, and the span that is the parent.
    pub traceparent: Option<&'a str>,
    /// `tracestate`: data of other systems, which is passed on.
    pub tracestate: Option<&'a str>,
}

impl Extractor for TraceHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

impl Traces {
    /// Starts a span below the span around this code, or else a trace. The name is not made if there is no collector.
    pub fn start<N: Into<Cow<'static, str>>>(&self, kind: SpanKind, name: impl FnOnce() -> N) -> Span {
        self.start_below(kind, name, Context::current)
    }

    /// Starts a span below the span that the headers name. Invalid headers start a trace.
    pub fn continue_from<N: Into<Cow<'static, str>>>(
        &self,
        headers: TraceHeaders<'_>,
        kind: SpanKind,
        name: impl FnOnce() -> N,
    ) -> Span {
        self.start_below(kind, name, || TraceContextPropagator::new().extract_with_context(&Context::new(), &headers))
    }

    fn start_below<N: Into<Cow<'static, str>>>(
        &self,
        kind: SpanKind,
        name: impl FnOnce() -> N,
        parent: impl FnOnce() -> Context,
    ) -> Span {
        let Some(tracer) = &self.0 else { return Span(None) };
        let parent = parent();
        let span = tracer.span_builder(name()).with_kind(kind).start_with_context(tracer, &parent);
        Span(Some(parent.with_span(span)))
    }
}

impl Span {
    /// Sets an attribute. The value is not made if there is no collector.
    pub fn set<V: Into<Value>>(&self, name: &'static str, value: impl FnOnce() -> V) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(name, value()));
        }
    }

    /// Marks the span as failed, with the code of the error.
    pub fn fail(&self, code: impl FnOnce() -> Cow<'static, str>) {
        if let Some(context) = &self.0 {
            let span = context.span();
            span.set_attribute(KeyValue::new("error.type", code()));
            span.set_status(Status::error(""));
        }
    }

    /// Records that something happened now.
    pub fn event(&self, name: &'static str) {
        if let Some(context) = &self.0 {
            context.span().add_event(name, Vec::new());
        }
    }

    /// The id of the trace in hexadecimal digits.
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|context| context.span().span_context().trace_id().to_string())
    }

    /// The place of work within the span.
    pub fn place(&self) -> Place {
        Place(self.0.clone())
    }

    /// Runs work within the span.
    pub fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.place().run(work)
    }
}

/// A place within a span.
#[derive(Debug)]
pub struct Place(Option<Context>);

impl Place {
    /// Runs work in this place: the spans that it starts are below the span, also if the span ends earlier.
    pub fn run<F: Future>(self, work: F) -> impl Future<Output = F::Output> + use<F> {
        match self.0 {
            Some(context) => Either::Left(work.with_context(context)),
            None => Either::Right(work),
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_made_without_a_collector() {
        let traces = Traces::default();
        let never = || -> &'static str { panic!("made") };
        let span = traces.start(SpanKind::Server, never);
        span.set("name", never);
        span.fail(|| panic!("made"));
        span.event("event");
        assert_eq!((span.within(async { 1 }).await, span.trace_id()), (1, None));
        let headers = TraceHeaders { traceparent: Some("00-1-2-01"), tracestate: None };
        assert!(traces.continue_from(headers, SpanKind::Server, never).0.is_none());
    }
}
