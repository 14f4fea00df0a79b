//! Cases in which async-graphql alone does not conform to the specification.

use std::sync::Arc;

use async_graphql::{EmptyMutation, Executor as _, Object, Request, Schema, Subscription, Variables};
use duologue::graphql::document::{Documents, Limits};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};

use super::toy::{self, Count};
use crate::support::conforming::Conforming;

async fn answer(document: &str, variables: Value) -> Value {
    let schema = toy::schema();
    let documents = Documents::new(&schema.sdl(), Limits::default()).unwrap();
    let request = Request::new(document).variables(Variables::from_json(variables)).data(Arc::new(Count::default()));
    serde_json::to_value(Conforming::new(schema, documents).execute(request).await).unwrap()
}

#[tokio::test]
async fn fields_with_the_same_response_key_are_merged() {
    for (document, data) in [
        (
            "mutation { add { value } ...F } fragment F on Mutation { add { thing { id } } }",
            json!({ "add": { "value": 1, "thing": { "id": "1" } } }),
        ),
        ("mutation { add { value } add { value } fail { value } }", json!({ "add": { "value": 1 }, "fail": null })),
        (
            "{ leaf { id } ... { leaf { strict } ...F } } fragment F on Query { leaf { color } }",
            json!({ "leaf": { "id": "4", "strict": "strict 4", "color": "GREEN" } }),
        ),
        (
            "{ things(ids: [2, 3]) { id ... on Leaf { id color } ... on Thing { id } } }",
            json!({ "things": [{ "id": "2", "color": "BLUE" }, { "id": "3" }] }),
        ),
        (
            "{ things(ids: [2, 5]) { ... on Branch { leaf { id } } } }",
            json!({ "things": [{}, { "leaf": { "id": "10" } }] }),
        ),
        ("{ leaf { id @skip(if: true) } }", json!({ "leaf": {} })),
        ("{ leaf @include(if: false) { id } }", json!({})),
        (
            "{ __typename t: __typename thing(id: 3) { __typename } }",
            json!({ "__typename": "Query", "t": "Query", "thing": { "__typename": "Branch" } }),
        ),
    ] {
        assert_eq!(answer(document, json!({})).await["data"], data, "{document}");
    }
}

#[tokio::test]
async fn absent_null_and_default_variables_are_distinguished() {
    let echo = |declaration: &str, argument: &str| format!("query ({declaration}) {{ echo(must: 1, {argument}) }}");
    for (declaration, argument, variables, wanted) in [
        ("$v: Int", "int: $v", json!({}), "text=hi;flag=true;must=1"),
        ("$v: Int", "int: $v", json!({ "v": null }), "int=null;text=hi;flag=true;must=1"),
        ("$v: Int = 5", "int: $v", json!({}), "int=5;text=hi;flag=true;must=1"),
        ("$v: Boolean", "flag: $v", json!({}), "text=hi;flag=true;must=1"),
        ("$v: Boolean", "flag: $v", json!({ "v": false }), "text=hi;flag=false;must=1"),
        ("$v: String", "point: { x: 1, label: $v }", json!({}), "text=hi;flag=true;point={x:1,y:7};must=1"),
        (
            "$v: String",
            "point: { x: 1, label: $v }",
            json!({ "v": null }),
            "text=hi;flag=true;point={x:1,y:7,label:null};must=1",
        ),
        (
            "$v: Point",
            "point: $v",
            json!({ "v": { "x": 1, "colors": "RED" } }),
            "text=hi;flag=true;point={x:1,y:7,colors:[RED]};must=1",
        ),
        ("$v: [Int!]", "list: $v", json!({ "v": 3 }), "text=hi;flag=true;list=[3];must=1"),
        ("$v: Int!", "list: [1, $v]", json!({ "v": 2.0 }), "text=hi;flag=true;list=[1,2];must=1"),
    ] {
        let answer = answer(&echo(declaration, argument), variables).await;
        assert_eq!(answer["data"]["echo"], wanted, "{declaration} {argument}: {answer}");
    }
}

#[tokio::test]
async fn invalid_variables_are_rejected_before_execution() {
    for (declaration, value, message, path) in [
        ("Int!", json!({}), "Variable \"$v\" is required.", json!(null)),
        ("Int", json!({ "v": "hunter2" }), "Variable \"$v\" is not a value of type \"Int\".", json!(null)),
        ("Int", json!({ "v": 5_000_000_000_u64 }), "Variable \"$v\" is not a value of type \"Int\".", json!(null)),
        ("Color", json!({ "v": "PINK" }), "Variable \"$v\" is not a value of type \"Color\".", json!(null)),
        ("Point!", json!({ "v": null }), "Variable \"$v\" is not a value of type \"Point!\".", json!(null)),
        ("Point", json!({ "v": {} }), "Variable \"$v\".x is required.", json!(["x"])),
        (
            "Point",
            json!({ "v": { "x": 1, "inner": { "x": 1, "z": 1 } } }),
            "Variable \"$v\".inner.z is not a field of its input type.",
            json!(["inner", "z"]),
        ),
        (
            "[Color!]",
            json!({ "v": ["RED", null] }),
            "Variable \"$v\".1 is not a value of type \"Color!\".",
            json!(["1"]),
        ),
    ] {
        let argument = match declaration.trim_matches(['[', ']', '!']) {
            "Int" => "int: $v",
            "Color" if declaration.starts_with('[') => "point: { x: 1, colors: $v }",
            "Color" => "color: $v",
            _ => "point: $v",
        };
        let answer = answer(&format!("query ($v: {declaration}) {{ echo(must: 1, {argument}) }}"), value).await;
        let error = &answer["errors"][0];
        assert_eq!((&error["message"], &error["extensions"]["code"]), (&json!(message), &json!("INVALID_INPUT")));
        assert_eq!(error["extensions"]["fields"][0]["path"], path, "{error}");
        assert_eq!(answer["data"], json!(null));
    }
}

#[tokio::test]
async fn failed_fields_are_null_and_nulls_propagate() {
    for (document, data, paths) in [
        ("{ fails leaf { id } }", json!({ "fails": null, "leaf": { "id": "4" } }), json!([["fails"]])),
        ("{ fails }", json!({ "fails": null }), json!([["fails"]])),
        ("{ a: thing(id: 18) { strict } names }", json!({ "a": null, "names": [] }), json!([["a", "strict"]])),
        (
            "{ thing(id: 4) { id ... on Leaf { weight } } thing2: thing(id: 8) { ... on Leaf { weight } } }",
            json!({ "thing": { "id": "4", "weight": 8.0 }, "thing2": { "weight": 16.0 } }),
            json!([]),
        ),
        (
            "{ grid { sure } }",
            json!({ "grid": [[{ "sure": 1 }, null, { "sure": 2 }], [{ "sure": 5 }], []] }),
            json!([]),
        ),
        ("{ names(ids: [1, \"x\", null]) }", json!({ "names": ["name 1", null, null] }), json!([["names", 1]])),
        ("mutation { addHard(n: 3) { value } add { value } }", json!(null), json!([["addHard"]])),
    ] {
        let answer = answer(document, json!({})).await;
        assert_eq!(answer["data"], data, "{document}: {answer}");
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        assert_eq!(json!(errors.iter().map(|error| error["path"].clone()).collect::<Vec<_>>()), paths, "{document}");
    }
}

#[tokio::test]
async fn invalid_documents_have_an_error_with_a_location() {
    for (document, message, line, column) in [
        ("", "Syntax error: expected an operation or a fragment.", 1, 1),
        ("{ a:: b }", "Syntax error: expected a name.", 1, 5),
        ("{\n  unknown }", "Unknown field \"unknown\" on type \"Query\".", 2, 3),
        ("{ unknown @skip(if: true) leaf { id } }", "Unknown field \"unknown\" on type \"Query\".", 1, 3),
        ("{ leaf }", "Field \"leaf\" of type \"Leaf!\" must have a selection of subfields.", 1, 3),
        ("{ leaf { id { x } } }", "Field \"id\" of type \"ID!\" has no subfields.", 1, 13),
        ("{ echo }", "Argument \"must\" of field \"echo\" is required.", 1, 3),
        ("{ echo(must: \"hunter2\") }", "Argument \"must\" of field \"echo\" is not a value of type \"Int!\".", 1, 8),
        ("{ echo(must: 1, point: {x: 1, x: 2}) }", "There can be only one input field named \"x\".", 1, 31),
        ("{ leaf { ...F } }", "Unknown fragment \"F\".", 1, 13),
        ("{ leaf { id } } fragment F on Leaf { id }", "Fragment \"F\" is never used.", 1, 17),
        ("{ leaf { ...F } } fragment F on Leaf { next { ...F } }", "Fragment \"F\" spreads itself.", 1, 47),
        (
            "{ leaf { ...F } } fragment F on Stone { mass }",
            "Fragment \"F\" on \"Stone\" can never be inside \"Leaf\".",
            1,
            10,
        ),
        ("{ leaf { ... on Color { id } } }", "A fragment cannot be on \"Color\", which has no fields.", 1, 17),
        ("query ($v: Int) { leaf { id } }", "Variable \"$v\" is never used.", 1, 8),
        ("{ echo(must: $v) }", "Variable \"$v\" is not defined.", 1, 14),
        (
            "query ($v: Int) { echo(must: $v) }",
            "Variable \"$v\" of type \"Int\" cannot be used where \"Int!\" is expected.",
            1,
            30,
        ),
        ("query ($v: Leaf) { echo(must: $v) }", "Variable \"$v\" cannot be of the output type \"Leaf\".", 1, 12),
        ("{ leaf { id @other } }", "Unknown directive \"@other\".", 1, 13),
        (
            "mutation { a: add { value } a: fail { value } }",
            "Fields \"a\" conflict because they are different fields. Use an alias for one of them.",
            1,
            29,
        ),
        (
            "{ thing(id: 1) { id } thing(id: 2) { id } }",
            "Fields \"thing\" conflict because they have different arguments. Use an alias for one of them.",
            1,
            23,
        ),
        ("subscription { x }", "The schema has no subscriptions.", 1, 1),
        ("query A { leaf { id } } query A { leaf { id } }", "There can be only one operation named \"A\".", 1, 25),
        ("query A { leaf { id } } { leaf { id } }", "An operation without a name must be the only one.", 1, 25),
    ] {
        let answer = answer(document, json!({})).await;
        let error = &answer["errors"][0];
        assert_eq!(error["message"], message, "{document}: {answer}");
        assert_eq!(error["locations"], json!([{ "line": line, "column": column }]), "{document}");
        assert_eq!(error["extensions"]["code"], "INVALID_DOCUMENT");
    }
}

#[tokio::test]
async fn introspection_is_complete() {
    let answer = answer(include_str!("real/introspection.graphql"), json!({})).await;
    assert_eq!(answer.get("errors"), None);
    let types = answer["data"]["__schema"]["types"].as_array().unwrap();
    let branch = types.iter().find(|found| found["name"] == "Branch").unwrap();
    let kin = branch["fields"].as_array().unwrap().iter().find(|field| field["name"] == "firm").unwrap();
    assert_eq!(kin["type"]["ofType"]["ofType"]["name"], "Thing");
}

struct Query;

#[Object]
impl Query {
    async fn nothing(&self) -> bool {
        false
    }
}

struct Events;

#[Subscription(name = "Subscription")]
impl Events {
    async fn stones(&self) -> impl Stream<Item = toy::Stone> {
        stream::iter([1, 2, 12].map(toy::Stone))
    }
}

#[tokio::test]
async fn every_event_of_a_subscription_is_executed() {
    let schema = Schema::new(Query, EmptyMutation, Events);
    let documents = Documents::new(&schema.sdl(), Limits::default()).unwrap();
    let exact = Conforming::new(schema, documents);
    let events = async |document: &str| {
        let responses = exact.execute_stream(Request::new(document), None);
        responses.map(|response| serde_json::to_value(response).unwrap()).collect::<Vec<Value>>().await
    };
    let stones = events("subscription { stones { mass sure } stones { m: mass } }").await;
    assert_eq!(stones[0]["data"], json!({ "stones": { "mass": 1, "m": 1, "sure": 1 } }));
    assert_eq!(stones[2]["data"], json!(null), "{stones:?}");
    assert_eq!(stones[2]["errors"][0]["path"], json!(["stones", "sure"]));
    for document in ["subscription { stones { mass } other: stones { mass } }", "subscription { __typename }"] {
        let answers = events(document).await;
        assert_eq!(answers[0]["errors"][0]["message"], "A subscription must have exactly one root field.");
    }
    for document in [
        "subscription { stones @skip(if: true) { mass } }",
        "subscription { stones @include(if: true) { mass } }",
        "subscription ($on: Boolean!) { stones @include(if: $on) { mass } }",
        "subscription { ... @include(if: true) { stones { mass } } }",
        "subscription { ...F @skip(if: false) } fragment F on Subscription { stones { mass } }",
        "subscription { ...F } fragment F on Subscription { ... on Subscription { stones @skip(if: false) { mass } } }",
    ] {
        let answers = events(document).await;
        assert_eq!(answers.len(), 1, "{document}");
        let error = &answers[0]["errors"][0];
        assert_eq!(
            error["message"], "\"@skip\" and \"@include\" are not allowed at the root of a subscription.",
            "{document}"
        );
    }
    let stones = events("subscription { stones { mass sure @skip(if: true) } }").await;
    assert_eq!(stones[0]["data"], json!({ "stones": { "mass": 1 } }), "below the root they can");
}
