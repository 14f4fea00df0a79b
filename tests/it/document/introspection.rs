//! Introspection returns what async-graphql would return, and is charged to the budget.

use async_graphql::{
    EmptyMutation, EmptySubscription, Enum, Executor as _, Extensions, InputObject, Object, OneofObject, Request,
    Schema, SimpleObject, Variables,
};
use duologue::graphql::document::{ConformingExecutor, Documents, Limits};
use serde_json::{Value, json};

use super::toy;
use crate::support::conforming::Conforming;

/// A colour.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Red,
    /// Not a colour.
    #[graphql(deprecation = "not a colour")]
    Loud,
}

#[derive(InputObject)]
struct Where {
    #[graphql(default = 7)]
    x: i32,
    colours: Option<Vec<Vec<Colour>>>,
}

#[derive(OneofObject)]
enum One {
    A(i32),
    B(String),
}

#[derive(SimpleObject)]
struct Spot {
    /// Its colour.
    colour: Colour,
    #[graphql(deprecation)]
    loudness: Option<i32>,
}

struct Query;

#[Object]
impl Query {
    async fn spots(&self, place: Option<Where>, #[graphql(default = 3)] count: i32, one: Option<One>) -> Vec<Spot> {
        let _unused = (place.map(|place| (place.x, place.colours)), one.map(|_| ()));
        (0..count).map(|_| Spot { colour: Colour::Red, loudness: None }).collect()
    }
}

const DOCUMENTS: [&str; 12] = [
    include_str!("real/introspection.graphql"),
    "{ __schema { types { name fields { name } enumValues { name } } } }",
    "{ __schema { types { name fields(includeDeprecated: true) { name isDeprecated deprecationReason } } } }",
    "query($all: Boolean = true) { __type(name: \"Colour\") { enumValues(includeDeprecated: $all) { name isDeprecated } } }",
    "{ __type(name: \"Colour\") { ...T a: enumValues(includeDeprecated: true) { name } } } fragment T on __Type { __typename kind enumValues { n: name __typename } }",
    "{ __type(name: \"Where\") { name inputFields { name defaultValue type { kind name ofType { kind ofType { kind ofType { kind name } } } } } } }",
    "{ a: __type(name: \"Query\") { fields { args { name type { inputFields { name } ofType { name fields { name } } } } } } b: __type(name: \"Nothing\") { name } }",
    "{ __type(name: \"One\") { isOneOf kind interfaces { name } possibleTypes { name } specifiedByURL ofType { name } } }",
    "{ __schema { __typename queryType { name fields { type { ofType { ofType { ofType { fields { name } } } } } } } mutationType { name } subscriptionType { name } directives { name locations isRepeatable args { name } } } }",
    "{ __schema { ...A ...B } __schema { directives { name } } } fragment A on __Schema { queryType { name } } fragment B on __Schema { queryType { kind } }",
    "{ __schema { queryType { name kind @skip(if: true) } } __typename }",
    "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }",
];

async fn differences<Q: async_graphql::ObjectType + 'static>(schema: Schema<Q, EmptyMutation, EmptySubscription>) {
    let documents = Documents::new(&schema.sdl(), Limits::default()).unwrap();
    let exact = Conforming::new(schema.clone(), documents);
    for document in DOCUMENTS {
        let mut bare = serde_json::to_value(schema.execute(Request::new(document)).await).unwrap();
        let answer = serde_json::to_value(exact.execute(Request::new(document)).await).unwrap();
        // async-graphql describes `__Schema` instead of the schema.
        if let Some(description) = bare.pointer_mut("/data/__schema/description") {
            description.take();
        }
        assert_eq!(answer, bare, "{document}");
    }
}

#[tokio::test]
async fn introspection_is_that_of_async_graphql() {
    differences(Schema::new(Query, EmptyMutation, EmptySubscription)).await;
    let toy = toy::schema();
    let documents = Documents::new(&toy.sdl(), Limits::default()).unwrap();
    let exact = Conforming::new(toy.clone(), documents);
    let document = DOCUMENTS[0];
    let (bare, answer) = (toy.execute(document).await, exact.execute(Request::new(document)).await);
    let mut bare = serde_json::to_value(bare).unwrap();
    bare["data"]["__schema"]["description"].take();
    assert_eq!(serde_json::to_value(answer).unwrap(), bare);
}

#[tokio::test]
async fn introspection_and_other_fields_are_answered_together() {
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    let documents = Documents::new(&schema.sdl(), Limits::default()).unwrap();
    let exact = Conforming::new(schema, documents);
    let document = "query($name: String!) { z: __type(name: $name) { name } spots(count: 1) { colour } a: __schema { queryType { name } } }";
    let request = Request::new(document).variables(Variables::from_json(json!({ "name": "Spot" })));
    let answer = exact.execute(request).await;
    // Keys in the order of the document.
    assert_eq!(
        serde_json::to_string(&answer.data).unwrap(),
        r#"{"z":{"name":"Spot"},"spots":[{"colour":"RED"}],"a":{"queryType":{"name":"Query"}}}"#
    );
}

#[tokio::test]
async fn introspection_is_charged_to_the_budget() {
    let schema = toy::schema();
    let limits = |values| Limits { introspection_values: values, ..Limits::default() };
    let outcome = async |values, document: &str| -> (u64, Value) {
        let documents = Documents::new(&schema.sdl(), limits(values)).unwrap();
        let found = documents.find(document, &Extensions::default()).unwrap();
        let operation = documents.operation(found, None, Variables::default()).unwrap();
        let budget = operation.budget.clone();
        let (request, prepared) = documents.prepare(operation).unwrap();
        let answer = ConformingExecutor::new(schema.clone(), documents).execute(request, &prepared).await;
        (budget.used().introspection, serde_json::to_value(answer).unwrap())
    };
    let document = "{ __schema { queryType { name kind } } __type(name: \"Leaf\") { name } }";
    assert_eq!(outcome(6, document).await.0, 6);
    let (used, answer) = outcome(5, document).await;
    assert!(used > 5 && answer["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX", "{answer}");
    assert!(answer["data"].is_null(), "{answer}");
    let (used, answer) = outcome(100_000, include_str!("real/introspection.graphql")).await;
    assert!(used > 1_000 && answer["errors"].is_null(), "{used}");
}
