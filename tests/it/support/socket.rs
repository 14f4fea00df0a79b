//! A WebSocket client with the subprotocol `graphql-transport-ws`.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::client::{Answer, Client, text};

/// The maximum time that a test waits for a frame, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const REPLY: &str = "subscription($id: ID!, $after: Int) { reply(messageId: $id, after: $after) {
    __typename start position ... on ReplyText { text } ... on ReplyReasoning { text }
    ... on ReplyToolCall { toolCall { id name arguments result status error startedAt durationMs } }
    ... on ReplyFinished { message { id status content position finishReason error { code message isRetryable }
        usage { inputTokens outputTokens isEstimate cost durationMs }
        parts { __typename ... on TextPart { text } ... on ReasoningPart { text } ... on ToolCall { id status result } } } } } }";

/// A client's end of a WebSocket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn connect(client: &Client) -> Self {
        Self::try_connect(client).await.expect("no connection")
    }

    /// A socket with an acknowledged connection; none if the server does not respond.
    pub(crate) async fn try_connect(client: &Client) -> Option<Self> {
        let mut socket = Self::open(client).await?;
        match socket.try_next().await? {
            Message::Text(text) => assert_eq!(text.as_str(), r#"{"type":"connection_ack"}"#),
            other => panic!("{other:?}"),
        }
        Some(socket)
    }

    /// A socket with an acknowledged connection; none if the server does not respond or refuses it.
    pub(crate) async fn opened(client: &Client) -> Option<Self> {
        let mut socket = Self::open(client).await?;
        match socket.try_next().await? {
            Message::Text(text) if text.as_str() == r#"{"type":"connection_ack"}"# => Some(socket),
            _ => None,
        }
    }

    /// A socket that has sent `connection_init`; none if the server does not respond.
    pub(crate) async fn open(client: &Client) -> Option<Self> {
        let mut request = format!("ws://{}/graphql", client.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (socket, _) = tokio::time::timeout(PATIENCE, connect_async(request)).await.unwrap().ok()?;
        let mut socket = Self(socket);
        let authorization = client.token.as_ref().map(|token| format!("Bearer {token}"));
        let payload = authorization.map_or(json!({}), |authorization| json!({ "Authorization": authorization }));
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        Some(socket)
    }

    /// Errors are ignored: if the connection is lost, the next read fails.
    async fn say(&mut self, message: Value) {
        self.send_raw(message.to_string()).await;
    }

    /// Sends a frame with any text.
    pub(crate) async fn send_raw(&mut self, text: String) {
        let _ = self.0.send(Message::text(text)).await;
    }

    pub(crate) async fn subscribe(&mut self, id: &str, document: &str, variables: Value) {
        let payload = json!({ "query": document, "variables": variables });
        self.say(json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    /// Subscribes to a reply.
    pub(crate) async fn read(&mut self, id: &str, reply: &str, after: Option<i64>) {
        self.subscribe(id, REPLY, json!({ "id": reply, "after": after })).await;
    }

    /// Ends an operation before it is complete.
    pub(crate) async fn complete(&mut self, id: &str) {
        self.say(json!({ "type": "complete", "id": id })).await;
    }

    /// The next message of the protocol.
    pub(crate) async fn next(&mut self) -> Value {
        match self.next_frame().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    async fn next_frame(&mut self) -> Message {
        self.try_next().await.expect("the socket ended without a close frame")
    }

    /// The next frame, without pings and pongs; none if the connection was lost.
    async fn try_next(&mut self) -> Option<Message> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing arrived");
            match frame?.ok()? {
                Message::Ping(_) | Message::Pong(_) => {}
                frame => return Some(frame),
            }
        }
    }

    /// The next event of the only subscription; none if it has completed or the connection was lost.
    pub(crate) async fn try_event(&mut self) -> Option<Value> {
        let Message::Text(text) = self.try_next().await? else { return None };
        let mut message: Value = serde_json::from_str(&text).unwrap();
        (message["type"] == "next").then(|| Answer(message["payload"].take()).data()["reply"].take())
    }

    /// The next event of the subscription `id`; none if it has completed.
    pub(crate) async fn event(&mut self, id: &str) -> Option<Value> {
        loop {
            let mut message = self.next().await;
            if message["id"] != id {
                continue;
            }
            match text(&message["type"]).as_str() {
                "next" => return Some(Answer(message["payload"].take()).data()["reply"].take()),
                "complete" => return None,
                _ => panic!("{message}"),
            }
        }
    }

    /// The next event of the only subscription; none if it has completed or failed, or the connection was lost.
    pub(crate) async fn any_event(&mut self, id: &str) -> Option<Value> {
        let Message::Text(text) = self.try_next().await? else { return None };
        let mut message: Value = serde_json::from_str(&text).unwrap();
        let is_event = message["id"] == id && message["type"] == "next" && message["payload"]["errors"].is_null();
        is_event.then(|| message["payload"]["data"]["reply"].take())
    }

    /// The next event of the subscription `id` to `field`; other operations of the socket are passed over.
    pub(crate) async fn event_of(&mut self, id: &str, field: &str) -> Value {
        loop {
            let mut message = self.next().await;
            if message["id"] == id {
                assert_eq!(message["type"], "next", "{message}");
                return Answer(message["payload"].take()).data()[field].take();
            }
        }
    }

    /// The error of an operation that is refused or whose first event has an error.
    pub(crate) async fn failure(&mut self, id: &str) -> Answer {
        loop {
            let mut message = self.next().await;
            match (message["id"] == id, text(&message["type"]).as_str()) {
                (true, "next") => return Answer(message["payload"].take()),
                (true, "error") => return Answer(json!({ "errors": message["payload"].take() })),
                (true, _) => panic!("{message}"),
                (false, _) => {}
            }
        }
    }

    /// The close code of the server; messages before are skipped.
    pub(crate) async fn closed(&mut self) -> u16 {
        self.end().await.0
    }

    /// The close code and reason of the server; messages before are skipped.
    pub(crate) async fn end(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next_frame().await {
                let frame = frame.expect("a close frame without a code");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

/// The part of a reply that a reader has received.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reading {
    pub(crate) text: String,
    pub(crate) position: i64,
    /// All events, in order.
    pub(crate) events: Vec<Value>,
    /// The message of `ReplyFinished`.
    pub(crate) message: Option<Value>,
}

impl Reading {
    /// Adds an event, and asserts that it starts at the end of the previous one.
    pub(crate) fn take(&mut self, event: Value) {
        assert_eq!(event["start"], self.position, "events follow each other: {event}");
        let position = event["position"].as_i64().unwrap();
        let span = match text(&event["__typename"]).as_str() {
            "ReplyText" => {
                self.text.push_str(event["text"].as_str().unwrap());
                event["text"].as_str().unwrap().len()
            }
            "ReplyReasoning" => event["text"].as_str().unwrap().len(),
            "ReplyToolCall" => 1,
            "ReplyFinished" => {
                self.message = Some(event["message"].clone());
                0
            }
            other => panic!("{other}"),
        };
        assert_eq!(position, self.position + i64::try_from(span).unwrap(), "{event}");
        self.position = position;
        self.events.push(event);
    }
}

/// Reads a reply from the beginning to its end.
pub(crate) async fn read_all(client: &Client, reply: &str) -> Reading {
    let mut socket = client.socket().await;
    socket.read("1", reply, None).await;
    let mut reading = Reading::default();
    while let Some(event) = socket.event("1").await {
        assert!(reading.message.is_none(), "ReplyFinished is the last: {event}");
        reading.take(event);
    }
    assert!(reading.message.is_some(), "ReplyFinished always comes");
    reading
}
