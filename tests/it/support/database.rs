//! A separate database for each test, on both engines.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use tempfile::TempDir;

/// The maximum time until PostgreSQL accepts connections, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database engine of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// An empty database, which is deleted when this is dropped.
pub(crate) struct TestDatabase {
    url: String,
    _home: Home,
}

enum Home {
    Folder(#[expect(dead_code, reason = "held for its drop")] TempDir),
    Server { name: String },
}

/// Runs a test on each engine: `on_both_databases!(name, |database| async move { … })`. Without PostgreSQL, its half of
/// the tests is skipped with a message; with `CI=true`, it fails.
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

/// Runs one test on a separate runtime.
pub(crate) fn run<F: Future<Output = ()>>(engine: Engine, test: impl FnOnce(TestDatabase) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if let Some(database) = TestDatabase::create(engine).await {
            test(database).await;
        }
    });
}

impl TestDatabase {
    /// The value for `DATABASE_URL`. A method, so that closures capture the whole database, not a field.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Creates a database; none without PostgreSQL.
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

/// A connection to the PostgreSQL server; none if it is not reachable, which is determined and reported once.
async fn server() -> Option<DatabaseConnection> {
    static IS_MISSING: AtomicBool = AtomicBool::new(false);
    if IS_MISSING.load(Ordering::Relaxed) {
        return None;
    }
    let mut options = ConnectOptions::new(server_url("postgres"));
    // Refused connections are retried until then.
    options.acquire_timeout(PATIENCE).connect_timeout(PATIENCE);
    match Database::connect(options).await {
        Ok(server) => Some(server),
        Err(cause) => {
            assert!(std::env::var("CI").is_err(), "no PostgreSQL for the tests: {cause}");
            if !IS_MISSING.swap(true, Ordering::Relaxed) {
                // Written to the stream, because the test runner hides what passing tests print.
                let line = format!("skipped: the tests on PostgreSQL, which is not reachable at {}\n", server_url(""));
                std::io::stderr().write_all(line.as_bytes()).unwrap();
            }
            None
        }
    }
}

/// The address of PostgreSQL: `TEST_POSTGRES_URL` without a database name, or the server on this machine.
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
