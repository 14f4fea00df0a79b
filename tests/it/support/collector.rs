//! A collector of traces, which decodes and keeps what it receives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Wrapped, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as ReceivedSpan;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// How a collector answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Accepts,
    /// With the status 503.
    Refuses,
    /// Never.
    Hangs,
}

/// A span that was received.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// In hexadecimal digits, like all ids.
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty if the span has no parent.
    pub(crate) parent: String,
    /// The number of its kind in the protocol: 1 internal, 2 server, 3 client.
    pub(crate) kind: i32,
    pub(crate) is_failed: bool,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) events: Vec<String>,
    /// The attributes of the service.
    pub(crate) resource: BTreeMap<String, Value>,
    /// In nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A running collector.
pub(crate) struct Collector {
    address: SocketAddr,
    state: Arc<Received>,
    _task: AbortOnDropHandle<()>,
}

struct Received {
    behaviour: Behaviour,
    requests: Mutex<Vec<(HeaderMap, Vec<Span>)>>,
}

impl Collector {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let state = Arc::new(Received { behaviour, requests: Mutex::default() });
        let router =
            axum::Router::new().route("/v1/traces", axum::routing::post(receive)).with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "it ends with the test, by its handle")]
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state, _task: AbortOnDropHandle::new(task) }
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The headers of the requests until now.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.state.requests.lock().unwrap().iter().map(|(headers, _)| headers.clone()).collect()
    }

    /// The spans until now.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state.requests.lock().unwrap().iter().flat_map(|(_, spans)| spans.clone()).collect()
    }

    /// Waits for a number of requests.
    pub(crate) async fn has_got(&self, requests: usize) {
        let start = Instant::now();
        while self.headers().len() < requests {
            assert!(start.elapsed() < Duration::from_secs(40), "no spans were sent");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn receive(State(state): State<Arc<Received>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    state.requests.lock().unwrap().push((headers, decode(&body)));
    match state.behaviour {
        Behaviour::Accepts => StatusCode::OK,
        Behaviour::Refuses => StatusCode::SERVICE_UNAVAILABLE,
        Behaviour::Hangs => std::future::pending().await,
    }
}

fn decode(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap().attributes);
        let received = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(received.map(|received| span(received, resource.clone())));
    }
    spans
}

fn span(received: ReceivedSpan, resource: BTreeMap<String, Value>) -> Span {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Span {
        name: received.name,
        trace: hex(&received.trace_id),
        id: hex(&received.span_id),
        parent: hex(&received.parent_span_id),
        kind: received.kind,
        is_failed: received.status.is_some_and(|status| status.code == 2),
        attributes: attributes(received.attributes),
        events: received.events.into_iter().map(|event| event.name).collect(),
        resource,
        start: received.start_time_unix_nano,
        end: received.end_time_unix_nano,
    }
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, Value> {
    list.into_iter().map(|item| (item.key, value(item.value))).collect()
}

fn value(wrapped: Option<Wrapped>) -> Value {
    match wrapped.and_then(|wrapped| wrapped.value) {
        Some(AnyValue::StringValue(text)) => json!(text),
        Some(AnyValue::IntValue(number)) => json!(number),
        Some(AnyValue::DoubleValue(number)) => json!(number),
        Some(AnyValue::BoolValue(is)) => json!(is),
        Some(AnyValue::ArrayValue(list)) => list.values.into_iter().map(|item| value(Some(item))).collect(),
        other => panic!("{other:?}"),
    }
}
