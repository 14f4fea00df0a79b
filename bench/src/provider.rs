//! A model provider with minimal cost: OpenAI-compatible chat completions whose model name is a plan (`rate=50
//! tokens=100`).
//!
//! In a paced stream, each token is the time at which it is sent, in microseconds, so that a reader can compute its
//! latency. The first token is preceded by the time at which the request was received.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::Result;

/// A token of an unpaced stream.
pub const PLAIN_TOKEN: &str = " lorem";
/// Tokens per write in an unpaced stream.
const BATCH: u32 = 32;
/// Maximum size of a request, in bytes.
const MAX_REQUEST: usize = 1 << 20;

/// The plan of a stream.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Tokens per second; 0 for as fast as possible.
    rate: u32,
    tokens: u32,
    /// Keeps the stream open after its last token.
    stalls: bool,
}

impl Plan {
    fn parse(model: &str) -> Self {
        let number = |name: &str| {
            let words = model.split(' ').filter_map(|word| word.split_once('='));
            words.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok()).unwrap_or(0)
        };
        Self { rate: number("rate"), tokens: number("tokens"), stalls: number("stall") == 1 }
    }
}

/// Serves until the process ends.
pub async fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Errors are ignored, because the server may close the connection at any time.
            let _ = connection(stream).await;
        });
    }
}

/// Microseconds since the epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

async fn connection(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(body) = request(&mut stream, &mut buffer).await? {
        #[derive(Deserialize)]
        struct Body {
            model: String,
        }
        let received = now();
        let Body { model } = serde_json::from_slice(&body)?;
        answer(&mut stream, Plan::parse(&model), received).await?;
    }
    Ok(())
}

/// The body of the next request.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end])?.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap_or("0");
            let whole = end + 4 + length.trim().parse::<usize>()?;
            if buffer.len() >= whole {
                let body = buffer[end + 4..whole].to_vec();
                buffer.drain(..whole);
                return Ok(Some(body));
            }
        }
        if buffer.len() > MAX_REQUEST {
            return Err("a request is too long".into());
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn answer(stream: &mut TcpStream, plan: Plan, received: u64) -> Result<()> {
    let mut out = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let start = Instant::now();
    for index in 0..plan.tokens {
        if plan.rate == 0 {
            event(&mut out, &delta(PLAIN_TOKEN));
            if (index + 1) % BATCH != 0 {
                continue;
            }
        } else {
            if index > 0 {
                sleep_until(start + Duration::from_secs(1) * index / plan.rate).await;
            }
            let first = if index == 0 { format!("{received} ") } else { String::new() };
            event(&mut out, &delta(&format!("{first}{} ", now())));
        }
        stream.write_all(&out).await?;
        out.clear();
    }
    if plan.stalls {
        stream.write_all(&out).await?;
        // Until the client disconnects.
        stream.read_u8().await?;
    }
    event(&mut out, r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#);
    let tokens = plan.tokens;
    let usage =
        format!(r#"{{"id":"chatcmpl-1","choices":[],"usage":{{"prompt_tokens":20,"completion_tokens":{tokens}}}}}"#);
    event(&mut out, &usage);
    event(&mut out, "[DONE]");
    out.extend_from_slice(b"0\r\n\r\n");
    stream.write_all(&out).await?;
    Ok(())
}

fn delta(text: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"bench","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
    )
}

/// One event per HTTP chunk, as providers send them.
fn event(out: &mut Vec<u8>, data: &str) {
    out.extend_from_slice(format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8).as_bytes());
}
