//! An HTTP/1.1 client with minimal CPU cost: one connection, one request at a time.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Result;

/// A keep-alive connection.
pub struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A serialized POST request.
pub fn post(path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{authorization}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Http {
    /// Connects.
    pub async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request and returns the response body. Fails unless the response is a success.
    pub async fn send(&mut self, request: &[u8]) -> Result<&str> {
        self.ask(request).await?.map_err(Into::into)
    }

    /// Sends a request and returns the response body, or the reason why it was refused.
    async fn ask(&mut self, request: &[u8]) -> Result<Result<&str, String>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (start, end) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed".into());
            }
            let Some(head) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.buffer[..head])?.to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.ok_or("a response without content-length")?.trim().parse()?;
            if self.buffer.len() >= head + 4 + length {
                break (head + 4, head + 4 + length);
            }
        };
        let body = std::str::from_utf8(&self.buffer[start..end])?;
        if !self.buffer.starts_with(b"HTTP/1.1 200") || body.contains("\"errors\":") {
            let answer = String::from_utf8_lossy(&self.buffer);
            return Ok(Err(answer.chars().take(600).collect()));
        }
        Ok(Ok(body))
    }
}

/// The results of a load.
#[derive(Debug, Default)]
pub struct Load {
    /// The latency of each successful request, in microseconds.
    pub latencies: Vec<u64>,
    /// The reasons of refused requests.
    pub refusals: Vec<String>,
}

/// Sends requests on some connections until `until`, each after the previous response. `request` gets a request number
/// that is unique across connections.
pub async fn closed_loop(
    port: u16,
    connections: usize,
    until: Instant,
    request: impl Fn(usize) -> Vec<u8> + Clone + Send + 'static,
) -> Result<Load> {
    let mut all = JoinSet::new();
    for connection in 0..connections {
        let request = request.clone();
        all.spawn(async move {
            let mut http = Http::connect(port).await?;
            let mut load = Load::default();
            for number in (connection..).step_by(connections) {
                let start = Instant::now();
                if start >= until {
                    break;
                }
                match http.ask(&request(number)).await? {
                    Ok(_) => load.latencies.push(u64::try_from(start.elapsed().as_micros())?),
                    Err(refusal) => load.refusals.push(refusal),
                }
            }
            Ok::<_, crate::Failure>(load)
        });
    }
    let mut load = Load::default();
    while let Some(one) = all.join_next().await {
        let one = one??;
        load.latencies.extend(one.latencies);
        load.refusals.extend(one.refusals);
    }
    Ok(load)
}

/// The given permille of the values; 0 if there are none.
pub fn permille(values: &mut [u64], permille: usize) -> u64 {
    values.sort_unstable();
    let index = (values.len() * permille / 1_000).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or(0)
}
