//! The files of the embedded database.

use std::time::Duration;

use duologue::entity::user;
use duologue::storage::Database;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::client::PASSWORD;
use crate::support::database::{Engine, TestDatabase, run};
use crate::support::server::Setup;

#[tokio::test]
async fn the_log_is_folded_beside_the_writer() {
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
    // More than SQLite by itself would leave in the log, 4 MB.
    const BYTES: u64 = 8_000_000;
    write(&format!("INSERT INTO texts VALUES (zeroblob({BYTES}))")).await;
    assert!(length() < BYTES, "a commit does not wait for the disk");
    let stop = CancellationToken::new();
    let folding = TaskTracker::new().spawn(database.clone().fold_log_until(stop.clone()));
    for _ in 0..100 {
        if length() >= BYTES {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(length() >= BYTES, "the file has it");
    stop.cancel();
    folding.await.unwrap();
    database.close().await.unwrap();
}

/// SQLite leaves what is deleted in its pages until they are used again, unless it is told to overwrite it.
#[test]
fn a_deleted_account_leaves_no_bytes_in_the_file() {
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
        assert_eq!(left(), WORDS, "all of it was there");
        user.mutate("deleteAccount", "userId", json!({ "password": PASSWORD })).await.data();
        let rows = Database::connect(database.url(), 1).await.unwrap();
        let start = std::time::Instant::now();
        while user::Entity::find().count(rows.reader()).await.unwrap() > 0 {
            assert!(start.elapsed().as_secs() < 60, "the sweep does not end");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        rows.close().await.unwrap();
        server.stop().await;
        assert!(left().is_empty(), "{:?}", left());
    });
}
