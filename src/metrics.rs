//! Counters of this process, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! A label value is an id of the configuration or a name in this program, never text of a client. The number of series
//! is therefore bounded.

pub mod process;

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets of operations, in seconds.
const OPERATION_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds of the buckets of replies, in seconds.
const REPLY_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 1200.0];

/// The metrics of this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    operations: Family<Counter, 3>,
    operation_seconds: Family<Histogram, 1>,
    sockets: Gauge,
    subscriptions: Gauge,
    replies: Family<Counter, 2>,
    first_token_seconds: Family<Histogram, 1>,
    reply_seconds: Family<Histogram, 1>,
    tokens: Family<Counter, 2>,
    nanodollars: Family<Counter, 1>,
    provider_errors: Family<Counter, 2>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            operations: Family::new(["transport", "type", "code"]),
            operation_seconds: Family::new(["type"]),
            sockets: Gauge::default(),
            subscriptions: Gauge::default(),
            replies: Family::new(["model", "outcome"]),
            first_token_seconds: Family::new(["model"]),
            reply_seconds: Family::new(["model"]),
            tokens: Family::new(["model", "type"]),
            nanodollars: Family::new(["model"]),
            provider_errors: Family::new(["provider", "code"]),
        }
    }
}

/// A reply that ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedReply<'a> {
    /// The id of the model that wrote it.
    pub model: &'a str,
    /// COMPLETE, STOPPED, FAILED or INTERRUPTED.
    pub outcome: &'static str,
    /// From the start of the reply to its first token.
    pub time_to_first_token: Option<Duration>,
    /// From its start to its end.
    pub duration: Option<Duration>,
    /// Input tokens, without cached ones.
    pub input_tokens: u64,
    /// Input tokens from the provider's cache.
    pub cached_input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// The cost in nanodollars, if the prices are known.
    pub nanodollars: Option<u64>,
}

impl Metrics {
    /// Counts a GraphQL operation: its transport, its type, and the code of its first error or `OK`.
    pub fn operation(&self, transport: &'static str, kind: &'static str, code: &'static str) {
        self.0.operations.with([transport, kind, code], |counter| counter.add(1));
    }

    /// Counts the duration of a query or mutation.
    pub fn operation_took(&self, kind: &'static str, duration: Duration) {
        self.0.operation_seconds.with([kind], |histogram| histogram.observe(OPERATION_SECONDS, duration));
    }

    /// Counts an open WebSocket until the result is dropped.
    pub fn open_socket(&self) -> Held {
        Held::new(self, |inner| &inner.sockets)
    }

    /// Counts a running subscription until the result is dropped.
    pub fn start_subscription(&self) -> Held {
        Held::new(self, |inner| &inner.subscriptions)
    }

    /// Counts the end of a reply.
    pub fn reply_ended(&self, reply: EndedReply<'_>) {
        let EndedReply { model, .. } = reply;
        self.0.replies.with([model, reply.outcome], |counter| counter.add(1));
        if let Some(time) = reply.time_to_first_token {
            self.0.first_token_seconds.with([model], |histogram| histogram.observe(REPLY_SECONDS, time));
        }
        if let Some(time) = reply.duration {
            self.0.reply_seconds.with([model], |histogram| histogram.observe(REPLY_SECONDS, time));
        }
        for (kind, count) in [
            ("input", reply.input_tokens),
            ("cached_input", reply.cached_input_tokens),
            ("output", reply.output_tokens),
        ] {
            self.0.tokens.with([model, kind], |counter| counter.add(count));
        }
        if let Some(nanodollars) = reply.nanodollars {
            self.0.nanodollars.with([model], |counter| counter.add(nanodollars));
        }
    }

    /// Counts an error of a provider, including those after which the request was repeated.
    pub fn provider_error(&self, provider: &str, code: &'static str) {
        self.0.provider_errors.with([provider, code], |counter| counter.add(1));
    }

    /// Writes all counters.
    pub fn write(&self, text: &mut Text) {
        let all = &*self.0;
        let name = "duologue_graphql_operations_total";
        text.head(name, "counter", "GraphQL operations that ended, by the code of their first error.");
        all.operations.each(|labels, counter| text.sample(name, labels, counter.get()));
        let name = "duologue_graphql_operation_duration_seconds";
        text.head(name, "histogram", "Duration of queries and mutations.");
        all.operation_seconds.each(|labels, histogram| histogram.write(text, name, labels, OPERATION_SECONDS));
        text.gauge("duologue_websocket_connections", "Open WebSocket connections.", &[], all.sockets.get());
        text.gauge("duologue_subscriptions", "Running subscriptions.", &[], all.subscriptions.get());
        let name = "duologue_replies_total";
        text.head(name, "counter", "Replies that ended, by model and outcome.");
        all.replies.each(|labels, counter| text.sample(name, labels, counter.get()));
        let name = "duologue_reply_time_to_first_token_seconds";
        text.head(name, "histogram", "Time from the start of a reply to its first token.");
        all.first_token_seconds.each(|labels, histogram| histogram.write(text, name, labels, REPLY_SECONDS));
        let name = "duologue_reply_duration_seconds";
        text.head(name, "histogram", "Time from the start of a reply to its end.");
        all.reply_seconds.each(|labels, histogram| histogram.write(text, name, labels, REPLY_SECONDS));
        let name = "duologue_tokens_total";
        text.head(name, "counter", "Tokens of replies. Input does not include cached input.");
        all.tokens.each(|labels, counter| text.sample(name, labels, counter.get()));
        let name = "duologue_cost_dollars_total";
        text.head(name, "counter", "Cost of replies in US dollars, where prices are known.");
        all.nanodollars.each(|labels, counter| text.sample(name, labels, Dollars(counter.get())));
        let name = "duologue_provider_errors_total";
        text.head(name, "counter", "Failed requests to providers, including those that were repeated.");
        all.provider_errors.each(|labels, counter| text.sample(name, labels, counter.get()));
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that grows and shrinks.
#[derive(Debug, Default)]
struct Gauge(AtomicI64);

impl Gauge {
    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One more in a gauge, until it is dropped.
#[derive(Debug)]
pub struct Held {
    metrics: Metrics,
    gauge: fn(&Inner) -> &Gauge,
}

impl Held {
    fn new(metrics: &Metrics, gauge: fn(&Inner) -> &Gauge) -> Self {
        gauge(&metrics.0).0.fetch_add(1, Ordering::Relaxed);
        Self { metrics: metrics.clone(), gauge }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.gauge)(&self.metrics.0).0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Durations in buckets. The last bucket counts those above all bounds.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [Counter; 15],
    microseconds: Counter,
}

impl Histogram {
    fn observe(&self, bounds: &[f64], duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.add(1);
        }
        self.microseconds.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    fn write(&self, text: &mut Text, name: &str, labels: &[(&str, &str)], bounds: &[f64]) {
        let mut count = 0;
        for (bucket, bound) in
            self.buckets.iter().zip(bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]))
        {
            count += bucket.get();
            text.sample(&format!("{name}_bucket"), &[labels, &[("le", &bound)]].concat(), count);
        }
        text.sample(&format!("{name}_sum"), labels, Duration::from_micros(self.microseconds.get()).as_secs_f64());
        text.sample(&format!("{name}_count"), labels, count);
    }
}

/// Metrics of the same name, by the values of their labels.
#[derive(Debug)]
struct Family<M, const N: usize> {
    labels: [&'static str; N],
    /// Few, so that a search is faster than the allocation of a key.
    series: Mutex<Vec<([String; N], M)>>,
}

impl<M: Default, const N: usize> Family<M, N> {
    fn new(labels: [&'static str; N]) -> Self {
        Self { labels, series: Mutex::default() }
    }

    fn with(&self, values: [&str; N], change: impl FnOnce(&M)) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let place = series.iter().position(|(known, _)| known.iter().zip(values).all(|(known, value)| known == value));
        let place = place.unwrap_or_else(|| {
            series.push((values.map(str::to_owned), M::default()));
            series.len() - 1
        });
        change(&series[place].1);
    }

    fn each(&self, mut write: impl FnMut(&[(&str, &str)], &M)) {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, metric) in &*series {
            let labels: Vec<(&str, &str)> =
                self.labels.iter().zip(values).map(|(name, value)| (*name, value.as_str())).collect();
            write(&labels, metric);
        }
    }
}

/// Nanodollars, displayed as dollars.
struct Dollars(u64);

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// The text that Prometheus reads.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Begins a metric.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes a value of the metric that was begun.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _infallible = write!(self.0, "{}{label}=\"{value}\"", if place == 0 { '{' } else { ',' });
        }
        let _infallible = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// A gauge with one value.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.head(name, "gauge", help);
        self.sample(name, labels, value);
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(metrics: &Metrics) -> String {
        let mut text = Text::default();
        metrics.write(&mut text);
        text.finish()
    }

    #[test]
    fn counts_by_label_in_the_text_format() {
        let metrics = Metrics::default();
        metrics.operation("http", "query", "OK");
        metrics.operation("http", "query", "OK");
        metrics.operation("websocket", "mutation", "NOT_FOUND");
        metrics.provider_error("a \"b\"\\\n", "TIMED_OUT");
        let socket = metrics.open_socket();
        let text = written(&metrics);
        for line in [
            "# TYPE duologue_graphql_operations_total counter",
            "duologue_graphql_operations_total{transport=\"http\",type=\"query\",code=\"OK\"} 2",
            "duologue_graphql_operations_total{transport=\"websocket\",type=\"mutation\",code=\"NOT_FOUND\"} 1",
            "duologue_provider_errors_total{provider=\"a \\\"b\\\"\\\\\\n\",code=\"TIMED_OUT\"} 1",
            "duologue_websocket_connections 1",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} in {text}");
        }
        drop(socket);
        assert!(written(&metrics).contains("duologue_websocket_connections 0\n"));
    }

    #[test]
    fn a_reply_counts_its_tokens_cost_and_times() {
        let metrics = Metrics::default();
        let reply = EndedReply {
            model: "demo",
            outcome: "COMPLETE",
            time_to_first_token: Some(Duration::from_millis(300)),
            duration: Some(Duration::from_secs(5_000)),
            input_tokens: 7,
            cached_input_tokens: 2,
            output_tokens: 30,
            nanodollars: Some(1_500_000_001),
        };
        metrics.reply_ended(reply);
        metrics.reply_ended(EndedReply { time_to_first_token: None, nanodollars: None, ..reply });
        let text = written(&metrics);
        for line in [
            "duologue_replies_total{model=\"demo\",outcome=\"COMPLETE\"} 2",
            "duologue_reply_time_to_first_token_seconds_bucket{model=\"demo\",le=\"0.25\"} 0",
            "duologue_reply_time_to_first_token_seconds_bucket{model=\"demo\",le=\"0.5\"} 1",
            "duologue_reply_time_to_first_token_seconds_bucket{model=\"demo\",le=\"+Inf\"} 1",
            "duologue_reply_time_to_first_token_seconds_sum{model=\"demo\"} 0.3",
            "duologue_reply_duration_seconds_bucket{model=\"demo\",le=\"1200\"} 0",
            "duologue_reply_duration_seconds_bucket{model=\"demo\",le=\"+Inf\"} 2",
            "duologue_tokens_total{model=\"demo\",type=\"input\"} 14",
            "duologue_tokens_total{model=\"demo\",type=\"output\"} 60",
            "duologue_cost_dollars_total{model=\"demo\"} 1.500000001",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} in {text}");
        }
    }

    #[test]
    fn every_bound_has_a_bucket() {
        let buckets = Histogram::default().buckets.len();
        assert_eq!((OPERATION_SECONDS.len() + 1, REPLY_SECONDS.len() + 1), (buckets, buckets));
    }
}
