//! A provider that sends scripted responses and records its requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// The context window of `fake/model`.
const WINDOW: u32 = 8192;

/// A running provider, and a `MODELS_FILE` with two models: `fake/model` of this provider, and `keyless/model`, whose
/// provider has no key.
pub(crate) struct FakeProvider {
    state: Arc<State>,
    file: NamedTempFile,
    _task: AbortOnDropHandle<()>,
}

struct State {
    requests: Mutex<Vec<Value>>,
    script: Box<dyn Fn(&Value) -> Answer + Send + Sync>,
    /// Held answers wait for a permit.
    released: Semaphore,
}

/// The answer to a request.
pub(crate) enum Answer {
    /// The body of an event stream.
    Events(String),
    /// The same, after [`FakeProvider::release`].
    Held(String),
    /// An HTTP status.
    Status(u16),
}

/// The purpose of a request, by its instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Reply,
    Title,
    Summary,
}

impl Purpose {
    pub(crate) fn of(request: &Value) -> Self {
        let first = &request["messages"][0];
        let instructions = if first["role"] == "system" { first["content"].as_str().unwrap() } else { "" };
        if instructions.starts_with("Write a title") {
            Self::Title
        } else if instructions.starts_with("You keep the summary") {
            Self::Summary
        } else {
            Self::Reply
        }
    }
}

/// A chat completion, without usage.
pub(crate) fn completion(text: &str) -> String {
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": "stop" }] });
    events(&[&chunk.to_string(), "[DONE]"])
}

fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

impl FakeProvider {
    /// A provider with OpenAI's chat completions and a short reply.
    pub(crate) async fn start() -> Self {
        let chunks = [
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":" there."},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#,
            "[DONE]",
        ];
        Self::answering("openai", &chunks).await
    }

    /// A provider of a kind in `MODELS_FILE`, which responds with server-sent events with these data.
    pub(crate) async fn answering(kind: &str, data: &[&str]) -> Self {
        let body = events(data);
        Self::listening(kind, WINDOW, move |_| Answer::Events(body.clone())).await
    }

    /// With OpenAI's chat completions, and an answer to each request; `window` is the context window of `fake/model`.
    pub(crate) async fn scripted(window: u32, script: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        Self::listening("openai", window, script).await
    }

    async fn listening(kind: &str, window: u32, script: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), models(kind, window, listener.local_addr().unwrap())).unwrap();
        let state =
            Arc::new(State { requests: Mutex::default(), script: Box::new(script), released: Semaphore::new(0) });
        let shared = Arc::clone(&state);
        #[expect(clippy::disallowed_methods, reason = "it ends with the test, by its handle")]
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { answer(connection, &state).await });
            }
        });
        Self { state, file, _task: AbortOnDropHandle::new(task) }
    }

    /// The value of `MODELS_FILE`.
    pub(crate) fn models_file(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// The requests for replies until now.
    pub(crate) fn calls(&self) -> usize {
        self.requests(Purpose::Reply).len()
    }

    /// The requests of one purpose until now.
    pub(crate) fn requests(&self, purpose: Purpose) -> Vec<Value> {
        let requests = self.state.requests.lock().unwrap();
        requests.iter().filter(|request| Purpose::of(request) == purpose).cloned().collect()
    }

    /// Waits until there are so many requests of one purpose.
    pub(crate) async fn has_got(&self, purpose: Purpose, count: usize) {
        let start = std::time::Instant::now();
        while self.requests(purpose).len() < count {
            assert!(start.elapsed() < Duration::from_secs(40), "no {purpose:?} was requested");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets a held answer go.
    pub(crate) fn release(&self) {
        self.state.released.add_permits(1);
    }
}

fn models(kind: &str, window: u32, address: SocketAddr) -> String {
    format!(
        "[[providers]]\nname = \"fake\"\nkind = \"{kind}\"\nbase_url = \"http://{address}/v1\"\n\
         [[providers]]\nname = \"keyless\"\nkind = \"openai\"\nbase_url = \"http://{address}/v1\"\n\
         api_key_env = \"NO_SUCH_KEY\"\n\
         [[models]]\nid = \"fake/model\"\nprovider = \"fake\"\ncontext_window = {window}\ninput_price = 1.0\n\
         output_price = 2.0\n\
         [[models]]\nid = \"keyless/model\"\nprovider = \"keyless\"\ncontext_window = 8192\n"
    )
}

async fn answer(mut connection: TcpStream, state: &State) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut bytes = [0; 4096];
        match connection.read(&mut bytes).await {
            Ok(count) if count > 0 => request.extend_from_slice(&bytes[..count]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request);
    let request: Value = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str(body).unwrap()).unwrap();
    let answer = (state.script)(&request);
    state.requests.lock().unwrap().push(request);
    let (status, body) = match answer {
        Answer::Events(body) => (200, body),
        Answer::Held(body) => {
            state.released.acquire().await.unwrap().forget();
            (200, body)
        }
        Answer::Status(status) => (status, String::new()),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = connection.shutdown().await;
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    request.len() >= head.len() + 4 + length.unwrap_or(0)
}
