//! The cost of hostile clients for other clients: memory, file descriptors and latency.
//!
//! The short tests run with all others, and do not measure time. The long tests are run by hand on a machine without
//! other load, and print the figures of `docs/performance.md`:
//!
//! ```sh
//! cargo test --test it -- --ignored --nocapture hostile_load
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::{Client, text};
use crate::support::database::{Engine, TestDatabase, on_both_databases};
use crate::support::server::{Server, Setup};

mod attacks;
mod crowd;
mod two_nodes;

use attacks::{Attack, aliases, attacks, body, descriptors, fill, memory, post, unfinished_socket};

/// Connections of each attack.
const CONNECTIONS: usize = 20;

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
        held.push(unfinished_socket(server.address, 60_000).await.unwrap());
    }
    // Existing and new users are served.
    ada.data("{ me { chats { nodes { id } } } }", json!({})).await;
    server.sign_up("bob").await.data("{ me { id } }", json!({})).await;
    until("the connections stay open", || descriptors(&server) <= before + 8).await;
    drop(held);
    server.kill().await;
});

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

/// A small request of an ordinary user.
const ORDINARY: &str = "{ me { chats(first: 20) { nodes { id title lastMessage { id role } } } } }";

/// The median and the 99th percentile.
fn percentiles(mut all: Vec<f64>) -> (f64, f64) {
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[all.len() * 99 / 100])
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
        let answer = user.run(ORDINARY, json!({})).await;
        assert!(answer.0["errors"].is_null(), "{}", answer.0);
        all.push(begun.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let (count, (p50, p99)) = (all.len(), percentiles(all));
    (count, p50, p99)
}

/// An attack that runs.
struct Running {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
}

impl Running {
    /// Sends a request repeatedly over [`CONNECTIONS`] connections at once.
    #[expect(clippy::disallowed_methods, reason = "clients of a test, which end with its runtime")]
    fn start(address: SocketAddr, token: &str, attack: &Attack) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let request = Arc::new(post(token, &attack.body).replacen("host: a", "host: a\r\nconnection: close", 1));
        for _ in 0..CONNECTIONS {
            let (stop, answers, request, is_read) = (stop.clone(), answers.clone(), request.clone(), attack.is_read);
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut connection) = TcpStream::connect(address).await else { continue };
                    if connection.write_all(request.as_bytes()).await.is_err() {
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
        Self { stop, answers }
    }

    /// Stops, and returns the number of responses.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.answers.load(Ordering::Relaxed)
    }
}

#[expect(clippy::disallowed_methods, reason = "clients of a test, which end with its runtime")]
async fn under_attack(
    server: &Server,
    users: &[Client],
    token: &str,
    attack: &Attack,
    time: Duration,
) -> (u64, (usize, f64, f64), u64) {
    let running = Running::start(server.address, token, attack);
    let (peak, pid) = (Arc::new(AtomicU64::new(0)), server.pid());
    let (watched, watching) = (peak.clone(), running.stop.clone());
    tokio::spawn(async move {
        while !watching.load(Ordering::Relaxed) {
            watched.fetch_max(memory(pid, "VmRSS:"), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let latencies = latencies(users, time).await;
    let answers = running.stop().await;
    (peak.load(Ordering::Relaxed), latencies, answers)
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
