//! Protection: rate limits, lockout, rotation of the JWT secret, and origins.

use serde_json::{Value, json};

use crate::support::client::{PASSWORD, text};
use crate::support::database::{Engine, TestDatabase, on_both_databases};
use crate::support::server::{Server, Setup};

async fn database() -> TestDatabase {
    TestDatabase::create(Engine::Sqlite).await.unwrap()
}

/// Executes a document as an anonymous client with this address, which a trusted proxy forwards.
async fn from(server: &Server, address: &str, query: &str, variables: Value) -> Value {
    let request = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let request = request.post(format!("http://{}/graphql", server.address)).header("x-forwarded-for", address);
    let body = json!({ "query": query, "variables": variables }).to_string();
    request.header("content-type", "application/json").body(body).send().await.unwrap().json().await.unwrap()
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
}

const LOGIN: &str = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }";

#[tokio::test]
async fn a_hundred_aliased_sign_ins_count_as_a_hundred() {
    let database = database().await;
    let server = Setup::new(&database).with("RATE_LIMIT_PER_MINUTE", "20").start().await;
    let logins = |n: usize| {
        let one = |n| format!("a{n}: login(input: {{ login: \"nobody\", password: \"{n}\" }}) {{ accessToken }} ");
        format!("mutation {{ {} }}", (0..n).map(one).collect::<String>())
    };
    let answer = server.client().run(&logins(100), json!({})).await;
    assert_eq!(answer.code(), "RATE_LIMITED");
    assert!(answer.extensions()["retryAfterSeconds"].as_u64().unwrap() >= 1);
    let answer = server.client().run(&logins(12), json!({})).await;
    let codes: Vec<&str> = answer.0["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["extensions"]["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, [vec!["INVALID_CREDENTIALS"; 10], vec!["LOCKED_OUT"; 2]].concat());
    assert!(answer.0["errors"][11]["extensions"]["retryAfterSeconds"].as_u64().unwrap() > 800);
    // Not 9, because the limit refills while the passwords are hashed.
    assert_eq!(server.client().run(&logins(20), json!({})).await.code(), "RATE_LIMITED", "12 of 20 are gone");
}

#[tokio::test]
async fn messages_to_models_have_a_separate_limit() {
    let database = database().await;
    let server = Setup::new(&database).with("CHAT_RATE_LIMIT_PER_MINUTE", "2").start().await;
    let ada = server.sign_up("ada").await;
    for _ in 0..2 {
        ada.ask("demo", "hello").await;
    }
    let refused = ada.try_send(json!({ "newChat": { "modelId": "demo" }, "content": "hello" })).await.unwrap();
    assert_eq!(refused.code(), "RATE_LIMITED");
    ada.data("{ me { id } }", json!({})).await;
}

on_both_databases!(an_admin_sees_and_removes_a_lock_that_does_not_affect_the_owners_network, |database| async move {
    let server = Setup::new(&database)
        .with("TRUSTED_PROXIES", "127.0.0.0/8")
        .with("DEFAULT_ADMIN_USERNAME", "root")
        .with("DEFAULT_ADMIN_EMAIL", "root@example.com")
        .with("DEFAULT_ADMIN_PASSWORD", PASSWORD)
        .with("LOGIN_LOCKOUT_ATTEMPTS", "2")
        .start()
        .await;
    let ada = server.sign_up("ada").await;
    let login = async |address: &str, password: &str| {
        from(&server, address, LOGIN, json!({ "input": { "login": "ada", "password": password } })).await
    };
    for _ in 0..2 {
        assert_eq!(code(&login("192.0.2.7", "wrong").await), "INVALID_CREDENTIALS");
    }
    assert_eq!(code(&login("192.0.2.7", PASSWORD).await), "LOCKED_OUT");
    assert!(
        login("192.0.2.8", PASSWORD).await["data"]["login"]["accessToken"].is_string(),
        "the owner, from elsewhere"
    );

    let root = json!({ "input": { "login": "root", "password": PASSWORD } });
    let token = text(&server.client().data(LOGIN, root).await["login"]["accessToken"]);
    let root = server.client().with_token(&token);
    let own = ada.data("{ me { lockedUntil } }", json!({})).await;
    assert!(own["me"]["lockedUntil"].is_string(), "{own}");
    let refused = ada.mutate("unlockUser", "user { id }", json!({ "userId": ada.id })).await;
    assert_eq!(refused.code(), "FORBIDDEN");
    let unlocked = root.mutate("unlockUser", "user { id lockedUntil }", json!({ "userId": ada.id })).await.data();
    assert_eq!(unlocked["unlockUser"]["user"], json!({ "id": ada.id, "lockedUntil": null }));
    assert!(login("192.0.2.7", PASSWORD).await["data"]["login"]["accessToken"].is_string());
    let unknown =
        root.mutate("unlockUser", "user { id }", json!({ "userId": "user_01h455vb4pex5vsknk084sn02q" })).await;
    assert_eq!(unknown.code(), "NOT_FOUND");
    server.stop().await;
});

#[tokio::test]
async fn secrets_are_rotated_with_a_list() {
    let [old, new] = ["kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me", "Zr8tQm4xWc1vLp6yHn3bKd9sFg2jTe7u"];
    let database = database().await;
    let start = async |secrets: &str| Setup::new(&database).with("JWT_SECRET", secrets).start().await;
    let server = start(old).await;
    let before = server.sign_up("ada").await;
    server.stop().await;

    let server = start(&format!("{new},{old}")).await;
    assert!(before.at(server.address).data("{ me { id } }", json!({})).await["me"]["id"].is_string());
    let refresh =
        "mutation($input: RefreshSessionInput!) { refreshSession(input: $input) { accessToken refreshToken } }";
    let input = json!({ "input": { "refreshToken": before.refresh_token } });
    let after = server.client().data(refresh, input).await["refreshSession"].take();
    server.stop().await;

    let server = start(new).await;
    let dead = before.at(server.address).run("{ me { id } }", json!({})).await;
    assert_eq!(dead.code(), "UNAUTHENTICATED", "what the old secret signed");
    let me = server.client().with_token(&text(&after["accessToken"])).data("{ me { id } }", json!({})).await;
    assert_eq!(me["me"]["id"], Value::String(before.id.clone()));
    let input = json!({ "input": { "refreshToken": after["refreshToken"] } });
    assert!(server.client().data(refresh, input).await["refreshSession"]["accessToken"].is_string());
    server.stop().await;
}

/// The CORS header of a preflight response for this origin, and the status of a WebSocket handshake.
async fn page(server: &Server, origin: &str) -> (Option<String>, u16) {
    let http = server.client().http;
    let address = format!("http://{}/graphql", server.address);
    let preflight = http.request(reqwest::Method::OPTIONS, &address).header("origin", origin);
    let answer = preflight.header("access-control-request-method", "POST").send().await.unwrap();
    let allowed = answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned());
    let handshake =
        http.get(&address).header("origin", origin).header("connection", "upgrade").header("upgrade", "websocket");
    let handshake =
        handshake.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let status = handshake.header("sec-websocket-protocol", "graphql-transport-ws").send().await.unwrap().status();
    (allowed, status.as_u16())
}

#[tokio::test]
async fn loopback_origins_are_allowed_in_development_only() {
    let database = database().await;
    let local = ["http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:3000"];
    let development = Setup::new(&database).start().await;
    for origin in local {
        assert_eq!(page(&development, origin).await, (Some(origin.to_owned()), 101));
    }
    assert_eq!(page(&development, "https://chat.example.com").await, (None, 403));
    development.stop().await;
    let production = Setup::new(&database).with("ENVIRONMENT", "production");
    let production = production.with("CORS_ORIGINS", "https://chat.example.com").start().await;
    for origin in local {
        assert_eq!(page(&production, origin).await, (None, 403));
    }
    assert_eq!(page(&production, "https://chat.example.com").await, (Some("https://chat.example.com".to_owned()), 101));
    production.kill().await;
}
