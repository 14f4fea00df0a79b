//! Timeouts of connections: for the head of a request, and for the next request.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::{PATIENCE, Server};

/// A connection after its first response.
async fn answered(server: &Server) -> TcpStream {
    let mut connection = server.send("GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(answer_on(&mut connection).await, "HTTP/1.1 200");
    connection
}

/// The start of the next response.
async fn answer_on(connection: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let length = tokio::time::timeout(PATIENCE, connection.read(&mut bytes)).await.expect("no answer").unwrap();
    String::from_utf8_lossy(&bytes[..length.min(12)]).into_owned()
}

/// How long it takes the server to close a connection.
async fn closed_after(connection: &mut TcpStream) -> Duration {
    let (start, mut bytes) = (Instant::now(), Vec::new());
    let read = tokio::time::timeout(PATIENCE + Duration::from_secs(5), connection.read_to_end(&mut bytes));
    read.await.expect("the connection stays open").unwrap();
    start.elapsed()
}

#[tokio::test]
async fn the_keep_alive_timeout_is_longer_than_the_header_timeout() {
    let server = Server::start().await;
    let mut connection = answered(&server).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    connection.write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(answer_on(&mut connection).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = Server::with_keep_alive(Duration::from_millis(700)).await;
    let mut socket = server.ready_socket().await;
    let mut idle = answered(&server).await;
    let waited = closed_after(&mut idle).await;
    assert!(waited > Duration::from_millis(400) && waited < Duration::from_secs(8), "{waited:?}");
    // A slow response and a WebSocket are not idle.
    assert_eq!(server.query("{ slow(milliseconds: 1500) }").await["data"]["slow"], 1500);
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.next().await["type"], "next");
}

#[tokio::test]
async fn the_header_timeout_applies_to_later_requests_too() {
    let server = Server::start().await;
    let mut connection = answered(&server).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    connection.write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let waited = closed_after(&mut connection).await;
    assert!(waited > Duration::from_secs(8), "{waited:?}");
}
