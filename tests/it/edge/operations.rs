//! Concurrency of operations, and how they end.

use std::time::{Duration, Instant};

use duologue::http::Limits;
use serde_json::{Value, json};

use super::support::{PATIENCE, Server, post};

const JSON: &str = "content-type: application/json\r\n";
const COUNT: &str = "mutation { count(milliseconds: 200) }";

#[tokio::test]
async fn a_mutation_completes_after_its_connection_is_lost() {
    let server = Server::start().await;
    let connection = server.send(&post(JSON, &json!({ "query": COUNT }).to_string())).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(connection);
    server.expect_count(1).await;
}

#[tokio::test]
async fn a_mutation_completes_after_its_operation_or_socket_ends() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    socket.subscribe("1", COUNT).await;
    socket.subscribe("2", COUNT).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    socket.send(json!({ "type": "complete", "id": "1" })).await;
    let mut said = Vec::new();
    while said.len() < 2 {
        said.push(socket.next().await);
    }
    assert!(said.iter().all(|message| message["id"] == "2"), "{said:?}");
    server.expect_count(2).await;
    socket.subscribe("3", COUNT).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(socket);
    server.expect_count(3).await;
}

#[tokio::test]
async fn a_mutation_completes_after_its_timeout() {
    let server = Server::with(Limits { operation_timeout: Duration::from_millis(50), ..Limits::default() }).await;
    let answer = server.query(COUNT).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "TIMEOUT");
    assert_eq!(server.counted(), 0);
    server.expect_count(1).await;
}

#[tokio::test]
async fn the_task_tracker_waits_for_mutations() {
    let server = Server::start().await;
    let connection = server.send(&post(JSON, &json!({ "query": COUNT }).to_string())).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.soft_stop.cancel();
    drop(connection);
    server.tracker.close();
    tokio::time::timeout(PATIENCE, server.tracker.wait()).await.unwrap();
    assert_eq!(server.counted(), 1);
}

/// The maximum number of frames of a busy operation, and the maximum time, between two frames of another operation.
async fn longest_gap(server: &Server, document: &str, ticks: usize) -> (usize, Duration) {
    let mut socket = server.ready_socket().await;
    socket.subscribe("busy", "subscription { busy(size: 100) }").await;
    socket.subscribe("other", document).await;
    let (mut gap, mut longest, mut seen) = (0, 0, 0);
    let mut last = Instant::now();
    let mut slowest = Duration::ZERO;
    while seen < ticks {
        if socket.next().await["id"] == "busy" {
            gap += 1;
        } else {
            // The time to the first frame includes the start of the subscription.
            if seen > 0 {
                (longest, slowest) = (longest.max(gap), slowest.max(last.elapsed()));
            }
            (gap, last, seen) = (0, Instant::now(), seen + 1);
        }
    }
    (longest, slowest)
}

#[tokio::test]
async fn busy_operations_take_turns() {
    let server = Server::start().await;
    let (frames, _) = longest_gap(&server, "subscription { busy(size: 1) }", 1_000).await;
    assert!(frames <= 2, "{frames} frames between two of an operation that was always ready");
}

#[test]
fn a_busy_operation_does_not_delay_another_one() {
    for threads in [1, 2] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        let task = async {
            let server = Server::start().await;
            longest_gap(&server, "subscription { ticks(milliseconds: 20) }", 25).await.1
        };
        let slowest = runtime.block_on(task);
        assert!(slowest < Duration::from_millis(500), "a tick of 20 ms came after {slowest:?}");
        runtime.shutdown_background();
    }
}

#[tokio::test]
async fn a_busy_operation_does_not_stop_reads_of_the_socket() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    socket.subscribe("busy", "subscription { busy(size: 100) }").await;
    assert_eq!(socket.next().await["id"], "busy");
    socket.send(json!({ "type": "ping" })).await;
    while socket.next().await["type"] != "pong" {}
    socket.send(json!({ "type": "complete", "id": "busy" })).await;
    let start = Instant::now();
    while socket.within(Duration::from_millis(300)).await.is_some() {
        assert!(start.elapsed() < PATIENCE, "the operation continues");
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_operation_only() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    socket.subscribe("lives", "subscription { ticks(milliseconds: 10) }").await;
    socket.subscribe("stream", "subscription { panics }").await;
    socket.subscribe("query", "{ panics }").await;
    let mut ends: Vec<Value> = Vec::new();
    let mut ticks_after = 0;
    while ticks_after < 3 {
        let message = socket.next().await;
        match (message["id"].as_str().unwrap(), ends.len()) {
            ("lives", 2) => ticks_after += 1,
            ("lives", _) => {}
            _ if message["type"] == "next" => assert_eq!(message["payload"]["data"]["panics"], 0),
            _ => ends.push(message),
        }
    }
    for message in ends {
        assert_eq!(message["type"], "error", "{message}");
        assert_eq!(message["payload"][0]["extensions"]["code"], "INTERNAL");
        assert!(!message.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn a_soft_stop_closes_sockets_and_lets_requests_finish() {
    let server = Server::start().await;
    let mut socket = server.ready_socket().await;
    let request = post(JSON, r#"{"query":"{ slow(milliseconds: 300) }"}"#);
    let running = server.raw(&request);
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.soft_stop.cancel();
        socket.closed().await
    };
    let (answer, closed) = tokio::join!(running, stop);
    assert_eq!(answer.json()["data"]["slow"], 300);
    assert_eq!(closed.0, 1012);
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "new connections are refused");
}
