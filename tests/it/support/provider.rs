//! A provider that sends one fixed response and counts its calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A running provider, and a `MODELS_FILE` with two models: `fake/model` of this provider, and `keyless/model`, whose
/// provider has no key.
pub(crate) struct FakeProvider {
    calls: Arc<AtomicUsize>,
    file: NamedTempFile,
    _task: AbortOnDropHandle<()>,
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), models(kind, listener.local_addr().unwrap())).unwrap();
        let body: Arc<str> = data.iter().map(|data| format!("data: {data}\n\n")).collect::<String>().into();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        #[expect(clippy::disallowed_methods, reason = "it ends with the test, by its handle")]
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (counter, body) = (Arc::clone(&counter), Arc::clone(&body));
                tokio::spawn(async move { answer(connection, &counter, &body).await });
            }
        });
        Self { calls, file, _task: AbortOnDropHandle::new(task) }
    }

    /// The value of `MODELS_FILE`.
    pub(crate) fn models_file(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn models(kind: &str, address: SocketAddr) -> String {
    format!(
        "[[providers]]\nname = \"fake\"\nkind = \"{kind}\"\nbase_url = \"http://{address}/v1\"\n\
         [[providers]]\nname = \"keyless\"\nkind = \"openai\"\nbase_url = \"http://{address}/v1\"\n\
         api_key_env = \"NO_SUCH_KEY\"\n\
         [[models]]\nid = \"fake/model\"\nprovider = \"fake\"\ncontext_window = 8192\ninput_price = 1.0\n\
         output_price = 2.0\n\
         [[models]]\nid = \"keyless/model\"\nprovider = \"keyless\"\ncontext_window = 8192\n"
    )
}

async fn answer(mut connection: TcpStream, calls: &AtomicUsize, body: &str) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut bytes = [0; 4096];
        match connection.read(&mut bytes).await {
            Ok(count) if count > 0 => request.extend_from_slice(&bytes[..count]),
            _ => return,
        }
    }
    calls.fetch_add(1, Ordering::SeqCst);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = connection.shutdown().await;
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    request.len() >= head.len() + 4 + length.unwrap_or(0)
}
