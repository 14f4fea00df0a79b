//! The number of statements of a request does not depend on how many rows it shows, or on the size of a chat. The
//! statements are counted on their way to PostgreSQL; SQLite gets the same ones.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::User;
use crate::support::database::{Engine, TestDatabase, run};
use crate::support::proxy::Proxy;
use crate::support::server::{Server, Setup};
use crate::support::staff::{log_in, new_role, root, with_admin};
use crate::support::trees::LargeTree;

/// The number of times that a request is counted. The server's own statements, such as the renewal of its lease, come
/// between, so the lowest count is the count of the request.
const TIMES: usize = 6;

/// The time after which a reply has read its prompt.
const SETTLED: Duration = Duration::from_millis(150);

struct Counted {
    proxy: Proxy,
    server: Server,
}

impl Counted {
    async fn start(database: &TestDatabase) -> Self {
        let proxy = Proxy::start(database.url()).await;
        let setup = Setup::through(&proxy, database).with("MAX_DOCUMENT_COMPLEXITY", "1000000");
        let server = with_admin(setup).start().await;
        Self { proxy, server }
    }

    /// The number of statements of one request, and of the reply that it starts.
    async fn once(&self, user: &User, document: &str, variables: Value) -> (u64, Value) {
        let before = self.proxy.statements();
        let data = user.data(document, variables).await;
        tokio::time::sleep(SETTLED).await;
        (self.proxy.statements() - before, data)
    }

    async fn count(&self, user: &User, document: &str, variables: Value) -> u64 {
        let mut counts = Vec::new();
        for _ in 0..TIMES {
            counts.push(self.once(user, document, variables.clone()).await.0);
        }
        counts.into_iter().min().unwrap()
    }
}

const MESSAGE: &str = "id content parent { id } children { id } siblings { id } chat { id }";

#[test]
fn a_page_takes_a_constant_number_of_statements() {
    run(Engine::Postgres, |database| async move {
        let counted = Counted::start(&database).await;
        let admin = root(&counted.server).await;
        let ada = counted.server.sign_up("ada").await;
        let found = ada.data("{ characters { nodes { id } } }", json!({})).await;
        let characters = found["characters"]["nodes"].as_array().unwrap().clone();
        for number in 0..12 {
            let character = &characters[number % characters.len()]["id"];
            let chat = ada.new_chat(json!({ "characterId": character, "modelId": "demo/fast" })).await;
            ada.talk(&chat, "Hi").await;
            counted.server.sign_up(&format!("user{number}")).await;
        }
        let mut wrong = Vec::new();
        for (user, page) in [
            (&ada, "characters(first: $n) { totalCount nodes { id tags owner { id } } }".to_owned()),
            (&ada, format!("me {{ chats(first: $n) {{ totalCount nodes {{ id owner {{ id }} character {{ id tags }} model {{ id }} lastMessage {{ {MESSAGE} }} }} }} }}")),
            (&ada, format!("me {{ chats(first: $n) {{ nodes {{ messages(last: 5) {{ totalCount nodes {{ {MESSAGE} }} }} }} }} }}")),
            (&admin, "admin { users(first: $n) { totalCount nodes { id roles { id } permissions sessions { id } lockedUntil personalAccessTokens { id } } } }".to_owned()),
            (&admin, format!("admin {{ chats(first: $n) {{ nodes {{ id owner {{ id }} lastMessage {{ {MESSAGE} }} }} }} }}")),
            (&admin, "admin { auditLog(first: $n) { totalCount nodes { id actor { id } } } }".to_owned()),
        ] {
            let document = format!("query($n: Int!) {{ {page} }}");
            let few = counted.count(user, &document, json!({ "n": 2 })).await;
            let many = counted.count(user, &document, json!({ "n": 12 })).await;
            if few != many || few == 0 {
                wrong.push(format!("{few} statements for 2 items and {many} for 12: {page}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        counted.server.stop().await;
    });
}

/// The first `count` objects of each kind, of which `nodes` reads a kind at a time.
async fn objects(admin: &User, count: usize) -> Vec<(&'static str, Vec<Value>)> {
    for number in 0..count {
        let name = format!("n{number}");
        log_in(admin, "root").await;
        new_role(admin, &name, &[]).await;
        for (field, payload, input) in [
            ("createPersonalAccessToken", "personalAccessToken { id }", json!({ "name": name, "scopes": ["READ"] })),
            ("createPrompt", "prompt { id }", json!({ "title": name, "content": name })),
        ] {
            admin.mutate(field, payload, input).await.data();
        }
        let chat = admin.new_chat(json!({ "modelId": "demo/tools" })).await;
        admin.talk(&chat, "Hi").await;
    }
    let document = "{ me { id sessions { id } personalAccessTokens { id }
        chats { nodes { lastMessage { parts { ... on ToolCall { id } } } } } }
        prompts { nodes { id } } admin { roles { id } auditLog { nodes { id } } } }";
    let found = admin.data(document, json!({})).await;
    let calls = found["me"]["chats"]["nodes"].as_array().unwrap().iter().map(|chat| {
        let parts = chat["lastMessage"]["parts"].as_array().unwrap();
        parts.iter().find(|part| part["id"].is_string()).unwrap().clone()
    });
    let mut lists = vec![("tool calls", calls.collect::<Vec<_>>())];
    for (kind, at) in [
        ("sessions", "/me/sessions"),
        ("personal access tokens", "/me/personalAccessTokens"),
        ("prompts", "/prompts/nodes"),
        ("roles", "/admin/roles"),
        ("audit entries", "/admin/auditLog/nodes"),
    ] {
        lists.push((kind, found.pointer(at).unwrap().as_array().unwrap().clone()));
    }
    let ids = |list: Vec<Value>| list.into_iter().map(|item| item["id"].clone()).collect();
    lists.into_iter().map(|(kind, list)| (kind, ids(list))).collect()
}

#[test]
fn objects_are_looked_up_by_id_in_a_constant_number_of_statements() {
    run(Engine::Postgres, |database| async move {
        let counted = Counted::start(&database).await;
        let admin = root(&counted.server).await;
        let document = "query($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }";
        for (kind, ids) in objects(&admin, 10).await {
            let few = counted.count(&admin, document, json!({ "ids": ids[..2] })).await;
            let many = counted.count(&admin, document, json!({ "ids": ids[..10] })).await;
            assert_eq!(few, many, "{kind}");
            let (_, found) = counted.once(&admin, document, json!({ "ids": ids })).await;
            let found: Vec<_> = found["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()).collect();
            assert_eq!(found, ids, "{kind}");
        }
        counted.server.stop().await;
    });
}

#[test]
fn a_change_of_a_large_chat_takes_as_many_statements_as_that_of_a_small_one() {
    run(Engine::Postgres, |database| async move {
        let counted = Counted::start(&database).await;
        let ada = counted.server.sign_up("ada").await;
        let small = LargeTree::create(&database, &ada, 46, 2).await;
        let large = LargeTree::create(&database, &ada, 4_600, 200).await;
        let mut counts = Vec::new();
        for tree in [&small, &large] {
            // A message in the middle, one in a short branch, and the message of the user at the end.
            let (middle, side, last) = (tree.id(21), tree.id(tree.len() - 5), tree.id(tree.len() - 2));
            let chat = &tree.chat;
            let page = |arguments: &str| {
                format!(
                    "query($id: ID!) {{ chat(id: $id) {{ messages{arguments} {{ totalCount nodes {{ {MESSAGE} }} pageInfo {{ startCursor }} }} }} }}"
                )
            };
            let mut of_tree = Vec::new();
            let mut queries = vec![page(""), page("(first: 20)")];
            queries.extend([&middle, &side].map(|id| page(&format!("(branch: \"{id}\")"))));
            let (_, shown) = counted.once(&ada, &page(""), json!({ "id": chat })).await;
            let start = shown["chat"]["messages"]["pageInfo"]["startCursor"].clone();
            queries.push(page(&format!("(last: 20, before: {start})")));
            for query in &queries {
                of_tree.push(counted.count(&ada, query, json!({ "id": chat })).await);
            }
            for (field, payload, input) in [
                ("selectBranch", "chat { lastMessage { id } }", json!({ "chatId": chat, "messageId": side })),
                ("selectBranch", "chat { lastMessage { id } }", json!({ "chatId": chat, "messageId": middle })),
                ("rateMessage", "message { rating }", json!({ "messageId": tree.id(tree.len() - 1), "rating": "UP" })),
                ("editMessage", "message { id }", json!({ "messageId": tree.id(1), "content": "mine" })),
                ("regenerateReply", "reply { id }", json!({ "messageId": last, "modelId": "demo/stalls" })),
                (
                    "editMessage",
                    "reply { id }",
                    json!({ "messageId": last, "content": "Hi", "modelId": "demo/stalls" }),
                ),
                (
                    "sendMessage",
                    "reply { id }",
                    json!({ "chatId": chat, "parentId": tree.id(tree.len() - 1), "content": "Hi", "modelId": "demo/stalls" }),
                ),
            ] {
                let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
                let document = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {payload} }} }}");
                of_tree.push(counted.count(&ada, &document, json!({ "input": input })).await);
            }
            counts.push(of_tree);
        }
        // A page of the small chat may reach the first message, whose siblings take one more statement.
        let is_constant = counts[1].iter().zip(&counts[0]).all(|(large, small)| large <= small);
        assert!(is_constant, "the statements of each operation, of a small chat and of a large one: {counts:?}");
        assert!(counts[0].iter().all(|count| (1..=16).contains(count)), "{:?}", counts[0]);
        counted.server.kill().await;
    });
}
