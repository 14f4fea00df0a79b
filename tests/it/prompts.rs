//! Prompts: writing them, the limits of common ones, and the viewers that see each kind.

use duologue::storage::migrations::{Step, run};
use duologue::storage::{Database, prompts};
use serde_json::{Value, json};

use crate::support::client::{Answer, User, text};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::staff::{root, with_admin, with_permissions};

const PROMPT: &str = "prompt { id title content variables kind tags createdAt updatedAt }";

async fn create(by: &User, input: Value) -> Answer {
    by.mutate("createPrompt", PROMPT, input).await
}

async fn created(by: &User, input: Value) -> Value {
    create(by, input).await.data()["createPrompt"]["prompt"].take()
}

async fn update(by: &User, input: Value) -> Answer {
    by.mutate("updatePrompt", PROMPT, input).await
}

/// The titles of the prompts that match a filter, and their number.
async fn titles(by: &User, filter: Value) -> (Vec<String>, u64) {
    let document = "query($filter: PromptFilter) { prompts(filter: $filter) { totalCount nodes { title } } }";
    let found = by.data(document, json!({ "filter": filter })).await["prompts"].take();
    let titles = found["nodes"].as_array().unwrap().iter().map(|node| text(&node["title"])).collect();
    (titles, found["totalCount"].as_u64().unwrap())
}

async fn node(by: &User, id: &Value) -> Value {
    let document = "query($id: ID!) { node(id: $id) { id ... on Prompt { title tags } } }";
    by.data(document, json!({ "id": id })).await["node"].take()
}

on_both_databases!(prompts_are_written_and_listed, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let writer = with_permissions(&root, "writer", &["PROMPTS_WRITE"]).await;
    let ada = server.sign_up("ada").await;

    let content = "Translate {{text}} to {{language}} for {{user}}. {{text}}! {{ no }}";
    let tags = json!([" language ", "work", "language"]);
    let template = created(&writer, json!({ "title": " Translate ", "content": content, "tags": tags })).await;
    assert_eq!((&template["title"], &template["kind"]), (&json!("Translate"), &json!("TEMPLATE")));
    assert_eq!((&template["content"], &template["tags"]), (&json!(content), &json!(["language", "work"])));
    assert_eq!(template["variables"], json!(["text", "language"]));
    let common = created(&writer, json!({ "title": "rules", "content": "Be kind.", "kind": "COMMON" })).await;
    created(&writer, json!({ "title": "Ägypten", "content": "x", "tags": ["work"] })).await;

    // Common prompts are visible with PROMPTS_WRITE only.
    let all = |names: &[&str]| (names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), names.len() as u64);
    assert_eq!(titles(&writer, json!({})).await, all(&["rules", "Translate", "Ägypten"]));
    assert_eq!(titles(&ada, json!({})).await, all(&["Translate", "Ägypten"]));
    assert_eq!(titles(&ada, json!({ "kind": "COMMON" })).await, all(&[]));
    assert_eq!(titles(&writer, json!({ "kind": "COMMON" })).await, all(&["rules"]));
    assert_eq!(titles(&ada, json!({ "query": "ÄGYPT" })).await, all(&["Ägypten"]));
    assert_eq!(titles(&ada, json!({ "query": "%" })).await, all(&[]));
    assert_eq!(titles(&ada, json!({ "tags": ["work"] })).await, all(&["Translate", "Ägypten"]));
    assert_eq!(titles(&ada, json!({ "tags": ["work", "language"], "kind": "TEMPLATE" })).await, all(&["Translate"]));
    assert_eq!(node(&ada, &common["id"]).await, Value::Null);
    assert_eq!(node(&writer, &common["id"]).await["title"], "rules");
    assert_eq!(node(&ada, &template["id"]).await["tags"], json!(["language", "work"]));
    let first = ada.data("{ prompts(first: 1) { pageInfo { hasNextPage endCursor } } }", json!({})).await;
    let after = json!({ "after": first["prompts"]["pageInfo"]["endCursor"] });
    let next = "query($after: String) { prompts(after: $after) { nodes { title } pageInfo { hasNextPage } } }";
    let next = ada.data(next, after).await["prompts"].take();
    assert_eq!(next, json!({ "nodes": [{ "title": "Ägypten" }], "pageInfo": { "hasNextPage": false } }));

    // An absent field is left unchanged.
    let changed = update(&writer, json!({ "promptId": template["id"], "title": "Translator", "tags": [] })).await;
    let changed = changed.data()["updatePrompt"]["prompt"].take();
    assert_eq!((&changed["title"], &changed["content"]), (&json!("Translator"), &template["content"]));
    assert_eq!((&changed["tags"], &changed["createdAt"]), (&json!([]), &template["createdAt"]));
    let hidden = update(&writer, json!({ "promptId": template["id"], "kind": "COMMON" })).await.data();
    assert_eq!(hidden["updatePrompt"]["prompt"]["kind"], "COMMON");
    assert_eq!(titles(&ada, json!({})).await, all(&["Ägypten"]));

    let deleted = writer.mutate("deletePrompt", "promptId", json!({ "promptId": common["id"] })).await.data();
    assert_eq!(deleted["deletePrompt"]["promptId"], common["id"]);
    assert_eq!(node(&writer, &common["id"]).await, Value::Null);
    assert_eq!(update(&writer, json!({ "promptId": common["id"] })).await.code(), "NOT_FOUND");
    assert_eq!(
        writer.mutate("deletePrompt", "promptId", json!({ "promptId": common["id"] })).await.code(),
        "NOT_FOUND"
    );

    let log = "{ admin { auditLog(first: 5) { nodes { action subjectId detail } } } }";
    let log = root.data(log, json!({})).await["admin"]["auditLog"]["nodes"].take();
    let entry = |action: &str, prompt: &Value, detail: Value| json!({ "action": action, "subjectId": prompt["id"], "detail": detail });
    let renamed = json!({ "title": "Translator", "kind": "TEMPLATE", "fields": ["title", "tags"] });
    let moved = json!({ "title": "Translator", "kind": "COMMON", "fields": ["kind"] });
    assert_eq!(log[0], entry("prompt.deleted", &common, json!({ "title": "rules", "kind": "COMMON" })));
    assert_eq!(log[1], entry("prompt.updated", &template, moved));
    assert_eq!(log[2], entry("prompt.updated", &template, renamed));
    assert_eq!(log[4], entry("prompt.created", &common, json!({ "title": "rules", "kind": "COMMON" })));
    server.stop().await;
});

on_both_databases!(prompts_have_limits, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    for (input, complaint) in [
        (json!({ "title": " ", "content": "x" }), "title:REQUIRED"),
        (json!({ "title": "é".repeat(101), "content": "x" }), "title:TOO_LONG"),
        (json!({ "title": "a\0b", "content": "x" }), "title:MALFORMED"),
        (json!({ "title": "a\nb", "content": "x" }), "title:MALFORMED"),
        (json!({ "title": "x", "content": "" }), "content:REQUIRED"),
        (json!({ "title": "x", "content": "é".repeat(32_001) }), "content:TOO_LONG"),
        (json!({ "title": "x", "content": "a\0" }), "content:MALFORMED"),
        (json!({ "title": "x", "content": "x", "tags": [""] }), "tags:REQUIRED"),
        (json!({ "title": "x", "content": "x", "tags": ["x".repeat(51)] }), "tags:TOO_LONG"),
        (json!({ "title": "x", "content": "x", "tags": ["a\0"] }), "tags:MALFORMED"),
        (json!({ "title": "x", "content": "x", "tags": vec!["x"; 11] }), "tags:TOO_LONG"),
    ] {
        assert_eq!(create(&root, input.clone()).await.complaint(), format!("INVALID_INPUT {complaint}"), "{complaint}");
    }
    let limits = json!({ "title": "é".repeat(100), "content": "é\n".repeat(16_000), "tags": (0..10).map(|n| format!("{n}{}", "é".repeat(49))).collect::<Vec<_>>() });
    let largest = created(&root, limits).await;
    let nulls = json!({ "promptId": largest["id"], "title": null, "content": null, "kind": null, "tags": null });
    let complaint = "INVALID_INPUT title:REQUIRED content:REQUIRED kind:REQUIRED tags:REQUIRED";
    assert_eq!(update(&root, nulls).await.complaint(), complaint);

    // The common prompts together.
    let big = |n: usize| json!({ "title": format!("big {n}"), "content": "é".repeat(32_000), "kind": "COMMON" });
    let small = created(&root, json!({ "title": "small", "content": "x", "kind": "COMMON" })).await;
    created(&root, big(1)).await;
    assert_eq!(create(&root, big(2)).await.code(), "CONFLICT");
    let grown = json!({ "promptId": small["id"], "content": "x".repeat(32_000) });
    update(&root, grown).await.data();
    let one_more = json!({ "title": "one more", "content": "x", "kind": "COMMON" });
    assert_eq!(create(&root, one_more.clone()).await.code(), "CONFLICT");
    assert_eq!(update(&root, json!({ "promptId": largest["id"], "kind": "COMMON" })).await.code(), "CONFLICT");
    update(&root, json!({ "promptId": small["id"], "content": "x" })).await.data();
    for _ in 2..20 {
        created(&root, one_more.clone()).await;
    }
    assert_eq!(create(&root, one_more).await.code(), "CONFLICT");
    assert_eq!(titles(&root, json!({ "kind": "COMMON" })).await.1, 20);
    assert_eq!(titles(&root, json!({ "kind": "TEMPLATE" })).await.1, 1, "what was refused left nothing");
    server.stop().await;

    // They are read in the order of their creation.
    run(database.url(), Step::Up(None)).await.unwrap();
    let rows = Database::connect(database.url(), 1).await.unwrap();
    let common = prompts::common(rows.reader()).await.unwrap();
    assert_eq!((common.len(), common[0].title.as_str(), common[1].title.as_str()), (20, "small", "big 1"));
    assert!(common.is_sorted_by_key(|prompt| (prompt.created_at, prompt.id)));
    rows.close().await;
});
