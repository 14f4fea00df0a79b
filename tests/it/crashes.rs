//! Kills the server at random times under load: acknowledged messages and saved text are kept, and no reply remains
//! STREAMING.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duologue::entity::enums::{MessageStatus, PieceKind};
use duologue::entity::ids::{BootId, MessageId};
use duologue::entity::{message, reply_chunk};
use futures_util::future::join_all;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, DbBackend, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, Set, Statement,
};
use serde_json::json;

use crate::support::client::{Client, Sent, sent, text};
use crate::support::database::{TestDatabase, on_both_databases};
use crate::support::server::Setup;
use crate::support::socket::{Reading, Socket};

/// Rounds on each database, unless `DUOLOGUE_CRASH_ROUNDS` is set.
const ROUNDS: usize = 8;
/// Clients that each send a message after the previous response.
const WRITERS: usize = 4;

/// The state of the clients when the server is killed.
#[derive(Default)]
struct Known {
    answered: Vec<(Sent, String)>,
    /// The parts of replies that readers received, by the id of the reply.
    seen: HashMap<String, Reading>,
}

on_both_databases!(a_killed_server_keeps_every_acknowledged_message, |database| async move {
    let rounds = std::env::var("DUOLOGUE_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let setup = Setup::new(&database).with("MAX_REPLIES_PER_USER", "1000");
    let mut server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let rows = connect(&database).await;
    let mut interrupted = 0;
    for round in 0..rounds {
        let here = ada.at(server.address);
        let known = Arc::new(Mutex::new(Known::default()));
        let load = join_all((0..WRITERS).map(|writer| write(&here, &known, format!("{round}.{writer}"))));
        let kill = async {
            tokio::time::sleep(Duration::from_millis(u64::from(getrandom::u32().unwrap() % 1_300))).await;
            let saved = saved_texts(&rows).await;
            server.kill().await;
            saved
        };
        let (saved, _) = tokio::join!(kill, load);
        server = setup.start().await;
        assert_sound(&database).await;
        let known = std::mem::take(&mut *known.lock().unwrap());
        interrupted += check(&ada.at(server.address), &known, &saved).await;
        assert_eq!(streaming(&rows).await, 0, "no reply remains STREAMING");
    }
    assert!(interrupted > 0, "no reply ran when the server was killed");
    rows.close().await.unwrap();
    server.stop().await;
});

/// Sends messages and reads the first reply, until the server is killed.
async fn write(user: &Client, known: &Mutex<Known>, name: String) {
    let mut socket: Option<Socket> = None;
    for number in 0.. {
        let content = format!("Message {name}.{number}");
        let model = ["demo", "demo/slow", "demo/fast", "demo/tools"][number % 4];
        let input = json!({ "newChat": { "modelId": model }, "content": content, "idempotencyKey": content });
        let Some(answer) = user.try_send(input).await else { return };
        let sent = sent(answer);
        known.lock().unwrap().answered.push((sent.clone(), content));
        if socket.is_none() {
            let Some(mut opened) = user.try_socket().await else { return };
            opened.read("1", &sent.reply, None).await;
            let mut reading = Reading::default();
            // Only a part is read, so that most of the load consists of messages.
            for _ in 0..10 {
                let Some(event) = opened.try_event().await else { return };
                reading.take(event);
                known.lock().unwrap().seen.insert(sent.reply.clone(), reading.clone());
            }
            socket = Some(opened);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Compares the state of the clients with the restarted server. Returns the number of interrupted replies.
async fn check(user: &Client, known: &Known, saved: &HashMap<String, String>) -> usize {
    let fields =
        "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Message { id status content position error { code } } } }";
    let mut interrupted = 0;
    for answered in known.answered.chunks(50) {
        let ids: Vec<&String> = answered.iter().flat_map(|(sent, _)| [&sent.message, &sent.reply]).collect();
        let found = user.data(fields, json!({ "ids": ids })).await;
        for ((sent, content), pair) in answered.iter().zip(found["nodes"].as_array().unwrap().chunks(2)) {
            let (message, reply) = (&pair[0], &pair[1]);
            assert_eq!((&message["content"], &message["status"]), (&json!(content), &json!("COMPLETE")), "{sent:?}");
            let stored = text(&reply["content"]);
            match text(&reply["status"]).as_str() {
                "COMPLETE" => {}
                "INTERRUPTED" => {
                    assert_eq!(reply["error"]["code"], "INTERRUPTED");
                    interrupted += 1;
                }
                other => panic!("{other}: {sent:?}"),
            }
            let checkpoint = saved.get(&sent.reply).map_or("", String::as_str);
            assert!(stored.starts_with(checkpoint), "saved text is lost: {checkpoint:?}, now {stored:?}");
            if let Some(seen) = known.seen.get(&sent.reply) {
                assert!(
                    stored.starts_with(&seen.text) || seen.text.starts_with(&stored),
                    "the received text differs from the stored text"
                );
                read_on(user, &sent.reply, seen, &stored).await;
            }
        }
    }
    interrupted
}

/// Resumes a reply: the reader receives the rest, or a final message that is shorter than the text it received before.
async fn read_on(user: &Client, reply: &str, seen: &Reading, stored: &str) {
    let mut socket = user.socket().await;
    socket.read("1", reply, Some(seen.position)).await;
    let mut reading = Reading { message: None, ..seen.clone() };
    while let Some(event) = socket.event("1").await {
        if event["__typename"] == "ReplyFinished" {
            assert_eq!(event["message"]["content"], stored);
            let end = event["position"].as_i64().unwrap();
            assert_eq!(end < seen.position, stored.len() < seen.text.len(), "{event}");
            reading.message = Some(event["message"].clone());
        } else {
            reading.take(event);
        }
    }
    assert!(reading.message.is_some());
    assert!(reading.text == stored || seen.text.len() > stored.len());
}

async fn connect(database: &TestDatabase) -> DatabaseConnection {
    sea_orm::Database::connect(database.url()).await.unwrap()
}

/// The saved text of each running reply, by the id of the reply.
async fn saved_texts(rows: &DatabaseConnection) -> HashMap<String, String> {
    let chunks = reply_chunk::Entity::find().order_by_asc(reply_chunk::Column::Start).all(rows).await.unwrap();
    let mut saved: HashMap<String, String> = HashMap::new();
    for chunk in chunks.into_iter().filter(|chunk| chunk.kind == PieceKind::Text) {
        saved.entry(chunk.message_id.to_string()).or_default().push_str(&chunk.body);
    }
    saved
}

async fn streaming(rows: &DatabaseConnection) -> u64 {
    let streaming = message::Column::Status.eq(MessageStatus::Streaming);
    message::Entity::find().filter(streaming).count(rows).await.unwrap()
}

/// On a new connection: the check of FTS5 does not notice what other connections changed since an earlier check, and
/// then finds a corruption that does not exist.
async fn assert_sound(database: &TestDatabase) {
    let rows = connect(database).await;
    if rows.get_database_backend() != DbBackend::Sqlite {
        return;
    }
    let ask = |sql: &str| rows.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql));
    let found = ask("PRAGMA integrity_check").await.unwrap();
    assert_eq!(found[0].try_get_by_index::<String>(0).unwrap(), "ok");
    assert!(ask("PRAGMA foreign_key_check").await.unwrap().is_empty());
}

on_both_databases!(a_chat_continues_immediately_after_a_crash, |database| async move {
    let setup = Setup::new(&database);
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let cut = ada.ask("demo/stalls", "one").await;
    ada.has_written(&cut.reply, 10).await;
    // Wait until a checkpoint has saved the text.
    let rows = connect(&database).await;
    let start = std::time::Instant::now();
    while !saved_texts(&rows).await.values().any(|saved| saved.starts_with("You wrote:")) {
        assert!(start.elapsed().as_secs() < 40, "no checkpoint");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill().await;

    let server = setup.start().await;
    let ada = ada.at(server.address);
    let reply = ada.message(&cut.reply, "status content error { code } usage { isEstimate outputTokens }").await;
    assert_eq!(
        (text(&reply["status"]), text(&reply["error"]["code"])),
        ("INTERRUPTED".to_owned(), "INTERRUPTED".to_owned())
    );
    assert!(text(&reply["content"]).starts_with("You wrote:"), "{reply}");
    assert_eq!(reply["usage"]["isEstimate"], true);
    assert!(reply["usage"]["outputTokens"].as_i64().unwrap() > 0);
    let next = ada.send(json!({ "chatId": cut.chat, "content": "two", "modelId": "demo/fast" })).await;
    assert_eq!(ada.ended(&next.reply).await, "COMPLETE", "the chat accepts messages");
    rows.close().await.unwrap();
    server.stop().await;
});

on_both_databases!(a_reply_of_a_server_without_a_lease_is_ended, |database| async move {
    let setup = Setup::new(&database);
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/fast", "one").await;
    ada.ended(&sent.reply).await;
    server.stop().await;

    // The state after a server with a fast clock released its lease while the database was unavailable.
    let rows = connect(&database).await;
    let id: MessageId = sent.reply.parse().unwrap();
    let mut row = message::Entity::find_by_id(id).one(&rows).await.unwrap().unwrap().into_active_model();
    row.status = Set(MessageStatus::Streaming);
    row.boot_id = Set(Some(BootId(id.0)));
    row.created_at = Set(row.created_at.as_ref().to_owned() + Duration::from_secs(3600));
    row.update(&rows).await.unwrap();
    rows.close().await.unwrap();

    // On SQLite, the reply ends before the server accepts requests; on PostgreSQL, after the server has held its lease.
    let server = setup.start().await;
    assert_eq!(ada.at(server.address).ended(&sent.reply).await, "INTERRUPTED");
    server.stop().await;
});

on_both_databases!(a_client_that_disconnects_during_a_request_leaves_no_unfinished_reply, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    // Requests are cancelled before the server reads them, while it executes them, and afterwards.
    for wait in 0..30 {
        let input = json!({ "newChat": { "modelId": "demo/fast" }, "content": format!("Message {wait}") });
        let sending = ada.try_send(input);
        let _: Option<_> = tokio::time::timeout(Duration::from_micros(wait * wait * 500), sending).await.ok();
    }
    let start = std::time::Instant::now();
    let rows = connect(&database).await;
    while streaming(&rows).await > 0 {
        assert!(start.elapsed().as_secs() < 40, "a reply remains STREAMING");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let replies = message::Entity::find().filter(message::Column::Depth.eq(1)).all(&rows).await.unwrap();
    assert!(!replies.is_empty(), "no message was stored");
    assert!(replies.iter().all(|reply| reply.status == MessageStatus::Complete), "a stored reply is not complete");
    rows.close().await.unwrap();
    server.stop().await;
});
