//! Limits of the HTTP layer, just within and just beyond each.

use std::time::{Duration, Instant};

use duologue::http::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

use super::support::{PATIENCE, Server, post};

const JSON: &str = "content-type: application/json\r\n";

/// A request with a body of exactly `length` bytes.
fn request_of(length: usize) -> String {
    let request = r#"{"query":"{ hello }"}"#;
    request.to_owned() + &" ".repeat(length - request.len())
}

#[tokio::test]
async fn the_size_of_a_body_is_limited() {
    let server = Server::with(Limits { body: 1_000, ..Limits::default() }).await;
    assert_eq!(server.post(JSON, &request_of(1_000)).await.status, 200);
    let answer = server.post(JSON, &request_of(1_001)).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    for (length, status) in [(1_000, 200), (1_001, 413)] {
        let body = request_of(length);
        let head = "POST /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n";
        let answer = server.raw(&format!("{head}{JSON}\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn a_client_that_sends_too_much_receives_the_error() {
    let server = Server::start().await;
    for length in [2 << 20, 10 << 20] {
        let answer = server.post(JSON, &request_of(length)).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"), "{length}");
    }
    for (length, expect) in [(usize::MAX >> 1, ""), (2 << 20, "expect: 100-continue\r\n")] {
        let head =
            format!("POST /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{expect}content-length: {length}\r\n");
        let answer = server.raw(&format!("{head}{JSON}\r\n")).await;
        assert_eq!(answer.status, 413, "the response comes before the body is sent");
    }
}

#[tokio::test]
async fn a_body_must_arrive_in_time() {
    let server = Server::with(Limits { body_timeout: Duration::from_millis(100), ..Limits::default() }).await;
    let request = post(JSON, r#"{"query":"{ hello }"}"#);
    let answer = server.raw(&request[..request.len() - 1]).await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "TIMEOUT"));
    let head = format!("POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n{JSON}\r\n\r\n", 2 << 20);
    let answer = server.raw(&head).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "PAYLOAD_TOO_LARGE"),
        "a body that is too large is not retryable"
    );
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = Server::start().await;
    let silence = async |request: &str| {
        let mut connection = server.send(request).await;
        let start = Instant::now();
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE + Duration::from_secs(5), connection.read_to_end(&mut bytes));
        read.await.expect("the connection stays open").unwrap();
        assert!(start.elapsed() > Duration::from_secs(8), "{:?}", start.elapsed());
    };
    let head = "GET /health/live HTTP/1.1\r\nhost: a\r\n";
    tokio::join!(silence(""), silence("P"), silence("PRI * HTTP"), silence(head));
}

#[tokio::test]
async fn the_duration_of_a_query_is_limited() {
    let server = Server::with(Limits { operation_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    assert_eq!(server.query("{ slow(milliseconds: 1) }").await["data"]["slow"], 1);
    let answer = server.query("{ slow(milliseconds: 60000) }").await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "TIMEOUT");
    let mut socket = server.ready_socket().await;
    socket.subscribe("1", "{ slow(milliseconds: 60000) }").await;
    let message = socket.next().await;
    assert_eq!(message["type"], "error");
    assert_eq!(message["payload"][0]["extensions"]["code"], "TIMEOUT");
}

#[tokio::test]
async fn the_size_of_a_message_is_limited() {
    let server = Server::with(Limits { message: 1_000, ..Limits::default() }).await;
    let ping = |length: usize| {
        let message = r#"{"type":"ping"}"#;
        Message::text(message.to_owned() + &" ".repeat(length - message.len()))
    };
    let mut socket = server.ready_socket().await;
    socket.send_raw(ping(1_000)).await;
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
    socket.send_raw(ping(1_001)).await;
    assert_eq!(socket.closed().await, (1009, "The message is too big".to_owned()));
}

#[tokio::test]
async fn complexity_is_limited_over_http_and_websocket() {
    let server = Server::start().await;
    let document = |tokens: usize| format!("{{{}}}", "hello ".repeat(tokens - 2));
    for (document, code) in [(document(10_000), None), (document(10_001), Some("QUERY_TOO_COMPLEX"))] {
        let answer = server.query(&document).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"].as_str(), code);
        assert_eq!(answer.get("data").is_some(), code.is_none());
        let mut socket = server.ready_socket().await;
        socket.subscribe("1", &document).await;
        let message = socket.next().await;
        assert_eq!(message["type"], if code.is_some() { "error" } else { "next" });
        assert_eq!(message["payload"][0]["extensions"]["code"].as_str(), code);
    }
}

#[tokio::test]
async fn concurrent_operations_of_one_user_are_limited() {
    let operation_timeout = Duration::from_millis(300);
    let server = Server::with(Limits { operations_at_once: 1, operation_timeout, ..Limits::default() }).await;
    // The mutation continues after its timeout, and counts until it ends.
    assert_eq!(
        server.query("mutation { count(milliseconds: 3000) }").await["errors"][0]["extensions"]["code"],
        "TIMEOUT"
    );
    assert_eq!(server.query("{ hello }").await["errors"][0]["extensions"]["code"], "RATE_LIMITED");
    let other = server.post(&format!("{JSON}authorization: Bearer good\r\n"), r#"{"query":"{ hello }"}"#).await;
    assert_eq!(other.json()["data"]["hello"], "world", "other users have a separate limit");
    let mut socket = server.ready_socket().await;
    socket.subscribe("1", "subscription { upTo(n: 1) }").await;
    assert_eq!(socket.next().await["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    server.expect_count(1).await;
    assert_eq!(server.query("{ hello }").await["data"]["hello"], "world");
}

#[tokio::test]
async fn the_subscriptions_of_a_user_are_limited() {
    let server = Server::with(Limits { subscriptions_per_user: 2, ..Limits::default() }).await;
    let (mut one, mut other) = (server.ready_socket().await, server.ready_socket().await);
    one.subscribe("1", "subscription { ticks(milliseconds: 60000) }").await;
    other.subscribe("1", "subscription { ticks(milliseconds: 10) }").await;
    assert_eq!(other.next().await["type"], "next");
    other.subscribe("2", "subscription { ticks(milliseconds: 60000) }").await;
    let refused = loop {
        let message = other.next().await;
        if message["id"] == "2" {
            break message;
        }
    };
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    one.send(json!({ "type": "complete", "id": "1" })).await;
    one.send(json!({ "type": "ping" })).await;
    assert_eq!(one.next().await["type"], "pong");
    one.subscribe("2", "subscription { upTo(n: 1) }").await;
    assert_eq!(one.next().await["type"], "next", "ended subscriptions do not count");
}

#[tokio::test]
async fn the_operations_of_a_socket_are_limited() {
    let server = Server::with(Limits { operations_per_socket: 2, ..Limits::default() }).await;
    let mut socket = server.ready_socket().await;
    for id in ["1", "2", "3"] {
        socket.subscribe(id, "subscription { ticks(milliseconds: 60000) }").await;
    }
    let message = socket.next().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("3")));
    assert_eq!(message["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    socket.send(json!({ "type": "complete", "id": "1" })).await;
    socket.subscribe("4", "{ hello }").await;
    assert_eq!(socket.next().await["type"], "next");
}

#[tokio::test]
async fn sockets_are_limited_per_user_and_per_address() {
    let server = Server::with(Limits { sockets_per_user: 1, sockets_per_address: 3, ..Limits::default() }).await;
    let good = json!({ "authorization": "Bearer good" });
    let mut first = server.socket("graphql-transport-ws").await;
    first.init(good.clone()).await;
    let mut second = server.socket("graphql-transport-ws").await;
    second.send(json!({ "type": "connection_init", "payload": good })).await;
    assert_eq!(second.closed().await.0, 1013);
    drop(second);
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut anonymous = server.socket("graphql-transport-ws").await;
        // The closed socket counts until the server has noticed its end.
        anonymous.send(json!({ "type": "connection_init" })).await;
        others.push(anonymous);
    }
    for anonymous in &mut others {
        assert_eq!(anonymous.next().await, json!({ "type": "connection_ack" }));
    }
    assert_eq!(server.socket("graphql-transport-ws").await.closed().await.0, 1013);
    // Closed sockets do not count.
    drop(others);
    drop(first);
    let mut again = server.socket("graphql-transport-ws").await;
    again.init(json!({ "authorization": "Bearer good" })).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let limits = Limits { write_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = Server::with(limits).await;
    let mut socket = server.ready_socket().await;
    socket.subscribe("1", "subscription { busy(size: 100000) }").await;
    let mut connection = socket.into_tcp();
    // Reading one byte at a time is too slow.
    let mut byte = [0];
    let start = Instant::now();
    while !server.tracker.is_empty() {
        assert!(start.elapsed() < PATIENCE, "the socket is still open");
        connection.read_exact(&mut byte).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_disconnected() {
    let server = Server::with(Limits { keep_alive: Duration::from_millis(200), ..Limits::default() }).await;
    // The client library answers pings only while it reads, so a client that does not read does not answer.
    let silent = server.ready_socket().await.into_tcp();
    let mut lively = server.ready_socket().await;
    assert!(lively.within(Duration::from_millis(1_000)).await.is_none());
    assert_eq!(server.tracker.len(), 1, "only the silent socket is closed");
    drop(silent);
    lively.send(json!({ "type": "ping" })).await;
    assert_eq!(lively.next().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn a_socket_must_be_initialised_in_time() {
    let limits = Limits { connection_init: Duration::from_millis(200), ..Limits::default() };
    let server = Server::with(limits).await;
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        let mut socket = server.socket(protocol).await;
        assert_eq!(socket.closed().await, (4408, "Connection initialisation timeout".to_owned()));
    }
    let mut socket = server.ready_socket().await;
    assert!(socket.within(Duration::from_millis(400)).await.is_none(), "an initialised socket has no such deadline");
}

#[tokio::test]
async fn an_unfinished_frame_does_not_delay_the_server() {
    let server = Server::start().await;
    let mut connection = server.ready_socket().await.into_tcp();
    connection.write_all(&[0x81]).await.unwrap();
    assert_eq!(server.query("{ hello }").await["data"]["hello"], "world");
}
