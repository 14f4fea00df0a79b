//! Two nodes behind Caddy, with the configuration of `deploy/`, are restarted one after the other under load. Skipped
//! where Caddy is not installed.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::support::client::{Answer, Client, SEND, Sent, sent};
use crate::support::database::{Engine, run};
use crate::support::server::{Server, Setup};

/// Clients that send one message after the other.
const WRITERS: usize = 4;
/// The pause between two messages of a client.
const PAUSE: Duration = Duration::from_millis(50);
/// Repetitions of one request.
const MAX_ATTEMPTS: usize = 200;

/// A running proxy; it is killed when this is dropped.
struct Caddy(Child);

impl Drop for Caddy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts Caddy with the Caddyfile of `deploy/`, for these addresses; none where it is not installed.
fn start_caddy(home: &std::path::Path, site: SocketAddr, nodes: [u16; 2]) -> Option<Caddy> {
    let file = include_str!("../../deploy/Caddyfile");
    let file = file.replace("chat.example.com", &format!("http://{site}"));
    let [one, two] = nodes.map(|port| format!("127.0.0.1:{port}"));
    let file = file.replace("127.0.0.1:8000 127.0.0.1:8001", &format!("{one} {two}"));
    assert!(file.contains(&one) && file.contains(&site.to_string()), "{file}");
    let path = home.join("Caddyfile");
    std::fs::write(&path, format!("{{\n\tadmin off\n}}\n{file}")).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&path).env("HOME", home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok().map(Caddy)
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// Requests that the proxy or a node refused, by status.
    refused: [AtomicUsize; 2],
    is_over: AtomicBool,
}

/// Sends a message, and repeats it with the same idempotency key until it is acknowledged. Only 502 and 503 may be
/// repeated.
async fn send(client: &Client, seen: &Seen, key: &str) -> Sent {
    let input = json!({ "newChat": { "modelId": "demo" }, "content": "Hi", "idempotencyKey": key });
    let body = json!({ "query": SEND, "variables": { "input": input } }).to_string();
    for _ in 0..MAX_ATTEMPTS {
        let request = client.http.post(format!("http://{}/graphql", client.address)).body(body.clone());
        let request = request.header("content-type", "application/json").bearer_auth(client.token.clone().unwrap());
        let response = request.send().await.expect("the proxy always answers");
        match response.status().as_u16() {
            200 => return sent(Answer(response.json().await.unwrap())),
            status @ (502 | 503) => {
                seen.refused[usize::from(status - 502)].fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            status => panic!("{status}: {}", response.text().await.unwrap()),
        }
    }
    panic!("{key} is never accepted");
}

async fn write(ada: &Client, seen: &Seen, writer: usize) -> Vec<Sent> {
    let mut all = Vec::new();
    while !seen.is_over.load(Ordering::Relaxed) {
        all.push(send(ada, seen, &format!("{writer}.{}", all.len())).await);
        tokio::time::sleep(PAUSE).await;
    }
    all
}

async fn until_ready(client: &Client) {
    let start = Instant::now();
    while client.status("/health/ready").await != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "the node does not become ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn restart(server: Server, setup: &Setup) -> Server {
    server.stop().await;
    let server = setup.start().await;
    until_ready(&server.client()).await;
    // The proxy checks the health of a node once a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server
}

#[test]
#[expect(clippy::print_stdout, reason = "the number of repeated requests")]
fn a_rolling_restart_behind_a_proxy_loses_no_reply() {
    run(Engine::Postgres, |database| async move {
        let (home, ports) = (tempfile::tempdir().unwrap(), [free_port(), free_port()]);
        let site = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let Some(_caddy) = start_caddy(home.path(), site, ports) else { return };
        let setups = ports.map(|port| {
            let setup = Setup::new(&database).with("PORT", &port.to_string()).with("TRUSTED_PROXIES", "127.0.0.1");
            setup.with("MAX_REPLIES_PER_USER", "1000")
        });
        let (one, two) = (setups[0].start().await, setups[1].start().await);
        let ada = one.sign_up("ada").await.at(site);
        let start = Instant::now();
        while ada.try_run("{ me { id } }", json!({})).await.is_none_or(|answer| answer.0["data"]["me"].is_null()) {
            assert!(start.elapsed() < Duration::from_secs(30), "the proxy does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let seen = Seen::default();
        let load = join_all((0..WRITERS).map(|writer| write(&ada, &seen, writer)));
        let restarts = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let nodes = [restart(one, &setups[0]).await, restart(two, &setups[1]).await];
            seen.is_over.store(true, Ordering::Relaxed);
            nodes
        };
        let (all, [one, two]) = tokio::join!(load, restarts);
        let all: Vec<Sent> = all.into_iter().flatten().collect();
        assert!(all.len() > 20, "{}", all.len());
        for sent in &all {
            assert_eq!(ada.ended(&sent.reply).await, "COMPLETE", "{sent:?}");
        }
        // No message was sent twice.
        let me = ada.data("{ me { chats(first: 1) { totalCount } } }", json!({})).await;
        assert_eq!(me["me"]["chats"]["totalCount"], all.len());
        let [bad_gateway, unavailable] = [0, 1].map(|place| seen.refused[place].load(Ordering::Relaxed));
        println!("{} messages; repeated after 502: {bad_gateway}, after 503: {unavailable}", all.len());
        one.stop().await;
        two.stop().await;
    });
}
