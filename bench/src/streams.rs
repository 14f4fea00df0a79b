//! Readers of streams: send a prompt and receive tokens over a WebSocket, from duologue or from the raw relay.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::Result;
use crate::http::{Http, post};

const SUBSCRIPTION: &str = "subscription($id: ID!) { reply(messageId: $id) { __typename position ... on ReplyText { text } ... on ReplyFinished { message { status } } } }";
const SEND: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { chat { id } reply { id } } }";

/// The source of streams.
#[derive(Clone)]
pub enum Source {
    Raw { port: u16 },
    Duologue { port: u16, tokens: Arc<[String]> },
}

/// A socket, and what is needed to start a stream on it.
pub struct Reader {
    socket: WebSocketStream<TcpStream>,
    sender: Option<Sender>,
    begun: u32,
}

struct Sender {
    http: Http,
    token: String,
}

impl Reader {
    /// Opens the socket of reader `number`. The users share the readers.
    pub async fn open(source: &Source, number: usize) -> Result<Self> {
        let config = WebSocketConfig::default().read_buffer_size(8 * 1024).write_buffer_size(1024);
        let (port, path) = match source {
            Source::Raw { port } => (*port, "stream"),
            Source::Duologue { port, .. } => (*port, "graphql"),
        };
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://127.0.0.1:{port}/{path}").into_client_request()?;
        if matches!(source, Source::Duologue { .. }) {
            let protocol = HeaderValue::from_static("graphql-transport-ws");
            request.headers_mut().insert("sec-websocket-protocol", protocol);
        }
        let (mut socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
        let Source::Duologue { tokens, .. } = source else { return Ok(Self { socket, sender: None, begun: 0 }) };
        let token = tokens[number % tokens.len()].clone();
        let payload = serde_json::json!({ "Authorization": format!("Bearer {token}") });
        let init = serde_json::json!({ "type": "connection_init", "payload": payload });
        socket.send(Message::Text(init.to_string().into())).await?;
        let ack = socket.next().await.ok_or("the socket was closed")??;
        if !ack.to_text()?.contains("connection_ack") {
            return Err(format!("no acknowledgement: {ack}").into());
        }
        Ok(Self { socket, sender: Some(Sender { http: Http::connect(port).await?, token }), begun: 0 })
    }

    /// Starts a stream with a model of the provider.
    pub async fn begin(&mut self, model: &str) -> Result<()> {
        if self.sender.is_none() {
            let ask = serde_json::json!({ "model": model }).to_string();
            return Ok(self.socket.send(Message::Text(ask.into())).await?);
        }
        let reply = self.send_message(model).await?;
        self.subscribe(&reply).await
    }

    /// Sends a message to duologue and returns the id of the reply.
    pub async fn send_message(&mut self, model: &str) -> Result<String> {
        let Sender { http, token } = self.sender.as_mut().ok_or("the raw server has no messages")?;
        let new_chat = serde_json::json!({ "modelId": model_id(model) });
        let input = serde_json::json!({ "newChat": new_chat, "content": "Tell me something." });
        let body = serde_json::json!({ "query": SEND, "variables": { "input": input } }).to_string();
        let answer: serde_json::Value = serde_json::from_str(http.send(&post("/graphql", Some(token), &body)).await?)?;
        Ok(answer["data"]["sendMessage"]["reply"]["id"].as_str().ok_or("no reply")?.to_owned())
    }

    /// Subscribes to a reply on duologue.
    pub async fn subscribe(&mut self, reply: &str) -> Result<()> {
        self.begun += 1;
        let payload = serde_json::json!({ "query": SUBSCRIPTION, "variables": { "id": reply } });
        let subscribe = serde_json::json!({ "id": self.begun.to_string(), "type": "subscribe", "payload": payload });
        Ok(self.socket.send(Message::Text(subscribe.to_string().into())).await?)
    }

    /// The next tokens; `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Tokens>> {
        loop {
            match self.socket.next().await.ok_or("the socket was closed")?? {
                Message::Text(frame) if frame.contains(r#""text":""#) => return Ok(Some(Tokens(frame))),
                Message::Text(frame) if frame.contains(r#""done":true"#) => return Ok(None),
                Message::Text(frame) if frame.contains(r#""type":"complete""#) => return Ok(None),
                Message::Text(frame) if frame.contains(r#""errors":"#) || frame.contains(r#""type":"error""#) => {
                    return Err(frame.as_str().into());
                }
                Message::Text(frame) if frame.contains("FAILED") => return Err("a reply failed".into()),
                Message::Close(close) => return Err(format!("closed: {close:?}").into()),
                _ => {}
            }
        }
    }
}

/// Consecutive tokens of a stream.
pub struct Tokens(Utf8Bytes);

impl Tokens {
    /// The text of the tokens, which needs no unescaping.
    pub fn text(&self) -> &str {
        let frame = self.0.as_str();
        let rest = frame.find(r#""text":""#).and_then(|at| frame.get(at + 8..)).unwrap_or_default();
        rest.split('"').next().unwrap_or_default()
    }
}

/// The id in duologue of a model of the provider.
pub fn model_id(plan: &str) -> String {
    format!("bench/{}", plan.replace([' ', '='], "-"))
}
