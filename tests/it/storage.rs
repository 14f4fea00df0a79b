//! The files of the embedded database.

use std::time::Duration;

use duologue::storage::Database;
use sea_orm::ConnectionTrait as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
