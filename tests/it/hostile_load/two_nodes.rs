//! Two nodes on PostgreSQL, one of which is attacked: the replies and requests of other users on both.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::attacks::{attacks, fill};
use super::{ORDINARY, Running, percentiles};
use crate::support::client::{Client, Sent, User, text};
use crate::support::database::{Engine, TestDatabase};
use crate::support::server::{Server, Setup};

/// Longer than a lease: a node that could not renew it would lose its replies.
const TIME: Duration = Duration::from_secs(20);
/// Its replies take 20 s.
const MODEL: &str = "demo/slow";
/// Ordinary users on each node.
const USERS: usize = 4;

/// Sends ordinary requests to both nodes by turns. Returns the latencies in milliseconds of each node.
async fn requests(users: &[Client], time: Duration) -> [Vec<f64>; 2] {
    let (start, mut waits) = (Instant::now(), [Vec::new(), Vec::new()]);
    for (number, user) in users.iter().enumerate().cycle() {
        if start.elapsed() >= time {
            break;
        }
        let begun = Instant::now();
        let answer = user.run(ORDINARY, json!({})).await;
        assert!(answer.0["errors"].is_null(), "{}", answer.0);
        waits[number % 2].push(begun.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    waits
}

/// The same users, half of them on each node.
fn spread(users: &[User], nodes: [&Server; 2]) -> Vec<Client> {
    users.iter().enumerate().map(|(number, user)| user.at(nodes[number % 2].address)).collect()
}

/// The final status of a reply, requested seldom because of the rate limit.
async fn ended(user: &Client, reply: &str) -> String {
    for _ in 0..20 {
        let status = text(&user.message(reply, "status").await["status"]);
        if status != "STREAMING" {
            return status;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    "STREAMING".to_owned()
}

fn shown(waits: Vec<f64>) -> String {
    let (p50, p99) = percentiles(waits);
    format!("{p50:.1}, {p99:.1}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for minutes, and needs a machine without other load"]
#[expect(clippy::print_stdout, reason = "the figures")]
async fn two_nodes_on_postgresql() {
    let Some(database) = TestDatabase::create(Engine::Postgres).await else { return };
    let (here, there) = (Setup::new(&database), Setup::new(&database));
    let node = here.start().await;
    let eve = node.sign_up("eve").await;
    fill(&database, &eve, 95, 20, 100).await;
    let chat = fill(&database, &eve, 1, 20, 32_000).await;
    let mut users = Vec::new();
    for number in 0..2 * USERS {
        let user = node.sign_up(&format!("user{number}")).await;
        fill(&database, &user, 20, 2, 100).await;
        users.push(user);
    }
    node.stop().await;
    let [here, there] = [here, there].map(|setup| setup.with("RATE_LIMIT_PER_MINUTE", "100"));
    println!("| attack on A | replies complete | A: p50, p99 ms | B | without attack, A | B | responses |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for attack in attacks(&chat) {
        let (a, b) = (here.start().await, there.start().await);
        let clients = spread(&users, [&a, &b]);
        requests(&clients, Duration::from_secs(1)).await;
        let calm = requests(&clients, TIME / 4).await;
        let sent: Vec<Sent> = join_all(clients.iter().map(|client| client.ask(MODEL, "Hi"))).await;
        let running = Running::start(a.address, eve.token.as_ref().unwrap(), &attack);
        let waits = requests(&clients, TIME).await;
        let answers = running.stop().await;
        let ended = join_all(clients.iter().zip(&sent).map(|(client, sent)| ended(client, &sent.reply))).await;
        let complete = ended.iter().filter(|status| *status == "COMPLETE").count();
        let ([here, there], [calm_here, calm_there]) = (waits.map(shown), calm.map(shown));
        println!(
            "| {} | {complete} of {} | {here} | {there} | {calm_here} | {calm_there} | {answers} |",
            attack.name,
            ended.len(),
        );
        assert_eq!(complete, ended.len(), "{}: {ended:?}", attack.name);
        a.kill().await;
        b.kill().await;
    }
}
