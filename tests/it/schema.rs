//! Tests that the committed schema.graphql is the schema of the server.

/// If this fails, run `make schema` and check the difference: clients are generated from the file.
#[test]
fn the_committed_schema_is_up_to_date() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")).unwrap();
    assert!(duologue::app::schema() == committed, "schema.graphql is out of date: run `make schema`");
}
