//! W9: the latency of operations on a chat of 5,000 messages with 200 branches, compared to a chat of 50 messages.
//!
//! Both chats fill the context window of the model. The operations on the two chats alternate, so that disturbances
//! affect both. `BENCH_POSTGRES_URL` names an empty PostgreSQL database, on which the workload then runs too.

use std::time::Instant;

use serde_json::{Value, json};

use crate::Result;
use crate::bed::{Bed, PASSWORD, PLANS, Server};
use crate::http::{Http, permille, post};
use crate::streams::model_id;
use crate::table::{Outcome, Row};

/// The messages of a chat outside of its branches, and the branches of two messages each.
const SMALL: (usize, usize) = (46, 2);
const LARGE: (usize, usize) = (4_600, 200);
/// How often each operation is measured on each chat, and the number of runs before that.
const TIMES: usize = 200;
const WARM_UP: usize = 20;
/// The maximum ratio of the median of the large chat to that of the small one.
const TARGET: f64 = 1.5;

const NODES: &str = "{ nodes { id role content } pageInfo { startCursor } }";

/// A signed-in client.
struct Client {
    http: Http,
    token: String,
}

/// A chat and its messages, in the order of their creation.
struct Tree {
    chat: String,
    messages: Vec<String>,
    /// The last message of the long branch.
    leaf: String,
}

/// The measured operations.
const FIGURES: [&str; 8] = [
    "first page, p50 ms",
    "page of a branch, p50 ms",
    "selectBranch, p50 ms",
    "sendMessage, p50 ms",
    "regenerateReply, p50 ms",
    "editMessage, p50 ms",
    "deleteMessage, p50 ms",
    "searchMessages, p50 ms",
];

/// W9: see the description of the module.
pub async fn w9(bed: &Bed) -> Result<Vec<Row>> {
    let mut rows = measure("W9 SQLite, chats of 50 and 5,000 messages", &bed.duologue().await?).await?;
    if let Ok(url) = std::env::var("BENCH_POSTGRES_URL") {
        rows.extend(measure("W9 PostgreSQL, chats of 50 and 5,000 messages", &bed.duologue_on(&url).await?).await?);
    }
    Ok(rows)
}

async fn measure(workload: &'static str, server: &Server) -> Result<Vec<Row>> {
    let mut client = Client::register(server).await?;
    let trees = [client.grow(SMALL).await?, client.grow(LARGE).await?];
    let mut latencies: [[Vec<u64>; 2]; FIGURES.len()] = Default::default();
    for run in 0..WARM_UP + TIMES {
        for (place, tree) in trees.iter().enumerate() {
            let times = client.operate(tree, run).await?;
            if run >= WARM_UP {
                for (latencies, time) in latencies.iter_mut().zip(times) {
                    latencies[place].push(time);
                }
            }
        }
    }
    let mut rows = Vec::new();
    for (figure, [mut small, mut large]) in FIGURES.into_iter().zip(latencies) {
        let [small, large] = [&mut small, &mut large].map(|values| permille(values, 500) as f64 / 1_000.0);
        let workload = if rows.is_empty() { workload } else { "" };
        let result = Some(Outcome::AtMost(large / small, TARGET));
        rows.push(Row { workload, figure, raw: Some(small), duologue: large, result });
    }
    Ok(rows)
}

impl Client {
    async fn register(server: &Server) -> Result<Self> {
        let mut client = Self { http: Http::connect(server.port).await?, token: String::new() };
        let input = json!({ "username": "trees", "email": "trees@example.org", "password": PASSWORD });
        let made = client.mutate("register", "accessToken", input).await?;
        client.token = made["accessToken"].as_str().ok_or("no token")?.to_owned();
        Ok(client)
    }

    async fn run(&mut self, document: &str, variables: Value) -> Result<Value> {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let token = Some(self.token.as_str()).filter(|token| !token.is_empty());
        let answer: Value = serde_json::from_str(self.http.send(&post("/graphql", token, &body)).await?)?;
        Ok(answer["data"].clone())
    }

    async fn mutate(&mut self, field: &str, payload: &str, input: Value) -> Result<Value> {
        let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
        let document = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {payload} }} }}");
        Ok(self.run(&document, json!({ "input": input })).await?[field].clone())
    }

    /// Waits for the end of a reply.
    async fn ended(&mut self, reply: &Value) -> Result<()> {
        let document = "query($id: ID!) { node(id: $id) { ... on Message { status } } }";
        while self.run(document, json!({ "id": reply })).await?["node"]["status"] == "STREAMING" {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Sends a message and waits for the end of the reply; returns the ids of both.
    async fn talk(&mut self, chat: &str, parent: Option<&str>) -> Result<[String; 2]> {
        let content = "Seven sailors sold silver spoons by the shore. ".repeat(25);
        let input = json!({ "chatId": chat, "parentId": parent, "content": content, "modelId": model_id(PLANS[4]) });
        let sent = self.mutate("sendMessage", "message { id } reply { id }", input).await?;
        self.ended(&sent["reply"]["id"]).await?;
        Ok([text(&sent["message"]["id"])?, text(&sent["reply"]["id"])?])
    }

    /// Creates a chat with a long branch, and with branches of two messages at points that are spread over it.
    async fn grow(&mut self, (length, branches): (usize, usize)) -> Result<Tree> {
        let made = self.mutate("createChat", "chat { id }", json!({ "modelId": model_id(PLANS[4]) })).await?;
        let chat = text(&made["chat"]["id"])?;
        let mut messages = Vec::new();
        for _ in 0..length / 2 - 1 {
            messages.extend(self.talk(&chat, None).await?);
        }
        let end = messages.last().cloned().ok_or("no messages")?;
        for number in 0..branches {
            let parent = messages[number * (length - 2) / branches / 2 * 2 + 1].clone();
            messages.extend(self.talk(&chat, Some(&parent)).await?);
        }
        let last = self.talk(&chat, Some(&end)).await?;
        let leaf = last[1].clone();
        messages.extend(last);
        Ok(Tree { chat, messages, leaf })
    }

    /// Runs each operation once; returns the time of each, in microseconds. The chat is afterwards as it was.
    async fn operate(&mut self, tree: &Tree, run: usize) -> Result<[u64; FIGURES.len()]> {
        let (chat, model) = (&tree.chat, model_id(PLANS[4]));
        let any = &tree.messages[run * 617 % tree.messages.len()];
        let page = |arguments: &str| format!("query($id: ID!) {{ chat(id: $id) {{ messages{arguments} {NODES} }} }}");
        let of_chat = json!({ "id": chat });

        let start = Instant::now();
        self.run(&page(""), of_chat.clone()).await?;
        let first = micros(start)?;
        let document =
            "query($id: ID!, $branch: ID!) { chat(id: $id) { messages(branch: $branch) ".to_owned() + NODES + " } }";
        let start = Instant::now();
        self.run(&document, json!({ "id": chat, "branch": any })).await?;
        let branch = micros(start)?;
        let start = Instant::now();
        self.mutate("selectBranch", "chat { id }", json!({ "chatId": chat, "messageId": any })).await?;
        let select = micros(start)?;
        self.mutate("selectBranch", "chat { id }", json!({ "chatId": chat, "messageId": tree.leaf })).await?;

        let input = json!({ "chatId": chat, "content": "Tell me something.", "modelId": model });
        let start = Instant::now();
        let sent = self.mutate("sendMessage", "message { id } reply { id }", input).await?;
        let send = micros(start)?;
        self.ended(&sent["reply"]["id"]).await?;
        let input = json!({ "messageId": sent["reply"]["id"], "modelId": model });
        let start = Instant::now();
        let again = self.mutate("regenerateReply", "reply { id }", input).await?;
        let regenerate = micros(start)?;
        self.ended(&again["reply"]["id"]).await?;
        let input = json!({ "messageId": sent["message"]["id"], "content": "Tell me more.", "modelId": model });
        let start = Instant::now();
        let edited = self.mutate("editMessage", "message { id } reply { id }", input).await?;
        let edit = micros(start)?;
        self.ended(&edited["reply"]["id"]).await?;

        let start = Instant::now();
        self.mutate("deleteMessage", "chat { id }", json!({ "messageId": edited["message"]["id"] })).await?;
        let delete = micros(start)?;
        self.mutate("deleteMessage", "chat { id }", json!({ "messageId": sent["message"]["id"] })).await?;

        // A word of every second message.
        let document = "query($chat: ID!) { searchMessages(query: \"silver\", filter: { chatId: $chat }) ".to_owned()
            + "{ nodes { snippet message { id } } } }";
        let start = Instant::now();
        self.run(&document, json!({ "chat": chat })).await?;
        let search = micros(start)?;
        Ok([first, branch, select, send, regenerate, edit, delete, search])
    }
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().ok_or_else(|| format!("not a text: {value}"))?.to_owned())
}

fn micros(start: Instant) -> Result<u64> {
    Ok(u64::try_from(start.elapsed().as_micros())?)
}
