//! Clients that do not read, send unfinished messages, or open too many connections.

use std::time::{Duration, Instant};

use duologue::http::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::support::{PATIENCE, Server, Socket, post};

const JSON: &str = "content-type: application/json\r\n";

/// A frame of a text message, masked with zeros.
fn frame(is_first: bool, is_last: bool, length: usize) -> Vec<u8> {
    let mut frame = vec![u8::from(is_first) | u8::from(is_last) << 7];
    match u16::try_from(length) {
        Ok(length) if length < 126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.resize(frame.len() + length, b' ');
    frame
}

const PONG: [u8; 6] = [0x8A, 0x80, 0, 0, 0, 0];

async fn signed_in(server: &Server) -> Socket {
    let mut socket = server.socket("graphql-transport-ws").await;
    socket.init(json!({ "authorization": "Bearer good" })).await;
    socket
}

/// Reads to the end of the connection and returns the code of the close frame.
async fn close_code(connection: &mut TcpStream) -> u16 {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut bytes)).await;
    read.expect("the socket stays open").unwrap();
    let at = bytes.windows(2).rposition(|head| head[0] == 0x88 && head[1] >= 2).expect("no close frame");
    u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])
}

async fn expect_no_socket(server: &Server) {
    let start = Instant::now();
    while !server.tracker.is_empty() {
        assert!(start.elapsed() < PATIENCE, "a socket is still open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn operations_end_even_if_their_socket_does_not_read() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    socket.subscribe("flood", "subscription { busy(size: 100000) }").await;
    // The client reads nothing from now on.
    for n in 0..20 {
        socket.subscribe(&n.to_string(), "{ ends(milliseconds: 50) }").await;
    }
    server.expect_count(20).await;
    drop(socket);
    expect_no_socket(&server).await;
}

#[tokio::test]
async fn a_socket_with_too_much_unsent_data_is_closed() {
    let server = Server::with(Limits { output: 8 << 20, ..Limits::default() }).await;
    let mut socket = server.ready_socket().await;
    for n in 0..12 {
        socket.subscribe(&n.to_string(), "{ text(bytes: 2000000) }").await;
    }
    expect_no_socket(&server).await;
    let mut reader = server.ready_socket().await;
    for n in 0..12 {
        reader.subscribe(&n.to_string(), "{ text(bytes: 2000000) }").await;
        assert_eq!(reader.next().await["type"], "next");
        assert_eq!(reader.next().await["type"], "complete");
    }
}

#[tokio::test]
async fn a_message_must_arrive_in_time() {
    let server = Server::with(Limits { body_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let mut connection = server.ready_socket().await.into_tcp();
    connection.write_all(&frame(true, false, 1_000)).await.unwrap();
    let rest = async {
        // More bytes of the message and other frames do not extend the deadline.
        while connection.write_all(&PONG).await.is_ok() && connection.write_all(&frame(false, false, 1)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, rest).await.expect("the socket stays open");
    let mut connection = server.ready_socket().await.into_tcp();
    connection.write_all(&frame(true, false, 1_000)).await.unwrap();
    assert_eq!(close_code(&mut connection).await, 1008);
    // A socket without an unfinished message has no deadline.
    let mut connection = server.ready_socket().await.into_tcp();
    for _ in 0..20 {
        connection.write_all(&PONG).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    connection.write_all(&frame(true, true, 10)).await.unwrap();
    assert_eq!(close_code(&mut connection).await, 4400, "the socket is open, and ten spaces are not a message");
}

#[tokio::test]
async fn messages_before_authentication_are_limited_in_size() {
    let server = Server::start().await;
    let ping = |length: usize| {
        let message = r#"{"type":"ping"}"#;
        Message::text(message.to_owned() + &" ".repeat(length - message.len()))
    };
    let mut unknown = server.socket("graphql-transport-ws").await;
    unknown.send_raw(ping(64 << 10)).await;
    assert_eq!(unknown.next().await["type"], "pong");
    unknown.send_raw(ping((64 << 10) + 1)).await;
    assert_eq!(unknown.closed().await.0, 1009);
    let mut known = signed_in(&server).await;
    known.send_raw(ping(1 << 20)).await;
    assert_eq!(known.next().await["type"], "pong");

    let mut unfinished = server.socket("graphql-transport-ws").await.into_tcp();
    unfinished.write_all(&frame(true, false, 60_000)).await.unwrap();
    unfinished.write_all(&frame(false, false, 60_000)).await.unwrap();
    assert_eq!(close_code(&mut unfinished).await, 1009);
}

#[tokio::test]
async fn unfinished_input_has_a_total_limit() {
    let server = Server::with(Limits { input: 500_000, ..Limits::default() }).await;
    let mut unfinished = Vec::new();
    for _ in 0..8 {
        let mut connection = server.socket("graphql-transport-ws").await.into_tcp();
        connection.write_all(&frame(true, false, 60_000)).await.unwrap();
        unfinished.push(connection);
    }
    let mut one_more = signed_in(&server).await.into_tcp();
    one_more.write_all(&frame(true, false, 60_000)).await.unwrap();
    assert_eq!(close_code(&mut one_more).await, 1013);
    let large = json!({ "query": format!("{{ hello }}{}", " ".repeat(100_000)) }).to_string();
    let answer = server.post(JSON, &large).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    assert_eq!(server.query("{ hello }").await["data"]["hello"], "world", "small requests are always read");
    let mut socket = server.ready_socket().await;
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.next().await["type"], "next");
    drop(unfinished);
    drop(socket);
    expect_no_socket(&server).await;
    assert_eq!(
        server.post(JSON, &large).await.json()["data"]["hello"],
        "world",
        "the input of closed connections is released"
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_a_response_is_disconnected() {
    const BYTES: usize = 30_000_000;
    let server = Server::with(Limits { write_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let body = json!({ "query": format!("{{ text(bytes: {BYTES}) }}") }).to_string();
    let request = post(JSON, &body).replace("connection: close\r\n", "");
    let mut silent = server.send(&request).await;
    let mut slow = server.send(&request).await;
    let mut start = vec![0; 100_000];
    let read = async {
        // Far slower than the minimum of 4 KiB per second.
        for _ in 0..10 {
            slow.read_exact(&mut start[..1]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    read.await;
    for connection in [&mut silent, &mut slow] {
        let mut rest = 0;
        while let Ok(Ok(bytes @ 1..)) = tokio::time::timeout(PATIENCE, connection.read(&mut start)).await {
            rest += bytes;
        }
        assert!(rest < BYTES, "the whole response arrived");
    }
    let answer = server.raw(&post(JSON, &body)).await;
    assert!(answer.body.len() > BYTES, "a client that reads receives the whole response");
}

#[tokio::test]
async fn the_number_of_connections_is_limited() {
    let server = Server::with(Limits { connections: 3, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(server.send("").await);
    }
    // An open WebSocket counts as a connection.
    let socket = server.ready_socket().await;
    let mut refused = server.send("GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let outcome = tokio::time::timeout(PATIENCE, refused.read(&mut [0; 100])).await.expect("the connection waits");
    assert!(matches!(outcome, Ok(0) | Err(_)), "{outcome:?}");
    drop(socket);
    expect_no_socket(&server).await;
    assert_eq!(server.query("{ hello }").await["data"]["hello"], "world");
}

#[tokio::test]
async fn a_body_that_is_refused_anyway_is_not_kept() {
    const BYTES: usize = 900_000;
    let limits = Limits { input: 200_000, fields_per_minute: 3, ..Limits::default() };
    let server = Server::with(Limits { refusal_delay: Duration::from_millis(10), ..limits }).await;
    let numbers = json!({ "query": "{ hello }", "variables": { "list": vec![0; BYTES / 2] } }).to_string();
    let text = json!({ "query": "{ hello }", "variables": { "text": "x".repeat(BYTES) } }).to_string();
    // More than the server keeps.
    let answer = server.post(JSON, &text).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    for _ in 0..3 {
        let answer = server.post(JSON, &numbers).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "QUERY_TOO_COMPLEX"), "its values are counted first");
    }
    // The rate limit is checked first.
    for body in [&text, &numbers] {
        assert_eq!(server.post(JSON, body).await.code(), "RATE_LIMITED");
        let head = "POST /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n";
        let chunked = format!("{head}{JSON}\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        assert_eq!(server.raw(&chunked).await.code(), "RATE_LIMITED");
    }
}
