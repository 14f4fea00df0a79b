//! The budget of one request: bytes, rows, and the estimates of complexity.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::{Executor as _, Request};
use duologue::graphql::document::{Documents, Limits};
use serde_json::{Value, json};

use crate::document::Through;
use crate::support::client::{Client, User, text};
use crate::support::conforming::Conforming;
use crate::support::database::{TestDatabase, on_both_databases};
use crate::support::server::Setup;
use crate::support::staff::{root, with_admin};

/// A message of maximum length, with characters of four bytes.
fn long_message() -> String {
    "🏃".repeat(8_000)
}

/// Creates a chat with a number of long messages, each with a short reply.
async fn long_chat(user: &User, messages: usize) -> String {
    let chat = user.new_chat(json!({ "modelId": "demo/unicode" })).await;
    for _ in 0..messages {
        user.talk(&chat, &long_message()).await;
    }
    chat
}

fn aliases(field: &str, count: usize) -> String {
    (0..count).map(|n| format!("a{n}: {field} ")).collect()
}

/// Inserts copies of a message with the same parent, directly into the database.
async fn copies(database: &TestDatabase, message: &str, count: usize) {
    use duologue::entity::ids::MessageId;
    use duologue::storage::{Database, messages};
    let database = Database::connect(database.url(), 2).await.unwrap();
    let id: MessageId = message.parse().unwrap();
    let row = messages::find_any(database.reader(), id).await.unwrap().unwrap();
    let copy = |n| {
        let id = MessageId(uuid::Uuid::from_u128(id.0.as_u128() + n));
        duologue::entity::message::Model { id, is_leaf: true, ..row.clone() }
    };
    let copies: Vec<_> = (1..=count as u128).map(copy).collect();
    let transaction = database.begin().await.unwrap();
    for some in copies.chunks(100) {
        messages::insert(&transaction, some).await.unwrap();
    }
    transaction.commit().await.unwrap();
    database.close().await;
}

/// Replaces the text of a message by one of a number of bytes, directly in the database.
async fn lengthen(database: &TestDatabase, message: &str, bytes: usize) {
    use duologue::entity::ids::MessageId;
    use duologue::entity::message::{Column, Entity};
    use sea_orm::sea_query::Expr;
    use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
    let database = duologue::storage::Database::connect(database.url(), 2).await.unwrap();
    let id: MessageId = message.parse().unwrap();
    let update = Entity::update_many().col_expr(Column::Body, Expr::value("x".repeat(bytes)));
    update.filter(Column::Id.eq(id)).exec(database.writer()).await.unwrap();
    database.close().await;
}

/// The error code over HTTP. Asserts that the code over a WebSocket is the same.
async fn refusal(client: &Client, document: &str, variables: Value) -> String {
    let answer = client.run(document, variables.clone()).await;
    assert!(answer.0.get("data").is_none(), "it is executed");
    let mut socket = client.socket().await;
    socket.subscribe("1", document, variables).await;
    assert_eq!(socket.failure("1").await.code(), answer.code());
    answer.code().to_owned()
}

on_both_databases!(the_size_of_a_response_is_limited, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = long_chat(&ada, 4).await;
    let contents = |count| {
        format!("query($id: ID!) {{ chat(id: $id) {{ messages {{ nodes {{ {} }} }} }} }}", aliases("content", count))
    };
    let answer = ada.data(&contents(20), json!({ "id": chat })).await;
    assert_eq!(answer["chat"]["messages"]["nodes"][0]["a19"], long_message());
    assert_eq!(refusal(&ada, &contents(80), json!({ "id": chat })).await, "QUERY_TOO_COMPLEX");
    // Parts are copied for each alias.
    let parts = format!(
        "query($id: ID!) {{ chat(id: $id) {{ messages {{ nodes {{ {} }} }} }} }}",
        aliases("parts { ... on TextPart { text } }", 50)
    );
    assert_eq!(refusal(&ada, &parts, json!({ "id": chat })).await, "QUERY_TOO_COMPLEX");

    // A mutation keeps its effects, and the fields beyond the budget are errors.
    let title = format!(
        "mutation($id: ID!) {{ updateChat(input: {{ chatId: $id, title: \"New\" }}) {{ chat {{ title messages {{ nodes {{ {} }} }} }} }} }}",
        aliases("content", 80)
    );
    let answer = ada.run(&title, json!({ "id": chat })).await;
    let codes: Vec<&Value> =
        answer.0["errors"].as_array().unwrap().iter().map(|error| &error["extensions"]["code"]).collect();
    assert!(codes.iter().all(|code| *code == "QUERY_TOO_COMPLEX"), "{codes:?}");
    let title = ada.data("query($id: ID!) { chat(id: $id) { title } }", json!({ "id": chat })).await;
    assert_eq!(title["chat"]["title"], "New");
    server.kill().await;
});

on_both_databases!(rows_are_not_read_beyond_the_budget, |database| async move {
    let setup = Setup::new(&database).with("MAX_DOCUMENT_COMPLEXITY", "10000000");
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.talk(&ada.new_chat(json!({ "modelId": "demo/unicode" })).await, &long_message()).await;
    copies(&database, &sent.message, 300).await;
    let of = |selection: &str| format!("query($id: ID!) {{ node(id: $id) {{ ... on Message {{ {selection} }} }} }}");
    let id = json!({ "id": sent.message });
    // 100 messages of 32 KB are within the budget.
    let answer = ada.data(&of("siblings { content }"), id.clone()).await;
    assert_eq!(answer["node"]["siblings"].as_array().unwrap().len(), 100);
    // A million messages are not.
    let answer = refusal(&ada, &of("siblings { siblings { siblings { id } } }"), id.clone()).await;
    assert_eq!(answer, "QUERY_TOO_COMPLEX");
    let all = of("siblings { content a: siblings { content b: chat { c: messages { nodes { id } } } } }");
    assert_eq!(refusal(&ada, &all, id).await, "QUERY_TOO_COMPLEX");
    server.kill().await;
});

on_both_databases!(a_message_longer_than_its_share_of_the_budget_is_read, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let (short, long) = (long_chat(&ada, 1).await, long_chat(&ada, 1).await);
    const LAST: &str = "query($id: ID!) { chat(id: $id) { lastMessage { id position } } }";
    let last = ada.data(LAST, json!({ "id": long })).await["chat"]["lastMessage"]["id"].clone();
    let documents = "{ me { chats { nodes { id lastMessage { position } } } } }";
    // Two messages are read, each with a share of 4 MiB.
    lengthen(&database, &text(&last), 5 * 1024 * 1024).await;
    let chats = ada.data(documents, json!({})).await;
    let position = |chat: &str| {
        let nodes = chats["me"]["chats"]["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["id"] == chat).unwrap()["lastMessage"]["position"].as_u64().unwrap()
    };
    assert_eq!(position(&long), 5 * 1024 * 1024);
    assert!(position(&short) < 1_000);
    lengthen(&database, &text(&last), 9 * 1024 * 1024).await;
    assert_eq!(refusal(&ada, documents, json!({})).await, "QUERY_TOO_COMPLEX");
});

on_both_databases!(actual_use_counts_against_the_rate_limit, |database| async move {
    let setup = Setup::new(&database).with("RATE_LIMIT_PER_MINUTE", "100");
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    let chat = long_chat(&ada, 3).await;
    let contents =
        format!("query($id: ID!) {{ chat(id: $id) {{ messages {{ nodes {{ {} }} }} }} }}", aliases("content", 30));
    let mut answered = 0;
    let refused = loop {
        let answer = ada.run(&contents, json!({ "id": chat })).await;
        if answer.0["data"].is_object() {
            answered += 1;
            continue;
        }
        break answer;
    };
    assert_eq!(refused.code(), "RATE_LIMITED");
    // Six megabytes count for more than twenty fields. A slow machine answers some more, because the limit recovers.
    assert!((1..=20).contains(&answered), "{answered} answers within a limit of 100 fields");
    let mut socket = server.client().try_socket().await.unwrap();
    socket.subscribe("1", "{ server { name } }", json!({})).await;
    assert_eq!(socket.next().await["type"], "next", "others are not charged");
    server.kill().await;
});

/// The complexity of a document: the lowest limit that accepts it.
async fn estimate(document: &str) -> u64 {
    let passes = async |complexity| {
        let limits = Limits { complexity, ..Limits::default() };
        let documents = Documents::with_lists(&duologue::app::schema(), duologue::graphql::LISTS, limits).unwrap();
        Conforming::new(Through, documents).execute(Request::new(document)).await.errors.is_empty()
    };
    let (mut below, mut above) = (0, 1 << 24);
    while below + 1 < above {
        let middle = u64::midpoint(below, above);
        if passes(middle).await {
            above = middle;
        } else {
            below = middle;
        }
    }
    above
}

/// The number of values in a response, without the outermost value.
fn values(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields.values().map(|value| 1 + values(value)).sum(),
        // A list is one value, including its scalars.
        Value::Array(items) => items.iter().map(|item| if item.is_object() { values(item) } else { 1 }).sum(),
        _ => 0,
    }
}

// The estimate of a list is at least its maximum length, and lists can reach the limits of the domain.
on_both_databases!(estimates_cover_the_longest_lists, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let admin = root(&server).await;
    let sent = admin.talk(&admin.new_chat(json!({ "modelId": "demo/unicode" })).await, "Hi").await;
    copies(&database, &sent.message, 120).await;
    copies(&database, &sent.reply, 120).await;
    for n in 0..50 {
        let input = json!({ "name": format!("token {n}"), "scopes": ["READ", "WRITE", "ADMIN"] });
        admin.mutate("createPersonalAccessToken", "secret", input).await.data();
    }
    let mut roles = Vec::new();
    for n in 0..50 {
        let input = json!({ "name": format!("role {n}"), "permissions": ["USERS_READ", "STATS_READ"] });
        roles.push(text(&admin.mutate("createRole", "role { id }", input).await.data()["createRole"]["role"]["id"]));
    }
    let of = |selection: &str| format!("{{ node(id: \"{}\") {{ ... on Message {{ {selection} }} }} }}", sent.message);
    let message = |list: &'static str| vec!["node", list];
    for (document, path, length) in [
        (of("children { id role }"), message("children"), 100),
        (of("siblings { id role }"), message("siblings"), 100),
        (of("parts { __typename }"), message("parts"), 1),
        ("{ me { personalAccessTokens { id name scopes } } }".to_owned(), vec!["me", "personalAccessTokens"], 50),
        ("{ me { sessions { id device } } }".to_owned(), vec!["me", "sessions"], 1),
        ("{ me { roles { id permissions } } }".to_owned(), vec!["me", "roles"], 1),
        ("{ me { permissions } }".to_owned(), vec!["me", "permissions"], 8),
        ("{ admin { roles { id name permissions } } }".to_owned(), vec!["admin", "roles"], 52),
        ("{ models { id displayName } }".to_owned(), vec!["models"], 1),
        (
            "{ characters(first: 3) { nodes { id tags } edges { node { id } } } }".to_owned(),
            vec!["characters", "nodes"],
            3,
        ),
        (format!("{{ nodes(ids: [\"{}\", \"{}\"]) {{ id }} }}", sent.message, sent.reply), vec!["nodes"], 2),
    ] {
        let answer = admin.run(&document, json!({})).await;
        assert!(answer.0["errors"].is_null(), "{document}: {}", answer.0);
        let answer = answer.data();
        let list = path.iter().fold(&answer, |value, name| &value[*name]);
        assert!(list.as_array().unwrap().len() >= length, "{document}: {answer}");
        let (estimate, reality) = (estimate(&document).await, values(&answer));
        assert!(reality <= estimate, "{document}: {reality} values, and an estimate of {estimate}");
    }
    server.kill().await;
});

/// Each list field in a response, as `Type.field`, with its greatest length. Every object has its `__typename`.
fn lengths(value: &Value, found: &mut BTreeMap<String, u64>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let Value::Array(items) = value {
                    let length = found.entry(format!("{}.{key}", text(&fields["__typename"]))).or_default();
                    *length = (*length).max(items.len() as u64);
                }
                lengths(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| lengths(item, found)),
        _ => {}
    }
}

/// All list fields of the schema, as `Type.field`.
async fn list_fields(client: &Client) -> BTreeSet<String> {
    let document = "{ __schema { types { kind name fields { name type { kind ofType { kind } } } } } }";
    let schema = client.data(document, json!({})).await;
    let is_list = |ty: &Value| ty["kind"] == "LIST" || ty["ofType"]["kind"] == "LIST";
    let mut found = BTreeSet::new();
    for ty in schema["__schema"]["types"].as_array().unwrap().iter().filter(|ty| ty["kind"] == "OBJECT") {
        let name = text(&ty["name"]);
        // No field returns the types of errors.
        if name.starts_with("__") || ["ErrorExtensions", "FieldError"].contains(&name.as_str()) {
            continue;
        }
        let lists = ty["fields"].as_array().unwrap().iter().filter(|field| is_list(&field["type"]));
        found.extend(lists.map(|field| format!("{name}.{}", text(&field["name"]))));
    }
    found
}

// A new list field fails this test until a document below selects it.
on_both_databases!(every_list_of_the_schema_is_estimated, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let admin = root(&server).await;
    let ada = server.sign_up("ada").await;
    let chat = admin.new_chat(json!({ "modelId": "demo/unicode" })).await;
    let sent = admin.talk(&chat, "Hi").await;
    copies(&database, &sent.message, 20).await;
    let names = |count: usize| (0..count).map(|number| format!("n{number}")).collect::<Vec<_>>();
    let content = names(10).iter().map(|name| format!("{{{{{name}}}}} ")).collect::<String>();
    for (field, payload, input) in [
        ("createPersonalAccessToken", "secret", json!({ "name": "ci", "scopes": ["READ", "WRITE", "ADMIN"] })),
        (
            "createCharacter",
            "character { id }",
            json!({ "name": "Cat", "systemPrompt": "Be one.", "tags": names(10), "isPublic": false }),
        ),
        ("createPrompt", "prompt { id }", json!({ "title": "Form", "content": content, "tags": names(10) })),
        ("sendDirectMessage", "directMessage { id }", json!({ "recipientId": ada.id, "content": "Hi" })),
        ("blockUser", "user { id }", json!({ "userId": ada.id })),
    ] {
        admin.mutate(field, payload, input).await.data();
    }
    let page = |field: &str, fields: &str| {
        format!("{field} {{ __typename nodes {{ {fields} }} edges {{ __typename cursor node {{ __typename }} }} }}")
    };
    let message = "__typename id parts { __typename } children { __typename id } siblings { __typename id }";
    let days =
        "usage(from: \"2026-01-01T00:00:00Z\", to: \"2026-02-11T16:00:00Z\", interval: HOUR) { __typename start cost }";
    let mut found = BTreeMap::new();
    for selection in [
        "me { __typename permissions roles { __typename permissions } sessions { __typename id } }".to_owned(),
        "me { __typename personalAccessTokens { __typename scopes } blockedUsers { __typename id } }".to_owned(),
        format!(
            "me {{ __typename {} }}",
            page("chats(first: 5)", &format!("__typename {}", page("messages(last: 5)", message)))
        ),
        page("searchMessages(query: \"hi\", first: 5)", "__typename snippet"),
        page("characters(first: 10)", "__typename tags"),
        page("prompts(first: 10)", "__typename tags variables"),
        page("conversations(first: 5)", &format!("__typename {}", page("messages(first: 5)", "__typename id"))),
        format!("previewPrompt(chatId: \"{chat}\", content: \"And?\") {{ __typename messages {{ __typename }} }}"),
        "models { __typename id }".to_owned(),
        format!("nodes(ids: [\"{}\", \"{}\"]) {{ __typename id }}", sent.message, sent.reply),
        format!("admin {{ __typename {} }}", page("users(first: 5)", "__typename id")),
        format!("admin {{ __typename {} }}", page("chats(first: 5)", "__typename id")),
        format!("admin {{ __typename {} }}", page("auditLog(first: 50)", "__typename id")),
        format!("admin {{ __typename roles {{ __typename id }} {days} }}"),
    ] {
        let document = format!("{{ __typename {selection} }}");
        let answer = admin.data(&document, json!({})).await;
        let (estimate, reality) = (estimate(&document).await, values(&answer));
        assert!(reality <= estimate, "{document}: {reality} values, and an estimate of {estimate}");
        lengths(&answer, &mut found);
    }
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), list_fields(&admin).await);
    for (list, length) in &found {
        assert!(*length > 0, "{list} is empty");
        let known = duologue::graphql::LISTS.iter().find(|(ty, field, _)| *list == format!("{ty}.{field}"));
        assert!(known.is_none_or(|(_, _, most)| length <= most), "{list} has {length} items");
    }
    server.kill().await;
});
