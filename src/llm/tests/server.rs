//! A provider on 127.0.0.1 that sends scripted bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A step of a response.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Write(String),
    /// Writes this every 20 ms until the client disconnects.
    Repeat(String),
    Pause(Duration),
    /// Sends nothing until the client disconnects.
    Stall,
}

/// The server. Each connection handles one request with the next response; without a response, it is closed.
pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    /// Receives a message for each connection that the client closed before the end of the response.
    pub(super) left: mpsc::UnboundedReceiver<()>,
}

impl Server {
    pub(super) async fn start(answers: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (leaving, left) = mpsc::unbounded_channel();
        let seen = requests.clone();
        #[expect(clippy::disallowed_methods, reason = "a test's server ends with the test's runtime")]
        tokio::spawn(async move {
            let mut answers = VecDeque::from(answers);
            while let Ok((mut socket, _)) = listener.accept().await {
                let request = read_request(&mut socket).await;
                seen.lock().unwrap().push(request);
                let (acts, leaving) = (answers.pop_front().unwrap_or_default(), leaving.clone());
                tokio::spawn(async move {
                    if answer(&mut socket, acts).await.is_err() {
                        let _ = leaving.send(());
                    }
                });
            }
        });
        Self { url, requests, left }
    }

    /// The requests so far, with heads and bodies.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return text.into_owned();
            }
        }
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

async fn answer(socket: &mut TcpStream, acts: Vec<Act>) -> std::io::Result<()> {
    for act in acts {
        match act {
            Act::Write(text) => socket.write_all(text.as_bytes()).await?,
            Act::Repeat(text) => loop {
                socket.write_all(text.as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            },
            Act::Pause(time) => tokio::time::sleep(time).await,
            Act::Stall => {
                let mut buffer = [0; 1];
                while socket.read(&mut buffer).await? > 0 {}
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
        }
    }
    Ok(())
}

/// The head of a response that ends with the connection.
pub(super) fn head(status: u16, headers: &str) -> Act {
    Act::Write(format!("HTTP/1.1 {status} Whatever\r\nconnection: close\r\n{headers}\r\n"))
}

pub(super) fn accepted() -> Act {
    head(200, "content-type: text/event-stream\r\n")
}

pub(super) fn refusal(status: u16, headers: &str, body: &str) -> Vec<Act> {
    vec![head(status, headers), Act::Write(body.to_owned())]
}
