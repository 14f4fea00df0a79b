//! `/metrics`: names, values, labels, and who may read it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::client::{Client, PASSWORD};
use crate::support::database::{Engine, on_both_databases, run};
use crate::support::server::Setup;
use crate::support::socket::read_all;

const SECRET: &str = "hunter2";

/// The samples by their name and labels, after the checks that every sample belongs to a declared metric and occurs
/// once.
async fn scrape(client: &Client) -> BTreeMap<String, f64> {
    let response = client.http.get(format!("http://{}/metrics", client.address)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.unwrap();
    assert!(!text.contains(SECRET), "{text}");
    let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is declared twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(name.starts_with("duologue_") || name.starts_with("process_"), "{name}");
            let is_declared = kinds.iter().any(|(declared, kind)| match kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{declared}{end}")),
                "counter" => name == declared && name.ends_with("_total"),
                _ => name == declared && !name.ends_with("_total"),
            });
            assert!(is_declared, "{name} in {kinds:?}");
            assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} occurs twice");
        }
    }
    samples
}

on_both_databases!(metrics_count_operations_sockets_and_replies, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/fast", "Hi").await;
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    ada.run(&format!("query {SECRET} {{ me {{ id }} }}"), json!({})).await.data();
    ada.run(&format!("{{ {SECRET} }}"), json!({})).await;
    server.client().run("{ me { id } }", json!({})).await.data();
    ada.send_raw("{".to_owned()).await;
    let stopped = ada.ask("demo/stalls", "Hi").await;
    let mut socket = ada.socket().await;
    socket.read("1", &stopped.reply, None).await;
    socket.event("1").await.unwrap();

    let during = scrape(&ada).await;
    for (series, value) in [
        ("duologue_graphql_operations_total{transport=\"http\",type=\"mutation\",code=\"OK\"}", 3.0),
        ("duologue_graphql_operations_total{transport=\"http\",type=\"unknown\",code=\"INVALID_DOCUMENT\"}", 1.0),
        ("duologue_graphql_operations_total{transport=\"http\",type=\"unknown\",code=\"INVALID_INPUT\"}", 1.0),
        ("duologue_graphql_operation_duration_seconds_count{type=\"mutation\"}", 3.0),
        ("duologue_websocket_connections", 1.0),
        ("duologue_subscriptions", 1.0),
        ("duologue_replies_running", 1.0),
        ("duologue_replies_total{model=\"demo/fast\",outcome=\"COMPLETE\"}", 1.0),
        ("duologue_reply_time_to_first_token_seconds_count{model=\"demo/fast\"}", 1.0),
        ("duologue_password_hashes_waiting", 0.0),
    ] {
        assert_eq!(during.get(series), Some(&value), "{series} in {during:#?}");
    }
    for series in ["duologue_tokens_total{model=\"demo/fast\",type=\"output\"}", "duologue_connections"] {
        assert!(during[series] > 0.0, "{series}");
    }
    let pools: f64 = during
        .iter()
        .filter(|(name, _)| name.starts_with("duologue_database_connections{"))
        .map(|(_, count)| count)
        .sum();
    assert!(pools >= 1.0, "{during:#?}");

    ada.mutate("stopReply", "message { id }", json!({ "messageId": stopped.reply })).await.data();
    read_all(&ada, &stopped.reply).await;
    drop(socket);
    let failed = ada.ask("demo/fails", "Hi").await;
    assert_eq!(ada.ended(&failed.reply).await, "FAILED");
    let start = std::time::Instant::now();
    loop {
        let after = scrape(&ada).await;
        let value = |series: &str| after.get(series).copied().unwrap_or_default();
        let is_done = value("duologue_websocket_connections") == 0.0
            && value("duologue_subscriptions") == 0.0
            && value("duologue_replies_running") == 0.0
            && value("duologue_replies_total{model=\"demo/stalls\",outcome=\"STOPPED\"}") == 1.0
            && value("duologue_replies_total{model=\"demo/fails\",outcome=\"FAILED\"}") == 1.0
            && after.keys().any(|name| name.starts_with("duologue_provider_errors_total{provider=\"demo\""));
        if is_done {
            assert_dashboard(&after);
            break;
        }
        assert!(start.elapsed().as_secs() < 20, "{after:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.stop().await;
});

#[test]
fn metrics_are_for_the_operator_only() {
    run(Engine::Sqlite, |database| async move {
        let setup = Setup::new(&database)
            .with("METRICS_TOKEN", SECRET)
            .with("RATE_LIMIT_PER_MINUTE", "1")
            .with("CORS_ORIGINS", "https://chat.example.com");
        let server = setup.start().await;
        let client = server.client();
        let get = |name: &'static str, value: &'static str| {
            let request = client.http.get(format!("http://{}/metrics", client.address));
            let request = request.header("authorization", "Bearer hunter2").header(name, value);
            async move { request.send().await.unwrap() }
        };
        assert_eq!(client.status("/metrics").await, 401);
        assert_eq!(client.with_token("x").status("/metrics").await, 401);
        for (name, value, status) in [
            ("accept", "*/*", 200),
            ("sec-fetch-site", "none", 200),
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "same-site", 403),
            ("origin", "https://chat.example.com", 403),
            ("origin", "http://localhost:5173", 403),
        ] {
            let response = get(name, value).await;
            assert_eq!(response.status(), status, "{name}: {value}");
            assert!(!response.headers().contains_key("access-control-allow-origin"), "{name}: {value}");
        }
        for _ in 0..50 {
            assert_eq!(get("accept", "*/*").await.status(), 200, "the rate limit does not apply");
        }
        server.stop().await;

        let server = setup.with("METRICS", "false").start().await;
        assert_eq!(server.client().status("/metrics").await, 404);
        server.stop().await;
    });
}

#[test]
fn a_reply_and_a_request_are_logged_with_the_names_of_opentelemetry() {
    run(Engine::Sqlite, |database| async move {
        let server = Setup::new(&database).start().await;
        let ada = server.sign_up("ada").await;
        let sent = ada.ask("demo/fast", SECRET).await;
        assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
        let start = std::time::Instant::now();
        let line = loop {
            let log = server.log();
            assert!(log.iter().all(|line| !line.contains(SECRET) && !line.contains(PASSWORD)));
            let mut lines = log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
            if let Some(line) = lines.find(|line| line["fields"]["message"] == "reply ended") {
                break line;
            }
            assert!(start.elapsed().as_secs() < 20, "{log:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        let fields = &line["fields"];
        assert_eq!(fields["duologue.reply.id"], sent.reply.as_str());
        assert_eq!(fields["gen_ai.conversation.id"], sent.chat.as_str());
        assert_eq!(fields["gen_ai.response.model"], "demo/fast");
        assert_eq!(fields["duologue.reply.outcome"], "COMPLETE");
        for number in [
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            "gen_ai.server.time_to_first_token",
            "gen_ai.client.operation.duration",
        ] {
            assert!(fields[number].is_number(), "{number} in {fields}");
        }
        assert!(fields["error.type"].is_null());
        server.stop().await;
    });
}

/// The names of metrics and the labels in each expression of the dashboard.
fn dashboard() -> Vec<(BTreeSet<String>, BTreeSet<String>)> {
    let dashboard: Value = serde_json::from_str(include_str!("../../docs/grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let parts = |target: Value| {
        let expression = target["expr"].as_str().unwrap().to_owned();
        let mut names = words(&expression);
        names.retain(|word| word.starts_with("duologue_") || word.starts_with("process_"));
        let grouped = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        let matched =
            expression.split(['{', ',']).filter_map(|part| part.split_once(['=', '!'])).map(|(label, _)| label);
        let mut labels: BTreeSet<String> = grouped.chain(matched).flat_map(words).collect();
        // Prometheus adds the first two.
        labels.retain(|label| !["job", "instance"].contains(&label.as_str()));
        (names, labels)
    };
    targets.map(parts).collect()
}

/// Every expression of the dashboard has metrics and labels that a scrape of a server with traffic contains.
fn assert_dashboard(samples: &BTreeMap<String, f64>) {
    let expressions = dashboard();
    assert!(expressions.len() > 20, "{expressions:?}");
    for (names, labels) in expressions {
        assert!(!names.is_empty());
        for name in names {
            let is_of = |series: &str| series.split('{').next() == Some(name.as_str());
            let found: Vec<&String> = samples.keys().filter(|series| is_of(series)).collect();
            assert!(!found.is_empty(), "{name} does not exist in {samples:#?}");
            for label in &labels {
                assert!(found.iter().all(|series| series.contains(&format!("{label}=\""))), "{label} in {found:?}");
            }
        }
    }
}
