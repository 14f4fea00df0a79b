//! An HTTP client.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::socket::Socket;

pub(crate) const PASSWORD: &str = "velvet otter counts 41 lanterns";
/// The maximum duration of a request, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

/// The mutation `sendMessage` with the fields that the tests use.
pub(crate) const SEND: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) {
    chat { id messageCount } message { id role status content parent { id } } reply { id role status parent { id } } } }";
const REGISTER: &str = "mutation($input: RegisterInput!) { register(input: $input) {
    user { id } session { id } accessToken refreshToken } }";

/// Sends requests to one server, with or without a token.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

/// A signed-in client.
#[derive(Clone)]
pub(crate) struct User {
    client: Client,
    pub(crate) id: String,
    pub(crate) session_id: String,
    pub(crate) refresh_token: String,
}

impl std::ops::Deref for User {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The ids in the payload of `sendMessage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) chat: String,
    pub(crate) message: String,
    pub(crate) reply: String,
}

/// The response to one operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer(pub(crate) Value);

impl Answer {
    /// The data of an operation without errors.
    pub(crate) fn data(self) -> Value {
        let Self(mut body) = self;
        assert!(body["errors"].is_null(), "{body}");
        body["data"].take()
    }

    /// The code of the only error.
    pub(crate) fn code(&self) -> &str {
        self.extensions()["code"].as_str().unwrap_or_else(|| panic!("no code: {}", self.0))
    }

    /// The code, and the path and code of each invalid field: `INVALID_INPUT content:REQUIRED`.
    pub(crate) fn complaint(&self) -> String {
        let fields = self.extensions()["fields"].as_array().cloned().unwrap_or_default();
        let path = |field: &Value| field["path"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(".");
        let fields = fields.iter().map(|field| format!(" {}:{}", path(field), text(&field["code"])));
        format!("{}{}", self.code(), fields.collect::<String>())
    }

    pub(crate) fn extensions(&self) -> &Value {
        let errors = self.0["errors"].as_array().unwrap_or_else(|| panic!("no errors: {}", self.0));
        assert_eq!(errors.len(), 1, "{}", self.0);
        assert!(errors[0]["extensions"]["requestId"].is_string(), "{}", self.0);
        &errors[0]["extensions"]
    }
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        static HTTP: OnceLock<()> = OnceLock::new();
        HTTP.get_or_init(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let http = reqwest::Client::builder().tls_certs_only([]).timeout(LIMIT).build().unwrap();
        Self { http, address, token: None }
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client with another server.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Executes a document; none if the server does not respond.
    pub(crate) async fn try_run(&self, document: &str, variables: Value) -> Option<Answer> {
        self.try_send_raw(json!({ "query": document, "variables": variables }).to_string()).await
    }

    async fn try_send_raw(&self, body: String) -> Option<Answer> {
        let request = self.http.post(format!("http://{}/graphql", self.address)).body(body);
        let mut request = request.header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.ok()?.json().await.ok().map(Answer)
    }

    /// The status of a GET request.
    pub(crate) async fn status(&self, path: &str) -> u16 {
        self.http.get(format!("http://{}{path}", self.address)).send().await.unwrap().status().as_u16()
    }

    /// Sends a request with any body.
    pub(crate) async fn send_raw(&self, body: String) -> Answer {
        self.try_send_raw(body).await.expect("no answer")
    }

    /// Executes a document.
    pub(crate) async fn run(&self, document: &str, variables: Value) -> Answer {
        self.try_run(document, variables).await.expect("no answer")
    }

    /// Executes a document without errors and returns its data.
    pub(crate) async fn data(&self, document: &str, variables: Value) -> Value {
        self.run(document, variables).await.data()
    }

    /// Executes a mutation with an input and a selection of its payload.
    pub(crate) async fn mutate(&self, field: &str, selection: &str, input: Value) -> Answer {
        let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
        let document = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {selection} }} }}");
        self.run(&document, json!({ "input": input })).await
    }

    pub(crate) async fn sign_up(&self, username: &str) -> User {
        let email = format!("{username}@example.com");
        let input = json!({ "input": { "username": username, "email": email, "password": PASSWORD } });
        self.signed_in(&self.data(REGISTER, input).await["register"])
    }

    /// The user of an `AuthPayload`.
    pub(crate) fn signed_in(&self, payload: &Value) -> User {
        User {
            client: self.with_token(&text(&payload["accessToken"])),
            id: text(&payload["user"]["id"]),
            session_id: text(&payload["session"]["id"]),
            refresh_token: text(&payload["refreshToken"]),
        }
    }

    /// A socket with an acknowledged connection.
    pub(crate) async fn socket(&self) -> Socket {
        Socket::connect(self).await
    }

    /// A socket with an acknowledged connection; none if the server does not respond.
    pub(crate) async fn try_socket(&self) -> Option<Socket> {
        Socket::try_connect(self).await
    }

    /// A socket with an acknowledged connection; none if the server does not respond or refuses it.
    pub(crate) async fn opened_socket(&self) -> Option<Socket> {
        Socket::opened(self).await
    }

    pub(crate) async fn try_send(&self, input: Value) -> Option<Answer> {
        self.try_run(SEND, json!({ "input": input })).await
    }

    pub(crate) async fn send(&self, input: Value) -> Sent {
        sent(self.run(SEND, json!({ "input": input })).await)
    }

    /// Sends a message to a model in a new chat.
    pub(crate) async fn ask(&self, model: &str, content: &str) -> Sent {
        self.send(json!({ "newChat": { "modelId": model }, "content": content })).await
    }

    /// Sends a message at the end of a chat and waits for the end of the reply to it.
    pub(crate) async fn talk(&self, chat: &str, content: &str) -> Sent {
        let sent = self.send(json!({ "chatId": chat, "content": content })).await;
        self.ended(&sent.reply).await;
        sent
    }

    /// Creates a chat without messages.
    pub(crate) async fn new_chat(&self, input: Value) -> String {
        text(&self.mutate("createChat", "chat { id }", input).await.data()["createChat"]["chat"]["id"])
    }

    /// The selected fields of a message.
    pub(crate) async fn message(&self, id: &str, selection: &str) -> Value {
        let document = format!("query($id: ID!) {{ node(id: $id) {{ ... on Message {{ {selection} }} }} }}");
        self.data(&document, json!({ "id": id })).await["node"].take()
    }

    /// Waits for the end of a reply and returns its status.
    pub(crate) async fn ended(&self, reply: &str) -> String {
        let start = std::time::Instant::now();
        loop {
            let status = text(&self.message(reply, "status").await["status"]);
            if status != "STREAMING" {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "the reply does not end");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until a running reply has at least `bytes` of text.
    pub(crate) async fn has_written(&self, reply: &str, bytes: i64) {
        let start = std::time::Instant::now();
        while self.message(reply, "position").await["position"].as_i64().unwrap() < bytes {
            assert!(start.elapsed() < LIMIT, "the reply does not grow");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

/// The ids in a response of `sendMessage`.
pub(crate) fn sent(answer: Answer) -> Sent {
    let payload = answer.data()["sendMessage"].take();
    Sent {
        chat: text(&payload["chat"]["id"]),
        message: text(&payload["message"]["id"]),
        reply: text(&payload["reply"]["id"]),
    }
}
