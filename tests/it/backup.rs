//! Backups of a SQLite database, and their restore.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use serde_json::json;

use crate::support::client::{Sent, User, sent};
use crate::support::command::{Outcome, duologue};
use crate::support::database::{Engine, TestDatabase, run};
use crate::support::server::Setup;

/// Clients that send as fast as the server answers.
const WRITERS: usize = 4;

async fn backup(database: &TestDatabase, file: &Path) -> Outcome {
    let (url, file) = (database.url().to_owned(), file.to_str().unwrap().to_owned());
    let run = move || duologue(Path::new("/"), &["backup", &file], &[("DATABASE_URL", &url)], "");
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn write(ada: &User, writer: usize, acknowledged: &Mutex<Vec<Sent>>) {
    for count in 0.. {
        let content = format!("Message {writer}.{count}, {}", "long ".repeat(100));
        let input = json!({ "newChat": { "modelId": "demo/fast" }, "content": content });
        let sent = sent(ada.try_send(input).await.unwrap());
        acknowledged.lock().unwrap().push(sent);
    }
}

/// The result of the integrity check, and the ids of all messages.
async fn contents(file: &Path) -> (String, Vec<String>) {
    let mut copy = SqliteConnectOptions::new().filename(file).read_only(true).connect().await.unwrap();
    let check = copy.fetch_one("PRAGMA integrity_check").await.unwrap().get(0);
    let rows = copy.fetch_all("SELECT id FROM messages").await.unwrap();
    copy.close().await.unwrap();
    let id = |bytes: Vec<u8>| duologue::entity::ids::MessageId(uuid::Uuid::from_slice(&bytes).unwrap()).to_string();
    (check, rows.iter().map(|row| id(row.get(0))).collect())
}

fn names(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_backup_under_load_contains_every_acknowledged_message_and_can_be_restored() {
    run(Engine::Sqlite, |database| async move {
        let setup = Setup::new(&database).with("MAX_REPLIES_PER_USER", "1000");
        let server = setup.start().await;
        let ada = server.sign_up("ada").await;
        let folder = tempfile::tempdir().unwrap();
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let load = join_all((0..WRITERS).map(|writer| write(&ada, writer, &acknowledged)));
        let backups = async {
            let mut backups = Vec::new();
            for count in 0..3 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let before = acknowledged.lock().unwrap().clone();
                let file = folder.path().join(format!("{count}.db"));
                let outcome = backup(&database, &file).await;
                assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
                assert!(acknowledged.lock().unwrap().len() > before.len(), "the server continues to write");
                backups.push((file, before));
            }
            backups
        };
        let backups = tokio::select! {
            backups = backups => backups,
            _ = load => unreachable!("the writers do not end"),
        };
        server.stop().await;
        assert_eq!(names(folder.path()).len(), backups.len(), "no other file is left");
        for (file, before) in &backups {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let (check, ids) = contents(file).await;
            assert_eq!(check, "ok");
            assert!(!before.is_empty());
            for sent in before {
                assert!(ids.contains(&sent.message) && ids.contains(&sent.reply), "{sent:?} in {}", file.display());
            }
        }

        // Restore the first backup, as the documentation describes it.
        let live = PathBuf::from(database.url().strip_prefix("sqlite:").unwrap());
        for suffix in ["", "-wal", "-shm"] {
            let file = format!("{}{suffix}", live.display());
            assert!(std::fs::remove_file(&file).is_ok() || !suffix.is_empty(), "{file}");
        }
        let (file, before) = &backups[0];
        std::fs::copy(file, &live).unwrap();
        let server = setup.start().await;
        let ada = ada.at(server.address);
        for sent in before {
            assert_ne!(ada.message(&sent.reply, "status").await["status"], "STREAMING");
            assert_eq!(ada.message(&sent.message, "id").await["id"], sent.message.as_str());
        }
        let (_, last) = &backups[2];
        let later = last.last().unwrap();
        assert!(ada.message(&later.message, "id").await.is_null(), "the state of the backup, not a later one");
        ada.ended(&ada.ask("demo/fast", "Still there?").await.reply).await;
        server.stop().await;
    });
}

#[test]
fn a_backup_overwrites_nothing_and_leaves_nothing() {
    run(Engine::Sqlite, |database| async move {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("copy.db");
        let missing = backup(&database, &file).await;
        assert_eq!(missing.code, Some(1));
        assert!(missing.complaint().contains("does not exist"), "{}", missing.stderr);

        // Without a running server.
        let migrated = ["migrate", "up", "--database-url", database.url()];
        assert_eq!(duologue(folder.path(), &migrated, &[], "").code, Some(0));
        assert_eq!(backup(&database, &file).await.code, Some(0));
        let (check, ids) = contents(&file).await;
        assert_eq!((check.as_str(), ids.len()), ("ok", 0));
        let before = std::fs::read(&file).unwrap();
        let again = backup(&database, &file).await;
        assert_eq!(again.code, Some(1));
        assert!(again.complaint().ends_with("copy.db\" already exists"), "{}", again.stderr);
        assert_eq!(std::fs::read(&file).unwrap(), before);

        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(backup(&database, &link).await.complaint().contains("already exists"), "a link is a file too");
        std::fs::remove_file(link).unwrap();
        let nowhere = backup(&database, &folder.path().join("no/such/folder.db")).await;
        assert_eq!(nowhere.code, Some(1));
        assert!(nowhere.complaint().contains("No such file or directory"), "{}", nowhere.stderr);

        let text = folder.path().join("text.db");
        std::fs::write(&text, "not a database ".repeat(100)).unwrap();
        let url = format!("sqlite:{}", text.display());
        let broken = duologue(folder.path(), &["backup", "b.db"], &[("DATABASE_URL", &url)], "");
        assert!(broken.complaint().contains("file is not a database"), "{}", broken.stderr);
        assert!(!names(folder.path()).iter().any(|path| path.ends_with("b.db")));
        assert!(!names(folder.path()).iter().any(|path| path.to_str().unwrap().ends_with(".partial")));
    });
}

#[test]
fn postgresql_is_backed_up_with_its_own_tool() {
    let folder = tempfile::tempdir().unwrap();
    let url = [("DATABASE_URL", "postgres://ada:hunter2@127.0.0.1:1/chat")];
    let outcome = duologue(folder.path(), &["backup", "copy.db"], &url, "");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.complaint().contains("pg_dump") && !outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    assert_eq!(names(folder.path()).len(), 0);
}
