//! A database of its own for each test, on both engines.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use tempfile::TempDir;

/// How long PostgreSQL may take to answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which engine a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// An empty database; it is gone when this is dropped.
pub(crate) struct TestDatabase {
    url: String,
    _home: Home,
}

enum Home {
    Folder(#[expect(dead_code, reason = "held for its drop")] TempDir),
    Server { name: String },
}

/// Runs a test once on each engine: `on_both_databases!(name, |database| async move { … })`. A machine without PostgreSQL
/// skips its half and says so; with `CI=true` that is a failure.
macro_rules! on_both_databases {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn sqlite() {
                $crate::support::database::run($crate::support::database::Engine::Sqlite, $test);
            }

            #[test]
            fn postgres() {
                $crate::support::database::run($crate::support::database::Engine::Postgres, $test);
            }
        }
    };
}
pub(crate) use on_both_databases;

/// Runs one test on a runtime of its own.
pub(crate) fn run<F: Future<Output = ()>>(engine: Engine, test: impl FnOnce(TestDatabase) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if let Some(database) = TestDatabase::create(engine).await {
            test(database).await;
        }
    });
}

impl TestDatabase {
    /// Its address, as `DATABASE_URL` takes it. A method, so that a closure that asks for it captures the whole.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes one; none when there is no PostgreSQL to make it on.
    pub(crate) async fn create(engine: Engine) -> Option<Self> {
        if engine == Engine::Sqlite {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", folder.path().join("duologue.db").display());
            return Some(Self { url, _home: Home::Folder(folder) });
        }
        let server = server().await?;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("duologue_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        server.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
        server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        server.close().await.unwrap();
        Some(Self { url: server_url(&name), _home: Home::Server { name } })
    }
}

/// The server to make databases on; none where there is none, which is waited for and said only once.
async fn server() -> Option<DatabaseConnection> {
    static IS_MISSING: AtomicBool = AtomicBool::new(false);
    if IS_MISSING.load(Ordering::Relaxed) {
        return None;
    }
    let mut options = ConnectOptions::new(server_url("postgres"));
    // A refused connection is tried again until then.
    options.acquire_timeout(PATIENCE).connect_timeout(PATIENCE);
    match Database::connect(options).await {
        Ok(server) => Some(server),
        Err(cause) => {
            assert!(std::env::var("CI").is_err(), "no PostgreSQL for the tests: {cause}");
            if !IS_MISSING.swap(true, Ordering::Relaxed) {
                // Written, not printed: what a test that passes prints is not shown.
                let line = format!("skipped: the tests on PostgreSQL, for none answers at {}\n", server_url(""));
                std::io::stderr().write_all(line.as_bytes()).unwrap();
            }
            None
        }
    }
}

/// Where PostgreSQL is: `TEST_POSTGRES_URL` without a database name, or this machine's.
fn server_url(database: &str) -> String {
    let server = std::env::var("TEST_POSTGRES_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432".to_owned());
    format!("{server}/{database}")
}

impl Drop for Home {
    fn drop(&mut self) {
        let Self::Server { name } = self else { return };
        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Database::connect(server_url("postgres")).await.unwrap();
                server.execute_unprepared(&sql).await.unwrap();
            });
        });
        dropped.join().unwrap();
    }
}
