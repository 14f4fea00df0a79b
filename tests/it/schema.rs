//! The committed schema is the one that the server has.

/// Run `cargo run -- schema > schema.graphql` when this fails, and look at the difference: clients are generated from it.
#[test]
fn the_committed_schema_is_printed() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")).unwrap();
    assert!(duologue::app::schema() == committed, "schema.graphql has drifted: print it anew with `duologue schema`");
}
