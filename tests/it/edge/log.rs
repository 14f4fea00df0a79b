//! Log lines of requests and operations, and the absence of secrets in them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Server, post};

const SECRET: &str = "hunter2";

/// Collects the log lines of this thread, on which the server of a single-threaded test runs.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn collect() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn a_request_is_logged_in_one_line_without_secrets() {
    let server = Server::start().await;
    let (lines, _guard) = Lines::collect();
    let headers = "content-type: application/json\r\nauthorization: Bearer good\r\n";
    let document = format!("query Greet($a: Boolean!) {{ hello @skip(if: $a) {SECRET}: hello }} # Bearer good");
    let body = json!({ "query": document, "operationName": "Greet", "variables": { "a": SECRET } }).to_string();
    let answer = server.post(headers, &body).await;
    let [line] = lines.take().try_into().unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["fields"]["status"], 200);
    assert!(line["fields"]["milliseconds"].is_number());
    assert_eq!(line["span"]["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(line["span"]["method"], "POST");
    assert_eq!(line["span"]["path"], "/graphql");
    assert_eq!(line["span"]["operation"], "query Greet");
    assert_eq!(line["span"]["user"], "user_01h455vb4pex5vsknk084sn02q");
    assert!(!line.to_string().contains(SECRET) && !line.to_string().contains("good"), "{line}");

    server.get(&format!("/graphql?query=%7Bhello%7D&token={SECRET}"), &format!("cookie: {SECRET}\r\n")).await;
    server.get("/nowhere", "").await;
    let lines = lines.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(!json!(lines).to_string().contains(SECRET));
}

#[tokio::test]
async fn a_client_that_disconnects_is_logged() {
    let server = Server::start().await;
    let (lines, _guard) = Lines::collect();
    let body = r#"{"query":"{ slow(milliseconds: 60000) }"}"#;
    let connection = server.send(&post("content-type: application/json\r\n", body)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(connection);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let [line] = lines.take().try_into().unwrap();
    assert_eq!(line["fields"]["message"], "client disconnected");
}

#[tokio::test]
async fn an_operation_on_a_socket_is_logged_in_one_line() {
    let server = Server::start().await;
    let (lines, _guard) = Lines::collect();
    let mut socket = server.socket("graphql-transport-ws").await;
    socket.init(json!({ "authorization": "Bearer good" })).await;
    socket.subscribe("1", "subscription Count { upTo(n: 3) }").await;
    while socket.next().await["type"] != "complete" {}
    let [handshake, operation] = lines.take().try_into().unwrap();
    assert_eq!(handshake["fields"]["status"], 101);
    assert_eq!(operation["span"]["operation"], "subscription Count");
    assert_eq!(operation["span"]["user"], "user_01h455vb4pex5vsknk084sn02q");
    assert_eq!(operation["fields"]["events"], 3);
    assert!(!operation.to_string().contains("good"), "{operation}");
}

#[tokio::test]
async fn an_internal_error_is_logged_with_its_cause() {
    let server = Server::start().await;
    let (lines, _guard) = Lines::collect();
    let answer = server.query("{ fails }").await;
    let lines = lines.take();
    let error = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(error["fields"]["cause"], SECRET);
    assert_eq!(error["fields"]["path"], "fails");
    assert_eq!(error["fields"]["request_id"], answer["errors"][0]["extensions"]["requestId"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[tokio::test]
async fn a_refused_origin_is_logged_with_the_setting() {
    let server = Server::start().await;
    let preflight = "OPTIONS /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\norigin: https://chat.example.com\r\n\
                     access-control-request-method: POST\r\n\r\n";
    let handshake = "GET /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\norigin: https://chat.example.com\r\n\
                     upgrade: websocket\r\n\r\n";
    let simple = format!("GET /graphql?query=%7Bhello%7D&token={SECRET} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
    for (request, origin) in [
        (preflight.to_owned(), "https://chat.example.com".to_owned()),
        (handshake.to_owned(), "https://chat.example.com".to_owned()),
        (format!("{simple}origin: null\r\n\r\n"), "null".to_owned()),
        (format!("{simple}origin: https://{}\r\n\r\n", "a".repeat(5_000)), format!("https://{}", "a".repeat(192))),
    ] {
        let (lines, _guard) = Lines::collect();
        let answer = server.raw(&request).await;
        let lines = lines.take();
        let refusal = lines.iter().find(|line| line["level"] == "WARN").unwrap();
        assert_eq!((&refusal["level"], &refusal["fields"]["origin"]), (&json!("WARN"), &json!(origin)));
        assert!(
            refusal["fields"]["message"].as_str().unwrap().ends_with("list the origin in CORS_ORIGINS"),
            "{refusal}"
        );
        assert_eq!(refusal["span"]["request_id"].as_str(), answer.header("x-request-id"));
        assert!(!refusal.to_string().contains(SECRET), "{refusal}");
    }
    let (lines, _guard) = Lines::collect();
    server.raw(&format!("{simple}origin: http://a\r\n\r\n")).await;
    server.raw(&format!("{simple}\r\n")).await;
    assert!(
        lines.take().iter().all(|line| line["level"] == "INFO"),
        "pages of this host and other clients are not refused"
    );
}
