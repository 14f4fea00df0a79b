//! Rate limits, origins, and security headers.

use std::time::{Duration, Instant};

use duologue::http::Limits;
use serde_json::json;

use super::support::Server;

const JSON: &str = "content-type: application/json\r\n";
const RESPONSE_JSON: &str = "content-type: application/json\r\naccept: application/graphql-response+json\r\n";

fn limited(fields_per_minute: u32) -> Limits {
    Limits { fields_per_minute, refusal_delay: Duration::from_millis(50), ..Limits::default() }
}

fn hellos(n: usize) -> String {
    let aliases: String = (0..n).map(|n| format!("a{n}: hello ")).collect();
    json!({ "query": format!("{{ {aliases} }}") }).to_string()
}

#[tokio::test]
async fn every_alias_counts_and_headers_show_the_remaining_allowance() {
    let server = Server::with(limited(3)).await;
    let all = server.post(JSON, &hellos(3)).await;
    assert_eq!(all.json()["data"]["a2"], "world");
    assert_eq!(all.header("ratelimit-policy"), Some(r#""general";q=3;w=60"#));
    assert_eq!(all.header("ratelimit"), Some(r#""general";r=0;t=60"#));
    assert_eq!(all.header("retry-after"), None);

    let refused = server.post(JSON, &hellos(1)).await;
    assert_eq!((refused.status, refused.code().as_str()), (200, "RATE_LIMITED"));
    assert!(refused.json().get("data").is_none(), "nothing was executed");
    let wait = refused.json()["errors"][0]["extensions"]["retryAfterSeconds"].as_u64().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(refused.header("retry-after"), Some(wait.to_string().as_str()));
    let refused = server.post(RESPONSE_JSON, &hellos(1)).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "RATE_LIMITED"));
    let alive = server.post(JSON, r#"{"query":"{ __typename }"}"#).await;
    assert_eq!((alive.json()["data"]["__typename"].as_str(), alive.header("ratelimit")), (Some("Query"), None));

    let user = server.post(&format!("{JSON}authorization: Bearer good\r\n"), &hellos(3)).await;
    assert_eq!(user.json()["data"]["a0"], "world", "users have separate allowances");
    let other = server.post(&format!("{JSON}x-forwarded-for: 192.0.2.7\r\n"), &hellos(3)).await;
    assert_eq!(other.json()["data"]["a0"], "world", "addresses have separate allowances");
}

#[tokio::test]
async fn a_request_beyond_the_allowance_is_refused_completely() {
    let server = Server::with(limited(3)).await;
    assert_eq!(server.post(JSON, &hellos(4)).await.code(), "RATE_LIMITED");
    assert_eq!(server.post(JSON, &hellos(3)).await.json()["data"]["a0"], "world");
}

#[tokio::test]
async fn invalid_documents_count_against_the_rate_limit() {
    let server = Server::with(limited(2)).await;
    for wanted in ["INVALID_DOCUMENT", "INVALID_DOCUMENT", "RATE_LIMITED"] {
        assert_eq!(server.post(JSON, r#"{"query":"{"}"#).await.code(), wanted);
    }
    let server = Server::with(limited(2)).await;
    for wanted in ["INVALID_INPUT", "INVALID_INPUT", "RATE_LIMITED"] {
        assert_eq!(server.post(JSON, r#"{"query":1}"#).await.code(), wanted);
    }
    let long = json!({ "query": "{ hello }", "more": "x".repeat(1_000) }).to_string();
    assert_eq!(server.post(JSON, &long).await.code(), "RATE_LIMITED", "the body is not read");
}

#[tokio::test]
async fn operations_over_websocket_and_http_share_one_allowance() {
    let server = Server::with(limited(3)).await;
    let mut socket = server.ready_socket().await;
    socket.subscribe("1", "{ a: hello b: hello }").await;
    assert_eq!(socket.next().await["payload"]["data"]["b"], "world");
    assert_eq!(socket.next().await["type"], "complete");
    assert_eq!(server.query("{ hello }").await["data"]["hello"], "world");
    socket.subscribe("2", "subscription { upTo(n: 1) }").await;
    let refused = socket.next().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("2")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    assert!(refused["payload"][0]["extensions"]["retryAfterSeconds"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn refusals_are_delayed_without_delaying_other_clients() {
    let limits = Limits { refusal_delay: Duration::from_millis(800), ..limited(1) };
    let server = Server::with(limits).await;
    server.query("{ hello }").await;
    let refused = async {
        let start = Instant::now();
        assert_eq!(server.post(JSON, &hellos(1)).await.code(), "RATE_LIMITED");
        start.elapsed()
    };
    let other = async {
        let start = Instant::now();
        server.post(&format!("{JSON}x-forwarded-for: 192.0.2.7\r\n"), &hellos(1)).await;
        start.elapsed()
    };
    let (refused, other) = tokio::join!(refused, other);
    assert!(refused >= Duration::from_millis(800) && other < refused, "{refused:?} {other:?}");
}

#[tokio::test]
async fn zero_disables_the_rate_limit() {
    let server = Server::with(limited(0)).await;
    for _ in 0..10 {
        let answer = server.post(JSON, &hellos(20)).await;
        assert_eq!((answer.json()["data"]["a19"].as_str(), answer.header("ratelimit")), (Some("world"), None));
    }
}

#[tokio::test]
async fn cors_allows_listed_origins_only() {
    let allowed = "https://chat.example.com,http://localhost:3000";
    let server = Server::start_with(Limits::default(), allowed, None).await;
    let preflight = async |origin: &str| {
        let request = format!(
            "OPTIONS /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type\r\n\r\n"
        );
        server.raw(&request).await
    };
    for origin in ["https://chat.example.com", "http://localhost:3000"] {
        let answer = preflight(origin).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-methods"), Some("get, post"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization, *"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);

        let answer = server.post(&format!("{JSON}origin: {origin}\r\n"), &hellos(1)).await;
        assert_eq!(answer.json()["data"]["a0"], "world");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"));
        assert!(answer.head.contains("vary: origin"), "{}", answer.head);
    }
    for origin in [
        "https://evil.example",
        "http://chat.example.com",
        "https://chat.example.com:8443",
        "https://x.chat.example.com",
        "null",
    ] {
        let answer = preflight(origin).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None), "{origin}");
        let answer = server.post(&format!("{JSON}origin: {origin}\r\n"), &hellos(1)).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        assert!(answer.head.contains("vary: origin"), "caches must not serve the response to other origins");
    }
    let refused = server.post(&format!("{JSON}origin: http://localhost:3000\r\n"), "{").await;
    assert_eq!(refused.header("access-control-allow-origin"), Some("http://localhost:3000"), "errors are readable too");
    let none = Server::start().await;
    let answer = none.post(&format!("{JSON}origin: https://chat.example.com\r\n"), &hellos(1)).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn sockets_are_accepted_from_allowed_origins_and_without_an_origin() {
    let server = Server::start_with(Limits::default(), "https://chat.example.com", None).await;
    for (headers, status) in [
        ("host: a.example:8000\r\n", 101),
        ("host: a.example:8000\r\norigin: http://a.example:8000\r\n", 101),
        ("host: a.example\r\norigin: https://a.example\r\n", 101),
        ("host: a.example\r\norigin: https://chat.example.com\r\n", 101),
        ("host: a.example\r\norigin: http://chat.example.com\r\n", 403),
        ("host: a.example\r\norigin: http://a.example:8001\r\n", 403),
        ("host: a.example\r\norigin: https://evil.example\r\n", 403),
        ("host: a.example\r\norigin: null\r\n", 403),
        ("host: a.example\r\norigin: https://a.example.evil.example\r\n", 403),
    ] {
        assert_eq!(server.handshake(headers).await, status, "{headers}");
    }
    let refused = server
        .raw("GET /graphql HTTP/1.1\r\nhost: a\r\norigin: http://evil.example\r\nupgrade: websocket\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "FORBIDDEN"));
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let server = Server::start().await;
    for answer in [
        server.post(JSON, &hellos(1)).await,
        server.post(JSON, "{").await,
        server.get("/health/live", "").await,
        server.get("/nowhere", "").await,
    ] {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "deny"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        assert_eq!(answer.header("strict-transport-security"), None, "only over TLS");
    }
}
