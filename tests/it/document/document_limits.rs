//! Limits of documents, just within and just beyond each, and documents of common clients.

use std::sync::Arc;

use async_graphql::{Data, Executor, Request, Response, Value, Variables};
use duologue::graphql::document::{Documents, Limits};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::json;

use super::toy;
use crate::support::conforming::Conforming;

/// An executor that executes nothing: its response shows that the layer accepted the document.
#[derive(Clone)]
pub(crate) struct Through;

impl Executor for Through {
    async fn execute(&self, _: Request) -> Response {
        Response::new(Value::from("through"))
    }

    fn execute_stream(&self, request: Request, _: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        stream::once(async move { Self.execute(request).await }).boxed()
    }
}

/// The error code, or "" for an accepted document.
async fn outcome(documents: &Documents, document: &str, variables: serde_json::Value) -> String {
    let exact = Conforming::new(Through, documents.clone());
    let request = || Request::new(document).variables(Variables::from_json(variables.clone()));
    let response = exact.execute(request()).await;
    let streamed = exact.execute_stream(request(), None).next().await.unwrap();
    assert_eq!(response.errors, streamed.errors);
    let Some(error) = response.errors.first() else { return String::new() };
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code")).unwrap();
    assert_eq!(code.to_string(), "\"QUERY_TOO_COMPLEX\"", "{}", error.message);
    "QUERY_TOO_COMPLEX".to_owned()
}

#[tokio::test]
async fn documents_at_each_limit_are_accepted_and_beyond_it_rejected() {
    let with = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    let spaces = |length: usize| format!("{{ leaf {{ id }} }}{}", " ".repeat(length - 15));
    let nested = |depth: usize| format!("{{ {} leaf {{ id }} {} }}", "... {".repeat(depth - 2), "}".repeat(depth - 2));
    let chain = |length: usize| {
        let link = |n: usize| format!("fragment F{n} on Query {{ ...F{} leaf {{ id }} }}", n + 1);
        let links: String = (0..length - 1).map(link).collect();
        format!("{{ ...F0 }} {links} fragment F{} on Query {{ leaf {{ id }} }}", length - 1)
    };
    let deep = |depth: usize| {
        let inner = depth - 2;
        format!(
            "{{ branch {{ {} id {} }} }}",
            "... on Branch { leaf { ... on Leaf { kin {".repeat(inner / 2),
            "} } } }".repeat(inner / 2)
        )
    };
    let names = |count: usize| (0..count).map(|n| format!("n{n}: names ")).collect::<String>();
    let ids = |count: usize| format!("{{ things(ids: [{}]) {{ id }} }}", "1 ".repeat(count));
    for (name, limits, below, above) in [
        ("bytes", with(|limits| limits.bytes = 100), spaces(100), spaces(101)),
        ("tokens", with(|limits| limits.tokens = 6), "{leaf{id}}".to_owned(), "{leaf{id id}}".to_owned()),
        ("brackets", with(|limits| limits.nesting = 9), nested(9), nested(10)),
        ("fragments", with(|limits| limits.nesting = 9), chain(9), chain(11)),
        ("depth", with(|limits| limits.depth = 4), deep(4), deep(6)),
        ("aliases", with(|limits| limits.aliases = 5), format!("{{ {} }}", names(5)), format!("{{ {} }}", names(6))),
        (
            "root fields",
            with(|limits| limits.root_fields = 5),
            format!("{{ {} }}", names(5)),
            format!("{{ {} fails }}", names(5)),
        ),
        (
            "fields",
            with(|limits| limits.fields = 5),
            "{ leaf { id name color strict } }".to_owned(),
            "{ leaf { id name color strict } fails }".to_owned(),
        ),
        ("complexity", with(|limits| limits.complexity = 6), ids(5), ids(6)),
        (
            "introspection",
            with(|limits| limits.introspection = 12),
            r#"{ __type(name: "Leaf") { fields { name } } }"#.to_owned(),
            r#"{ __type(name: "Leaf") { fields { name } name } }"#.to_owned(),
        ),
    ] {
        let documents = Documents::new(&toy::schema().sdl(), limits).unwrap();
        assert_eq!(outcome(&documents, &below, json!({})).await, "", "{name}: {below}");
        assert_eq!(outcome(&documents, &above, json!({})).await, "QUERY_TOO_COMPLEX", "{name}: {above}");
    }
}

#[tokio::test]
async fn the_cost_of_a_connection_is_multiplied_by_its_page_size() {
    let limits = Limits { complexity: 201, ..Limits::default() };
    let documents = Documents::new(&duologue::app::schema(), limits).unwrap();
    let query = "query ($n: Int) { characters(last: $n) { nodes { id name } } }";
    let literal = "{ characters(first: 100) { nodes { id } } }";
    assert_eq!(outcome(&documents, query, json!({ "n": 66 })).await, "");
    assert_eq!(outcome(&documents, query, json!({ "n": 67 })).await, "QUERY_TOO_COMPLEX");
    assert_eq!(outcome(&documents, query, json!({})).await, "", "20 by default");
    assert_eq!(outcome(&documents, literal, json!({})).await, "");
    let twice = "{ characters(first: 10) { nodes { id owner { chats(first: 10) { nodes { id } } } } } }";
    assert_eq!(outcome(&documents, twice, json!({})).await, "QUERY_TOO_COMPLEX", "pages inside pages multiply");
}

#[tokio::test]
async fn a_variable_is_charged_for_each_use() {
    let limits = Limits { argument_bytes: 1_200, ..Limits::default() };
    let documents = Documents::new(&toy::schema().sdl(), limits).unwrap();
    let twice = "query ($t: String) { a: echo(must: 1, text: $t) b: echo(must: 1, text: $t) }";
    assert_eq!(outcome(&documents, twice, json!({ "t": "x".repeat(400) })).await, "");
    assert_eq!(outcome(&documents, twice, json!({ "t": "x".repeat(500) })).await, "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn a_literal_is_charged_for_each_expansion() {
    let documents = Documents::new(&duologue::app::schema(), Limits::default()).unwrap();
    let tree = |bytes: usize| {
        let below = |name: &str| {
            format!(
                "chats(first: 1) {{ nodes {{ owner {{ ...{name} }} lastMessage {{ chat {{ owner {{ ...{name} }} }} }} }} }}"
            )
        };
        let literal = "x".repeat(bytes);
        format!(
            "{{ me {{ ...A }} }} fragment A on User {{ {} }} fragment B on User {{ {} }} fragment C on User {{ {} }} \
             fragment D on User {{ chats(first: 1, filter: {{ query: \"{literal}\" }}) {{ nodes {{ id }} }} }}",
            below("B"),
            below("C"),
            below("D"),
        )
    };
    assert_eq!(outcome(&documents, &tree(10_000), json!({})).await, "");
    assert_eq!(outcome(&documents, &tree(120_000), json!({})).await, "", "eight times 120 kB");
    let limits = Limits { argument_bytes: 900_000, ..Limits::default() };
    let documents = Documents::new(&duologue::app::schema(), limits).unwrap();
    assert_eq!(outcome(&documents, &tree(120_000), json!({})).await, "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn the_state_of_a_subscription_is_limited() {
    let documents = Documents::new(&duologue::app::schema(), Limits::default()).unwrap();
    let literal = |bytes| format!("subscription {{ reply(messageId: \"{}\") {{ position }} }}", "x".repeat(bytes));
    let variable = "subscription($id: ID!) { reply(messageId: $id) { position } }";
    let fields = |count| {
        let aliases: String = (0..count).map(|n| format!("__typename a{n}: __typename ")).collect();
        format!("subscription {{ reply(messageId: \"1\") {{ ... on ReplyText {{ {aliases} }} }} }}")
    };
    for (document, variables, wanted) in [
        (literal(15_000), json!({}), ""),
        (literal(17_000), json!({}), "QUERY_TOO_COMPLEX"),
        (variable.to_owned(), json!({ "id": "x".repeat(17_000) }), "QUERY_TOO_COMPLEX"),
        (fields(490), json!({}), ""),
        (fields(510), json!({}), "QUERY_TOO_COMPLEX"),
    ] {
        assert_eq!(outcome(&documents, &document, variables).await, wanted, "{}", &document[..60]);
    }
}

#[tokio::test]
async fn the_length_of_names_is_limited() {
    let documents = Documents::new(&toy::schema().sdl(), Limits::default()).unwrap();
    let alias = |length| format!("{{ {}: leaf {{ id }} }}", "a".repeat(length));
    assert_eq!(outcome(&documents, &alias(256), json!({})).await, "");
    assert_eq!(outcome(&documents, &alias(257), json!({})).await, "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn documents_of_common_clients_are_accepted() {
    let documents = Documents::new(&duologue::app::schema(), Limits::default()).unwrap();
    for (name, document, variables) in [
        ("introspection", include_str!("real/introspection.graphql"), json!({})),
        ("apollo", include_str!("real/apollo.graphql"), json!({ "chatId": "chat_1", "withCharacter": true })),
        ("relay", include_str!("real/relay.graphql"), json!({ "id": "user_1", "count": 50 })),
        ("urql", include_str!("real/urql.graphql"), json!({ "input": { "chatId": "chat_1", "content": "Hello" } })),
        ("subscription", include_str!("real/subscription.graphql"), json!({ "messageId": "msg_1" })),
    ] {
        assert_eq!(outcome(&documents, document, variables).await, "", "{name}");
    }
}

#[tokio::test]
async fn introspection_is_limited() {
    let documents = Documents::new(&duologue::app::schema(), Limits::default()).unwrap();
    let nested = |times: usize| {
        let (open, close) = ("fields { type { ".repeat(times), "} }".repeat(times));
        format!("{{ __schema {{ types {{ {open} name {close} }} }} }}")
    };
    assert_eq!(outcome(&documents, &nested(2), json!({})).await, "");
    assert_eq!(outcome(&documents, &nested(5), json!({})).await, "QUERY_TOO_COMPLEX");
}
