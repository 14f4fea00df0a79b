//! Differential test: generated documents have the same data, and errors at the same paths, as with graphql-js.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_graphql::{Executor as _, Request, Response, Variables};
use duologue::graphql::document::{Documents, Limits};
use duologue::graphql::error::is_request_error;
use serde::Deserialize;
use serde_json::Value;

use super::toy::{self, Count, Toy};
use crate::support::conforming::Conforming;
use crate::support::npm::folder_with;

/// One line of the generator's output.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    number: u64,
    document: String,
    variables: Value,
    operation_name: Option<String>,
    /// The error if graphql-js did not execute the document.
    refused: Option<String>,
    #[serde(default)]
    data: async_graphql::Value,
    #[serde(default)]
    errors: Vec<Located>,
}

#[derive(Deserialize)]
struct Located {
    path: Vec<Value>,
    message: String,
}

/// `DIFFERENTIAL_SEED` and `DIFFERENTIAL_COUNT` select the documents; a failure prints both.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the seed and the count, to reproduce a failure")]
async fn results_equal_those_of_graphql_js() {
    let Some(folder) = folder_with("graphql") else { return };
    let (seed, count) = (setting("DIFFERENTIAL_SEED", 1), setting("DIFFERENTIAL_COUNT", 2_000));
    let mut node = Command::new("node")
        .args(["differential/generate.mjs", &seed.to_string(), &count.to_string()])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let schema = toy::schema();
    let documents = Documents::new(&schema.sdl(), generous()).unwrap();
    let exact = Conforming::new(schema, documents);
    let (mut executed, mut failed, mut refused) = (0, 0, 0);
    let mut differences = Vec::new();
    for line in BufReader::new(node.stdout.take().unwrap()).lines() {
        let case: Case = serde_json::from_str(&line.unwrap()).unwrap();
        executed += u64::from(case.refused.is_none());
        refused += u64::from(case.refused.is_some());
        failed += u64::from(!case.errors.is_empty());
        if let Some(difference) = difference(&exact, &case).await {
            differences.push(format!(
                "document {} of seed {seed}: {difference}\n{}\nvariables: {}\n",
                case.number, case.document, case.variables
            ));
        }
    }
    assert!(node.wait().unwrap().success(), "the generator failed");
    println!("seed {seed}: {executed} executed, {failed} of them with errors; {refused} refused");
    assert_eq!(executed + refused, count);
    let first = differences.iter().take(5).cloned().collect::<String>();
    assert!(differences.is_empty(), "{} differences, the first:\n{first}", differences.len());
    assert!(count < 1_000 || (failed > count / 10 && refused > count / 10), "too few documents fail or are refused");
}

fn generous() -> Limits {
    Limits {
        depth: 60,
        aliases: 10_000,
        root_fields: 1_000,
        fields: 100_000,
        complexity: u64::MAX,
        ..Limits::default()
    }
}

/// A description of the difference; none if the results agree.
async fn difference(exact: &Conforming<Toy>, case: &Case) -> Option<String> {
    let mut request = Request::new(&case.document)
        .variables(Variables::from_json(case.variables.clone()))
        .data(Arc::new(Count::default()));
    request.operation_name.clone_from(&case.operation_name);
    let response = exact.execute(request).await;
    match &case.refused {
        Some(reason) if !is_request_error(&response) => Some(format!("graphql-js refuses it: {reason}")),
        Some(_) => None,
        None if is_request_error(&response) => {
            Some(format!("graphql-js executes it, but this layer refuses it: {}", response.errors[0].message))
        }
        None => executed_difference(&response, case),
    }
}

fn executed_difference(response: &Response, case: &Case) -> Option<String> {
    if !same(&response.data, &case.data) {
        return Some(format!("the data is {}, not {}", response.data, case.data));
    }
    let data = serde_json::to_value(&response.data).unwrap();
    let ours = response.errors.iter().map(|error| serde_json::to_value(&error.path).unwrap());
    let ours = nulled(&data, ours.map(|path| path.as_array().cloned().unwrap_or_default()));
    let theirs = nulled(&data, case.errors.iter().map(|error| error.path.clone()));
    if ours == theirs {
        return None;
    }
    let reasons: Vec<&str> = case.errors.iter().map(|error| error.message.as_str()).collect();
    Some(format!("errors explain the nulls at {ours:?}, not those at {theirs:?} ({reasons:?})"))
}

/// Whether two values are equal, with keys in the same order. 1 equals 1.0, as in JavaScript, and an enum value equals
/// a string.
fn same(one: &async_graphql::Value, other: &async_graphql::Value) -> bool {
    use async_graphql::Value;
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|((key, one), (name, other))| key == name && same(one, other))
        }
        (Value::Enum(one), Value::String(other)) => one == other,
        (one, other) => one == other,
    }
}

/// The paths of the nulls that the errors explain. A null propagates to its nearest nullable parent, so an error counts
/// for the path of that null: which of several errors below it is reported first is not specified.
fn nulled(data: &Value, paths: impl Iterator<Item = Vec<Value>>) -> BTreeSet<String> {
    paths
        .map(|path| {
            let mut place = data;
            let mut rest = String::new();
            for segment in path {
                if place.is_null() {
                    break;
                }
                place = match &segment {
                    Value::Number(index) => &place[usize::try_from(index.as_u64().unwrap()).unwrap()],
                    name => &place[name.as_str().unwrap()],
                };
                rest.push_str(&format!("/{segment}"));
            }
            if place.is_null() { rest } else { format!("{rest} is not null") }
        })
        .collect()
}
