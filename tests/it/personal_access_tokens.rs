//! Personal access tokens: scopes, mutations that they cannot execute, revocation and limits.

use serde_json::{Value, json};

use crate::support::client::{Client, PASSWORD, User, text};
use crate::support::database::on_both_databases;
use crate::support::server::{Server, Setup};

const TOKEN: &str = "personalAccessToken { id name scopes createdAt lastUsedAt expiresAt } secret";

struct Token {
    id: String,
    client: Client,
}

async fn token(user: &User, scopes: Value) -> Token {
    let made = user.mutate("createPersonalAccessToken", TOKEN, json!({ "name": "ci", "scopes": scopes })).await.data();
    let made = &made["createPersonalAccessToken"];
    assert_eq!(made["personalAccessToken"]["scopes"], scopes);
    assert_eq!(made["personalAccessToken"]["lastUsedAt"], Value::Null);
    Token { id: text(&made["personalAccessToken"]["id"]), client: user.with_token(&text(&made["secret"])) }
}

on_both_databases!(a_token_can_do_what_its_scopes_allow, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let reads = token(&ada, json!(["READ"])).await;
    let writes = token(&ada, json!(["WRITE"])).await;
    assert!(reads.id.starts_with("pat_") && reads.client.token.clone().unwrap().starts_with("duo_pat_"));

    let seen =
        "{ me { id email sessions { isCurrent } personalAccessTokens { id name lastUsedAt } } currentSession { id } }";
    let me = reads.client.data(seen, json!({})).await;
    assert_eq!((&me["me"]["id"], &me["currentSession"]), (&json!(ada.id), &Value::Null));
    assert_eq!(me["me"]["sessions"], json!([{ "isCurrent": false }]));
    let listed: Vec<_> =
        me["me"]["personalAccessTokens"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
    assert_eq!(listed, [writes.id.clone(), reads.id.clone()], "newest first");

    // Every mutation of the schema is refused before its input is checked.
    let fields = ada.data("{ __schema { mutationType { fields { name args { name } type { fields { name type { kind ofType { kind } } } } } } } }", json!({})).await;
    let fields = fields["__schema"]["mutationType"]["fields"].as_array().unwrap().clone();
    assert!(fields.len() > 15);
    let kinds = "query($name: String!) { __type(name: $name) { inputFields { name type { kind name ofType { kind name ofType { ofType { kind name } } } } } } }";
    for field in &fields {
        let name = text(&field["name"]);
        let payload = &field["type"]["fields"].as_array().unwrap()[0];
        let is_object = payload["type"]["ofType"]["kind"] == "OBJECT";
        let selection = format!("{}{}", text(&payload["name"]), if is_object { " { __typename }" } else { "" });
        let answer = if field["args"].as_array().unwrap().is_empty() {
            reads.client.run(&format!("mutation {{ {name} {{ {selection} }} }}"), json!({})).await
        } else {
            let input = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
            let wanted = ada.data(kinds, json!({ "name": input })).await["__type"]["inputFields"].take();
            let needed = wanted.as_array().unwrap().iter().filter(|one| one["type"]["kind"] == "NON_NULL");
            let value = |kind: &Value| match (kind["kind"].as_str().unwrap(), kind["name"].as_str()) {
                ("LIST", _) => json!([]),
                (_, Some("Boolean")) => json!(true),
                (_, Some("Int" | "Float")) => json!(1),
                (_, Some("DateTime")) => json!("2030-01-01T00:00:00Z"),
                _ => json!("x"),
            };
            let input: serde_json::Map<_, _> =
                needed.map(|one| (text(&one["name"]), value(&one["type"]["ofType"]))).collect();
            reads.client.mutate(&name, &selection, Value::Object(input)).await
        };
        assert_eq!(answer.code(), "FORBIDDEN", "{name}");
    }

    let chat = writes.client.new_chat(json!({ "title": "by a program" })).await;
    assert!(chat.starts_with("chat_"));
    let sent = writes.client.talk(&chat, "Hi").await;
    let mut socket = reads.client.socket().await;
    socket.read("1", &sent.reply, None).await;
    while socket.event("1").await.is_some() {}
    // Over a WebSocket.
    socket.subscribe("2", "mutation { logout { sessionId } }", json!({})).await;
    assert_eq!(socket.failure("2").await.code(), "FORBIDDEN");
    server.stop().await;
});

on_both_databases!(mutations_for_the_security_of_an_account_require_a_session, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let all = token(&ada, json!(["READ", "WRITE", "ADMIN"])).await;
    let program = &all.client;
    for (field, selection, input) in [
        ("changePassword", "user { id }", json!({ "currentPassword": PASSWORD, "newPassword": "an entirely other 1" })),
        ("updateProfile", "user { id }", json!({ "email": "eve@example.com", "currentPassword": PASSWORD })),
        ("updateProfile", "user { id }", json!({ "username": "eve" })),
        ("createPersonalAccessToken", "secret", json!({ "name": "more", "scopes": ["ADMIN"] })),
        ("revokePersonalAccessToken", "personalAccessTokenId", json!({ "personalAccessTokenId": all.id })),
        ("revokeSession", "sessionId", json!({ "sessionId": ada.session_id })),
        ("deactivateAccount", "userId", json!({ "password": PASSWORD })),
        ("deleteAccount", "userId", json!({ "password": PASSWORD })),
    ] {
        assert_eq!(program.mutate(field, selection, input).await.code(), "FORBIDDEN", "{field}");
    }
    for document in ["mutation { logout { sessionId } }", "mutation { logoutEverywhere { sessionCount } }"] {
        assert_eq!(program.run(document, json!({})).await.code(), "FORBIDDEN", "{document}");
    }
    let renamed = program.mutate("updateProfile", "user { bio }", json!({ "bio": "I have a program." })).await.data();
    assert_eq!(renamed["updateProfile"]["user"]["bio"], "I have a program.");
    assert_eq!(ada.data("{ me { email } }", json!({})).await["me"]["email"], "ada@example.com");
    server.stop().await;
});

async fn email_of(client: &Client, id: &str) -> Value {
    let document = "query($id: ID!) { node(id: $id) { ... on User { username email } } }";
    client.data(document, json!({ "id": id })).await["node"]["email"].take()
}

async fn admin(server: &Server) -> User {
    let login = json!({ "login": "root", "password": PASSWORD });
    let payload = server.client().mutate("login", "user { id } session { id } accessToken refreshToken", login).await;
    server.client().signed_in(&payload.data()["login"])
}

on_both_databases!(admin_permissions_require_the_admin_scope, |database| async move {
    let setup = Setup::new(&database)
        .with("DEFAULT_ADMIN_USERNAME", "root")
        .with("DEFAULT_ADMIN_EMAIL", "root@example.com")
        .with("DEFAULT_ADMIN_PASSWORD", PASSWORD);
    let server = setup.start().await;
    let (root, ada) = (admin(&server).await, server.sign_up("ada").await);
    assert_eq!(email_of(&root, &ada.id).await, "ada@example.com");
    assert_eq!(email_of(&token(&root, json!(["ADMIN"])).await.client, &ada.id).await, "ada@example.com");
    assert_eq!(email_of(&token(&root, json!(["READ", "WRITE"])).await.client, &ada.id).await, Value::Null);
    assert_eq!(email_of(&token(&ada, json!(["ADMIN"])).await.client, &root.id).await, Value::Null);
    server.stop().await;
});

on_both_databases!(a_revoked_token_is_invalid_immediately, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let made = token(&ada, json!(["READ"])).await;
    let mut socket = made.client.socket().await;
    let node = "query($id: ID!) { node(id: $id) { id ... on PersonalAccessToken { name } } }";
    assert_eq!(ada.data(node, json!({ "id": made.id })).await["node"]["name"], "ci");
    assert_eq!(eve.data(node, json!({ "id": made.id })).await["node"], Value::Null);
    let seen = "query { user(username: \"ADA\") { username personalAccessTokens { id } sessions { id } email } }";
    let hidden = json!({ "username": "ada", "personalAccessTokens": null, "sessions": null, "email": null });
    assert_eq!(eve.data(seen, json!({})).await["user"], hidden);

    let input = json!({ "personalAccessTokenId": made.id });
    let revoke =
        async |who: &Client| who.mutate("revokePersonalAccessToken", "personalAccessTokenId", input.clone()).await;
    assert_eq!(revoke(&eve).await.code(), "NOT_FOUND");
    let start = std::time::Instant::now();
    assert_eq!(revoke(&ada).await.data()["revokePersonalAccessToken"]["personalAccessTokenId"], made.id);
    assert_eq!(socket.closed().await, 4403);
    assert!(start.elapsed().as_secs() < 1);
    assert_eq!(made.client.run("{ currentSession { id } }", json!({})).await.code(), "UNAUTHENTICATED");
    assert_eq!(revoke(&ada).await.code(), "NOT_FOUND");
    server.stop().await;
});

on_both_databases!(tokens_are_validated_and_limited_in_number, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let make = async |input: Value| ada.mutate("createPersonalAccessToken", TOKEN, input).await;
    for (input, complaint) in [
        (json!({ "name": " ", "scopes": ["READ"] }), "INVALID_INPUT name:REQUIRED"),
        (json!({ "name": "é".repeat(101), "scopes": ["READ"] }), "INVALID_INPUT name:TOO_LONG"),
        (json!({ "name": "ci", "scopes": [] }), "INVALID_INPUT scopes:REQUIRED"),
        (
            json!({ "name": "ci", "scopes": ["READ"], "expiresAt": "2020-01-01T00:00:00Z" }),
            "INVALID_INPUT expiresAt:OUT_OF_RANGE",
        ),
    ] {
        assert_eq!(make(input).await.complaint(), complaint);
    }
    let later = "2999-01-01T00:00:00.000Z";
    let made = make(json!({ "name": "ci", "scopes": ["WRITE", "READ", "WRITE"], "expiresAt": later })).await.data();
    let made = &made["createPersonalAccessToken"]["personalAccessToken"];
    assert_eq!((&made["scopes"], &made["expiresAt"]), (&json!(["WRITE", "READ"]), &json!(later)));
    for _ in 0..49 {
        token(&ada, json!(["READ"])).await;
    }
    assert_eq!(make(json!({ "name": "one more", "scopes": ["READ"] })).await.code(), "CONFLICT");
    server.stop().await;
});
