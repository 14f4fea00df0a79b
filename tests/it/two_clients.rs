//! Two clients on one chat: each sees the changes of the other through subscriptions alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::client::{PASSWORD, User, text};
use crate::support::database::on_both_databases;
use crate::support::provider::{Answer, FakeProvider, Purpose, completion};
use crate::support::server::Setup;
use crate::support::socket::Socket;

/// The maximum number of messages that a client reads before it has seen a change.
const MAX_MESSAGES: usize = 200;
const MESSAGE: &str = "id role status content rating parent { id }";
const CHAT: &str = "title lastMessage { id }";
const LOGIN: &str = "mutation($input: LoginInput!) { login(input: $input) {
    user { id } session { id } accessToken refreshToken } }";

/// The state of a chat: its title and active branch, and its messages by id.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    chat: Value,
    messages: BTreeMap<String, Value>,
}

impl State {
    /// The state on the server. `known` are the ids of all messages that were ever in the chat.
    async fn on_server(user: &User, chat: &str, known: &[String]) -> Self {
        let document = format!(
            "query($chat: ID!, $known: [ID!]!) {{ chat(id: $chat) {{ {CHAT} }} \
             nodes(ids: $known) {{ ... on Message {{ {MESSAGE} }} }} }}"
        );
        let mut data = user.data(&document, json!({ "chat": chat, "known": known })).await;
        let found = data["nodes"].as_array().unwrap().iter().filter(|node| !node.is_null());
        let messages = found.map(|message| (text(&message["id"]), message.clone())).collect();
        Self { chat: data["chat"].take(), messages }
    }

    fn remove(&mut self, id: &str) {
        self.messages.remove(id);
        let children = self.messages.iter().filter(|(_, message)| message["parent"]["id"] == id);
        for child in children.map(|(child, _)| child.clone()).collect::<Vec<_>>() {
            self.remove(&child);
        }
    }
}

/// A signed-in client that shows a chat, and queries nothing after EventsStarted.
struct Device {
    user: User,
    socket: Socket,
    state: State,
    /// The text of each reply that was read with `reply`.
    read: BTreeMap<String, String>,
}

impl Device {
    async fn show(user: User, chat: &str) -> Self {
        let mut socket = user.socket().await;
        let document = format!(
            "subscription($chat: ID!) {{ chatEvents(chatId: $chat) {{ __typename ... on ChatChanged {{ chat {{ {CHAT} }} }} \
             ... on MessageAdded {{ message {{ {MESSAGE} }} }} ... on MessageChanged {{ message {{ {MESSAGE} }} }} \
             ... on MessageRemoved {{ messageId }} }} }}"
        );
        socket.subscribe("events", &document, json!({ "chat": chat })).await;
        assert_eq!(socket.event_of("events", "chatEvents").await["__typename"], "EventsStarted");
        let state = State::on_server(&user, chat, &[]).await;
        Self { user, socket, state, read: BTreeMap::new() }
    }

    /// Reads subscriptions until the client shows this state, and has the text of each reply in it.
    async fn sees(&mut self, wanted: &State) {
        for _ in 0..MAX_MESSAGES {
            if self.state == *wanted {
                return;
            }
            self.read_message().await;
        }
        panic!("shown: {:#?}\nwanted: {wanted:#?}", self.state);
    }

    async fn read_message(&mut self) {
        let mut message = self.socket.next().await;
        let id = text(&message["id"]);
        if message["type"] == "complete" {
            return;
        }
        assert!(message["type"] == "next" && message["payload"]["errors"].is_null(), "{message}");
        let data = message["payload"]["data"].take();
        if id == "events" {
            self.apply(&data["chatEvents"]).await;
        } else if let Some(text) = data["reply"]["text"].as_str() {
            self.read.entry(id).or_default().push_str(text);
        }
    }

    async fn apply(&mut self, event: &Value) {
        match text(&event["__typename"]).as_str() {
            "ChatChanged" => self.state.chat = event["chat"].clone(),
            "MessageRemoved" => self.state.remove(&text(&event["messageId"])),
            "MessageAdded" | "MessageChanged" => {
                let message = &event["message"];
                let id = text(&message["id"]);
                if message["role"] == "ASSISTANT" && !self.read.contains_key(&id) {
                    let document = "subscription($id: ID!) { reply(messageId: $id) { ... on ReplyText { text } } }";
                    self.socket.subscribe(&id, document, json!({ "id": id })).await;
                    self.read.insert(id.clone(), String::new());
                }
                // A client moves the end of the active branch to a message that is added below it.
                if event["__typename"] == "MessageAdded"
                    && message["parent"]["id"] == self.state.chat["lastMessage"]["id"]
                {
                    self.state.chat["lastMessage"] = json!({ "id": id });
                }
                self.state.messages.insert(id, message.clone());
            }
            other => panic!("{other}"),
        }
    }
}

on_both_databases!(two_clients_show_the_same_chat_through_subscriptions_alone, |database| async move {
    let provider = FakeProvider::scripted(8192, |request| match Purpose::of(request) {
        Purpose::Title => Answer::Held(completion("Blue skies")),
        _ => Answer::Events(completion("Because of the air.")),
    })
    .await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let laptop = server.sign_up("ada").await;
    let input = json!({ "input": { "login": "ada", "password": PASSWORD } });
    let phone = laptop.signed_in(&laptop.data(LOGIN, input).await["login"]);
    let chat = laptop.new_chat(json!({ "modelId": "fake/model" })).await;
    let mut devices = [Device::show(laptop, &chat).await, Device::show(phone, &chat).await];

    let mut known: Vec<String> = Vec::new();
    let first = "Why is the sky blue?";
    for step in 0..10 {
        // The devices take turns.
        let user = devices[step % 2].user.clone();
        let one = |number: usize| known[number].clone();
        let (field, payload, input) = match step {
            0 => ("sendMessage", "message { id } reply { id }", json!({ "chatId": chat, "content": first })),
            1 => ("regenerateReply", "reply { id }", json!({ "messageId": one(1) })),
            2 => ("editMessage", "message { id } reply { id }", json!({ "messageId": one(0), "content": "Why?" })),
            3 => ("editMessage", "message { id }", json!({ "messageId": one(1), "content": "My own answer." })),
            4 => ("selectBranch", "chat { id }", json!({ "chatId": chat, "messageId": one(1) })),
            5 => ("sendMessage", "message { id } reply { id }", json!({ "chatId": chat, "content": "Go on" })),
            6 => ("rateMessage", "message { id }", json!({ "messageId": one(2), "rating": "UP" })),
            7 => ("deleteMessage", "messageId", json!({ "messageId": one(1) })),
            8 => ("deleteMessage", "messageId", json!({ "messageId": one(3) })),
            _ => ("updateChat", "chat { id }", json!({ "chatId": chat, "title": "Ours" })),
        };
        let made = user.mutate(field, payload, input).await.data()[field].take();
        for message in [&made["message"]["id"], &made["reply"]["id"]].into_iter().filter_map(Value::as_str) {
            known.push(message.to_owned());
        }
        known.dedup();
        if let Some(reply) = made["reply"]["id"].as_str() {
            assert_eq!(user.ended(reply).await, "COMPLETE");
        }
        let wanted = State::on_server(&user, &chat, &known).await;
        for device in &mut devices {
            device.sees(&wanted).await;
        }
        if step == 0 {
            assert_eq!(wanted.chat["title"], first);
            provider.has_got(Purpose::Title, 1).await;
            provider.release();
            for device in &mut devices {
                while device.state.chat["title"] != "Blue skies" {
                    device.read_message().await;
                }
            }
        }
    }
    for device in &mut devices {
        assert_eq!(device.state.chat["title"], "Ours");
        for (id, message) in device.state.messages.clone().iter().filter(|(id, _)| device.read.contains_key(*id)) {
            assert_eq!(device.read[id], text(&message["content"]), "the text of each reply arrived");
        }
    }
    server.stop().await;
});
