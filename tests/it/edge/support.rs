//! A server with a small test schema, and clients that send and receive raw HTTP and WebSocket messages.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_graphql::{Context, Object, Schema, Subscription};
use duologue::clock::{Clock as _, IdGenerator, SystemClock};
use duologue::domain::viewer::Permissions;
use duologue::domain::{self, Credential, Requester, Viewer};
use duologue::graphql::document::{self, Documents};
use duologue::graphql::execution::Caller;
use duologue::http::{Connections, Edge, Limits, Tls, router, serve};
use duologue::metrics::Metrics;
use duologue::traces::Traces;
use futures_util::{SinkExt as _, Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::conforming::Conforming;

/// The maximum time that a test waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The keep-alive timeout of connections.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

pub(super) struct Query;

#[Object]
impl Query {
    async fn hello(&self) -> &'static str {
        "world"
    }

    async fn slow(&self, milliseconds: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        milliseconds
    }

    async fn text(&self, bytes: usize) -> String {
        "x".repeat(bytes)
    }

    /// Increments the counter after a delay, if it is not cancelled.
    async fn ends(&self, context: &Context<'_>, milliseconds: u64) -> usize {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        context.data_unchecked::<Arc<AtomicUsize>>().fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn panics(&self, context: &Context<'_>) -> Option<i32> {
        assert!(context.data_opt::<Caller>().is_none(), "hunter2");
        None
    }

    async fn fails(&self) -> domain::Result<Option<i32>> {
        Err(domain::Error::internal("hunter2"))
    }

    async fn me(&self, context: &Context<'_>) -> domain::Result<Option<String>> {
        Ok(Some(context.data_unchecked::<Caller>().requester.viewer()?.user_id.to_string()))
    }

    async fn address(&self, context: &Context<'_>) -> String {
        context.data_unchecked::<Caller>().client.ip.to_string()
    }
}

pub(super) struct Mutation;

#[Object]
impl Mutation {
    /// Increments the counter after a delay.
    async fn count(&self, context: &Context<'_>, milliseconds: u64) -> usize {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        context.data_unchecked::<Arc<AtomicUsize>>().fetch_add(1, Ordering::SeqCst) + 1
    }
}

pub(super) struct Subscriptions;

#[Subscription(name = "Subscription")]
impl Subscriptions {
    /// An endless stream of events without pauses.
    async fn busy(&self, size: usize) -> impl Stream<Item = String> {
        stream::repeat("x".repeat(size))
    }

    async fn ticks(&self, milliseconds: u64) -> impl Stream<Item = u64> {
        stream::unfold(0, move |n| async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Some((n, n + 1))
        })
    }

    async fn up_to(&self, n: u64) -> impl Stream<Item = u64> {
        stream::iter(0..n)
    }

    async fn panics(&self) -> impl Stream<Item = u64> {
        stream::iter(0..).inspect(|n| assert!(*n < 1, "hunter2"))
    }

    async fn refused(&self) -> domain::Result<stream::Empty<u64>> {
        Err(domain::Error::NotFound)
    }

    async fn fails_later(&self) -> impl Stream<Item = domain::Result<u64, Arc<domain::Error>>> {
        stream::iter([Ok(1), Err(Arc::new(domain::Error::NotFound)), Ok(2)])
    }

    async fn me(&self, context: &Context<'_>) -> domain::Result<stream::Once<std::future::Ready<String>>> {
        let user = context.data_unchecked::<Caller>().requester.viewer()?.user_id.to_string();
        Ok(stream::once(std::future::ready(user)))
    }
}

/// An executor of the test schema, with the counter of `count` and `ends`.
pub(super) fn executor(counted: Arc<AtomicUsize>) -> Conforming<Schema<Query, Mutation, Subscriptions>> {
    let schema = Schema::build(Query, Mutation, Subscriptions).data(counted).finish();
    let documents = Documents::new(&schema.sdl(), document::Limits::default()).unwrap();
    Conforming::new(schema, documents)
}

/// A running server. Dropping it closes all connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// The counter of `count` and `ends`.
    pub(super) counted: Arc<AtomicUsize>,
    pub(super) session_ended: CancellationToken,
    pub(super) is_ready: Arc<AtomicBool>,
    pub(super) tracker: TaskTracker,
    pub(super) soft_stop: CancellationToken,
    hard_stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.soft_stop.cancel();
        self.hard_stop.cancel();
    }
}

/// `Bearer good` is a valid token, `Bearer short` a token that expires soon, `Bearer once` is valid the first time, and
/// everything else is invalid.
fn authenticate(authorization: Option<&str>, session_ended: CancellationToken, once: &AtomicBool) -> Requester {
    let lifetime = match authorization {
        None => return Requester::Anonymous,
        Some("Bearer good") => 900_000,
        Some("Bearer once") if !once.swap(true, Ordering::SeqCst) => 900_000,
        Some("Bearer short") => 300,
        Some(_) => return Requester::Dead,
    };
    Requester::Viewer(Arc::new(Viewer {
        user_id: "user_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
        credential: Credential::Session("sess_01h455vb4pex5vsknk084sn02q".parse().unwrap()),
        may_write: true,
        permissions: Permissions::default(),
        token_expires_at: Some(SystemClock.now() + chrono::Duration::milliseconds(lifetime)),
        session_ended,
    }))
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(super) async fn with(limits: Limits) -> Self {
        Self::serve(limits, true, "", None, KEEP_ALIVE)
    }

    /// With another keep-alive timeout.
    pub(super) async fn with_keep_alive(keep_alive: Duration) -> Self {
        Self::serve(Limits::default(), true, "", None, keep_alive)
    }

    pub(super) async fn without_playground() -> Self {
        Self::serve(Limits::default(), false, "", None, KEEP_ALIVE)
    }

    /// With allowed origins, and optionally over TLS.
    pub(super) async fn start_with(limits: Limits, origins: &str, tls: Option<Tls>) -> Self {
        Self::serve(limits, true, origins, tls, KEEP_ALIVE)
    }

    #[expect(clippy::disallowed_methods, reason = "the server under test, which ends with the test's runtime")]
    fn serve(limits: Limits, playground: bool, origins: &str, tls: Option<Tls>, keep_alive: Duration) -> Self {
        let counted = Arc::new(AtomicUsize::new(0));
        let session_ended = CancellationToken::new();
        let [soft_stop, hard_stop] = [CancellationToken::new(), CancellationToken::new()];
        let tracker = TaskTracker::new();
        let is_ready = Arc::new(AtomicBool::new(true));
        let ended = session_ended.clone();
        let ready = is_ready.clone();
        let once = AtomicBool::new(false);
        let edge = Edge {
            executor: executor(counted.clone()),
            authenticate: Arc::new(move |authorization, _| {
                let requester = authenticate(authorization.as_deref(), ended.clone(), &once);
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    requester
                })
            }),
            ready: Arc::new(move || {
                let ready = ready.load(Ordering::SeqCst);
                Box::pin(async move { ready })
            }),
            tracker: tracker.clone(),
            draining: soft_stop.clone(),
            metrics: Metrics::default(),
            traces: Traces::default(),
            scrape: None,
            limits,
            playground,
            trusted_proxies: "127.0.0.0/8".parse().unwrap(),
            origins: origins.parse().unwrap(),
            is_tls: tls.is_some(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(IdGenerator::default()),
        };
        let listener = std::net::TcpListener::bind((IpAddr::from([127, 0, 0, 1]), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(&edge.limits, edge.trusted_proxies.clone());
        tokio::spawn(serve(listener, router(edge), tls, connections, keep_alive, soft_stop.clone(), hard_stop.clone()));
        Self { address, counted, session_ended, is_ready, tracker, soft_stop, hard_stop }
    }

    pub(super) fn counted(&self) -> usize {
        self.counted.load(Ordering::SeqCst)
    }

    /// Waits until the counter has a value.
    pub(super) async fn expect_count(&self, wanted: usize) {
        let counted = async {
            while self.counted() < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, counted).await.expect("the mutation did not end");
    }

    /// Sends bytes and reads until the server closes the connection.
    pub(super) async fn raw(&self, request: &str) -> Answer {
        let mut connection = self.send(request).await;
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, connection.read_to_end(&mut bytes)).await.expect("no answer").unwrap();
        Answer::parse(&bytes)
    }

    pub(super) async fn send(&self, request: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }

    pub(super) async fn post(&self, headers: &str, body: &str) -> Answer {
        self.raw(&post(headers, body)).await
    }

    /// Executes a document over HTTP.
    pub(super) async fn query(&self, document: &str) -> Value {
        let body = json!({ "query": document }).to_string();
        self.post("content-type: application/json\r\n", &body).await.json()
    }

    pub(super) async fn get(&self, path: &str, headers: &str) -> Answer {
        self.raw(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")).await
    }

    pub(super) async fn socket(&self, protocol: &str) -> Socket {
        self.socket_with(protocol, None).await
    }

    /// The response status of a WebSocket handshake.
    pub(super) async fn handshake(&self, headers: &str) -> u16 {
        let head = "GET /graphql HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n";
        let mut connection = self.send(&format!("{head}{headers}\r\n")).await;
        let mut start = [0; 12];
        tokio::time::timeout(PATIENCE, connection.read_exact(&mut start)).await.expect("no answer").unwrap();
        String::from_utf8_lossy(&start[9..]).parse().unwrap()
    }

    pub(super) async fn socket_with(&self, protocol: &str, authorization: Option<&str>) -> Socket {
        let mut request = format!("ws://{}/graphql", self.address).into_client_request().unwrap();
        if !protocol.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        if let Some(authorization) = authorization {
            request.headers_mut().insert("authorization", authorization.parse().unwrap());
        }
        let (socket, _) = connect_async(request).await.unwrap();
        Socket(socket)
    }

    /// A socket whose connection is acknowledged.
    pub(super) async fn ready_socket(&self) -> Socket {
        let mut socket = self.socket("graphql-transport-ws").await;
        socket.init(json!({})).await;
        socket
    }
}

pub(super) fn post(headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /graphql HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

/// An HTTP response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The code of the only error. Asserts that the error has the request's id.
    pub(super) fn code(&self) -> String {
        let body = self.json();
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {self:?}"));
        assert_eq!(errors.len(), 1, "{self:?}");
        let extensions = &errors[0]["extensions"];
        assert_eq!(extensions["requestId"].as_str(), self.header("x-request-id"), "{self:?}");
        extensions["code"].as_str().unwrap_or_else(|| panic!("no code: {self:?}")).to_owned()
    }
}

/// A client's end of a WebSocket.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// Sends messages at once.
    pub(super) async fn burst<const N: usize>(&mut self, messages: [Value; N]) {
        for message in messages {
            self.0.feed(Message::text(message.to_string())).await.unwrap();
        }
        self.0.flush().await.unwrap();
    }

    pub(super) async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    pub(super) async fn init(&mut self, payload: Value) {
        self.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(self.next().await, json!({ "type": "connection_ack" }));
    }

    pub(super) async fn subscribe(&mut self, id: &str, document: &str) {
        self.send(json!({ "type": "subscribe", "id": id, "payload": { "query": document } })).await;
    }

    /// The next text message; WebSocket pings are skipped.
    pub(super) async fn next(&mut self) -> Value {
        match self.next_frame().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    async fn next_frame(&mut self) -> Message {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing arrived");
            match frame.expect("the socket ended without a close frame").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                frame => return frame,
            }
        }
    }

    /// The close code and reason of the server; messages before are skipped.
    pub(super) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next_frame().await {
                let frame = frame.expect("a close frame without a code");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    /// Whether the connection ends; messages before are skipped.
    pub(super) async fn ends(&mut self) -> bool {
        let end = async { while let Some(Ok(_)) = self.0.next().await {} };
        tokio::time::timeout(PATIENCE, end).await.is_ok()
    }

    /// The next message, if one arrives within `time`.
    pub(super) async fn within(&mut self, time: Duration) -> Option<Value> {
        tokio::time::timeout(time, self.next()).await.ok()
    }

    pub(super) fn into_tcp(self) -> TcpStream {
        match self.0.into_inner() {
            MaybeTlsStream::Plain(stream) => stream,
            _ => panic!("not a plain connection"),
        }
    }
}
