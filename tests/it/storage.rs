//! Connections and transactions after a failed statement, a failed commit and a dropped task.

use std::time::Duration;

use duologue::entity::user;
use duologue::storage::Database;
use duologue::storage::failure::is_outage;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{Connection as _, Executor as _, Row as _, SqliteConnection};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait as _, PaginatorTrait as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::client::PASSWORD;
use crate::support::database::{Engine, TestDatabase, on_both_databases, run};
use crate::support::server::Setup;

/// More than `max_page_count = 20` allows, so that SQLite reports SQLITE_FULL as on a full disk. One row needs no
/// statement journal, so that SQLite rolls back the whole transaction.
const FILL: &str = "INSERT INTO texts VALUES (randomblob(300000))";

/// The fault of sqlx that `storage::connection` works around. If this test fails, sqlx has fixed it.
#[tokio::test]
async fn sqlx_loses_writes_after_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("duologue.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    connection.execute("PRAGMA journal_mode = WAL").await.unwrap();
    connection.execute("CREATE TABLE texts (body BLOB)").await.unwrap();
    connection.execute("PRAGMA max_page_count = 20").await.unwrap();
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let full = transaction.execute(FILL).await.unwrap_err();
    assert_eq!(full.as_database_error().unwrap().code().unwrap(), "13", "SQLITE_FULL");
    // SQLite has already rolled back, so sqlx's ROLLBACK fails, and sqlx does not reset its transaction counter.
    let refused = transaction.rollback().await.unwrap_err();
    assert!(refused.to_string().contains("no transaction is active"), "{refused}");
    assert!(connection.is_in_transaction());

    // So the next transaction is a savepoint. Its rollback leaves open the transaction that SAVEPOINT started.
    connection.execute("PRAGMA max_page_count = 1000000").await.unwrap();
    connection.begin().await.unwrap().rollback().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    transaction.execute("INSERT INTO texts VALUES ('acknowledged')").await.unwrap();
    transaction.commit().await.unwrap();
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    let count: i64 = other.fetch_one("SELECT COUNT(*) FROM texts").await.unwrap().get(0);
    assert_eq!(count, 0, "the commit was acknowledged, and another connection does not see it");
}

#[tokio::test]
async fn a_full_disk_loses_only_the_rejected_writes() {
    let (_folder, database) = sqlite().await;
    let transaction = database.begin().await.unwrap();
    transaction.execute_unprepared("PRAGMA max_page_count = 20").await.unwrap();
    let full = transaction.execute_unprepared(FILL).await.unwrap_err();
    assert!(is_outage(&full), "{full}");
    assert!(is_outage(&transaction.execute_unprepared("SELECT 1").await.unwrap_err()), "nothing more runs on it");
    assert!(transaction.commit().await.is_err());
    // The connection was replaced, and its `max_page_count` with it.
    for _ in 0..3 {
        write(&database, "INSERT INTO texts VALUES ('kept')").await.unwrap();
        drop(database.begin().await.unwrap());
    }
    assert_eq!(count(&database).await, 3);
}

#[tokio::test]
async fn a_lock_of_another_process_is_a_temporary_outage() {
    let (folder, database) = sqlite().await;
    let file = folder.path().join("duologue.db");
    let mut other = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let busy = write(&database, "INSERT INTO texts VALUES ('late')").await.unwrap_err();
    assert!(is_outage(&busy), "{busy}");
    assert_eq!(count(&database).await, 0, "reads are not affected");
    other.execute("ROLLBACK").await.unwrap();
    write(&database, "INSERT INTO texts VALUES ('kept')").await.unwrap();
    assert_eq!(count(&database).await, 1);
}

on_both_databases!(a_dropped_task_leaves_no_open_transaction, |database| async move {
    let database = with_texts(&database).await;
    // The task is dropped at each poll: within statements, between them, and within the commit.
    for polls in 0..40 {
        let work = async {
            let transaction = database.begin().await?;
            transaction.execute_unprepared("INSERT INTO texts VALUES ('dropped')").await?;
            transaction.execute_unprepared("DELETE FROM texts WHERE body = 'dropped'").await?;
            transaction.commit().await
        };
        let mut work = Box::pin(work);
        for _ in 0..polls {
            if futures_util::poll!(&mut work).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(work);
        write(&database, "INSERT INTO texts VALUES ('kept')").await.unwrap();
        assert_eq!(count(&database).await, polls + 1);
    }
    database.close().await;
});

on_both_databases!(a_transaction_with_a_failed_statement_commits_nothing, |database| async move {
    let database = with_texts(&database).await;
    write(&database, "CREATE TABLE names (name TEXT PRIMARY KEY)").await.unwrap();
    write(&database, "INSERT INTO names VALUES ('ada')").await.unwrap();
    let transaction = database.begin().await.unwrap();
    transaction.execute_unprepared("INSERT INTO texts VALUES ('half')").await.unwrap();
    let taken = transaction.execute_unprepared("INSERT INTO names VALUES ('ada')").await.unwrap_err();
    assert!(!is_outage(&taken), "{taken}");
    assert!(transaction.commit().await.is_err(), "PostgreSQL would roll back without an error");
    assert_eq!(count(&database).await, 0);
    database.close().await;
});

on_both_databases!(a_dropped_transaction_releases_its_locks, |database| async move {
    let database = with_texts(&database).await;
    write(&database, "INSERT INTO texts VALUES ('first')").await.unwrap();
    // On PostgreSQL, the second transaction has a connection of its own. SQLite has one writer.
    let second = if database.is_sqlite() { None } else { Some(database.begin().await.unwrap()) };
    let first = database.begin().await.unwrap();
    first.execute_unprepared("UPDATE texts SET body = 'dropped'").await.unwrap();
    drop(first);
    let second = match second {
        Some(second) => second,
        None => database.begin().await.unwrap(),
    };
    second.execute_unprepared("UPDATE texts SET body = 'second'").await.unwrap();
    second.commit().await.unwrap();
    database.close().await;
});

on_both_databases!(closing_waits_for_transactions, |database| async move {
    let database = with_texts(&database).await;
    let transaction = database.begin().await.unwrap();
    let mut closed = Box::pin(database.clone().close());
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut closed).await.is_err());
    let refused = tokio::time::timeout(Duration::from_secs(1), database.begin()).await;
    assert!(is_outage(&refused.unwrap().err().unwrap()), "no transaction begins, and none waits");
    transaction.execute_unprepared("INSERT INTO texts VALUES ('late')").await.unwrap();
    transaction.commit().await.unwrap();
    closed.await;
    assert!(is_outage(&database.begin().await.err().unwrap()));
});

async fn sqlite() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("duologue.db").display());
    let database = Database::connect(&url, 2).await.unwrap();
    write(&database, "CREATE TABLE texts (body BLOB)").await.unwrap();
    (folder, database)
}

async fn with_texts(database: &TestDatabase) -> Database {
    let database = Database::connect(database.url(), 2).await.unwrap();
    write(&database, "CREATE TABLE texts (body TEXT)").await.unwrap();
    database
}

async fn write(database: &Database, statement: &str) -> Result<(), DbErr> {
    let transaction = database.begin().await?;
    transaction.execute_unprepared(statement).await?;
    transaction.commit().await
}

async fn count(database: &Database) -> i64 {
    let backend = database.reader().get_database_backend();
    let statement = sea_orm::Statement::from_string(backend, "SELECT COUNT(*) AS count FROM texts");
    database.reader().query_one_raw(statement).await.unwrap().unwrap().try_get("", "count").unwrap()
}

#[tokio::test]
async fn the_wal_is_checkpointed_outside_of_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("duologue.db");
    let database = Database::connect(&format!("sqlite:{}", file.display()), 2).await.unwrap();
    let length = || std::fs::metadata(&file).unwrap().len();
    let write = async |statement: &str| {
        let transaction = database.begin().await.unwrap();
        transaction.execute_unprepared(statement).await.unwrap();
        transaction.commit().await.unwrap();
    };
    write("CREATE TABLE texts (body TEXT)").await;
    // More than the 4 MB after which SQLite itself checkpoints the WAL.
    const BYTES: u64 = 8_000_000;
    write(&format!("INSERT INTO texts VALUES (zeroblob({BYTES}))")).await;
    assert!(length() < BYTES, "a commit does not wait for the disk");
    let stop = CancellationToken::new();
    let checkpointer = TaskTracker::new().spawn(database.clone().checkpoint_wal_until(stop.clone()));
    for _ in 0..100 {
        if length() >= BYTES {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(length() >= BYTES, "the WAL was not checkpointed");
    stop.cancel();
    checkpointer.await.unwrap();
    database.close().await;
}

/// Without `secure_delete`, SQLite does not overwrite deleted content until its pages are reused.
#[test]
fn a_deleted_account_leaves_no_bytes_in_the_sqlite_file() {
    run(Engine::Sqlite, |database: TestDatabase| async move {
        const WORDS: [&str; 5] =
            ["melisande", "quillfeather", "zephyranthes", "confidential zinnia", "biography of nobody"];
        let path = database.url().strip_prefix("sqlite:").unwrap().to_owned();
        let left = || {
            let files = ["", "-wal"].map(|end| std::fs::read(format!("{path}{end}")).unwrap_or_default());
            let text = String::from_utf8_lossy(&files.concat()).to_lowercase();
            WORDS.into_iter().filter(|word| text.contains(word)).collect::<Vec<_>>()
        };
        let server = Setup::new(&database).start().await;
        let user = server.sign_up("melisande").await;
        let profile = json!({ "fullName": "Dame Quillfeather", "bio": "The biography of nobody." });
        user.mutate("updateProfile", "user { id }", profile).await.data();
        for n in 0..20 {
            let chat = user.new_chat(json!({ "title": format!("Zephyranthes {n}"), "modelId": "demo/fast" })).await;
            user.talk(&chat, &format!("Confidential zinnia {n} ").repeat(60)).await;
        }
        assert_eq!(left(), WORDS, "the file contains the words before the deletion");
        user.mutate("deleteAccount", "userId", json!({ "password": PASSWORD })).await.data();
        let rows = Database::connect(database.url(), 1).await.unwrap();
        let start = std::time::Instant::now();
        while user::Entity::find().count(rows.reader()).await.unwrap() > 0 {
            assert!(start.elapsed().as_secs() < 60, "the rows are not deleted");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        rows.close().await;
        server.stop().await;
        assert!(left().is_empty(), "{:?}", left());
    });
}
