//! The cost of hostile clients for other clients: memory, file descriptors and latency.
//!
//! The short tests run with all others, and do not measure time. The long test is run by hand on a machine without
//! other load, and prints the table of `docs/performance.md`:
//!
//! ```sh
//! cargo test --test it -- --ignored --nocapture hostile_load
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use duologue::entity::ids::{ChatId, MessageId};
use duologue::storage::{Database, chats, messages};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::{Client, User, text};
use crate::support::database::{Engine, TestDatabase, on_both_databases};
use crate::support::server::{Server, Setup};

/// Connections of each attack.
const CONNECTIONS: usize = 20;

/// Creates `count` chats of a user with `length` messages of `bytes` bytes each, directly in the database.
async fn fill(database: &TestDatabase, user: &User, count: usize, length: i32, bytes: usize) -> String {
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

fn aliases(field: &str, count: usize) -> String {
    (0..count).map(|n| format!("a{n}: {field} ")).collect()
}

/// A request body.
fn body(document: &str, variables: Value) -> String {
    json!({ "query": document, "variables": variables }).to_string()
}

/// A memory figure of a process in `/proc/<pid>/status`, in MiB.
fn memory(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

fn post(token: &str, body: &str) -> String {
    format!(
        "POST /graphql HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A WebSocket that sends the start of a message and never its end.
async fn unfinished_socket(server: &Server, bytes: u16) -> TcpStream {
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    let handshake = "GET /graphql HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    connection.write_all(handshake.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[9..], b"101");
    let mut frame = vec![0x01, 0x80 | 126];
    frame.extend(bytes.to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(bytes), b' ');
    let _the_server_may_have_closed_it = connection.write_all(&frame).await;
    connection
}

async fn until(what: &str, is_done: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

on_both_databases!(connections_that_do_not_read_are_closed_and_others_served, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let chat = fill(&database, &eve, 1, 3, 30_000).await;
    ada.data("{ me { chats { nodes { id } } } }", json!({})).await;
    let before = descriptors(&server);
    let large = body(
        &format!("query($id: ID!) {{ chat(id: $id) {{ messages {{ nodes {{ {} }} }} }} }}", aliases("content", 50)),
        json!({ "id": chat }),
    );
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        silent.write_all(post(eve.token.as_ref().unwrap(), &large).as_bytes()).await.unwrap();
        held.push(silent);
        held.push(unfinished_socket(&server, 60_000).await);
    }
    // Existing and new users are served.
    ada.data("{ me { chats { nodes { id } } } }", json!({})).await;
    server.sign_up("bob").await.data("{ me { id } }", json!({})).await;
    until("the connections stay open", || descriptors(&server) <= before + 8).await;
    drop(held);
    server.kill().await;
});

/// A request with a high cost.
struct Attack {
    name: &'static str,
    body: String,
    /// Whether it is executed, not refused.
    is_answered: bool,
    is_read: bool,
}

fn attacks(chat: &str) -> Vec<Attack> {
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

/// The maximum memory that one request may add, in MiB, as documented in `docs/performance.md`.
const LARGEST_REQUEST: u64 = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures")]
async fn the_memory_of_one_request_is_limited() {
    // PostgreSQL, because the mapped part of SQLite's file counts as memory of the process.
    let Some(database) = TestDatabase::create(Engine::Postgres).await else { return };
    let setup = Setup::new(&database);
    let mut server = setup.start().await;
    let eve = server.sign_up("eve").await;
    fill(&database, &eve, 95, 20, 100).await;
    let chat = fill(&database, &eve, 1, 20, 32_000).await;
    for attack in attacks(&chat) {
        // A new server, which has no freed memory to reuse.
        server.kill().await;
        server = setup.start().await;
        let eve = eve.at(server.address);
        eve.data("{ me { chats { nodes { id lastMessage { content } } } } }", json!({})).await;
        let idle = memory(server.pid(), "VmRSS:");
        let answer = eve.send_raw(attack.body).await;
        assert_eq!(answer.0["errors"].is_null(), attack.is_answered, "{}: {}", attack.name, answer.0["errors"]);
        let grown = memory(server.pid(), "VmHWM:").saturating_sub(idle);
        println!("{}: {grown} MiB", attack.name);
        assert!(grown <= LARGEST_REQUEST, "{}: {grown} MiB", attack.name);
    }
    server.kill().await;
}

/// Sends small requests one after another. Returns their number, and the median and 99th percentile of their latencies
/// in milliseconds.
async fn latencies(users: &[Client], time: Duration) -> (usize, f64, f64) {
    let (start, mut all) = (Instant::now(), Vec::new());
    // Each user has a separate allowance of the rate limit.
    for user in users.iter().cycle() {
        if start.elapsed() >= time {
            break;
        }
        let begun = Instant::now();
        let answer =
            user.run("{ me { chats(first: 20) { nodes { id title lastMessage { id role } } } } }", json!({})).await;
        assert!(answer.0["errors"].is_null(), "{}", answer.0);
        all.push(begun.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    all.sort_by(f64::total_cmp);
    (all.len(), all[all.len() / 2], all[all.len() * 99 / 100])
}

#[expect(clippy::disallowed_methods, reason = "clients of a test, which end with its runtime")]
async fn under_attack(
    server: &Server,
    users: &[Client],
    token: &str,
    attack: &Attack,
    time: Duration,
) -> (u64, (usize, f64, f64), u64) {
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let request = Arc::new(post(token, &attack.body));
    for _ in 0..CONNECTIONS {
        let (stop, answers, request, address, is_read) =
            (stop.clone(), answers.clone(), request.clone(), server.address, attack.is_read);
        tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            while !stop.load(Ordering::Relaxed) {
                let Ok(mut connection) = TcpStream::connect(address).await else { continue };
                let closing = request.replacen("host: a", "host: a\r\nconnection: close", 1);
                if connection.write_all(closing.as_bytes()).await.is_err() {
                    continue;
                }
                if !is_read {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    continue;
                }
                while connection.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let (peak, pid) = (Arc::new(AtomicU64::new(0)), server.pid());
    let (watched, watching) = (peak.clone(), stop.clone());
    tokio::spawn(async move {
        while !watching.load(Ordering::Relaxed) {
            watched.fetch_max(memory(pid, "VmRSS:"), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let latencies = latencies(users, time).await;
    stop.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3)).await;
    (peak.load(Ordering::Relaxed), latencies, answers.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for minutes, and needs a machine without other load"]
#[expect(clippy::print_stdout, reason = "the figures")]
async fn measures() {
    let time = Duration::from_secs(8);
    for rate_limit in ["100", "0"] {
        let database = TestDatabase::create(Engine::Sqlite).await.unwrap();
        let setup = Setup::new(&database).with("RATE_LIMIT_PER_MINUTE", "0");
        let server = setup.start().await;
        let eve = server.sign_up("eve").await;
        fill(&database, &eve, 95, 20, 100).await;
        let chat = fill(&database, &eve, 1, 20, 32_000).await;
        let mut users = Vec::new();
        for n in 0..8 {
            let user = server.sign_up(&format!("user{n}")).await;
            fill(&database, &user, 20, 2, 100).await;
            users.push(user);
        }
        server.stop().await;
        let setup = setup.with("RATE_LIMIT_PER_MINUTE", rate_limit);
        println!(
            "RATE_LIMIT_PER_MINUTE={rate_limit}\n\n| from 20 connections at once | additional MiB | p50, p99 ms | responses |\n|---|---:|---:|---:|"
        );
        for attack in attacks(&chat) {
            let server = setup.start().await;
            let users: Vec<Client> = users.iter().map(|user| user.at(server.address)).collect();
            latencies(&users, Duration::from_secs(1)).await;
            let idle = memory(server.pid(), "VmRSS:");
            let (_, calm_p50, calm_p99) = latencies(&users, time).await;
            let token = text(&json!(eve.token.clone().unwrap()));
            let (peak, (_, p50, p99), answers) = under_attack(&server, &users, &token, &attack, time).await;
            println!(
                "| {} | {} | {p50:.1}, {p99:.1} (without attack {calm_p50:.1}, {calm_p99:.1}) | {answers} |",
                attack.name,
                peak.saturating_sub(idle)
            );
            server.kill().await;
        }
    }
}
