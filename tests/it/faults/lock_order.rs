//! The order in which the journal locks the rows of replies on PostgreSQL: by id, in every transaction. Otherwise two
//! of its transactions can wait for each other (a deadlock).

use std::future::Future;
use std::time::{Duration, Instant};

use duologue::entity::ids::parse_any;
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait as _};
use serde_json::json;

use crate::support::client::{Sent, User};
use crate::support::database::{Engine, run};
use crate::support::server::Setup;

/// The maximum time until a transaction of the journal waits for a row, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn checkpoints_and_ends_lock_replies_by_id() {
    run(Engine::Postgres, |database| async move {
        let rows = sea_orm::Database::connect(database.url()).await.unwrap();
        let server = Setup::new(&database).start().await;
        let ada = server.sign_up("ada").await;
        let mut replies = Vec::new();
        for _ in 0..6 {
            replies.push(ada.ask("demo/slow", "Hi").await);
        }
        let [first, later @ .., holder] = replies.as_slice() else { unreachable!() };

        // A checkpoint of running replies waits for the first one, and has locked no later one.
        let held = lock(&rows, first).await;
        no_later_one_is_locked(&rows, later).await;
        held.rollback().await.unwrap();

        // One end is being saved, and waits, while the replies with smaller ids end in the opposite order.
        let held_back = lock(&rows, holder).await;
        let mut stops = vec![stop(&ada, holder)];
        waiting(&rows).await;
        for reply in later.iter().rev().chain([first]) {
            stops.push(stop(&ada, reply));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let held = lock(&rows, first).await;
        held_back.rollback().await.unwrap();
        no_later_one_is_locked(&rows, later).await;
        held.rollback().await.unwrap();
        join_all(stops).await;
        for reply in &replies {
            assert_eq!(ada.ended(&reply.reply).await, "STOPPED");
        }
        server.stop().await;
    });
}

#[expect(clippy::disallowed_methods, reason = "clients of a test, which end with its runtime")]
fn stop(user: &User, sent: &Sent) -> impl Future<Output = ()> + use<> {
    let (user, reply) = (user.clone(), sent.reply.clone());
    let stopped = tokio::spawn(async move {
        user.mutate("stopReply", "message { id }", json!({ "messageId": reply })).await;
    });
    async { stopped.await.unwrap() }
}

/// The id of a reply as a literal of SQL.
fn id(sent: &Sent) -> String {
    format!("'{}'", parse_any(&sent.reply).unwrap().1)
}

/// Locks the row of a reply.
async fn lock(rows: &DatabaseConnection, sent: &Sent) -> DatabaseTransaction {
    let transaction = rows.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM messages WHERE id = {} FOR UPDATE", id(sent));
    transaction.execute_unprepared(&sql).await.unwrap();
    transaction
}

/// Waits until a transaction of the server waits for a row.
async fn waiting(rows: &DatabaseConnection) {
    let start = Instant::now();
    let waiting = "SELECT count(*) AS n FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while count(rows, waiting.to_owned()).await == 0 {
        assert!(start.elapsed() < LIMIT, "no transaction waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Requires that none of these replies is locked while a transaction of the server waits for a row.
async fn no_later_one_is_locked(rows: &DatabaseConnection, later: &[Sent]) {
    waiting(rows).await;
    let ids: Vec<String> = later.iter().map(id).collect();
    let free = format!("SELECT 1 FROM messages WHERE id IN ({}) FOR UPDATE SKIP LOCKED", ids.join(", "));
    let free = count(rows, format!("WITH free AS MATERIALIZED ({free}) SELECT count(*) AS n FROM free")).await;
    assert_eq!(usize::try_from(free).unwrap(), later.len());
}

async fn count(rows: &DatabaseConnection, sql: String) -> i64 {
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    rows.query_one_raw(statement).await.unwrap().unwrap().try_get("", "n").unwrap()
}
