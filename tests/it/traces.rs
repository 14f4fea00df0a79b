//! Traces: the spans that a collector receives, and a collector that does not work.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, PASSWORD, SEND, sent};
use crate::support::collector::{Behaviour, Collector, Span};
use crate::support::database::{Engine, on_both_databases, run};
use crate::support::provider::{FakeProvider, Purpose};
use crate::support::server::Setup;

const WORDS: &str = "Confidential words";
const HEADER_SECRET: &str = "collector secret";
/// Trace and parent in the example of <https://www.w3.org/TR/trace-context/>.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn with_collector(setup: Setup, collector: &Collector) -> Setup {
    setup
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20collector%20secret")
        .with("OTEL_BSP_SCHEDULE_DELAY", "100")
}

/// Sends an operation that continues a trace.
async fn run_traced(client: &Client, flags: &str, body: Value) -> Answer {
    let request = client.http.post(format!("http://{}/graphql", client.address));
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-{flags}"));
    let request = request.bearer_auth(client.token.as_ref().unwrap()).json(&body);
    Answer(request.send().await.unwrap().json().await.unwrap())
}

fn only<'a>(spans: &'a [Span], name: &str, parent: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name && span.parent == parent).collect();
    assert_eq!(found.len(), 1, "{name} below {parent} in {spans:#?}");
    found[0]
}

on_both_databases!(a_trace_has_the_request_the_operation_the_reply_and_its_calls, |database| async move {
    let collector = Collector::start(Behaviour::Accepts).await;
    let chunks = [
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"Confidential words"},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#,
        "[DONE]",
    ];
    let provider = FakeProvider::answering("openai", &chunks).await;
    let setup = with_collector(Setup::new(&database), &collector).with("MODELS_FILE", provider.models_file());
    let server = setup.with("OTEL_SERVICE_NAME", "chat").with("METRICS_TOKEN", "x").start().await;
    let ada = server.sign_up("ada").await;
    let document = SEND.replace("mutation(", "mutation Send(");
    let input = json!({ "newChat": { "modelId": "fake/model" }, "content": WORDS });
    let sent = sent(run_traced(&ada, "01", json!({ "query": document, "variables": { "input": input } })).await);
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    provider.has_got(Purpose::Title, 1).await;
    let unknown = run_traced(&ada, "00", json!({ "query": "{ me { id } }" })).await;
    unknown.data();
    let mut socket = ada.socket().await;
    socket.read("1", &sent.reply, None).await;
    while socket.event("1").await.is_some() {}
    let long = json!({ "title": "x".repeat(5000) });
    assert_eq!(ada.mutate("createChat", "chat { id }", long).await.code(), "INVALID_INPUT");
    ada.status("/health/ready").await;
    collector.has_got(1).await;
    let log = server.log();
    server.stop().await;

    let spans = collector.spans();
    let request = only(&spans, "POST /graphql", PARENT);
    assert_eq!((request.trace.as_str(), request.kind, request.is_failed), (TRACE, 2, false));
    assert_eq!(request.attributes["http.response.status_code"], 200);
    assert_eq!(request.attributes["http.route"], "/graphql");
    let mutation = only(&spans, "mutation", &request.id);
    assert_eq!((mutation.trace.as_str(), mutation.kind), (TRACE, 2));
    assert_eq!(mutation.attributes["graphql.operation.name"], "Send");
    assert_eq!(mutation.attributes["duologue.request.id"], request.attributes["duologue.request.id"]);
    let reply = only(&spans, "reply", &mutation.id);
    assert_eq!((reply.trace.as_str(), reply.kind), (TRACE, 1));
    assert_eq!(reply.attributes["duologue.reply.id"], sent.reply.as_str());
    assert_eq!(reply.attributes["gen_ai.conversation.id"], sent.chat.as_str());
    assert_eq!(reply.attributes["duologue.reply.outcome"], "COMPLETE");
    let calls: Vec<&Span> = spans.iter().filter(|span| span.name == "chat fake/model").collect();
    assert_eq!(calls.len(), 2, "the reply and the title: {spans:#?}");
    for call in calls {
        assert_eq!((call.parent.as_str(), call.trace.as_str(), call.kind), (reply.id.as_str(), TRACE, 3));
        assert_eq!(call.attributes["gen_ai.provider.name"], "fake");
        assert_eq!(call.attributes["gen_ai.request.model"], "fake/model");
        assert_eq!(call.attributes["gen_ai.usage.input_tokens"], 7);
        assert_eq!(call.attributes["gen_ai.usage.output_tokens"], 3);
        assert_eq!(call.attributes["gen_ai.response.finish_reasons"], json!(["stop"]));
        assert_eq!((call.events.as_slice(), call.is_failed), (["first event".to_owned()].as_slice(), false));
        assert!(call.start <= call.end && reply.start <= call.start);
    }
    // The request does not wait for the reply, and its span neither.
    assert!(mutation.end <= request.end && request.end < reply.end, "{spans:#?}");
    assert_eq!(request.resource["service.name"], "chat");
    assert_eq!(request.resource["service.version"], env!("CARGO_PKG_VERSION"));

    // An unsampled trace is not recorded; an operation on a socket starts a trace; probes have no span.
    assert_eq!(spans.iter().filter(|span| span.parent == PARENT).count(), 1);
    let subscription = only(&spans, "subscription", "");
    assert_ne!(subscription.trace, TRACE);
    assert!(spans.iter().all(|span| !span.name.contains("health")));
    let failed: Vec<&Span> = spans.iter().filter(|span| span.is_failed).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0].attributes["error.type"], "INVALID_INPUT");

    for headers in collector.headers() {
        assert_eq!(headers["authorization"], format!("Bearer {HEADER_SECRET}"));
        assert_eq!(headers["content-type"], "application/x-protobuf");
    }
    let all = format!("{spans:?}");
    for secret in [WORDS, PASSWORD, ada.token.as_ref().unwrap(), &ada.id, HEADER_SECRET, "127.0.0.1"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    let line = log.iter().find(|line| line.contains(r#""graphql.operation.name":"Send""#)).unwrap();
    assert!(line.contains(&format!(r#""trace_id":"{TRACE}""#)), "{line}");
    assert!(log.iter().all(|line| !line.contains(HEADER_SECRET)), "{log:#?}");
});

/// The longest of some requests, the duration of the stop, and the warnings.
async fn run_with(setup: Setup) -> (Duration, Duration, Vec<String>) {
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        let start = Instant::now();
        ada.data("{ me { id } }", json!({})).await;
        longest = longest.max(start.elapsed());
        // Several batches are sent meanwhile.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sent = ada.ask("demo/fast", "Hi").await;
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    let log = server.log();
    let start = Instant::now();
    server.stop().await;
    let warnings = log.into_iter().filter(|line| line.contains("traces were not sent")).collect();
    (longest, start.elapsed(), warnings)
}

#[test]
fn a_collector_that_does_not_work_delays_nothing() {
    for behaviour in [Some(Behaviour::Refuses), Some(Behaviour::Hangs), None] {
        run(Engine::Sqlite, |database| async move {
            let collector = Collector::start(behaviour.unwrap_or(Behaviour::Accepts)).await;
            let setup = with_collector(Setup::new(&database), &collector);
            let setup = match behaviour {
                Some(_) => setup,
                // Nothing listens there.
                None => setup.with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            };
            let (longest, stop, warnings) = run_with(setup).await;
            // The server waits for a collector for 5 s, and for 3 s during the stop.
            assert!(longest < Duration::from_secs(4), "{behaviour:?}: {longest:?}");
            assert!(stop < Duration::from_secs(8), "{behaviour:?}: {stop:?}");
            // A request that hangs has not failed yet.
            let expected = usize::from(behaviour != Some(Behaviour::Hangs));
            assert_eq!(warnings.len(), expected, "{behaviour:?}: {warnings:#?}");
        });
    }
}

#[test]
fn nothing_is_sent_without_a_sampled_trace() {
    run(Engine::Sqlite, |database| async move {
        let collector = Collector::start(Behaviour::Accepts).await;
        let setup = with_collector(Setup::new(&database), &collector).with("OTEL_TRACES_SAMPLER", "always_off");
        let server = setup.start().await;
        server.sign_up("ada").await;
        assert!(server.log().iter().any(|line| line.contains("traces: on")));
        server.stop().await;
        assert!(collector.headers().is_empty());
    });
}
