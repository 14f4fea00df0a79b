//! The handlers of `async-graphql-axum` next to those of this server, over the same executor.
//! docs/architecture.md has the figures that this test prints with `--nocapture`.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use async_graphql_axum::{GraphQL, GraphQLSubscription};
use axum::Router;
use duologue::http::Limits;
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::support::{PATIENCE, Server, executor};
use crate::support::npm::folder_with;

const MODERN: &str = "graphql-transport-ws";
const TICKS: &str = "subscription { ticks(milliseconds: 60000) }";
/// The time limit of `connection_init`.
const INIT: Duration = Duration::from_secs(2);
/// The time without a message after which a socket that has sent all its messages counts as open.
const QUIET: Duration = Duration::from_millis(300);

/// One audit of GraphQL over HTTP.
#[derive(Deserialize)]
struct Audit {
    id: String,
    name: String,
    status: String,
}

/// The stock handlers: HTTP at `/graphql`, WebSockets at `/ws`.
#[expect(clippy::disallowed_methods, reason = "the server ends with the runtime of the test")]
async fn stock() -> SocketAddr {
    let executor = executor(Default::default());
    let router = Router::new()
        .route_service("/graphql", GraphQL::new(executor.clone()))
        .route_service("/ws", GraphQLSubscription::new(executor));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures for the documentation")]
async fn all_audits_of_graphql_over_http_hold() {
    let Some(folder) = folder_with("graphql-http") else { return };
    let server = Server::start().await;
    let audits = async |address: SocketAddr| -> Vec<Audit> {
        let mut node = Command::new("node");
        node.arg("audits.mjs").arg(format!("http://{address}/graphql")).current_dir(&folder).stderr(Stdio::inherit());
        let output = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "the audits failed to run");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (ours, theirs) = (audits(server.address).await, audits(stock().await).await);
    let failed = |audits: &[Audit]| -> Vec<String> {
        let failed = audits.iter().filter(|audit| audit.status != "ok");
        failed.map(|audit| format!("{} {} ({})", audit.id, audit.name, audit.status)).collect()
    };
    let (total, failed_here, failed_there) = (ours.len(), failed(&ours), failed(&theirs));
    println!("audits: {} of {total} hold here", total - failed_here.len());
    println!("audits: {} of {total} hold with async-graphql-axum, but not:", theirs.len() - failed_there.len());
    failed_there.iter().for_each(|audit| println!("  {audit}"));
    assert_eq!((total, failed_here), (61, Vec::new()));
}

/// What a client sends, and what it receives from a server that follows the protocol.
struct Case {
    name: &'static str,
    protocol: &'static str,
    messages: Vec<Message>,
    /// The types of the messages, followed by the close code or `open`.
    wanted: &'static str,
}

/// Cases of <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>. The last one is about the server: a
/// panic in a resolver is the failure of one operation.
fn cases() -> Vec<Case> {
    let init = || json!({ "type": "connection_init" });
    let subscribe =
        |id: &str, document: &str| json!({ "type": "subscribe", "id": id, "payload": { "query": document } });
    let complete = |id: &str| json!({ "type": "complete", "id": id });
    let ping = || json!({ "type": "ping" });
    let raw = |name, protocol, messages, wanted| Case { name, protocol, messages, wanted };
    let case = |name, messages: &[Value], wanted| {
        let messages = messages.iter().map(|message| Message::text(message.to_string())).collect();
        Case { name, protocol: MODERN, messages, wanted }
    };
    vec![
        raw("not JSON", MODERN, vec![Message::text("{")], "4400"),
        raw("a binary frame", MODERN, vec![Message::binary(init().to_string().into_bytes())], "4400"),
        case("a message without a type", &[json!({})], "4400"),
        case("a message of an unknown type", &[json!({ "type": "unknown" })], "4400"),
        case("subscribe without an id", &[json!({ "type": "subscribe", "payload": { "query": "{ hello }" } })], "4400"),
        case("subscribe without a payload", &[json!({ "type": "subscribe", "id": "1" })], "4400"),
        case("subscribe before connection_init", &[subscribe("1", "{ hello }")], "4401"),
        raw("an unknown subprotocol", "unknown", vec![], "4406"),
        raw("no subprotocol", "", vec![], "4406"),
        case("no connection_init", &[], "4408"),
        case(
            "a second subscription with the same id",
            &[init(), subscribe("1", TICKS), subscribe("1", TICKS)],
            "connection_ack 4409",
        ),
        case("a second connection_init", &[init(), init()], "connection_ack 4429"),
        case("a ping", &[init(), ping()], "connection_ack pong open"),
        case("complete with an unknown id", &[init(), complete("1"), ping()], "connection_ack pong open"),
        case("a query", &[init(), subscribe("1", "{ hello }")], "connection_ack next complete open"),
        case(
            "a subscription",
            &[init(), subscribe("1", "subscription { upTo(n: 2) }")],
            "connection_ack next next complete open",
        ),
        case("an invalid document", &[init(), subscribe("1", "{ unknown }")], "connection_ack error open"),
        case(
            "a subscription that is refused",
            &[init(), subscribe("1", "subscription { refused }")],
            "connection_ack error open",
        ),
        case(
            "an id that the client has completed",
            &[init(), subscribe("1", TICKS), complete("1"), subscribe("1", "{ hello }")],
            "connection_ack next complete open",
        ),
        case(
            "a resolver that panics",
            &[init(), subscribe("1", "subscription { panics }")],
            "connection_ack next error open",
        ),
    ]
}

/// What the client receives.
async fn outcome(url: &str, case: &Case) -> String {
    let mut request = url.into_client_request().unwrap();
    if !case.protocol.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", case.protocol.parse().unwrap());
    }
    let mut socket = match connect_async(request).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(response)) => return format!("HTTP status {}", response.status().as_u16()),
        Err(error) => return error.to_string(),
    };
    for message in &case.messages {
        // The server may already have closed the socket.
        let _sent = socket.send(message.clone()).await;
    }
    let mut seen = String::new();
    let end = loop {
        let is_over = format!("{seen}open") == case.wanted;
        let frame = tokio::time::timeout(if is_over { QUIET } else { PATIENCE }, socket.next()).await;
        match frame {
            Ok(Some(Ok(Message::Text(text)))) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                seen += &format!("{} ", message["type"].as_str().unwrap());
            }
            Ok(Some(Ok(Message::Close(Some(frame))))) => break u16::from(frame.code).to_string(),
            Ok(Some(Ok(Message::Close(None)) | Err(_)) | None) => break "closed without a code".to_owned(),
            Ok(Some(Ok(_))) => {}
            Err(_) => break "open".to_owned(),
        }
    };
    seen + &end
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures for the documentation")]
async fn all_cases_of_graphql_transport_ws_hold() {
    let server = Server::with(Limits { connection_init: INIT, ..Limits::default() }).await;
    let (here, there) = (format!("ws://{}/graphql", server.address), format!("ws://{}/ws", stock().await));
    let cases = cases();
    let outcomes = async |url: &str| join_all(cases.iter().map(|case| outcome(url, case))).await;
    let (here, there) = (outcomes(&here).await, outcomes(&there).await);
    let total = cases.len();
    let hold = |outcomes: &[String]| cases.iter().zip(outcomes).filter(|(case, seen)| case.wanted == *seen).count();
    println!("graphql-transport-ws: {} of {total} cases hold here", hold(&here));
    println!("graphql-transport-ws: {} of {total} cases hold with async-graphql-axum, but not:", hold(&there));
    for (case, seen) in cases.iter().zip(&there).filter(|(case, seen)| case.wanted != *seen) {
        println!("  {}: {seen}, not {}", case.name, case.wanted);
    }
    for (case, seen) in cases.iter().zip(&here) {
        assert_eq!(seen, case.wanted, "{}", case.name);
    }
}
