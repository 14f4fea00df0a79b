//! The real binary as a child process on a free port, which can be restarted on the same database.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Client, User};
use super::database::TestDatabase;
use super::disk::SmallDisk;
use super::proxy::Proxy;

/// The maximum duration of a start or a stop, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// The server to test: the file `DUOLOGUE_BINARY`, such as a production build to measure, or the build of the tests.
fn binary() -> String {
    let given = std::env::var("DUOLOGUE_BINARY").ok().map(|file| std::fs::canonicalize(file).unwrap());
    given.map_or_else(|| env!("CARGO_BIN_EXE_duologue").to_owned(), |file| file.display().to_string())
}

/// The settings of a server. Every start uses the same database, data folder and variables.
pub(crate) struct Setup {
    url: String,
    folder: TempDir,
    variables: Vec<(String, String)>,
    /// A command that starts the server, which is appended as its arguments.
    launcher: Vec<String>,
}

impl Setup {
    pub(crate) fn new(database: &TestDatabase) -> Self {
        Self::at(database.url().to_owned(), Vec::new())
    }

    /// A server with PostgreSQL behind a proxy.
    pub(crate) fn through(proxy: &Proxy, database: &TestDatabase) -> Self {
        Self::at(proxy.url(database.url()), Vec::new())
    }

    /// A server with SQLite on a small disk.
    pub(crate) fn on(disk: &SmallDisk) -> Self {
        Self::at(format!("sqlite:{}", disk.folder().join("duologue.db").display()), disk.launcher())
    }

    fn at(url: String, launcher: Vec<String>) -> Self {
        let setup = Self { url, folder: tempfile::tempdir().unwrap(), variables: Vec::new(), launcher };
        setup
            .with("JWT_SECRET", "kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me")
            .with("RATE_LIMIT_PER_MINUTE", "0")
            .with("CHAT_RATE_LIMIT_PER_MINUTE", "0")
            .with("MAX_REPLIES_PER_USER", "100")
    }

    /// Sets an environment variable. The last value is used.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The working directory of the server, which contains its `DATA_DIR`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a server and waits until it listens.
    pub(crate) async fn start(&self) -> Server {
        let command = [self.launcher.as_slice(), &[binary()]].concat();
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("DATABASE_URL", &self.url)
            .env("DATABASE_MAX_CONNECTIONS", "4")
            .env("LOG_FORMAT", "json")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (found, address) = mpsc::channel();
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let entry: Option<Value> = serde_json::from_str(&line).ok();
                let address = entry.as_ref().and_then(|entry| entry["fields"]["address"].as_str());
                if let Some(address) = address.and_then(|address| address.parse::<SocketAddr>().ok()) {
                    let _ = found.send(address);
                }
                lines.lock().unwrap().push(line);
            }
        });
        let found = tokio::task::spawn_blocking(move || address.recv_timeout(LIMIT)).await.unwrap();
        let Ok(address) = found else {
            let _ = child.kill();
            panic!("the server does not start: {:#?}", log.lock().unwrap());
        };
        Server { child, address, log }
    }
}

/// A running server, which is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An anonymous client.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Registers a new user.
    pub(crate) async fn sign_up(&self, username: &str) -> User {
        self.client().sign_up(username).await
    }

    /// The lines of the log until now.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends SIGTERM, like a supervisor.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for the end of the process and returns its exit status.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.assert_calm();
                return status;
            }
            assert!(start.elapsed() < LIMIT, "the server does not stop: {:#?}", self.log.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the server with SIGTERM.
    pub(crate) async fn stop(self) {
        self.terminate();
        let status = self.ended().await;
        assert!(status.success(), "{status}");
    }

    /// Kills the server with SIGKILL, so that it saves nothing.
    pub(crate) async fn kill(mut self) {
        self.child.kill().unwrap();
        tokio::task::spawn_blocking(move || {
            self.child.wait().unwrap();
            self.assert_calm();
        })
        .await
        .unwrap();
    }

    /// Asserts that the log has no errors. Errors of clients are not logged as errors.
    fn assert_calm(&self) {
        let log = self.log.lock().unwrap();
        let wrong: Vec<&String> =
            log.iter().filter(|line| line.contains(r#""level":"ERROR""#) || line.contains("panicked")).collect();
        let warnings: Vec<&String> = log.iter().filter(|line| line.contains(r#""level":"WARN""#)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}, after these warnings: {warnings:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
