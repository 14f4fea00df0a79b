//! Characters: writing them, the viewers that see them, and their chats.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Answer, PASSWORD, User, text};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::staff::{log_in, root, with_admin, with_permissions};

const FIELDS: &str = "id name description avatarUrl greeting systemPrompt modelId temperature maxOutputTokens isPublic
    tags owner { id } createdAt updatedAt";

async fn create(by: &User, input: Value) -> Answer {
    by.mutate("createCharacter", &format!("character {{ {FIELDS} }}"), input).await
}

async fn created(by: &User, input: Value) -> Value {
    create(by, input).await.data()["createCharacter"]["character"].take()
}

async fn update(by: &User, id: &Value, changes: Value) -> Answer {
    let mut input = changes;
    input["characterId"] = id.clone();
    by.mutate("updateCharacter", &format!("character {{ {FIELDS} }}"), input).await
}

async fn updated(by: &User, id: &Value, changes: Value) -> Value {
    update(by, id, changes).await.data()["updateCharacter"]["character"].take()
}

async fn delete(by: &User, id: &Value) -> Answer {
    by.mutate("deleteCharacter", "characterId", json!({ "characterId": id })).await
}

async fn find(by: &User, id: &Value) -> Value {
    let document = format!("query($id: ID!) {{ character(id: $id) {{ {FIELDS} }} }}");
    by.data(&document, json!({ "id": id })).await["character"].take()
}

async fn count(by: &User, filter: Value) -> u64 {
    let document = "query($filter: CharacterFilter) { characters(filter: $filter) { totalCount } }";
    by.data(document, json!({ "filter": filter })).await["characters"]["totalCount"].as_u64().unwrap()
}

/// The text of the first message of a chat.
async fn first_message(by: &User, chat: &str) -> Value {
    let document = "query($id: ID!) { chat(id: $id) { messageCount messages(first: 1) { nodes { role content } } } }";
    let chat = by.data(document, json!({ "id": chat })).await["chat"].take();
    chat["messages"]["nodes"][0].clone()
}

on_both_databases!(users_own_private_characters, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let all = json!({
        "name": " Ünïcode 👋🏽 ", "description": " For users. ", "avatarUrl": "https://example.com/a.png?b=1",
        "greeting": "Hi\n{{user}}", "systemPrompt": " Be {{char}}. ", "modelId": "demo/fast", "temperature": 0.0,
        "maxOutputTokens": 1, "tags": [" fun ", "work", "fun"],
    });
    let character = created(&ada, all).await;
    let id = &character["id"];
    let wanted = json!({
        "id": id, "name": "Ünïcode 👋🏽", "description": "For users.", "avatarUrl": "https://example.com/a.png?b=1",
        "greeting": "Hi\n{{user}}", "systemPrompt": " Be {{char}}. ", "modelId": "demo/fast", "temperature": 0.0,
        "maxOutputTokens": 1, "isPublic": false, "tags": ["fun", "work"], "owner": { "id": ada.id },
        "createdAt": character["createdAt"], "updatedAt": character["createdAt"],
    });
    assert_eq!(character, wanted);
    assert_eq!(find(&ada, id).await, wanted, "stored as it was answered");
    assert_eq!(count(&ada, json!({ "query": "ÜNÏ", "isMine": true, "tags": ["work", "fun"] })).await, 1);

    // Only the owner sees it: for all others it does not exist.
    for other in [&eve, &root] {
        assert_eq!(find(other, id).await, Value::Null);
        assert_eq!(count(other, json!({ "query": "ünï" })).await, 0);
        assert_eq!(update(other, id, json!({ "name": "Mine" })).await.code(), "NOT_FOUND");
        assert_eq!(delete(other, id).await.code(), "NOT_FOUND");
        let chat = other.mutate("createChat", "chat { id }", json!({ "characterId": id })).await;
        assert_eq!(chat.code(), "NOT_FOUND");
    }

    // An absent field is left unchanged, null clears it.
    let left = updated(&ada, id, json!({ "name": "Bot" })).await;
    assert_eq!(
        (&left["name"], &left["description"], &left["tags"]),
        (&json!("Bot"), &wanted["description"], &wanted["tags"])
    );
    let nulls = json!({ "description": null, "avatarUrl": null, "greeting": null, "modelId": null, "temperature": null, "maxOutputTokens": null });
    let cleared = updated(&ada, id, nulls).await;
    for field in ["description", "avatarUrl", "greeting", "modelId", "temperature", "maxOutputTokens"] {
        assert_eq!(cleared[field], Value::Null, "{field}");
    }
    assert_eq!((&cleared["systemPrompt"], &cleared["createdAt"]), (&wanted["systemPrompt"], &wanted["createdAt"]));
    let nulls = json!({ "name": null, "systemPrompt": null, "isPublic": null, "tags": null });
    let complaint = "INVALID_INPUT name:REQUIRED systemPrompt:REQUIRED isPublic:REQUIRED tags:REQUIRED";
    assert_eq!(update(&ada, id, nulls).await.complaint(), complaint);
    let blank = updated(&ada, id, json!({ "description": " ", "greeting": "\n", "tags": [] })).await;
    assert_eq!((&blank["description"], &blank["greeting"], &blank["tags"]), (&Value::Null, &Value::Null, &json!([])));

    assert_eq!(delete(&ada, id).await.data()["deleteCharacter"]["characterId"], *id);
    assert_eq!((find(&ada, id).await, count(&ada, json!({ "isMine": true })).await), (Value::Null, 0));
    assert_eq!(update(&ada, id, json!({})).await.code(), "NOT_FOUND");
    assert_eq!(delete(&ada, id).await.code(), "NOT_FOUND");
    assert_eq!(update(&ada, &json!("chat_1"), json!({})).await.complaint(), "INVALID_INPUT characterId:MALFORMED");
    assert_eq!(delete(&ada, &json!(ada.id)).await.complaint(), "INVALID_INPUT characterId:MALFORMED");
    let log = "{ admin { auditLog(filter: { action: \"character.deleted\" }) { totalCount } } }";
    assert_eq!(root.data(log, json!({})).await["admin"]["auditLog"]["totalCount"], 0, "private ones are not audited");
    server.stop().await;
});

on_both_databases!(public_characters_require_a_permission, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let writer = with_permissions(&root, "writer", &["CHARACTERS_WRITE"]).await;
    let ada = server.sign_up("ada").await;
    let new = json!({ "name": "Bot", "systemPrompt": "Secret.", "isPublic": true, "tags": ["fun"] });
    assert_eq!(create(&ada, new.clone()).await.code(), "FORBIDDEN");
    let private = created(&ada, json!({ "name": "Mine", "systemPrompt": "x", "isPublic": false })).await;
    assert_eq!(update(&ada, &private["id"], json!({ "isPublic": true })).await.code(), "FORBIDDEN");
    assert_eq!(find(&ada, &private["id"]).await, private, "what was refused changed nothing");

    let public = created(&writer, new).await;
    let id = &public["id"];
    assert_eq!((&public["isPublic"], &public["systemPrompt"]), (&json!(true), &json!("Secret.")));
    let seen = find(&ada, id).await;
    assert_eq!((&seen["name"], &seen["systemPrompt"], &seen["tags"]), (&json!("Bot"), &Value::Null, &json!(["fun"])));
    assert_eq!(find(&root, id).await["systemPrompt"], "Secret.", "with the permission");
    assert_eq!(update(&ada, id, json!({ "name": "x" })).await.code(), "FORBIDDEN");
    assert_eq!(delete(&ada, id).await.code(), "FORBIDDEN");
    assert_eq!(updated(&root, id, json!({ "name": "Robot", "greeting": "Hi" })).await["owner"]["id"], writer.id);

    // A built-in character has no owner that could see it when it is private.
    let built_in = "{ characters(filter: { query: \"Code Helper\" }) { nodes { id owner { id } } } }";
    let built_in = root.data(built_in, json!({})).await["characters"]["nodes"][0].take();
    assert_eq!(built_in["owner"], Value::Null);
    let refused = update(&root, &built_in["id"], json!({ "isPublic": false })).await;
    assert_eq!(refused.complaint(), "INVALID_INPUT isPublic:NOT_ALLOWED");
    assert_eq!(updated(&root, &built_in["id"], json!({ "name": "Coder" })).await["name"], "Coder");

    // Made private, it belongs to its owner alone, who can publish it again.
    assert_eq!(updated(&root, id, json!({ "isPublic": false })).await["isPublic"], false);
    assert_eq!((find(&root, id).await, find(&ada, id).await), (Value::Null, Value::Null));
    assert_eq!(updated(&writer, id, json!({ "isPublic": true })).await["isPublic"], true);
    delete(&root, id).await.data();
    let document = "{ admin { auditLog(first: 7) { nodes { action actor { id } subjectId detail } } } }";
    let log = root.data(document, json!({})).await["admin"]["auditLog"]["nodes"].take();
    let mut wanted = vec![
        ("character.deleted", &root.id, id, json!({ "name": "Robot" })),
        ("character.published", &writer.id, id, json!({ "name": "Robot" })),
        ("character.updated", &root.id, id, json!({ "name": "Robot", "fields": ["isPublic"] })),
        ("character.updated", &root.id, &built_in["id"], json!({ "name": "Coder", "fields": ["name"] })),
        ("character.updated", &root.id, id, json!({ "name": "Robot", "fields": ["name", "greeting"] })),
        ("character.published", &writer.id, id, json!({ "name": "Bot" })),
    ];
    for (entry, (action, actor, subject, detail)) in log.as_array().unwrap().iter().zip(wanted.drain(..)) {
        let wanted = json!({ "action": action, "actor": { "id": actor }, "subjectId": subject, "detail": detail });
        assert_eq!(entry, &wanted);
    }
    server.stop().await;
});

on_both_databases!(characters_have_limits, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let long = |count: usize| "é".repeat(count);
    let new = |field: &str, value: Value| {
        let mut input = json!({ "name": "Bot", "systemPrompt": "x" });
        input[field] = value;
        input
    };
    for (field, value, code) in [
        ("name", json!(" "), "REQUIRED"),
        ("name", json!(long(101)), "TOO_LONG"),
        ("name", json!("a\nb"), "MALFORMED"),
        ("description", json!(long(1_001)), "TOO_LONG"),
        ("description", json!("a\0b"), "MALFORMED"),
        ("greeting", json!(long(8_001)), "TOO_LONG"),
        ("greeting", json!("a\0b"), "MALFORMED"),
        ("systemPrompt", json!(""), "REQUIRED"),
        ("systemPrompt", json!(long(32_001)), "TOO_LONG"),
        ("systemPrompt", json!("a\0b"), "MALFORMED"),
        ("avatarUrl", json!(""), "REQUIRED"),
        ("avatarUrl", json!(format!("https://example.com/{}", "a".repeat(1_981))), "TOO_LONG"),
        ("avatarUrl", json!("a\0b"), "MALFORMED"),
        ("avatarUrl", json!("javascript:alert(1)"), "MALFORMED"),
        ("avatarUrl", json!("data:image/png;base64,AAAA"), "MALFORMED"),
        ("avatarUrl", json!("//example.com/a.png"), "MALFORMED"),
        ("avatarUrl", json!("/a.png"), "MALFORMED"),
        ("avatarUrl", json!("http://"), "MALFORMED"),
        ("avatarUrl", json!("https://example.com/a b.png"), "MALFORMED"),
        ("modelId", json!("none"), "UNKNOWN"),
        ("modelId", json!(""), "UNKNOWN"),
        ("modelId", json!("a\0"), "UNKNOWN"),
        ("temperature", json!(2.01), "OUT_OF_RANGE"),
        ("temperature", json!(-0.01), "OUT_OF_RANGE"),
        ("maxOutputTokens", json!(0), "OUT_OF_RANGE"),
        ("maxOutputTokens", json!(-1), "OUT_OF_RANGE"),
        ("tags", json!(vec!["x"; 11]), "TOO_LONG"),
        ("tags", json!([long(51)]), "TOO_LONG"),
        ("tags", json!([" "]), "REQUIRED"),
    ] {
        let complaint = create(&ada, new(field, value.clone())).await.complaint();
        assert_eq!(complaint, format!("INVALID_INPUT {field}:{code}"));
    }
    let largest = json!({
        "name": long(100), "description": long(1_000), "greeting": long(8_000), "systemPrompt": long(32_000),
        "avatarUrl": format!("HTTP://example.com/{}", "a".repeat(1_981)), "temperature": 2, "maxOutputTokens": i32::MAX,
        "tags": (0..10).map(|n| format!("{n}{}", long(49))).collect::<Vec<_>>(),
    });
    let mut bad = largest.clone();
    (bad["name"], bad["avatarUrl"], bad["temperature"]) = (json!(""), json!("ftp://example.com"), json!(3));
    let complaint = "INVALID_INPUT name:REQUIRED avatarUrl:MALFORMED temperature:OUT_OF_RANGE";
    assert_eq!(create(&ada, bad).await.complaint(), complaint, "all at once");
    created(&ada, largest).await;

    // The number of private characters, also for concurrent calls.
    let fill = |from: usize, to: usize| {
        let one = |number: usize| {
            format!(
                "a{number}: createCharacter(input: {{ name: \"n\", systemPrompt: \"x\" }}) {{ character {{ id }} }}"
            )
        };
        format!("mutation {{ {} }}", (from..to).map(one).collect::<Vec<_>>().join(" "))
    };
    for _ in 0..24 {
        ada.data(&fill(0, 20), json!({})).await;
    }
    ada.data(&fill(0, 17), json!({})).await;
    let race = (0..6).map(|_| create(&ada, new("name", json!("Last"))));
    let race = futures_util::future::join_all(race).await;
    let refused: Vec<&Answer> = race.iter().filter(|answer| !answer.0["errors"].is_null()).collect();
    assert!(refused.len() == 4 && refused.iter().all(|answer| answer.code() == "CONFLICT"), "{refused:?}");
    assert_eq!(count(&ada, json!({ "isMine": true })).await, 500);
    server.stop().await;
});

on_both_databases!(greetings_expand_macros_once, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let (root, ada) = (root(&server).await, server.sign_up("ada").await);
    let greeting = "{{user}}, I am {{char}} on {{date}}. {{User}} {{other}}";
    let new = json!({ "name": "{{user}}", "systemPrompt": "x", "greeting": greeting, "isPublic": true });
    let character = created(&root, new).await;
    let chat = async || ada.new_chat(json!({ "characterId": character["id"] })).await;
    let date = || chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).format("%Y-%m-%d").to_string();
    let wanted = |name: &str, date: &str| json!({ "role": "ASSISTANT", "content": format!("{name}, I am {{{{user}}}} on {date}. {{{{User}}}} {{{{other}}}}") });
    let before = date();
    let first = first_message(&ada, &chat().await).await;
    assert!([before, date()].iter().any(|date| first == wanted("ada", date)), "{first}");

    // The full name, which is not searched for macros.
    ada.mutate("updateProfile", "user { id }", json!({ "fullName": "Ada {{char}} {{date}}" })).await.data();
    let named = first_message(&ada, &chat().await).await;
    assert!(text(&named["content"]).starts_with("Ada {{char}} {{date}}, I am {{user}} on 2"), "{named}");
    // Messages are not expanded, in a new chat neither.
    let sent = json!({ "newChat": { "characterId": character["id"] }, "content": "{{user}} {{char}}" });
    let sent = ada.send(sent).await;
    assert_eq!(ada.message(&sent.message, "content").await["content"], "{{user}} {{char}}");
    let first = first_message(&ada, &sent.chat).await;
    assert!(text(&first["content"]).starts_with("Ada {{char}} {{date}}, I am {{user}}"), "{first}");
    server.stop().await;
});

on_both_databases!(chats_of_a_deleted_character_continue, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let (root, ada) = (root(&server).await, server.sign_up("ada").await);
    let new = json!({ "name": "Bot", "systemPrompt": "x", "greeting": "Hi!", "isPublic": true });
    let public = created(&root, new.clone()).await;
    let private = created(&ada, json!({ "name": "Mine", "systemPrompt": "x", "greeting": "Hi!" })).await;
    let read = async |chat: &str| {
        let document = "query($id: ID!) { chat(id: $id) { character { id } messageCount } }";
        ada.data(document, json!({ "id": chat })).await["chat"].take()
    };
    for (by, character) in [(&root, &public), (&ada, &private)] {
        let chat = ada.new_chat(json!({ "characterId": character["id"], "modelId": "demo/fast" })).await;
        ada.talk(&chat, "Hello").await;
        assert_eq!(read(&chat).await, json!({ "character": { "id": character["id"] }, "messageCount": 3 }));
        delete(by, &character["id"]).await.data();
        assert_eq!(read(&chat).await, json!({ "character": null, "messageCount": 3 }));
        let again =
            ada.mutate("updateChat", "chat { id }", json!({ "chatId": chat, "characterId": character["id"] })).await;
        assert_eq!(again.code(), "NOT_FOUND");
        ada.talk(&chat, "Hello again").await;
        assert_eq!(first_message(&ada, &chat).await["content"], "Hi!");
    }

    // A character that is made private keeps its chats with other users.
    let public = created(&root, new).await;
    let chat = ada.new_chat(json!({ "characterId": public["id"], "modelId": "demo/fast" })).await;
    updated(&root, &public["id"], json!({ "isPublic": false })).await;
    assert_eq!(read(&chat).await["character"], Value::Null);
    ada.talk(&chat, "Hello").await;

    // A deleted account deletes its characters, which the sweep removes.
    let writer = with_permissions(&root, "writer", &["CHARACTERS_WRITE"]).await;
    let theirs = created(&writer, json!({ "name": "Theirs", "systemPrompt": "x", "isPublic": true })).await;
    let chat = ada.new_chat(json!({ "characterId": theirs["id"] })).await;
    writer.mutate("deleteAccount", "userId", json!({ "password": PASSWORD })).await.data();
    assert_eq!((find(&root, &theirs["id"]).await, read(&chat).await["character"].take()), (Value::Null, Value::Null));
    server.stop().await;

    let rows = sea_orm::Database::connect(database.url()).await.unwrap();
    let left = async || {
        use sea_orm::{ConnectionTrait as _, Statement};
        let sql = "SELECT COUNT(*) AS count FROM characters WHERE deleted_at IS NOT NULL";
        let row = rows.query_one_raw(Statement::from_string(rows.get_database_backend(), sql)).await.unwrap().unwrap();
        row.try_get::<i64>("", "count").unwrap()
    };
    assert!(left().await > 0, "the first sweep was before the deletions");
    let server = with_admin(Setup::new(&database)).start().await;
    let start = Instant::now();
    while left().await > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "deleted characters are not swept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ada = log_in(&server.client(), "ada").await;
    let found = ada.data("{ me { chats { nodes { character { id } } totalCount } } }", json!({})).await;
    assert_eq!(found["me"]["chats"]["totalCount"], 4);
    server.stop().await;
    rows.close().await.unwrap();
});
