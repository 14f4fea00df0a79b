//! Automatic persisted queries, in the protocol of Apollo's clients.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::support::Server;

const JSON: &str = "content-type: application/json\r\n";
const GRAPHQL: &str = "content-type: application/json\r\naccept: application/graphql-response+json\r\n";

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn extensions(text: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash(text) } })
}

/// Executes a document by its hash only.
async fn by_hash(server: &Server, text: &str) -> Value {
    server.post(JSON, &json!({ "extensions": extensions(text) }).to_string()).await.json()
}

fn is_unknown(answer: &Value) -> bool {
    let error = &answer["errors"][0];
    let is_unknown = error["message"] == "PersistedQueryNotFound";
    assert_eq!(is_unknown, error["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND", "{answer}");
    is_unknown
}

#[tokio::test]
async fn a_known_document_is_requested_by_its_hash() {
    let server = Server::start().await;
    let text = "query Slow($n: Int!) { slow(milliseconds: $n) }";
    let alone = |n: u32| json!({ "variables": { "n": n }, "extensions": extensions(text) }).to_string();
    for (headers, status) in [(JSON, 200), (GRAPHQL, 400)] {
        let answer = server.post(headers, &alone(1)).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, "PERSISTED_QUERY_NOT_FOUND"));
        assert!(is_unknown(&answer.json()) && answer.json().get("data").is_none());
    }
    let both = json!({ "query": text, "variables": { "n": 1 }, "extensions": extensions(text) }).to_string();
    assert_eq!(server.post(JSON, &both).await.json()["data"]["slow"], 1);
    for n in [2, 3] {
        assert_eq!(server.post(JSON, &alone(n)).await.json()["data"]["slow"], n);
    }
}

#[tokio::test]
async fn get_accepts_hashes_of_queries_only() {
    let server = Server::start().await;
    let path = |text: &str| {
        let extensions = extensions(text).to_string();
        format!(
            "/graphql?{}",
            form_urlencoded::Serializer::new(String::new()).append_pair("extensions", &extensions).finish()
        )
    };
    assert!(is_unknown(&server.get(&path("{ hello }"), "").await.json()));
    server.query("{ hello }").await;
    assert_eq!(server.get(&path("{ hello }"), "").await.json()["data"]["hello"], "world");
    let mutation = "mutation { count(milliseconds: 0) }";
    server.query(mutation).await;
    let answer = server.get(&path(mutation), "").await;
    assert_eq!((answer.status, answer.code().as_str(), server.counted()), (405, "INVALID_INPUT", 1));
}

#[tokio::test]
async fn a_socket_subscribes_by_hash() {
    let server = Server::start().await;
    let text = "subscription { upTo(n: 1) }";
    for (protocol, start, next) in [("graphql-transport-ws", "subscribe", "next"), ("graphql-ws", "start", "data")] {
        let mut socket = server.socket(protocol).await;
        socket.init(json!({})).await;
        // The legacy protocol also sends keep-alive messages.
        let mut say = async |id: &str, query: Option<&str>| {
            let payload = json!({ "query": query, "extensions": extensions(text) });
            socket.send(json!({ "type": start, "id": id, "payload": payload })).await;
            loop {
                let message = socket.next().await;
                if message["id"] == id && message["type"] != "complete" {
                    return message;
                }
            }
        };
        if protocol == "graphql-transport-ws" {
            let unknown = say("1", None).await;
            assert_eq!(unknown["type"], "error");
            assert!(is_unknown(&json!({ "errors": unknown["payload"] })));
            assert_eq!(say("2", Some(text)).await["type"], next);
        }
        assert_eq!(say("3", None).await["payload"]["data"]["upTo"], 0);
        // Clients that cannot omit the text send an empty one.
        assert_eq!(say("4", Some("")).await["payload"]["data"]["upTo"], 0);
    }
}

#[tokio::test]
async fn malformed_persisted_queries_are_rejected() {
    let server = Server::start().await;
    let text = "{ hello }";
    let of = |persisted: Value| json!({ "query": text, "extensions": { "persistedQuery": persisted } }).to_string();
    for persisted in [
        json!({ "version": 1, "sha256Hash": hash("{ me }") }),
        json!({ "version": 2, "sha256Hash": hash(text) }),
        json!({ "version": "1", "sha256Hash": hash(text) }),
        json!({ "sha256Hash": hash(text) }),
        json!({ "version": 1 }),
        json!({ "version": 1, "sha256Hash": "hunter2" }),
        json!([]),
        json!("hunter2"),
    ] {
        for (headers, status) in [(JSON, 200), (GRAPHQL, 400)] {
            let answer = server.post(headers, &of(persisted.clone())).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, "INVALID_INPUT"), "{persisted}");
            assert!(!answer.body.contains("hunter2"));
        }
    }
    let null = server.post(JSON, &of(Value::Null)).await;
    assert_eq!(null.json()["data"]["hello"], "world");
    assert!(!is_unknown(&by_hash(&server, text).await));
}

#[tokio::test]
async fn only_valid_documents_are_cached() {
    let server = Server::start().await;
    let aliases = |count: usize| format!("{{ {} }}", (0..count).map(|n| format!("a{n}: hello ")).collect::<String>());
    for text in ["{", "{ unknown }", "{ slow }", &aliases(101), &format!("{{ {} }}", "hello ".repeat(10_000))] {
        let body = json!({ "query": text, "extensions": extensions(text) }).to_string();
        assert!(server.post(JSON, &body).await.json().get("data").is_none(), "{text}");
        assert!(is_unknown(&by_hash(&server, text).await), "{text}");
    }
    let text = "{ a: hello b: hello }";
    server.query(text).await;
    assert_eq!(by_hash(&server, text).await["data"], json!({ "a": "world", "b": "world" }));
}
