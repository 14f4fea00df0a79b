//! The relay: a WebSocket on which each prompt is answered with the tokens of a provider's stream.

use std::future::poll_fn;
use std::mem::replace;
use std::sync::Arc;
use std::task::Poll;

use axum::extract::ws::{Message, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::response::Response;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Server;
use crate::Result;

/// Upgrades a request to a relay.
pub(super) async fn stream(State(server): State<Arc<Server>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        // The reader or the provider may have disconnected.
        let _ = relay(&server, socket).await;
    })
}

/// Relays prompts and their replies. Each token is a message of its own. The messages that are ready are written to the
/// socket together.
async fn relay(server: &Server, mut socket: WebSocket) -> Result<()> {
    #[derive(Deserialize)]
    struct Ask {
        model: String,
    }
    while let Some(Message::Text(ask)) = socket.recv().await.transpose()? {
        let Ask { model } = serde_json::from_str(&ask)?;
        let messages = serde_json::json!([{ "role": "user", "content": "Tell me something." }]);
        let body = serde_json::json!({ "model": model, "messages": messages, "stream": true });
        let mut chunks = server.client.post(&server.provider).json(&body).send().await?.bytes_stream();
        let mut unread = Vec::new();
        let mut next = chunks.next().await;
        while let Some(chunk) = next.transpose()? {
            unread.extend_from_slice(&chunk);
            let complete = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in unread[..complete].split(|byte| *byte == b'\n') {
                if let Some(token) = token(line)? {
                    socket.feed(Message::Text(token.into())).await?;
                }
            }
            unread.drain(..complete);
            // The HTTP client's task provides one chunk at a time, so it must run before the next one can be ready.
            let_others_run().await;
            next = match chunks.next().now_or_never() {
                Some(next) => next,
                None => {
                    socket.flush().await?;
                    chunks.next().await
                }
            };
        }
        socket.send(Message::Text(r#"{"done":true}"#.into())).await?;
    }
    Ok(())
}

/// The message for a line of the provider's event stream, in which each event has one line of data. The text is copied
/// as it is escaped there.
fn token(line: &[u8]) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        choices: Vec<Choice<'a>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        delta: Delta<'a>,
    }
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
    }
    let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii).filter(|data| data != b"[DONE]") else {
        return Ok(None);
    };
    let Chunk { choices } = serde_json::from_slice(data)?;
    let text = choices.first().and_then(|choice| choice.delta.content);
    Ok(text.map(|text| format!(r#"{{"text":{text}}}"#)))
}

/// Lets the other ready tasks of this thread run first.
async fn let_others_run() {
    let mut has_run = false;
    poll_fn(|context| {
        if replace(&mut has_run, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
