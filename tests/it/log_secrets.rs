//! Tests that the log contains no secrets, at any level: neither secrets that clients send over HTTP and WebSocket, nor
//! those that the server returns, nor the keys of providers.

use serde_json::json;

use crate::support::client::{PASSWORD, text};
use crate::support::database::on_both_databases;
use crate::support::provider::FakeProvider;
use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::staff::{root, with_admin};

const PROVIDER_KEY: &str = "sk-lantern-otter-41";
const OTHER_PASSWORD: &str = "41 lanterns counted by a velvet otter";
const WORDS: &str = "Confidential words";
const TOKENS: &str = "user { id } session { id } accessToken refreshToken";

on_both_databases!(no_secret_is_in_the_log_at_any_level, |database| async move {
    let provider = FakeProvider::start().await;
    let setup = with_admin(Setup::new(&database).with("LOG", "trace,tungstenite=trace,hyper_util=trace"))
        .with("MODELS_FILE", provider.models_file())
        .with("NO_SUCH_KEY", PROVIDER_KEY);
    let server = setup.start().await;
    let root = root(&server).await;
    let ada = server.sign_up("ada").await;
    let mut secrets = vec![PASSWORD.to_owned(), OTHER_PASSWORD.to_owned(), PROVIDER_KEY.to_owned(), WORDS.to_owned()];
    secrets.push("kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me".to_owned());
    for user in [&root, &ada] {
        secrets.extend([user.token.clone().unwrap(), user.refresh_token.clone()]);
    }

    // Over HTTP.
    let made =
        ada.mutate("createPersonalAccessToken", "secret", json!({ "name": "ci", "scopes": ["READ"] })).await.data();
    let program = text(&made["createPersonalAccessToken"]["secret"]);
    ada.with_token(&program).data("{ me { id } }", json!({})).await;
    secrets.push(program.clone());
    let reset = root.mutate("issuePasswordReset", "resetToken", json!({ "userId": ada.id })).await.data();
    let reset = text(&reset["issuePasswordReset"]["resetToken"]);
    let change = json!({ "currentPassword": PASSWORD, "newPassword": OTHER_PASSWORD });
    ada.mutate("changePassword", "user { id }", change).await.data();
    let failed = json!({ "resetToken": reset, "newPassword": PASSWORD });
    assert_eq!(ada.mutate("resetPassword", "userId", failed).await.code(), "INVALID_CREDENTIALS");
    secrets.push(reset);
    let refreshed = ada.mutate("refreshSession", TOKENS, json!({ "refreshToken": ada.refresh_token })).await.data();
    let ada = ada.signed_in(&refreshed["refreshSession"]);
    secrets.extend([ada.token.clone().unwrap(), ada.refresh_token.clone()]);
    ada.run(&format!("{{ me {{ id }} # {OTHER_PASSWORD}\n unknown }}"), json!({ "password": OTHER_PASSWORD })).await;
    ada.send_raw(format!(r#"{{"query": "{{ me {{ id }} }}", "password": "{OTHER_PASSWORD}""#)).await;

    // Over a WebSocket: the token of `connection_init`, a sign-in, and a reply from a provider with a key.
    let mut socket = Socket::connect(&ada).await;
    let login = "mutation($input: LoginInput!) { login(input: $input) { accessToken refreshToken } }";
    socket.subscribe("1", login, json!({ "input": { "login": "ada", "password": OTHER_PASSWORD } })).await;
    let answer = socket.next().await;
    let payload = &answer["payload"]["data"]["login"];
    secrets.extend([text(&payload["accessToken"]), text(&payload["refreshToken"])]);
    let sent = ada.ask("keyless/model", WORDS).await;
    socket.read("2", &sent.reply, None).await;
    while socket.event("2").await.is_some() {}
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    let mut dead = Socket::open(&ada.with_token(&format!("{program}x"))).await.unwrap();
    assert_eq!(dead.closed().await, 4403);
    let mut malformed = Socket::connect(&ada).await;
    malformed.send_raw(format!(r#"{{"type":"subscribe","password":"{OTHER_PASSWORD}""#)).await;
    assert_eq!(malformed.closed().await, 4400);

    let log = server.log();
    assert!(log.iter().any(|line| line.contains(r#""level":"DEBUG""#)), "the level is lower than the default");
    for secret in &secrets {
        let found: Vec<&String> = log.iter().filter(|line| line.contains(secret.as_str())).collect();
        assert!(found.is_empty(), "{secret}: {found:#?}");
    }
    server.stop().await;
});
