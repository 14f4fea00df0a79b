//! Hostile documents have a low cost, and no document panics.

use std::time::{Duration, Instant};

use async_graphql::{Executor as _, Request, Variables};
use duologue::graphql::document::{Documents, Limits};
use duologue::graphql::error::is_request_error;
use proptest::prelude::*;
use serde_json::json;

use super::toy;
use crate::support::conforming::Conforming;

/// The maximum time for a document of a kilobyte in a release build.
pub(super) const BOUND: Duration = Duration::from_millis(5);
/// The factor by which a debug build on a busy machine may be slower.
pub(super) const SLACK: u32 = if cfg!(debug_assertions) { 20 } else { 1 };

fn exact() -> Conforming<toy::Toy> {
    let schema = toy::schema();
    let documents = Documents::new(&schema.sdl(), Limits::default()).unwrap();
    Conforming::new(schema, documents)
}

/// A document with as many parts as fit into a kilobyte.
fn kilobyte(head: &str, part: impl Fn(usize) -> String, tail: &str) -> String {
    let mut document = head.to_owned();
    for n in 0.. {
        let part = part(n);
        if document.len() + part.len() + tail.len() > 1_024 {
            break;
        }
        document.push_str(&part);
    }
    document + tail
}

/// With a release build and `--nocapture`, this prints the table of docs/graphql-api.md.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the table of costs")]
async fn every_hostile_kilobyte_has_a_low_cost() {
    let fragments = |body: &'static str| {
        let links = 1_024 / (body.len() + 26);
        let link = |n: usize| format!("fragment F{n} on Branch {{{}}}", body.replace('@', &format!("...F{}", n + 1)));
        let links: String = (0..links).map(link).collect::<String>() + &format!("fragment F{links} on Branch {{id}}");
        format!("{{branch{{...F0}}}}{links}")
    };
    for (name, document) in [
        ("doubled spreads", fragments("@ @")),
        ("doubled spreads of fields", fragments("a:leaf{next{@}}b:leaf{next{@}}")),
        ("doubled spreads of one key", fragments("leaf{next{@ ...on Branch{@}}}")),
        ("spreads of an interface", fragments("next{@}kin{@}")),
        ("cycles", "{...F}fragment F on Query{...G ...G}fragment G on Query{...F ...F}".to_owned()),
        ("open braces", "{a".repeat(512)),
        ("open brackets", format!("{{echo(list:{}", "[".repeat(1_000))),
        ("balanced brackets", format!("{{echo(list:{}1{})}}", "[".repeat(500), "]".repeat(500))),
        ("objects", format!("{{echo(point:{}", "{x:".repeat(330))),
        ("types", format!("query($v:{}", "[".repeat(1_000))),
        ("aliases", kilobyte("{", |n| format!("a{n}:leaf{{id}}"), "}")),
        ("one field repeated", kilobyte("{", |_| "leaf{id}".to_owned(), "}")),
        ("conflicts", kilobyte("{", |n| format!("a:thing(id:{n}){{id}}"), "}")),
        ("wide interfaces", kilobyte("{thing(id:1){", |_| "next{".to_owned(), "id")),
        ("deep interfaces", format!("{{thing(id:1){{{}id{}}}}}", "next{kin{".repeat(9), "}}".repeat(9))),
        ("directives", kilobyte("{leaf", |_| "@skip(if:true)".to_owned(), "{id}}")),
        ("variables", kilobyte("query(", |n| format!("$v{n}:Int "), "){leaf{id}}")),
        ("operations", kilobyte("fragment F on Query{leaf{id}}", |n| format!("query Q{n}{{...F}}"), "")),
        ("unknown fields", kilobyte("{", |n| format!("x{n} "), "}")),
        ("introspection", format!("{{__schema{{types{{{}name{}}}}}}}", "fields{type{".repeat(40), "}}".repeat(40))),
        ("names", format!("{{{}}}", "a".repeat(1_000))),
        ("comments", "#".repeat(1_024)),
        ("a string of a million tokens", format!("{{echo(must:1,text:\"{}\")}}", "a ".repeat(1_000_000))),
        ("a million tokens", "{a ".repeat(1_000_000)),
        ("quotes", "\"".repeat(1_024)),
        ("block quotes", format!("{{echo(text:\"\"\"{}", "\\\"\"\"".repeat(250))),
        ("lines of a block string", format!("{{echo(must:1,text:\"\"\"{}\"\"\")}}", " \n".repeat(500))),
        ("escapes", kilobyte("{echo(must:1,text:\"", |_| "\\u{10FFFF}\\uD83D\\uDE00".to_owned(), "\")}")),
        ("digits", format!("{{echo(must:{})}}", "1".repeat(1_000))),
        ("a list in a list", format!("{{echo(must:1,list:{}1{})}}", "[".repeat(60), "]".repeat(60))),
        ("a long list", kilobyte("{echo(must:1,list:[", |_| "1 ".to_owned(), "])}")),
        ("deep lists in variables", "query($v:[Int!]){echo(must:1,list:$v)}".to_owned()),
        ("deep objects in variables", "query($p:Point){echo(must:1,point:$p)}".to_owned()),
        ("one variable repeated", kilobyte("query($v:[Int!]){", |n| format!("a{n}:echo(must:1,list:$v)"), "}")),
        ("defaults", kilobyte("query($v:[Int!]=[", |_| "1 ".to_owned(), "]){echo(must:1,list:$v)}")),
        ("equal names", kilobyte("{leaf{", |_| "name:id ".to_owned(), "}}")),
    ] {
        let deep = (0..120).fold(json!(1), |inner, _| json!([inner]));
        let point = (0..60).fold(json!({ "x": 1 }), |inner, _| json!({ "x": 1, "inner": inner }));
        let variables = Variables::from_json(json!({ "v": deep, "p": point }));
        let (mut best, mut code) = (Duration::MAX, String::new());
        for _ in 0..5 {
            let exact = exact();
            let request = Request::new(document.clone()).variables(variables.clone());
            let request = request.data(std::sync::Arc::new(toy::Count::default()));
            let start = Instant::now();
            let response = exact.execute(request).await;
            best = best.min(start.elapsed());
            let extensions = response.errors.first().and_then(|error| error.extensions.as_ref());
            code =
                extensions.and_then(|extensions| extensions.get("code")).map(ToString::to_string).unwrap_or_default();
        }
        println!("| {name} | {} | {} |", best.as_micros(), code.trim_matches('"'));
        assert!(best < BOUND * SLACK, "{name} took {best:?}");
    }
}

/// Counts steps instead of time: the limit of steps is four times the limit of fields.
#[tokio::test]
async fn the_steps_for_doubled_spreads_are_linear() {
    let schema = toy::schema();
    let links: String = (0..30).map(|n| format!("fragment F{n} on Branch{{...F{0} ...F{0}}}", n + 1)).collect();
    let document = format!("{{branch{{...F0}}}}{links}fragment F30 on Branch{{id}}");
    for (fields, is_refused) in [(40, false), (4, true)] {
        let documents = Documents::new(&schema.sdl(), Limits { fields, ..Limits::default() }).unwrap();
        let response = Conforming::new(schema.clone(), documents).execute(Request::new(&document)).await;
        assert_eq!(is_request_error(&response), is_refused, "160 steps do for 2^30 paths, and 16 do not: {response:?}");
    }
}

pub(super) const WORDS: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    "=",
    "!",
    "$",
    "@",
    "...",
    "|",
    "&",
    "\"",
    "\"\"\"",
    "\\",
    "#",
    "\n",
    "\u{feff}",
    "query",
    "mutation",
    "subscription",
    "fragment",
    "on",
    "F",
    "G",
    "Leaf",
    "Branch",
    "Thing",
    "Either",
    "Query",
    "Nothing",
    "leaf",
    "branch",
    "thing",
    "next",
    "kin",
    "children",
    "id",
    "name",
    "a",
    "echo",
    "must",
    "point",
    "x",
    "inner",
    "list",
    "$v",
    "Int",
    "[Int!]!",
    "null",
    "true",
    "RED",
    "-1",
    "0",
    "1.5e3",
    "1e999",
    "99999999999999999999",
    "é",
    "@skip(if: true)",
    "@include(if: $v)",
    "__typename",
    "__schema",
    "__type",
    "{ leaf { id } }",
    "fragment F on Thing { ...G id }",
    "fragment G on Thing { ...F }",
    "query ($v: Boolean!)",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_panics(words in prop::collection::vec(prop::sample::select(WORDS), 0..40), glue in "[ ,]?", noise in ".{0,4}") {
        let document = words.join(&glue) + &noise;
        let variables = Variables::from_json(json!({ "v": true }));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let request = Request::new(&document).variables(variables).data(std::sync::Arc::new(toy::Count::default()));
        let response = runtime.block_on(EXACT.with(Clone::clone).execute(request));
        let has_codes = response.errors.iter().all(|error| error.path.is_empty() <= error.extensions.is_some());
        prop_assert!(!is_request_error(&response) || has_codes, "{document}: {:?}", response.errors);
    }
}

thread_local! {
    static EXACT: Conforming<toy::Toy> = exact();
}
