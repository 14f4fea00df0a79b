//! SQLite on a full disk, and behind a lock of another process.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{Connection as _, Executor as _, SqliteConnection};
use serde_json::json;

use crate::support::client::User;
use crate::support::database::{Engine, run};
use crate::support::disk::SmallDisk;
use crate::support::server::Setup;
use crate::support::socket::read_all;

#[test]
fn after_a_full_disk_every_acknowledged_write_is_kept() {
    run(Engine::Sqlite, |_| async {
        let Some(disk) = SmallDisk::mount(6) else { return };
        let setup = Setup::on(&disk);
        let server = setup.start().await;
        let ada = server.sign_up("ada").await;
        let replies = join_all((0..4).map(|_| ada.ask("demo/slow", "Hi"))).await;
        let readers = replies.iter().map(|sent| read_all(&ada, &sent.reply));
        let fault = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            disk.fill();
            let refused = first_refusal(&ada).await;
            assert_eq!(refused.0, "UNAVAILABLE");
            assert!(refused.1, "with retryAfterSeconds");
            // Reads are not affected.
            assert!(ada.data("{ me { chats { totalCount } } }", json!({})).await["me"]["chats"]["totalCount"].is_i64());
            disk.free();
            let mut kept = Vec::new();
            for _ in 0..20 {
                kept.push(ada.new_chat(json!({})).await);
            }
            let sent = ada.ask("demo", "Hi").await;
            assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
            kept.push(sent.chat);
            kept
        };
        let (kept, readings) = tokio::join!(fault, join_all(readers));
        for reading in readings {
            assert_eq!(reading.message.unwrap()["status"], "COMPLETE");
        }
        // After a kill, only committed data is left.
        server.kill().await;
        let server = setup.start().await;
        let ada = ada.at(server.address);
        let ids = kept.iter().chain(replies.iter().map(|sent| &sent.chat)).collect::<Vec<_>>();
        let found = ada.data("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({ "ids": ids })).await;
        assert!(found["nodes"].as_array().unwrap().iter().all(|chat| chat["id"].is_string()), "{found}");
        for sent in &replies {
            assert_eq!(ada.message(&sent.reply, "status").await["status"], "COMPLETE");
        }
        server.stop().await;
    });
}

/// Creates chats until one is refused. Returns the error code, and whether the error has `retryAfterSeconds`.
async fn first_refusal(user: &User) -> (String, bool) {
    let start = Instant::now();
    loop {
        let input = json!({ "title": "x".repeat(200) });
        let answer = user.mutate("createChat", "chat { id }", input).await;
        if !answer.0["errors"].is_null() {
            return (answer.code().to_owned(), answer.extensions()["retryAfterSeconds"].is_i64());
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the disk does not fill up");
    }
}

#[test]
fn the_server_recovers_from_a_lock_of_another_process() {
    run(Engine::Sqlite, |database| async move {
        let server = Setup::new(&database).start().await;
        let ada = server.sign_up("ada").await;
        let sent = ada.ask("demo/slow", "Hi").await;
        let short = ada.ask("demo", "Hi").await;
        let options: SqliteConnectOptions = database.url().parse().unwrap();
        let mut other = SqliteConnection::connect_with(&options).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        let refused = ada.mutate("createChat", "chat { id }", json!({})).await;
        assert_eq!(refused.code(), "UNAVAILABLE");
        assert!(refused.extensions()["retryAfterSeconds"].is_i64());
        assert_eq!(ada.message(&sent.reply, "status").await["status"], "STREAMING", "reads are not affected");
        other.execute("ROLLBACK").await.unwrap();
        for reply in [&sent.reply, &short.reply] {
            let reading = read_all(&ada, reply).await;
            assert_eq!(reading.message.unwrap()["status"], "COMPLETE");
        }
        ada.new_chat(json!({})).await;
        server.stop().await;
    });
}
