//! GraphQL over HTTP.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::support::Server;

const JSON: &str = "content-type: application/json\r\n";
const GRAPHQL: &str = "content-type: application/json\r\naccept: application/graphql-response+json\r\n";

#[tokio::test]
async fn answers_a_query() {
    let server = Server::start().await;
    let answer = server.post(JSON, r#"{"query":"{ hello }"}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json()["data"]["hello"], "world");
    assert!(answer.header("x-request-id").is_some());
    let answer = server.get("/graphql?query=%7B+hello+%7D", "accept: application/graphql-response+json\r\n").await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "data": { "hello": "world" } })));
    assert_eq!(answer.header("content-type"), Some("application/graphql-response+json; charset=utf-8"));
}

#[tokio::test]
async fn a_request_error_has_no_data_and_a_status_by_its_media_type() {
    let server = Server::start().await;
    for document in ["{", "{ unknown }", "query A { hello } query B { hello }", "subscription { busy(size: 1) }"] {
        let body = json!({ "query": document }).to_string();
        for (headers, status) in [(JSON, 200), (GRAPHQL, 400)] {
            let answer = server.post(headers, &body).await;
            assert_eq!(answer.status, status, "{document}");
            assert_eq!(answer.code(), "INVALID_DOCUMENT");
            assert!(answer.json().get("data").is_none(), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_field_error_has_data() {
    let server = Server::start().await;
    for headers in [JSON, GRAPHQL] {
        let answer = server.post(headers, r#"{"query":"{ hello fails }"}"#).await;
        assert_eq!((answer.status, answer.code().as_str()), (200, "INTERNAL"));
        assert_eq!(answer.json()["data"]["hello"], "world");
        assert!(!answer.body.contains("hunter2"));
    }
}

#[tokio::test]
async fn refused_requests_get_graphql_errors() {
    let server = Server::start().await;
    let invalid = "INVALID_INPUT";
    for (headers, body, status, code) in [
        ("", r#"{"query":"{ hello }"}"#, 415, invalid),
        ("content-type: text/plain\r\n", r#"{"query":"{ hello }"}"#, 415, invalid),
        ("content-type: application/x-www-form-urlencoded\r\n", "query={hello}", 415, invalid),
        ("content-type: application/json; charset=utf-16\r\n", r#"{"query":"{ hello }"}"#, 415, invalid),
        (JSON, "", 400, invalid),
        (JSON, "{", 400, invalid),
        (JSON, "{}", 400, invalid),
        (JSON, r#"[{"query":"{ hello }"}]"#, 400, "QUERY_TOO_COMPLEX"),
        (JSON, " [] ", 400, "QUERY_TOO_COMPLEX"),
        (JSON, r#"{"query":"{ hello }","variables":"hunter2"}"#, 400, invalid),
    ] {
        let answer = server.post(headers, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{headers} {body}");
        assert!(!answer.body.contains("hunter2"));
    }
    let answer = server.get("/nowhere", "").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "NOT_FOUND"));
    let answer = server.get("/graphql", "accept: application/json\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, invalid));
    for (method, path, allow) in [("PUT", "/graphql", "get, post"), ("POST", "/health/live", "get, head")] {
        let answer = server.raw(&format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        assert_eq!((answer.status, answer.code().as_str()), (405, invalid), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow));
    }
}

#[tokio::test]
async fn get_runs_queries_only() {
    let server = Server::start().await;
    for document in ["mutation%7Bcount(milliseconds:0)%7D", "subscription%7Bbusy(size:1)%7D"] {
        let answer = server.get(&format!("/graphql?query={document}"), "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("post")), "{document}");
        assert_eq!(answer.code(), "INVALID_INPUT");
    }
    assert_eq!(server.counted(), 0);
    // The operation named in `operationName` decides.
    let documents = "query=query+A%7Bhello%7Dmutation+B%7Bcount(milliseconds:0)%7D&operationName=";
    assert_eq!(server.get(&format!("/graphql?{documents}A"), "").await.status, 200);
    assert_eq!(server.get(&format!("/graphql?{documents}B"), "").await.status, 405);
}

#[tokio::test]
async fn invalid_credentials_fail_only_fields_that_need_a_viewer() {
    let server = Server::start().await;
    let body = r#"{"query":"{ hello me }"}"#;
    for (authorization, code) in [
        ("", Some("UNAUTHENTICATED")),
        ("authorization: Bearer bad\r\n", Some("UNAUTHENTICATED")),
        ("authorization: Bearer good\r\n", None),
    ] {
        let answer = server.post(&format!("{JSON}{authorization}"), body).await.json();
        assert_eq!(answer["data"]["hello"], "world");
        assert_eq!(answer["errors"][0]["extensions"]["code"].as_str(), code, "{authorization}");
    }
}

#[tokio::test]
async fn a_panic_is_a_response_with_an_error() {
    let server = Server::start().await;
    let body = r#"{"query":"{ panics }"}"#;
    for (headers, status) in [(JSON, 200), (GRAPHQL, 500)] {
        let answer = server.post(headers, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, "INTERNAL"));
        assert!(!answer.body.contains("hunter2"));
    }
    assert_eq!(server.query("{ hello }").await["data"]["hello"], "world");
}

#[tokio::test]
async fn the_address_behind_a_proxy_is_used() {
    let server = Server::start().await;
    let forwarded = format!("{JSON}x-forwarded-for: 9.9.9.9, 1.2.3.4\r\n");
    let answer = server.post(&forwarded, r#"{"query":"{ address }"}"#).await;
    assert_eq!(answer.json()["data"]["address"], "1.2.3.4");
}

#[tokio::test]
async fn health_paths_report_liveness_and_readiness() {
    let server = Server::start().await;
    assert_eq!(server.get("/health/live", "").await.status, 200);
    assert_eq!(server.get("/health/ready", "").await.status, 200);
    server.is_ready.store(false, Ordering::SeqCst);
    let answer = server.get("/health/ready", "").await;
    assert_eq!((answer.status, answer.json()), (503, json!({ "status": "unavailable" })));
    assert_eq!(server.get("/health/live", "").await.status, 200);
}

#[tokio::test]
async fn validation_errors_name_the_cause() {
    let server = Server::start().await;
    let answer: Value = server.query("{ slow(milliseconds: \"hunter2\") }").await;
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("milliseconds") && !message.contains("hunter2"), "{message}");
    assert_eq!(answer["errors"][0]["locations"], json!([{ "line": 1, "column": 8 }]));
}

#[tokio::test]
async fn a_request_must_have_one_host() {
    let server = Server::start().await;
    for (request, status) in [
        ("GET /graphql?query=%7Bhello%7D HTTP/1.1\r\n", 400),
        ("GET /health/live HTTP/1.1\r\n", 400),
        ("GET /health/live HTTP/1.1\r\nhost: a\r\nhost: b\r\n", 400),
        ("GET /health/live HTTP/1.0\r\nhost: a\r\nhost: a\r\n", 400),
        ("GET /health/live HTTP/1.1\r\nhost: a\r\n", 200),
        ("GET /health/live HTTP/1.0\r\n", 200),
    ] {
        let answer = server.raw(&format!("{request}connection: close\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{request}");
        if status == 400 {
            assert_eq!(answer.code(), "INVALID_INPUT", "{request}");
        }
    }
}

#[tokio::test]
async fn a_request_must_have_one_authorization_header() {
    let server = Server::start().await;
    let two = "authorization: Bearer good\r\nauthorization: Bearer other\r\n";
    let same = "authorization: Bearer good\r\nAuthorization: Bearer good\r\n";
    for headers in [two, same] {
        let answer = server.post(&format!("{JSON}{headers}"), r#"{"query":"{ me }"}"#).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_INPUT"), "{headers}");
        assert_eq!(server.handshake(&format!("host: a\r\n{headers}")).await, 400, "{headers}");
    }
    let answer = server.post(&format!("{JSON}authorization: Bearer good\r\n"), r#"{"query":"{ me }"}"#).await;
    assert!(answer.json()["data"]["me"].is_string(), "{answer:?}");
}
