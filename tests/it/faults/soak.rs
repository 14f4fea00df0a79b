//! A minute of load with a fault every few seconds, on both databases.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{Connection as _, Executor as _, SqliteConnection};
use serde_json::{Value, json};

use crate::support::client::{Client, Sent, sent, text};
use crate::support::database::{Engine, run};
use crate::support::disk::SmallDisk;
use crate::support::proxy::{Mode, Proxy};
use crate::support::server::Setup;

/// The duration of the faults.
const DURATION: Duration = Duration::from_secs(60);
/// The maximum time after the last fault until all replies have ended.
const SETTLED: Duration = Duration::from_secs(45);
/// Clients that send messages one after another and read the replies.
const WRITERS: usize = 6;

/// An acknowledged message, its text, and the part of the reply that the reader received.
struct Acknowledged {
    sent: Sent,
    content: String,
    seen: String,
    told: Option<Value>,
}

#[test]
fn network_faults_at_random_times_lose_nothing() {
    run(Engine::Postgres, |database| async move {
        let proxy = Proxy::start(database.url()).await;
        let setup = Setup::through(&proxy, &database).with("MAX_REPLIES_PER_USER", "1000");
        let is_over = AtomicBool::new(false);
        let faults = async {
            let start = Instant::now();
            while start.elapsed() < DURATION {
                match random(6) {
                    0 => proxy.set(Mode::Refuse),
                    1 => proxy.set(Mode::Freeze),
                    2 => proxy.set(Mode::CutAfterCommit),
                    3 => proxy.set(Mode::Delay(Duration::from_millis(random(100)))),
                    4 => proxy.silence_open_connections(),
                    _ => {}
                }
                pause(4_000).await;
                proxy.set(Mode::Pass);
                pause(3_000).await;
            }
            is_over.store(true, Ordering::SeqCst);
        };
        soak(&setup, faults, &is_over).await;
    });
}

#[test]
fn full_disks_at_random_times_lose_nothing() {
    run(Engine::Sqlite, |_| async {
        let Some(disk) = SmallDisk::mount(24) else { return };
        let setup = Setup::on(&disk).with("MAX_REPLIES_PER_USER", "1000");
        let is_over = AtomicBool::new(false);
        let faults = async {
            let start = Instant::now();
            while start.elapsed() < DURATION {
                pause(3_000).await;
                disk.fill();
                pause(4_000).await;
                disk.free();
            }
            is_over.store(true, Ordering::SeqCst);
        };
        soak(&setup, faults, &is_over).await;
    });
}

#[test]
fn locks_of_another_process_at_random_times_lose_nothing() {
    run(Engine::Sqlite, |database| async move {
        let setup = Setup::new(&database).with("MAX_REPLIES_PER_USER", "1000");
        let is_over = AtomicBool::new(false);
        let file: SqliteConnectOptions = database.url().parse().unwrap();
        let faults = async {
            let start = Instant::now();
            while start.elapsed() < DURATION {
                pause(3_000).await;
                // The lock is held for longer or shorter than the server waits for it.
                let mut other = SqliteConnection::connect_with(&file).await.unwrap();
                other.execute("BEGIN IMMEDIATE").await.unwrap();
                pause(8_000).await;
            }
            is_over.store(true, Ordering::SeqCst);
        };
        soak(&setup, faults, &is_over).await;
    });
}

async fn soak(setup: &Setup, faults: impl Future<Output = ()>, is_over: &AtomicBool) {
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let acknowledged = Mutex::new(Vec::new());
    let load = join_all((0..WRITERS).map(|writer| write(&ada, writer, is_over, &acknowledged)));
    tokio::join!(load, faults);
    let acknowledged = acknowledged.into_inner().unwrap();
    // Only a few rounds of each writer are certain, because random faults can follow each other closely.
    assert!(acknowledged.len() > 3 * WRITERS, "only {} messages were acknowledged", acknowledged.len());
    let start = Instant::now();
    let mut counts = [0; 2];
    for one in &acknowledged {
        let status = loop {
            let status = text(&message(&ada, &one.sent.reply, "status").await["status"]);
            if status != "STREAMING" {
                break status;
            }
            assert!(start.elapsed() < SETTLED, "a reply is stuck");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let question = message(&ada, &one.sent.message, "content status").await;
        assert_eq!(question, json!({ "content": one.content, "status": "COMPLETE" }));
        let reply = message(&ada, &one.sent.reply, "status content").await;
        let told = one.told.as_ref().expect("every reader receives the end of the reply");
        assert_eq!((&told["status"], &told["content"]), (&reply["status"], &reply["content"]));
        let stored = text(&reply["content"]);
        assert!(stored.starts_with(&one.seen) || (status != "COMPLETE" && one.seen.starts_with(&stored)));
        counts[usize::from(status == "COMPLETE")] += 1;
    }
    assert!(
        counts[0] <= acknowledged.len() / 4,
        "{counts:?}: only replies with an unacknowledged commit can be interrupted"
    );
    assert_eq!(ada.status("/health/ready").await, 200);
    server.stop().await;
}

/// Sends messages, each until it is acknowledged, and reads each reply to its end.
async fn write(user: &Client, writer: usize, is_over: &AtomicBool, acknowledged: &Mutex<Vec<Acknowledged>>) {
    for number in 0.. {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let content = format!("Message {writer}.{number}");
        let model = ["demo", "demo/tools", "demo/reasoning"][number % 3];
        let input = json!({ "newChat": { "modelId": model }, "content": content, "idempotencyKey": content });
        let sent = loop {
            let Some(answer) = user.try_send(input.clone()).await else { continue };
            if answer.0["errors"].is_null() {
                break sent(answer);
            }
            assert!(["UNAVAILABLE", "TIMEOUT"].contains(&answer.code()), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let (seen, told) = read(user, &sent.reply).await;
        acknowledged.lock().unwrap().push(Acknowledged { sent, content, seen, told: Some(told) });
    }
}

/// Reads fields of a message. The first query on a connection that a fault has closed is answered with UNAVAILABLE.
async fn message(user: &Client, id: &str, selection: &str) -> Value {
    let document = format!("query($id: ID!) {{ node(id: $id) {{ ... on Message {{ {selection} }} }} }}");
    let start = Instant::now();
    loop {
        let answer = user.run(&document, json!({ "id": id })).await;
        if answer.0["errors"].is_null() {
            return answer.data()["node"].take();
        }
        assert_eq!(answer.code(), "UNAVAILABLE");
        assert!(start.elapsed() < SETTLED, "the database stays unavailable");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Reads a reply to its end, with a new connection and from the position reached after each error.
pub(super) async fn read(user: &Client, reply: &str) -> (String, Value) {
    let (mut seen, mut position) = (String::new(), 0);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < DURATION + SETTLED, "a reader does not receive the end");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let Some(mut socket) = user.opened_socket().await else { continue };
        socket.read("1", reply, Some(position)).await;
        while let Some(event) = socket.any_event("1").await {
            position = event["position"].as_i64().unwrap().max(position);
            match event["__typename"].as_str().unwrap() {
                "ReplyText" => seen.push_str(event["text"].as_str().unwrap()),
                "ReplyFinished" => return (seen, event["message"].clone()),
                _ => {}
            }
        }
    }
}

fn random(below: u64) -> u64 {
    getrandom::u64().unwrap() % below
}

async fn pause(at_most: u64) {
    tokio::time::sleep(Duration::from_millis(random(at_most))).await;
}
