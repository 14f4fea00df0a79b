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
    assert_eq!(line["fields"]["http.response.status_code"], 200);
    assert!(line["fields"]["http.server.request.duration"].is_number());
    assert_eq!(line["span"]["duologue.request.id"].as_str(), answer.header("x-request-id"));
    assert_eq!(line["span"]["http.request.method"], "POST");
    assert_eq!(line["span"]["url.path"], "/graphql");
    assert_eq!(line["span"]["client.address"], "127.0.0.1");
    assert_eq!(line["span"]["graphql.operation.type"], "query");
    assert_eq!(line["span"]["graphql.operation.name"], "Greet");
    assert_eq!(line["span"]["user.id"], "user_01h455vb4pex5vsknk084sn02q");
    assert_eq!(line["span"]["error.type"], "INVALID_INPUT");
    assert!(!line.to_string().contains(SECRET) && !line.to_string().contains("good"), "{line}");

    server.get(&format!("/graphql?query=%7Bhello%7D&token={SECRET}"), &format!("cookie: {SECRET}\r\n")).await;
    server.get("/nowhere", "").await;
    let lines = lines.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(!json!(lines).to_string().contains(SECRET));
}

#[tokio::test]
async fn the_code_of_an_error_is_in_its_line() {
    let server = Server::start().await;
    let (lines, _guard) = Lines::collect();
    server.query("{ unknown }").await;
    server.query("{ me }").await;
    server.post("content-type: text/plain\r\n", "{}").await;
    let mut socket = server.socket("graphql-transport-ws").await;
    socket.init(json!({})).await;
    socket.subscribe("1", "{ me }").await;
    assert_eq!(socket.next().await["type"], "next");
    assert_eq!(socket.next().await["type"], "complete");
    let codes: Vec<Value> =
        lines.take().iter().map(|line| line["span"]["error.type"].clone()).filter(Value::is_string).collect();
    assert_eq!(codes, ["INVALID_DOCUMENT", "UNAUTHENTICATED", "INVALID_INPUT", "UNAUTHENTICATED"]);
}

#[tokio::test]
async fn health_checks_are_logged_at_debug() {
    let server = Server::start().await;
    let (lines, _guard) = Lines::collect();
    server.get("/health/live", "").await;
    server.get("/health/ready", "").await;
    assert!(lines.take().is_empty());
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
    assert_eq!(handshake["fields"]["http.response.status_code"], 101);
    assert_eq!(operation["span"]["client.address"], "127.0.0.1");
    assert_eq!(operation["span"]["graphql.operation.type"], "subscription");
    assert_eq!(operation["span"]["graphql.operation.name"], "Count");
    assert_eq!(operation["span"]["user.id"], "user_01h455vb4pex5vsknk084sn02q");
    assert_eq!(operation["fields"]["duologue.operation.events"], 3);
    assert!(operation["fields"]["duologue.operation.duration"].is_number());
    assert!(!operation.to_string().contains("good"), "{operation}");
}

#[tokio::test]
async fn an_internal_error_is_logged_with_its_cause() {
    let server = Server::start().await;
    let (lines, _guard) = Lines::collect();
    let answer = server.query("{ fails }").await;
    let lines = lines.take();
    let error = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(error["fields"]["exception.message"], SECRET);
    assert_eq!(error["fields"]["graphql.path"], "fails");
    assert_eq!(error["fields"]["duologue.request.id"], answer["errors"][0]["extensions"]["requestId"]);
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
        assert_eq!(
            (&refusal["level"], &refusal["fields"]["http.request.header.origin"]),
            (&json!("WARN"), &json!(origin))
        );
        assert!(
            refusal["fields"]["message"].as_str().unwrap().ends_with("list the origin in CORS_ORIGINS"),
            "{refusal}"
        );
        assert_eq!(refusal["span"]["duologue.request.id"].as_str(), answer.header("x-request-id"));
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
