//! PostgreSQL behind a network that fails.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::soak;
use crate::support::client::{Client, Sent, sent};
use crate::support::database::{Engine, TestDatabase, run};
use crate::support::proxy::{Mode, Proxy};
use crate::support::server::{Server, Setup};
use crate::support::socket::{Reading, read_all};

/// The server's lease; see `domain::replies::journal`.
const LEASE: Duration = Duration::from_secs(15);
/// The maximum time in which the server must recover, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(TestDatabase) -> F) {
    run(Engine::Postgres, test);
}

#[test]
fn silent_connections_are_replaced() {
    on_postgres(|database| async move {
        let proxy = Proxy::start(database.url()).await;
        let server = Setup::through(&proxy, &database).start().await;
        let ada = server.sign_up("ada").await;
        let replies = join_all((0..3).map(|_| ada.ask("demo/slow", "Hi"))).await;
        let readers = replies.iter().map(|sent| read_all(&ada, &sent.reply));
        let fault = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            proxy.silence_open_connections();
            sent_in_time(&ada).await
        };
        let (late, readings) = tokio::join!(fault, join_all(readers));
        for reading in readings {
            assert_eq!(reading.message.unwrap()["status"], "COMPLETE", "its end was saved on another connection");
        }
        assert_eq!(ada.ended(&late.reply).await, "COMPLETE");
        assert_eq!(readiness(&ada).await, 200);
        // After the duration of a lease, the server is ready only if it renewed its lease.
        tokio::time::sleep(LEASE).await;
        assert_eq!(readiness(&ada).await, 200);
        server.stop().await;
    });
}

#[test]
fn an_outage_of_all_nodes_interrupts_no_reply() {
    on_postgres(|database| async move {
        let proxies = [Proxy::start(database.url()).await, Proxy::start(database.url()).await];
        let [here, there] = [0, 1].map(|place| Setup::through(&proxies[place], &database));
        let (one, two) = (here.start().await, there.start().await);
        let ada = one.sign_up("ada").await;
        let users = [ada.at(one.address), ada.at(two.address)];
        // From now on, each node can end the replies of the other if its lease expires.
        tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
        for mode in [Mode::Refuse, Mode::Freeze] {
            // On each server: a reply that ends during the outage, one that ends while its writer waits for the
            // lease, and one that continues.
            let mut replies = Vec::new();
            for user in &users {
                for model in ["demo", "demo/slow", "demo/stalls"] {
                    replies.push((user.clone(), model, user.ask(model, "Hi").await));
                }
            }
            let ending = replies.iter().filter(|(_, model, _)| *model != "demo/stalls");
            let readers = ending.map(|(user, _, sent)| read_all(user, &sent.reply));
            let outage = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                proxies.iter().for_each(|proxy| proxy.set(mode));
                let start = Instant::now();
                let refused = users[0].mutate("createChat", "chat { id }", json!({})).await;
                assert_eq!(refused.code(), "UNAVAILABLE", "{:?}", start.elapsed());
                assert_eq!(readiness(&users[0]).await, 503);
                tokio::time::sleep((LEASE + Duration::from_secs(5)).saturating_sub(start.elapsed())).await;
                proxies[0].set(Mode::Pass);
                tokio::time::sleep(Duration::from_secs(7)).await;
                proxies[1].set(Mode::Pass);
            };
            let (readings, ()) = tokio::join!(join_all(readers), outage);
            for reading in readings {
                assert_eq!(reading.message.unwrap()["status"], "COMPLETE", "{mode:?}");
            }
            for (user, model, sent) in &replies {
                let status = user.message(&sent.reply, "status").await["status"].take();
                assert_eq!(status, if *model == "demo/stalls" { "STREAMING" } else { "COMPLETE" }, "{mode:?}");
                if *model == "demo/stalls" {
                    user.mutate("stopReply", "message { id }", json!({ "messageId": sent.reply })).await.data();
                }
            }
        }
        one.stop().await;
        two.stop().await;
    });
}

#[test]
fn commits_without_an_acknowledgement_are_applied_once() {
    on_postgres(|database| async move {
        let proxy = Proxy::start(database.url()).await;
        let server = Setup::through(&proxy, &database).start().await;
        let ada = server.sign_up("ada").await;
        let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
        // A reply with several checkpoints, whose commits are not acknowledged, while another node reads it.
        let elsewhere = Setup::new(&database).start().await;
        let long = ada.ask("demo/slow", "Hi").await;
        let away = ada.at(elsewhere.address);
        let reading = read_all(&away, &long.reply);
        let sends = async {
            proxy.set(Mode::CutAfterCommit);
            let input = json!({ "chatId": chat, "content": "Once", "idempotencyKey": "once" });
            let first = ada.try_send(input.clone()).await.unwrap();
            assert_eq!(first.code(), "UNAVAILABLE", "its commit is not acknowledged");
            tokio::time::sleep(Duration::from_secs(2)).await;
            proxy.set(Mode::Pass);
            sent(ada.try_send(input).await.unwrap())
        };
        let (reading, again) = tokio::join!(reading, sends);
        let whole = ada.message(&long.reply, "status content").await;
        assert_eq!((&whole["status"], &whole["content"]), (&json!("COMPLETE"), &json!(reading.text)));
        // The message is stored once. Its reply was never started, so it is INTERRUPTED.
        let status = ada.ended(&again.reply).await;
        assert_eq!(status, "INTERRUPTED");
        let messages = "query($id: ID!) { chat(id: $id) { messageCount messages { totalCount } } }";
        let counts = ada.data(messages, json!({ "id": chat })).await;
        assert_eq!(counts["chat"], json!({ "messageCount": 2, "messages": { "totalCount": 2 } }));
        assert_eq!(ada.talk(&chat, "Twice").await.chat, chat, "the chat is not busy");
        server.stop().await;
        elsewhere.stop().await;
    });
}

#[test]
fn a_reply_waits_for_the_database_to_read_its_prompt() {
    on_postgres(|database| async move {
        let proxy = Proxy::start(database.url()).await;
        let server = Setup::through(&proxy, &database).start().await;
        let ada = server.sign_up("ada").await;
        // The statements that read the prompt are on their way when the response arrives.
        proxy.set(Mode::Delay(Duration::from_millis(200)));
        let sent = ada.ask("demo/fast", "Hi").await;
        proxy.set(Mode::Refuse);
        let has_failed = || server.log().iter().any(|line| line.contains("domain/context"));
        let start = Instant::now();
        while !has_failed() {
            assert!(start.elapsed() < Duration::from_secs(20), "the prompt was read: {:#?}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.set(Mode::Pass);
        assert_eq!(soak::read(&ada, &sent.reply).await.1["status"], "COMPLETE");
        server.stop().await;
    });
}

#[test]
fn a_slow_network_causes_no_errors() {
    on_postgres(|database| async move {
        let proxy = Proxy::start(database.url()).await;
        let server = Setup::through(&proxy, &database).start().await;
        let ada = server.sign_up("ada").await;
        proxy.set(Mode::Delay(Duration::from_millis(20)));
        let replies = join_all((0..4).map(|_| ada.ask("demo", "Hi"))).await;
        for reading in join_all(replies.iter().map(|sent| read_all(&ada, &sent.reply))).await {
            assert_eq!(reading.message.unwrap()["status"], "COMPLETE");
        }
        server.stop().await;
    });
}

#[test]
fn the_replies_of_a_frozen_node_are_ended_by_another_node() {
    on_postgres(|database| async move {
        let proxy = Proxy::start(database.url()).await;
        let (frozen, other) = (Setup::through(&proxy, &database).start().await, Setup::new(&database).start().await);
        let ada = frozen.sign_up("ada").await;
        tokio::time::sleep(LEASE).await;
        let sent = ada.ask("demo/stalls", "Hi").await;
        ada.has_written(&sent.reply, 10).await;
        let mut socket = ada.socket().await;
        socket.read("1", &sent.reply, None).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.set(Mode::Freeze);
        let away = ada.at(other.address);
        assert_eq!(away.ended(&sent.reply).await, "INTERRUPTED");
        proxy.set(Mode::Pass);
        let mut reading = Reading::default();
        while let Some(event) = socket.event("1").await {
            reading.take(event);
        }
        let stored = away.message(&sent.reply, "status content").await;
        let told = reading.message.unwrap();
        assert_eq!((&told["status"], &told["content"]), (&stored["status"], &stored["content"]));
        assert_eq!(json!(reading.text), stored["content"]);
        frozen.stop().await;
        other.stop().await;
    });
}

#[test]
fn nodes_that_start_together_with_a_default_admin_all_start() {
    on_postgres(|database| async move {
        let setups: Vec<Setup> = (0..4)
            .map(|_| {
                Setup::new(&database)
                    .with("DEFAULT_ADMIN_USERNAME", "root")
                    .with("DEFAULT_ADMIN_EMAIL", "root@example.com")
                    .with("DEFAULT_ADMIN_PASSWORD", "velvet otter counts 41 lanterns")
            })
            .collect();
        let servers: Vec<Server> = join_all(setups.iter().map(Setup::start)).await;
        for server in servers {
            server.stop().await;
        }
    });
}

/// Sends a message until it is acknowledged.
async fn sent_in_time(user: &Client) -> Sent {
    let start = Instant::now();
    loop {
        let input = json!({ "newChat": { "modelId": "demo/fast" }, "content": "Again", "idempotencyKey": "again" });
        let answer = user.try_send(input).await.unwrap();
        if answer.0["errors"].is_null() {
            return sent(answer);
        }
        assert!(["UNAVAILABLE", "TIMEOUT"].contains(&answer.code()), "{answer:?}");
        assert!(start.elapsed() < LIMIT, "the server does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn readiness(user: &Client) -> u16 {
    user.status("/health/ready").await
}
