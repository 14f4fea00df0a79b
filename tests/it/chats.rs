//! Chats: create, update, list and delete.

use std::time::Instant;

use duologue::domain::chats::message as new_message;
use duologue::entity::enums::MessageRole;
use duologue::entity::ids::{ChatId, MessageId};
use duologue::entity::{chat, message};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseConnection, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, Set,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{Answer, Client, User, text};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;

const CHAT: &str = "id title modelId model { id } character { id name } isPinned isArchived messageCount
    lastMessage { id } owner { id } createdAt updatedAt messages { totalCount nodes { id } }";

async fn create(client: &Client, input: Value) -> Answer {
    client.mutate("createChat", &format!("chat {{ {CHAT} }}"), input).await
}

async fn update(client: &Client, input: Value) -> Answer {
    client.mutate("updateChat", &format!("chat {{ {CHAT} }}"), input).await
}

async fn find(client: &Client, id: &str) -> Value {
    client.data(&format!("query($id: ID!) {{ chat(id: $id) {{ {CHAT} }} }}"), json!({ "id": id })).await["chat"].take()
}

async fn some_character(client: &Client) -> String {
    let found = client.data("{ characters(first: 1) { nodes { id } } }", json!({})).await;
    text(&found["characters"]["nodes"][0]["id"])
}

on_both_databases!(a_chat_is_created_and_updated, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let bare = create(&ada, json!({})).await.data()["createChat"]["chat"].take();
    assert_eq!((&bare["title"], &bare["character"], &bare["lastMessage"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(
        (&bare["modelId"], &bare["model"]["id"], &bare["owner"]["id"]),
        (&json!("demo"), &json!("demo"), &json!(ada.id))
    );
    assert_eq!((&bare["messageCount"], &bare["messages"]), (&json!(0), &json!({ "totalCount": 0, "nodes": [] })));
    assert_eq!((&bare["isPinned"], &bare["isArchived"]), (&json!(false), &json!(false)));
    assert_eq!(find(&ada, &text(&bare["id"])).await, bare, "the stored chat equals the returned one");

    let character = some_character(&ada).await;
    let input = json!({ "chatId": bare["id"], "title": "Ünïcode 👋🏽", "modelId": "demo/fast", "characterId": character, "isPinned": true, "isArchived": true });
    let changed = update(&ada, input).await.data()["updateChat"]["chat"].take();
    assert_eq!((&changed["title"], &changed["modelId"]), (&json!("Ünïcode 👋🏽"), &json!("demo/fast")));
    assert_eq!(
        (&changed["character"]["id"], &changed["isPinned"], &changed["isArchived"]),
        (&json!(character), &json!(true), &json!(true))
    );
    assert_eq!(find(&ada, &text(&bare["id"])).await, changed);

    // An absent field is unchanged, null clears it.
    let left =
        update(&ada, json!({ "chatId": bare["id"], "isPinned": false })).await.data()["updateChat"]["chat"].take();
    assert_eq!(
        (&left["title"], &left["character"]["id"], &left["isArchived"]),
        (&changed["title"], &json!(character), &json!(true))
    );
    assert_eq!(left["isPinned"], false);
    let cleared = update(&ada, json!({ "chatId": bare["id"], "title": null, "characterId": null })).await;
    let cleared = cleared.data()["updateChat"]["chat"].take();
    assert_eq!(
        (&cleared["title"], &cleared["character"], &cleared["modelId"]),
        (&Value::Null, &Value::Null, &json!("demo/fast"))
    );

    // All fields that cannot be null are reported together, and nothing is changed.
    let bad = json!({ "chatId": bare["id"], "title": "Other", "modelId": null, "isPinned": null, "isArchived": null });
    let complaint = update(&ada, bad).await.complaint();
    assert_eq!(complaint, "INVALID_INPUT modelId:REQUIRED isPinned:REQUIRED isArchived:REQUIRED");
    assert_eq!(find(&ada, &text(&bare["id"])).await["title"], Value::Null);
    server.stop().await;
});

on_both_databases!(objects_that_a_chat_refers_to_must_exist, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let chat = ada.new_chat(json!({})).await;
    let none = "char_01h455vb4pex5vsknk084sn02q";
    assert_eq!(create(&ada, json!({ "characterId": none })).await.code(), "NOT_FOUND");
    assert_eq!(create(&ada, json!({ "characterId": chat })).await.complaint(), "INVALID_INPUT characterId:MALFORMED");
    assert_eq!(create(&ada, json!({ "modelId": "none" })).await.complaint(), "INVALID_INPUT modelId:UNKNOWN");
    assert_eq!(update(&ada, json!({ "chatId": chat, "characterId": none })).await.code(), "NOT_FOUND");
    assert_eq!(
        update(&ada, json!({ "chatId": chat, "modelId": "x\0" })).await.complaint(),
        "INVALID_INPUT modelId:UNKNOWN"
    );
    for title in ["", " \t", &"x".repeat(201), "a\0b", "a\nb", "\u{85}"] {
        let complaint = update(&ada, json!({ "chatId": chat, "title": title })).await.complaint();
        assert!(complaint.starts_with("INVALID_INPUT title:"), "{title:?}: {complaint}");
    }
    update(&ada, json!({ "chatId": chat, "title": "é".repeat(200) })).await.data();

    // A chat of another user and a chat that does not exist have the same results.
    for id in [chat.as_str(), "chat_01h455vb4pex5vsknk084sn02q"] {
        assert_eq!(find(&eve, id).await, Value::Null);
        assert_eq!(update(&eve, json!({ "chatId": id, "title": "Mine" })).await.code(), "NOT_FOUND");
        assert_eq!(eve.mutate("deleteChat", "chatId", json!({ "chatId": id })).await.code(), "NOT_FOUND");
    }
    let answer = ada.run("{ chat(id: \"nonsense\") { id } me { id } }", json!({})).await;
    assert_eq!(
        (answer.complaint().as_str(), &answer.0["data"]["me"]["id"]),
        ("INVALID_INPUT id:MALFORMED", &json!(ada.id))
    );
    assert_eq!(update(&ada, json!({ "chatId": ada.id })).await.complaint(), "INVALID_INPUT chatId:MALFORMED");
    assert_eq!(create(&server.client(), json!({})).await.code(), "UNAUTHENTICATED");
    server.stop().await;
});

/// The titles of a page, its cursors, and whether there are previous and next pages.
async fn page(user: &User, arguments: &str) -> (String, [String; 2], [bool; 2]) {
    let document = format!(
        "{{ me {{ chats({arguments}) {{ nodes {{ title }} edges {{ cursor node {{ title }} }}
           pageInfo {{ hasPreviousPage hasNextPage startCursor endCursor }} }} }} }}"
    );
    let found = user.data(&document.replace("chats()", "chats"), json!({})).await["me"]["chats"].take();
    let titles = |list: Vec<&Value>| {
        list.iter().map(|node| node["title"].as_str().unwrap_or("?").to_owned()).collect::<String>()
    };
    let nodes = titles(found["nodes"].as_array().unwrap().iter().collect());
    assert_eq!(nodes, titles(found["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]).collect()));
    let info = &found["pageInfo"];
    let cursors = ["startCursor", "endCursor"].map(|name| info[name].as_str().unwrap_or("").to_owned());
    (nodes, cursors, ["hasPreviousPage", "hasNextPage"].map(|name| info[name].as_bool().unwrap()))
}

on_both_databases!(chats_are_listed_by_latest_activity, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let mut ids = Vec::new();
    for title in ["A", "B", "C", "D", "E", "F", "G"] {
        ids.push(ada.new_chat(json!({ "title": title, "modelId": "demo/fast" })).await);
    }
    server.sign_up("eve").await.new_chat(json!({ "title": "X" })).await;
    assert_eq!(page(&ada, "").await.0, "GFEDCBA");

    // Forwards, and backwards.
    let (titles, [_, end], more) = page(&ada, "first: 3").await;
    assert_eq!((titles.as_str(), more), ("GFE", [false, true]));
    let (titles, [start, end], more) = page(&ada, &format!("first: 3, after: \"{end}\"")).await;
    assert_eq!((titles.as_str(), more), ("DCB", [true, true]));
    let (titles, _, more) = page(&ada, &format!("first: 3, after: \"{end}\"")).await;
    assert_eq!((titles.as_str(), more), ("A", [true, false]));
    let (titles, [last_start, _], more) = page(&ada, "last: 2").await;
    assert_eq!((titles.as_str(), more), ("BA", [true, false]));
    let (titles, _, more) = page(&ada, &format!("last: 2, before: \"{last_start}\"")).await;
    assert_eq!((titles.as_str(), more), ("DC", [true, true]));
    let (titles, ..) = page(&ada, &format!("last: 9, before: \"{start}\"")).await;
    assert_eq!(titles, "GFE");
    let (titles, cursors, _) = page(&ada, "first: 0").await;
    assert_eq!((titles.as_str(), cursors), ("", [String::new(), String::new()]));

    // A chat that moves to the front does not affect later pages.
    ada.talk(&ids[1], "Hi").await;
    assert_eq!(page(&ada, "first: 2").await.0, "BG");
    assert_eq!(page(&ada, &format!("first: 9, after: \"{start}\"")).await.0, "CA");

    let found = |filter: &str| {
        let (ada, document) =
            (ada.clone(), format!("{{ me {{ chats(filter: {filter}) {{ totalCount nodes {{ title }} }} }} }}"));
        async move {
            let found = ada.data(&document, json!({})).await["me"]["chats"].take();
            let nodes = found["nodes"].as_array().unwrap();
            assert_eq!(found["totalCount"], nodes.len());
            nodes.iter().map(|node| text(&node["title"])).collect::<Vec<_>>().join(",")
        }
    };
    let character = some_character(&ada).await;
    update(&ada, json!({ "chatId": ids[0], "title": "50% ÄPFEL_", "isPinned": true, "characterId": character }))
        .await
        .data();
    update(&ada, json!({ "chatId": ids[2], "isArchived": true })).await.data();
    assert_eq!(found("{ query: \"äpfel\" }").await, "50% ÄPFEL_");
    assert_eq!(found("{ query: \"%\" }").await, "50% ÄPFEL_", "wildcards are literal characters");
    assert_eq!(found("{ query: \"_\", isPinned: false }").await, "");
    assert_eq!(found("{ isPinned: true }").await, "50% ÄPFEL_");
    assert_eq!(found("{ isArchived: true }").await, "C");
    assert_eq!(found("{ isArchived: false, isPinned: false }").await, "B,G,F,E,D");
    assert_eq!(found(&format!("{{ characterId: \"{character}\" }}")).await, "50% ÄPFEL_");
    assert_eq!(found("{ query: \"  \" }").await, "B,G,F,E,D,C,50% ÄPFEL_");

    for (arguments, complaint) in [
        ("first: 101", "INVALID_INPUT first:OUT_OF_RANGE"),
        ("last: -1", "INVALID_INPUT last:OUT_OF_RANGE"),
        ("first: 1, last: 1", "INVALID_INPUT last:NOT_ALLOWED"),
        ("after: \"nonsense\"", "INVALID_INPUT after:MALFORMED"),
        ("before: \"\"", "INVALID_INPUT before:MALFORMED"),
        ("filter: { query: \"\\u0000\" }", "INVALID_INPUT filter.query:MALFORMED"),
        ("filter: { characterId: \"x\" }", "INVALID_INPUT filter.characterId:MALFORMED"),
    ] {
        let answer = ada.run(&format!("{{ me {{ chats({arguments}) {{ totalCount }} }} }}"), json!({})).await;
        assert_eq!(answer.complaint(), complaint, "{arguments}");
    }
    server.stop().await;
});

async fn connect(url: &str) -> DatabaseConnection {
    sea_orm::Database::connect(url).await.unwrap()
}

async fn message_count(rows: &DatabaseConnection) -> u64 {
    message::Entity::find().count(rows).await.unwrap()
}

/// Adds a long branch of messages directly to the database.
async fn lengthen(rows: &DatabaseConnection, chat: &str, count: i32) -> MessageId {
    let chat_id: ChatId = chat.parse().unwrap();
    let row = chat::Entity::find_by_id(chat_id).one(rows).await.unwrap().unwrap();
    let mut all: Vec<message::Model> = Vec::new();
    for depth in 0..count {
        let id = MessageId(Uuid::from_u128(0x01a0_0000_0000_7000_8000_0000_0000_0000 + depth.unsigned_abs() as u128));
        let role = if depth % 2 == 0 { MessageRole::User } else { MessageRole::Assistant };
        let mut one = new_message(id, chat_id, role, "x", None, row.created_at);
        if let Some(parent) = all.last() {
            (one.parent_id, one.depth, one.jump_id, one.jump_depth) = (Some(parent.id), depth, parent.id, depth - 1);
        }
        one.is_leaf = depth + 1 == count;
        all.push(one);
    }
    duologue::storage::messages::insert(rows, &all[..1]).await.unwrap();
    for some in all[1..].chunks(500) {
        duologue::storage::messages::insert(rows, some).await.unwrap();
    }
    let leaf = all.last().unwrap().id;
    let mut row = row.into_active_model();
    (row.leaf_id, row.message_count) = (Set(Some(leaf)), Set(count));
    row.update(rows).await.unwrap();
    leaf
}

on_both_databases!(a_deleted_chat_is_hidden_at_once_and_its_rows_are_deleted_later, |database| async move {
    let setup = Setup::new(&database);
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let long = ada.new_chat(json!({})).await;
    let rows = connect(database.url()).await;
    let leaf = lengthen(&rows, &long, 5_000).await.to_string();
    let kept = ada.ask("demo/fast", "Kept").await;
    ada.ended(&kept.reply).await;
    let running = ada.ask("demo/stalls", "Running").await;
    ada.has_written(&running.reply, 5).await;
    assert_eq!(find(&ada, &long).await["messages"]["totalCount"], 5_000);

    let mut socket = ada.socket().await;
    socket.read("1", &running.reply, None).await;
    socket.event("1").await.unwrap();
    for chat in [&long, &running.chat] {
        let start = Instant::now();
        let deleted = ada.mutate("deleteChat", "chatId", json!({ "chatId": chat })).await.data();
        assert_eq!(deleted["deleteChat"]["chatId"], *chat);
        assert!(start.elapsed().as_millis() < 1_000, "{:?}", start.elapsed());
        assert_eq!(find(&ada, chat).await, Value::Null);
        let again = ada.mutate("deleteChat", "chatId", json!({ "chatId": chat })).await;
        assert_eq!(again.code(), "NOT_FOUND");
    }
    assert_eq!(ada.message(&leaf, "id").await, Value::Null);
    assert_eq!(ada.message(&running.reply, "id").await, Value::Null);
    let listed = ada.data("{ me { chats { totalCount nodes { id } } } }", json!({})).await;
    assert_eq!(listed["me"]["chats"], json!({ "totalCount": 1, "nodes": [{ "id": kept.chat }] }));
    let send = json!({ "chatId": long, "content": "Hi" });
    assert_eq!(ada.try_send(send).await.unwrap().code(), "NOT_FOUND");
    // The reply ends, and its readers receive the end.
    while socket.event("1").await.is_some_and(|event| event["__typename"] != "ReplyFinished") {}
    server.stop().await;

    // The deletion of rows continues after a restart.
    let server = setup.start().await;
    let start = Instant::now();
    while message_count(&rows).await > 2 {
        assert!(start.elapsed().as_secs() < 30, "{} are left", message_count(&rows).await);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(find(&ada.at(server.address), &kept.chat).await["messageCount"], 2);
    let deleted = chat::Entity::find().filter(chat::Column::DeletedAt.is_not_null());
    assert!(deleted.count(&rows).await.unwrap() <= 1, "chats are deleted after their messages");
    rows.close().await.unwrap();
    server.stop().await;
});
