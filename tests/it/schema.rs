//! Tests that the committed schema.graphql is the schema of the server.

use serde_json::json;

use crate::support::database::{Engine, run};
use crate::support::server::Setup;

/// If this fails, run `make schema` and check the difference: clients are generated from the file.
#[test]
fn the_committed_schema_is_up_to_date() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")).unwrap();
    assert!(duologue::app::schema() == committed, "schema.graphql is out of date: run `make schema`");
}

#[test]
fn the_schema_describes_itself() {
    run(Engine::Sqlite, |database| async move {
        let server = Setup::new(&database).start().await;
        let document = "{ __schema { about: description queryType { description } } }";
        let schema = server.client().data(document, json!({})).await["__schema"].take();
        let printed = duologue::app::schema();
        let about = schema["about"].as_str().unwrap();
        assert!(about.starts_with("The API of duologue") && printed.contains(about), "{about}");
        assert!(schema["queryType"]["description"].as_str().unwrap().starts_with("The query root"));
        server.stop().await;
    });
}
