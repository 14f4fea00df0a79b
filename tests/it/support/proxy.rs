//! A TCP proxy between a server and PostgreSQL that simulates faults of a network.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// A COMMIT in PostgreSQL's simple query protocol.
const COMMIT: &[u8] = b"COMMIT\0";

/// How the proxy handles bytes and new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Open and new connections are reset.
    Refuse,
    /// No bytes pass in either direction, and no connection is closed. The bytes pass later.
    Freeze,
    /// Bytes are forwarded after this delay.
    Delay(Duration),
    /// A COMMIT reaches the server, but the connection is reset before its response.
    CutAfterCommit,
}

/// A running proxy. Dropping it closes its connections.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// For each connection, whether it has stopped to forward bytes.
    silent: Arc<Mutex<Vec<watch::Sender<bool>>>>,
    statements: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Starts a proxy for the server of a `postgres://` address.
    pub(crate) async fn start(url: &str) -> Self {
        let server = authority(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, _) = watch::channel(Mode::Pass);
        let silent: Arc<Mutex<Vec<watch::Sender<bool>>>> = Arc::default();
        let statements = Arc::<AtomicU64>::default();
        let (modes, silences, counter) = (mode.clone(), Arc::clone(&silent), Arc::clone(&statements));
        let tracker = TaskTracker::new();
        let connections = tracker.clone();
        let task = tracker.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, modes, counter) = (server.clone(), modes.subscribe(), Arc::clone(&counter));
                let (silence, is_silent) = watch::channel(false);
                silences.lock().unwrap().push(silence);
                connections.spawn(async move {
                    let _ = relay(client, &server, modes, is_silent, counter).await;
                });
            }
        });
        Self { address, mode, silent, statements, _task: AbortOnDropHandle::new(task) }
    }

    /// The address of the database through this proxy. Without TLS, because the proxy reads the bytes.
    pub(crate) fn url(&self, url: &str) -> String {
        format!("{}?sslmode=disable", url.replacen(authority(url), &self.address.to_string(), 1))
    }

    /// The statements that were sent to the database so far, with BEGIN and COMMIT.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// The open connections forward nothing more and are not reset. Later connections are not affected.
    pub(crate) fn silence_open_connections(&self) {
        self.silent.lock().unwrap().iter().for_each(|silence| {
            silence.send_replace(true);
        });
    }
}

/// The host and port of an address.
fn authority(url: &str) -> &str {
    let rest = url.rsplit_once('@').map_or_else(|| url.split_once("://").unwrap().1, |(_, rest)| rest);
    rest.split('/').next().unwrap()
}

type Silence = watch::Receiver<bool>;

/// Counts the statements in what a client sends: the messages Execute and Query
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
struct Counter {
    statements: Arc<AtomicU64>,
    /// The bytes that are left of the current message.
    rest: usize,
    /// The beginning of a message: its type and its length. The first message of a connection has no type.
    head: Vec<u8>,
    is_first: bool,
}

impl Counter {
    fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.rest.min(bytes.len());
            (self.rest, bytes) = (self.rest - skipped, &bytes[skipped..]);
            let length_at = usize::from(!self.is_first);
            while self.rest == 0 && self.head.len() < length_at + 4 {
                let Some((byte, others)) = bytes.split_first() else { return };
                self.head.push(*byte);
                bytes = others;
            }
            if self.head.len() == length_at + 4 {
                let length = u32::from_be_bytes(self.head[length_at..].try_into().unwrap());
                self.rest = length as usize - 4;
                if !self.is_first && matches!(self.head[0], b'E' | b'Q') {
                    self.statements.fetch_add(1, Ordering::SeqCst);
                }
                (self.is_first, self.head) = (false, Vec::new());
            }
        }
    }
}

async fn relay(
    client: TcpStream,
    server: &str,
    modes: watch::Receiver<Mode>,
    silence: Silence,
    statements: Arc<AtomicU64>,
) -> std::io::Result<()> {
    // However a connection ends, it is reset.
    client.set_zero_linger()?;
    client.set_nodelay(true)?;
    if *modes.borrow() == Mode::Refuse {
        return Ok(());
    }
    passable(&mut modes.clone(), &mut silence.clone()).await;
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut refused = modes.clone();
    let line = Line { modes, silence, is_cut: Arc::default() };
    tokio::select! {
        end = forward(from_client, to_server, line.clone(), Some(Counter { statements, rest: 0, head: Vec::new(), is_first: true })) => end,
        end = forward(from_server, to_client, line, None) => end,
        _ = refused.wait_for(|mode| *mode == Mode::Refuse) => Ok(()),
    }
}

/// The state of one connection, shared by both directions.
#[derive(Clone)]
struct Line {
    modes: watch::Receiver<Mode>,
    silence: Silence,
    /// A COMMIT was sent to the server, so its response is not forwarded.
    is_cut: Arc<AtomicBool>,
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: Line,
    mut from_client: Option<Counter>,
) -> std::io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        passable(&mut line.modes, &mut line.silence).await;
        if line.is_cut.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let mode = *line.modes.borrow();
        if let Mode::Delay(delay) = mode {
            tokio::time::sleep(delay).await;
        }
        if let Some(counter) = &mut from_client {
            counter.count(&bytes[..count]);
        }
        let is_commit = from_client.is_some() && bytes[..count].windows(COMMIT.len()).any(|window| window == COMMIT);
        let is_cut = mode == Mode::CutAfterCommit && is_commit;
        line.is_cut.fetch_or(is_cut, Ordering::SeqCst);
        to.write_all(&bytes[..count]).await?;
        if is_cut {
            // The server has time to commit.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
    }
}

/// Waits until bytes may pass.
async fn passable(modes: &mut watch::Receiver<Mode>, silence: &mut Silence) {
    let _ = silence.wait_for(|is_silent| !*is_silent).await;
    let _ = modes.wait_for(|mode| *mode != Mode::Freeze).await;
}
