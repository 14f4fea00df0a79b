//! Requests with a high cost, connections that hold resources, and what they cost a server.

use std::io;
use std::net::SocketAddr;

use duologue::entity::ids::{ChatId, MessageId};
use duologue::storage::{Database, chats, messages};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::User;
use crate::support::database::TestDatabase;
use crate::support::server::Server;

/// Creates `count` chats of a user with `length` messages of `bytes` bytes each, directly in the database.
pub(super) async fn fill(database: &TestDatabase, user: &User, count: usize, length: i32, bytes: usize) -> String {
    let first = user.ask("demo/unicode", "Hi").await;
    user.ended(&first.reply).await;
    let database = Database::connect(database.url(), 2).await.unwrap();
    let template = messages::find_any(database.reader(), first.message.parse().unwrap()).await.unwrap().unwrap();
    let mut last = String::new();
    for _ in 0..count {
        last = user.new_chat(json!({ "modelId": "demo/unicode" })).await;
        let chat_id: ChatId = last.parse().unwrap();
        let id =
            |depth: i32| MessageId(uuid::Uuid::from_u128(chat_id.0.as_u128() + 1 + u128::from(depth.unsigned_abs())));
        let rows: Vec<_> = (0..length)
            .map(|depth| duologue::entity::message::Model {
                id: id(depth),
                chat_id,
                parent_id: (depth > 0).then(|| id(depth - 1)),
                depth,
                jump_id: id((depth - 1).max(0)),
                jump_depth: (depth - 1).max(0),
                is_leaf: depth == length - 1,
                body: "x".repeat(bytes),
                ..template.clone()
            })
            .collect();
        let transaction = database.begin().await.unwrap();
        messages::insert(&transaction, &rows).await.unwrap();
        let mut chat = chats::find(&transaction, user.id.parse().unwrap(), chat_id).await.unwrap().unwrap();
        (chat.leaf_id, chat.message_count) = (Some(id(length - 1)), length);
        chats::update(&transaction, chat).await.unwrap();
        transaction.commit().await.unwrap();
    }
    database.close().await;
    last
}

pub(super) fn aliases(field: &str, count: usize) -> String {
    (0..count).map(|n| format!("a{n}: {field} ")).collect()
}

/// A request body.
pub(super) fn body(document: &str, variables: Value) -> String {
    json!({ "query": document, "variables": variables }).to_string()
}

/// A memory figure of a process in `/proc/<pid>/status`, in MiB.
pub(super) fn memory(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

pub(super) fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

pub(super) fn post(token: &str, body: &str) -> String {
    format!(
        "POST /graphql HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A WebSocket that sends the start of a message and never its end.
///
/// # Errors
/// The server refuses the connection.
pub(super) async fn unfinished_socket(address: SocketAddr, bytes: u16) -> io::Result<TcpStream> {
    let mut connection = TcpStream::connect(address).await?;
    let handshake = "GET /graphql HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    connection.write_all(handshake.as_bytes()).await?;
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await?;
    assert_eq!(&answer[9..], b"101");
    let mut frame = vec![0x01, 0x80 | 126];
    frame.extend(bytes.to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(bytes), b' ');
    let _the_server_may_have_closed_it = connection.write_all(&frame).await;
    Ok(connection)
}

/// A request with a high cost.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) body: String,
    /// Whether it is executed, not refused.
    pub(super) is_answered: bool,
    pub(super) is_read: bool,
}

pub(super) fn attacks(chat: &str) -> Vec<Attack> {
    let siblings = "siblings { ".repeat(4);
    let content = |count| {
        format!(
            "query($id: ID!) {{ chat(id: $id) {{ messages(last: 3) {{ nodes {{ {} }} }} }} }}",
            aliases("content", count)
        )
    };
    let fields = "id role status position createdAt completedAt modelId finishReason idempotencyKey";
    let wide = format!(
        "{{ me {{ chats(first: 90) {{ nodes {{ id title messages(last: 19) {{ nodes {{ {fields} }} }} }} }} }} }}"
    );
    let literal = "x".repeat(120_000);
    let literals = format!(
        "{{ me {{ ...A }} }} fragment A on User {{ chats(first: 1) {{ nodes {{ owner {{ ...B }} lastMessage {{ chat {{ owner {{ ...B }} }} }} }} }} }} \
         fragment B on User {{ chats(first: 1) {{ nodes {{ owner {{ ...C }} lastMessage {{ chat {{ owner {{ ...C }} }} }} }} }} }} \
         fragment C on User {{ chats(first: 1) {{ nodes {{ owner {{ ...D }} lastMessage {{ chat {{ owner {{ ...D }} }} }} }} }} }} \
         fragment D on User {{ chats(first: 1, filter: {{ query: \"{literal}\" }}) {{ nodes {{ id }} }} }}"
    );
    let introspection = "{ __schema { types { name fields { name type { name fields { name type { name } } } } } } }";
    let numbers = json!({ "ids": vec![0; 500_000] });
    let id = json!({ "id": chat });
    let attack = |name, body, is_answered| Attack { name, body, is_answered, is_read: true };
    vec![
        attack(
            "siblings, nested four times",
            body(
                &format!(
                    "query($id: ID!) {{ chat(id: $id) {{ lastMessage {{ {siblings} id {} }} }} }}",
                    "} ".repeat(4)
                ),
                id.clone(),
            ),
            false,
        ),
        attack("80 aliases of content, 7.7 MB", body(&content(80), id.clone()), true),
        attack("100 aliases of content, refused", body(&content(100), id.clone()), false),
        attack("18,000 values", body(&wide, json!({})), true),
        attack("a literal of 120 kB in a tree of fragments", body(&literals, json!({})), false),
        attack("introspection", body(introspection, json!({})), true),
        attack("1 MB of numbers", body("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", numbers), false),
        Attack { is_read: false, ..attack("7.7 MB that are not read", body(&content(80), id), true) },
    ]
}
