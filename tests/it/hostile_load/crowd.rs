//! A thousand connections that do not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::attacks::{attacks, descriptors, fill, memory, post, unfinished_socket};
use super::{ORDINARY, percentiles, until};
use crate::support::database::{Engine, TestDatabase};
use crate::support::server::Setup;

const CONNECTIONS: usize = 1_000;
const TIME: Duration = Duration::from_secs(120);
/// The server closes each connection after 15 s at the latest. The client notices nothing, and opens another one.
const HELD: Duration = Duration::from_secs(18);
/// After this time, every connection has been closed once.
const SETTLED: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs for two minutes"]
#[expect(clippy::print_stdout, reason = "the figures")]
#[expect(clippy::disallowed_methods, reason = "clients of a test, which end with its runtime")]
async fn a_thousand_connections_that_do_not_read() {
    let database = TestDatabase::create(Engine::Sqlite).await.unwrap();
    let setup = Setup::new(&database);
    let server = setup.start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    fill(&database, &ada, 20, 2, 100).await;
    let chat = fill(&database, &eve, 1, 20, 32_000).await;
    server.stop().await;
    let server = setup.with("RATE_LIMIT_PER_MINUTE", "100").start().await;
    let address = server.address;
    let ada = ada.at(address);
    ada.data(ORDINARY, json!({})).await;

    let large = attacks(&chat).into_iter().find(|attack| !attack.is_read).unwrap();
    let request = Arc::new(post(eve.token.as_ref().unwrap(), &large.body));
    let (idle, files) = (memory(server.pid(), "VmRSS:"), descriptors(&server));
    let stop = Arc::new(AtomicBool::new(false));
    for number in 0..CONNECTIONS {
        let (stop, request) = (stop.clone(), request.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let silent = async {
                    let mut connection = TcpStream::connect(address).await?;
                    connection.write_all(request.as_bytes()).await?;
                    Ok(connection)
                };
                let opened = if number % 2 == 0 { silent.await } else { unfinished_socket(address, 60_000).await };
                tokio::time::sleep(if opened.is_ok() { HELD } else { Duration::from_millis(100) }).await;
            }
        });
    }

    let (start, mut newcomers, mut waits, mut new_waits) = (Instant::now(), 0, Vec::new(), Vec::new());
    let (mut settled, mut peak, mut last, mut most_files) = (0, 0, 0, 0);
    while start.elapsed() < TIME {
        let begun = Instant::now();
        ada.data(ORDINARY, json!({})).await;
        waits.push(begun.elapsed().as_secs_f64() * 1_000.0);
        if start.elapsed() > 10 * Duration::from_secs(newcomers) {
            newcomers += 1;
            let begun = Instant::now();
            server.sign_up(&format!("new{newcomers}")).await.data(ORDINARY, json!({})).await;
            new_waits.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        let used = memory(server.pid(), "VmRSS:");
        if start.elapsed() < SETTLED {
            settled = settled.max(used);
        }
        (peak, last) = (peak.max(used), used);
        most_files = most_files.max(descriptors(&server));
        tokio::time::sleep(Duration::from_millis(750)).await;
    }
    stop.store(true, Ordering::Relaxed);
    until("descriptors are not returned", || descriptors(&server) <= files + 8).await;

    let (count, (p50, p99)) = (waits.len(), percentiles(waits));
    println!("memory: idle {idle} MiB, peak in {SETTLED:?} {settled}, peak in {TIME:?} {peak}, at the end {last}");
    println!("file descriptors: idle {files}, most {most_files}, afterwards {}", descriptors(&server));
    println!("{count} requests of another user: p50 {p50:.1} ms, p99 {p99:.1} ms");
    println!("sign-up and first request of {newcomers} new users: at most {:.0} ms", percentiles(new_waits).1);
    // The server closes sockets early that exceed the address's share of input.
    assert!(most_files > CONNECTIONS / 2, "the connections are not open at the same time: {most_files}");
    assert!(peak <= idle + 300 && peak <= settled + 48, "memory grows: {idle}, {settled}, {peak} MiB");
    server.stop().await;
}
