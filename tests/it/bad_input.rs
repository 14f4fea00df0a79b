//! Invalid input: texts, ids, times, list arguments and variables.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::client::PASSWORD;
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::staff::{root, with_admin};

on_both_databases!(invalid_messages_are_rejected, |database| async move {
    let server = Setup::new(&database).with("MAX_MESSAGE_LENGTH", "20").start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
    let long = "é".repeat(21);
    for (content, complaint) in [
        ("", "content:REQUIRED"),
        (" \n\t\u{3000}", "content:REQUIRED"),
        (&long, "content:TOO_LONG"),
        ("a\0b", "content:MALFORMED"),
        ("a\u{7}b", "content:MALFORMED"),
        ("a\u{1b}[31mb", "content:MALFORMED"),
    ] {
        let answer = ada.try_send(json!({ "chatId": chat, "content": content })).await.unwrap();
        assert_eq!(answer.complaint(), format!("INVALID_INPUT {complaint}"), "{content:?}");
    }
    // Texts at and below the limit, and unusual but valid texts.
    for content in
        ["é".repeat(20).as_str(), "é".repeat(19).as_str(), "👩‍👩‍👧‍👦\r\n\tשלום", "'; DROP TABLE x --", "\u{feff}\u{202e}x"]
    {
        let sent = ada.talk(&chat, content).await;
        assert_eq!(ada.message(&sent.message, "content").await["content"], content, "the text is stored unchanged");
    }

    let key = "k".repeat(256);
    let (new, none) = (json!({ "modelId": "demo/fast" }), "chat_01h455vb4pex5vsknk084sn02q");
    for (input, complaint) in [
        (json!({ "content": "Hi" }), "INVALID_INPUT chatId:REQUIRED"),
        (json!({ "chatId": null, "newChat": null, "content": "Hi" }), "INVALID_INPUT chatId:REQUIRED"),
        (json!({ "chatId": chat, "newChat": new, "content": "Hi" }), "INVALID_INPUT newChat:NOT_ALLOWED"),
        (
            json!({ "newChat": new, "parentId": "msg_01h455vb4pex5vsknk084sn02q", "content": "Hi" }),
            "INVALID_INPUT parentId:NOT_ALLOWED",
        ),
        (
            json!({ "newChat": { "idempotencyKey": "k" }, "content": "Hi" }),
            "INVALID_INPUT newChat.idempotencyKey:NOT_ALLOWED",
        ),
        (
            json!({ "newChat": { "title": "a\0" }, "content": "" }),
            "INVALID_INPUT newChat.title:MALFORMED content:REQUIRED",
        ),
        (json!({ "newChat": { "characterId": chat }, "content": "Hi" }), "INVALID_INPUT newChat.characterId:MALFORMED"),
        (json!({ "newChat": { "characterId": "char_01h455vb4pex5vsknk084sn02q" }, "content": "Hi" }), "NOT_FOUND"),
        (json!({ "chatId": none, "content": "Hi" }), "NOT_FOUND"),
        (json!({ "chatId": "a\0b", "content": "Hi" }), "INVALID_INPUT chatId:MALFORMED"),
        (json!({ "chatId": chat, "content": "Hi", "modelId": "none" }), "INVALID_INPUT modelId:UNKNOWN"),
        (json!({ "chatId": chat, "content": "Hi", "modelId": "" }), "INVALID_INPUT modelId:UNKNOWN"),
        (json!({ "chatId": chat, "content": "Hi", "idempotencyKey": "" }), "INVALID_INPUT idempotencyKey:REQUIRED"),
        (json!({ "chatId": chat, "content": "Hi", "idempotencyKey": key }), "INVALID_INPUT idempotencyKey:TOO_LONG"),
        (
            json!({ "chatId": chat, "content": "Hi", "idempotencyKey": "a\0b" }),
            "INVALID_INPUT idempotencyKey:MALFORMED",
        ),
    ] {
        assert_eq!(ada.try_send(input.clone()).await.unwrap().complaint(), complaint, "{input}");
    }
    let eve = server.sign_up("eve").await;
    assert_eq!(eve.try_send(json!({ "chatId": chat, "content": "Hi" })).await.unwrap().code(), "NOT_FOUND");
    assert_eq!(
        server.client().try_send(json!({ "chatId": chat, "content": "Hi" })).await.unwrap().code(),
        "UNAUTHENTICATED"
    );

    let find = "query($id: ID!) { chat(id: $id) { messageCount messages { totalCount } } }";
    let count = ada.data(find, json!({ "id": chat })).await["chat"].take();
    assert_eq!(
        count,
        json!({ "messageCount": 10, "messages": { "totalCount": 10 } }),
        "rejected messages are not stored"
    );
    assert_eq!(ada.data("{ me { chats { totalCount } } }", json!({})).await["me"]["chats"]["totalCount"], 1);
    server.stop().await;
});

on_both_databases!(invalid_accounts_are_rejected, |database| async move {
    let server = Setup::new(&database).start().await;
    let nobody = server.client();
    let register = |username: &str, email: &str, full_name: Value| {
        let input = json!({ "username": username, "email": email, "password": PASSWORD, "fullName": full_name });
        let nobody = nobody.clone();
        async move { nobody.mutate("register", "user { id }", input).await }
    };
    for (username, email, full_name, field) in [
        ("", "a@example.com", Value::Null, "username"),
        ("a\0da", "a@example.com", Value::Null, "username"),
        ("a\nda", "a@example.com", Value::Null, "username"),
        ("ada", "", Value::Null, "email"),
        ("ada", "a\0@example.com", Value::Null, "email"),
        ("ada", "a@example.com\r\nbcc: x", Value::Null, "email"),
        ("ada", "a@example.com", json!("A\0da"), "fullName"),
        ("ada", "a@example.com", json!("A\u{1b}da"), "fullName"),
    ] {
        let complaint = register(username, email, full_name).await.complaint();
        assert!(complaint.starts_with(&format!("INVALID_INPUT {field}:")), "{username:?} {email:?}: {complaint}");
    }
    register("ada", "a@example.com", json!("Ada 👋🏽")).await.data();
    let login = |login: &str, password: &str| {
        let (nobody, input) = (nobody.clone(), json!({ "login": login, "password": password }));
        async move { nobody.mutate("login", "user { id }", input).await }
    };
    assert_eq!(login("a\0da", PASSWORD).await.code(), "INVALID_CREDENTIALS");
    assert_eq!(login("ada", "wrong\0").await.code(), "INVALID_CREDENTIALS");
    for token in ["", "x", "\0", &"x".repeat(10_000)] {
        let answer = nobody.mutate("refreshSession", "user { id }", json!({ "refreshToken": token })).await;
        assert!(["INVALID_CREDENTIALS", "INVALID_INPUT"].contains(&answer.code()), "{token:.20}: {}", answer.0);
    }
    server.stop().await;
});

on_both_databases!(invalid_list_arguments_are_rejected, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let cursor = |place: Value| URL_SAFE_NO_PAD.encode(place.to_string());
    let nobody = "user_01h455vb4pex5vsknk084sn02q";
    let users = cursor(json!({ "username_key": "a\0", "id": nobody }));
    let characters = cursor(json!({ "name_key": "a\0", "id": "char_01h455vb4pex5vsknk084sn02q" }));
    let chats = cursor(json!({ "active_at": i64::MIN, "id": "chat_01h455vb4pex5vsknk084sn02q" }));
    for (list, arguments, complaint) in [
        ("admin { users", json!({ "filter": { "query": "a\0" } }), "filter.query:MALFORMED"),
        ("admin { users", json!({ "filter": { "query": "a".repeat(201) } }), "filter.query:TOO_LONG"),
        ("admin { users", json!({ "after": users }), "after:MALFORMED"),
        ("admin { auditLog", json!({ "filter": { "action": "a\0" } }), "filter.action:MALFORMED"),
        ("admin { auditLog", json!({ "filter": { "subjectId": "a\0" } }), "filter.subjectId:MALFORMED"),
        ("characters", json!({ "after": characters }), "after:MALFORMED"),
        ("characters", json!({ "filter": { "query": "a\0" } }), "filter.query:MALFORMED"),
        ("me { chats", json!({ "after": chats }), "after:MALFORMED"),
        ("me { chats", json!({ "filter": { "query": "a\0" } }), "filter.query:MALFORMED"),
        ("characters", json!({ "after": "a\0" }), "after:MALFORMED"),
    ] {
        let kind = match list {
            "admin { users" => "UserFilter",
            "admin { auditLog" => "AuditFilter",
            "characters" => "CharacterFilter",
            _ => "ChatFilter",
        };
        let end = if list.contains('{') { " }" } else { "" };
        let document = format!(
            "query($after: String, $filter: {kind}) {{ {list}(after: $after, filter: $filter) {{ totalCount nodes {{ id }} }}{end} }}"
        );
        let answer = root.run(&document, arguments.clone()).await;
        assert_eq!(answer.complaint(), format!("INVALID_INPUT {complaint}"), "{list} {arguments}");
    }
    server.stop().await;
});

on_both_databases!(times_are_limited_to_years_that_can_be_formatted, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let make = async |at: &str| {
        let token = json!({ "name": "ci", "scopes": ["READ"], "expiresAt": at });
        root.mutate("createPersonalAccessToken", "personalAccessToken { expiresAt }", token).await
    };
    for bad in ["", "a\0", "2030-01-01", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z", "+10000-01-01T00:00:00Z"]
    {
        assert_eq!(make(bad).await.code(), "INVALID_INPUT", "{bad:?}");
    }
    for (given, shown) in [
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
        ("2030-06-30T23:59:60Z", "2030-07-01T00:00:00.000Z"),
        ("2030-01-01T01:00:00+02:00", "2029-12-31T23:00:00.000Z"),
    ] {
        let made = make(given).await.data()["createPersonalAccessToken"]["personalAccessToken"].take();
        assert_eq!(made["expiresAt"], shown);
        let stored = root.data("{ me { personalAccessTokens { expiresAt } } }", json!({})).await;
        assert_eq!(
            stored["me"]["personalAccessTokens"][0]["expiresAt"], shown,
            "the stored time equals the returned one"
        );
    }
    let log =
        "query($from: DateTime, $to: DateTime) { admin { auditLog(filter: { from: $from, to: $to }) { totalCount } } }";
    let all = root.data(log, json!({ "from": "0000-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z" })).await;
    assert!(all["admin"]["auditLog"]["totalCount"].as_i64().unwrap() > 0);
    assert_eq!(root.run(log, json!({ "from": "0000-01-01T00:00:00+00:01" })).await.code(), "INVALID_INPUT");
    server.stop().await;
});

on_both_databases!(malformed_ids_are_rejected_in_every_argument, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let odd = format!("{}é_01h455vb4pex5vsknk084sn02q", "x".repeat(62));
    for bad in ["", "\0", "chat_", "chat_01H455VB4PEX5VSKNK084SN02Q", "👩‍👩‍👧‍👦", &odd, &"é".repeat(100_000)]
    {
        for (document, path) in [
            ("query($id: ID!) { node(id: $id) { id } }", "id"),
            ("query($id: ID!) { nodes(ids: [$id]) { id } }", "ids"),
            ("query($id: ID!) { chat(id: $id) { id } }", "id"),
            ("query($id: ID!) { character(id: $id) { id } }", "id"),
            ("mutation($id: ID!) { updateChat(input: { chatId: $id, title: \"x\" }) { chat { id } } }", "chatId"),
            ("mutation($id: ID!) { stopReply(input: { messageId: $id }) { message { id } } }", "messageId"),
            ("mutation($id: ID!) { revokeSession(input: { sessionId: $id }) { sessionId } }", "sessionId"),
        ] {
            let answer = ada.run(document, json!({ "id": bad })).await;
            assert_eq!(answer.complaint(), format!("INVALID_INPUT {path}:MALFORMED"), "{bad:.40} {document}");
        }
    }
    server.stop().await;
});

on_both_databases!(oversized_and_unusual_texts_are_validated, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let (root, nobody) = (root(&server).await, server.client());
    let long = "A".repeat(900_000);
    let new = |username: &str, email: &str| json!({ "username": username, "email": email, "password": PASSWORD });
    for (username, complaint) in [
        (long.as_str(), "username:TOO_LONG"),
        ("ada👋", "username:MALFORMED"),
        ("ada\u{200b}", "username:MALFORMED"),
        ("\u{202e}ada", "username:MALFORMED"),
        ("аda", "username:MALFORMED"),
        ("İda", "username:MALFORMED"),
    ] {
        for (client, field) in [(&nobody, "register"), (&*root, "createUser")] {
            let answer = client.mutate(field, "user { id }", new(username, "ada@example.com")).await;
            assert_eq!(answer.complaint(), format!("INVALID_INPUT {complaint}"), "{username:.20}");
        }
    }
    let mut input = new("ada", &format!("{long}@example.com"));
    assert_eq!(
        nobody.mutate("register", "user { id }", input.clone()).await.complaint(),
        "INVALID_INPUT email:TOO_LONG"
    );
    input["email"] = json!("Ada@Example.com");
    input["password"] = json!(long);
    let answer = nobody.mutate("register", "user { id }", input.clone()).await;
    assert_eq!(answer.complaint(), "INVALID_INPUT password:TOO_LONG");
    input["password"] = json!(PASSWORD);
    nobody.mutate("register", "user { id }", input).await.data();
    for email in ["ada@example.com", "ADA@EXAMPLE.COM", " aDa@eXample.com "] {
        let answer = nobody.mutate("register", "user { id }", new("other", email)).await;
        assert_eq!(answer.complaint(), "CONFLICT email:TAKEN", "{email}");
    }

    for (login, password) in [("ada", long.as_str()), (&long, PASSWORD), ("👋", "👋"), ("\u{202e}", "\u{200b}")] {
        let input = json!({ "login": login, "password": password });
        assert_eq!(nobody.mutate("login", "user { id }", input).await.code(), "INVALID_CREDENTIALS", "{login:.20}");
    }
    // The lower case of this character has two code points.
    let role = |name: String| json!({ "name": name, "permissions": ["USERS_READ"] });
    let answer = root.mutate("createRole", "role { id }", role("İ".repeat(64))).await;
    assert_eq!(answer.complaint(), "INVALID_INPUT name:TOO_LONG");
    root.mutate("createRole", "role { id }", role("İ".repeat(32))).await.data();
    let label = "a".repeat(61);
    let email = |local: usize| format!("{}@{label}.{label}.{label}.org", "İ".repeat(local));
    let answer = nobody.mutate("register", "user { id }", new("other", &email(64))).await;
    assert_eq!(answer.complaint(), "INVALID_INPUT email:TOO_LONG");
    nobody.mutate("register", "user { id }", new("other", &email(32))).await.data();
    let login = json!({ "login": email(32).to_lowercase(), "password": PASSWORD });
    nobody.mutate("login", "user { id }", login).await.data();

    let token = json!({ "name": "ci", "scopes": vec!["READ"; 10_000] });
    let made = root.mutate("createPersonalAccessToken", "secret", token).await;
    assert_eq!(made.complaint(), "INVALID_INPUT scopes:TOO_LONG");
    let roles = json!({ "userId": root.id, "roleIds": vec!["role_01h455vb4pex5vsknk084sn02q"; 10_000] });
    assert_eq!(root.mutate("setUserRoles", "user { id }", roles).await.complaint(), "INVALID_INPUT roleIds:TOO_LONG");
    server.stop().await;
});

on_both_databases!(variables_are_checked_before_execution, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let ada = root(&server).await;
    let token = "mutation($token: CreatePersonalAccessTokenInput!) {
        createChat(input: { title: \"Early\" }) { chat { id } } createPersonalAccessToken(input: $token) { secret } }";
    let expires = |value: Value| json!({ "token": { "name": "ci", "scopes": ["READ"], "expiresAt": value } });
    let log = "query($filter: AuditFilter) { me { id } admin { auditLog(filter: $filter) { totalCount } } }";
    let list = "query($ids: [ID!]!) { me { id } nodes(ids: $ids) { id } }";
    let by_default = "query($id: ID = \"x\") { me { id } nodes(ids: [$id]) { id } }";
    let scope = "mutation($scope: TokenScope = READ) { createChat(input: { title: \"Early\" }) { chat { id } }
        createPersonalAccessToken(input: { name: \"ci\", scopes: [$scope] }) { secret } }";
    for (document, variables, path) in [
        (token, expires(json!("tomorrow")), "expiresAt:MALFORMED"),
        (token, expires(json!("2026-13-01T00:00:00Z")), "expiresAt:MALFORMED"),
        (token, expires(json!(1_800_000_000)), "expiresAt:MALFORMED"),
        (token, expires(json!({ "at": "2030-01-01T00:00:00Z" })), "expiresAt:MALFORMED"),
        (log, json!({ "filter": { "from": "2026-11-20" } }), "from:MALFORMED"),
        (list, json!({ "ids": [null] }), "0:MALFORMED"),
        (token, json!({ "token": { "name": "ci", "scopes": ["READ", null] } }), "scopes.1:MALFORMED"),
        (by_default, json!({ "id": null }), ""),
        (scope, json!({ "scope": null }), ""),
    ] {
        let answer = ada.run(document, variables.clone()).await;
        assert_eq!(answer.complaint().trim(), format!("INVALID_INPUT {path}").trim(), "{variables}");
        assert!(answer.0.get("data").is_none(), "nothing was executed: {}", answer.0);
    }
    for literal in ["\"tomorrow\"", "1", "{ at: \"2030-01-01T00:00:00Z\" }", "[\"2030-01-01T00:00:00Z\"]", "$name"] {
        let document = format!(
            "mutation($name: String) {{ createPersonalAccessToken(input: {{ name: \"ci\", scopes: READ, expiresAt: {literal} }}) {{ secret }} }}"
        );
        let document = if literal == "$name" { document } else { document.replace("($name: String)", "") };
        assert_eq!(ada.run(&document, json!({})).await.code(), "INVALID_DOCUMENT", "{literal}");
    }
    let data = ada.data("{ me { chats { totalCount } personalAccessTokens { id } } }", json!({})).await;
    assert_eq!(data["me"], json!({ "chats": { "totalCount": 0 }, "personalAccessTokens": [] }));
    let made = ada.data(token, expires(json!("2999-01-01T00:00:00+02:00"))).await;
    assert!(made["createPersonalAccessToken"]["secret"].is_string());
    server.stop().await;
});
