//! The queries `node`, `nodes`, `characters`, `models` and `server`.

use serde_json::{Value, json};

use crate::support::client::text;
use crate::support::database::on_both_databases;
use crate::support::provider::FakeProvider;
use crate::support::server::Setup;

const NODES: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
const NODE: &str = "query($id: ID!) { node(id: $id) { __typename id } }";

on_both_databases!(node_returns_an_object_of_every_type_to_its_readers, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let sent = ada.ask("demo/tools", "one two").await;
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    let call = ada.message(&sent.reply, "parts { ... on ToolCall { id } }").await["parts"][1]["id"].take();
    let seen = ada.data("{ characters { nodes { id } } me { roles { id } } }", json!({})).await;
    let (character, role) = (&seen["characters"]["nodes"][0]["id"], &seen["me"]["roles"][0]["id"]);
    // Each id with its type, and whether other users can read it.
    let all = [
        (json!(ada.id), "User", true),
        (json!(ada.session_id), "Session", false),
        (role.clone(), "Role", true),
        (character.clone(), "Character", true),
        (json!(sent.chat), "Chat", false),
        (json!(sent.message), "Message", false),
        (json!(sent.reply), "Message", false),
        (call, "ToolCall", false),
    ];
    let ids: Vec<&Value> = all.iter().map(|(id, ..)| id).collect();
    let mine = ada.data(NODES, json!({ "ids": ids })).await;
    let hers = eve.data(NODES, json!({ "ids": ids })).await;
    for (place, (id, kind, is_public)) in all.iter().enumerate() {
        let whole = json!({ "__typename": kind, "id": id });
        assert_eq!(mine["nodes"][place], whole);
        assert_eq!(ada.data(NODE, json!({ "id": id })).await["node"], whole);
        assert_eq!(hers["nodes"][place], if *is_public { whole } else { Value::Null }, "{kind}");
        // An id that does not exist is null, like an object of another user.
        let prefix = text(id).split('_').next().unwrap().to_owned();
        let nobodys = format!("{prefix}_01h455vb4pex5vsknk084sn02q");
        assert_eq!(ada.data(NODE, json!({ "id": nobodys })).await["node"], Value::Null, "{nobodys}");
    }

    // A valid id with the prefix of another type does not exist.
    let number = sent.chat.trim_start_matches("chat_");
    assert_eq!(ada.data(NODE, json!({ "id": format!("msg_{number}") })).await["node"], Value::Null);
    for id in [
        "",
        "x",
        "chat",
        "chat_",
        "chat_x",
        number,
        &format!("none_{number}"),
        &format!("CHAT_{number}"),
        "chat_\0",
        &"a".repeat(10_000),
        &format!("chat_{}", number.to_uppercase()),
        &format!("{}0", sent.chat),
        &format!(" {}", sent.chat),
    ] {
        let answer = ada.run(NODE, json!({ "id": id })).await;
        assert_eq!(
            (answer.complaint().as_str(), &answer.0["data"]["node"]),
            ("INVALID_INPUT id:MALFORMED", &Value::Null),
            "{id:.50}"
        );
    }
    let many = |count: usize| json!({ "ids": vec![&sent.chat; count] });
    assert_eq!(ada.data(NODES, many(100)).await["nodes"].as_array().unwrap().len(), 100);
    assert_eq!(ada.run(NODES, many(101)).await.complaint(), "INVALID_INPUT ids:TOO_LONG");
    assert_eq!(ada.data(NODES, many(0)).await["nodes"], json!([]));
    assert_eq!(server.client().run(NODE, json!({ "id": ada.id })).await.code(), "UNAUTHENTICATED");
    server.stop().await;
});

on_both_databases!(characters_are_listed_and_filtered, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let fields = "id name description greeting systemPrompt isPublic tags owner { id } createdAt";
    let list = format!(
        "query($query: String, $tags: [String!], $mine: Boolean) {{ characters(filter: {{ query: $query, tags: $tags, isMine: $mine }}) {{ totalCount nodes {{ {fields} }} }} }}"
    );
    let found = ada.data(&list, json!({})).await["characters"].take();
    let all = found["nodes"].as_array().unwrap();
    let names: Vec<String> = all.iter().map(|one| text(&one["name"])).collect();
    assert_eq!(names, ["Claude Assistant", "Code Helper", "Creative Writer"], "by name");
    assert_eq!(found["totalCount"], 3);
    let one = &all[1];
    assert_eq!((&one["systemPrompt"], &one["owner"], &one["isPublic"]), (&Value::Null, &Value::Null, &json!(true)));
    let find = format!("query($id: ID!) {{ character(id: $id) {{ {fields} }} }}");
    assert_eq!(ada.data(&find, json!({ "id": one["id"] })).await["character"], *one);
    assert_eq!(ada.data(&find, json!({ "id": "char_01h455vb4pex5vsknk084sn02q" })).await["character"], Value::Null);
    assert_eq!(ada.run(&find, json!({ "id": ada.id })).await.complaint(), "INVALID_INPUT id:MALFORMED");

    let count = |variables: Value| {
        let (ada, list) = (ada.clone(), list.clone());
        async move { ada.data(&list, variables).await["characters"]["totalCount"].as_i64().unwrap() }
    };
    assert_eq!(count(json!({ "query": "CREATIVE" })).await, 1);
    assert_eq!(count(json!({ "mine": true })).await, 0);
    assert_eq!(count(json!({ "mine": false })).await, 3);
    assert_eq!(count(json!({ "tags": [one["tags"][0]] })).await, 1);
    assert_eq!(count(json!({ "tags": ["none"] })).await, 0);
    for (variables, complaint) in [
        (json!({ "query": "a\u{0}" }), "INVALID_INPUT filter.query:MALFORMED"),
        (json!({ "query": "a".repeat(201) }), "INVALID_INPUT filter.query:TOO_LONG"),
        (json!({ "tags": ["a\u{0}"] }), "INVALID_INPUT filter.tags:MALFORMED"),
        (json!({ "tags": vec!["a"; 11] }), "INVALID_INPUT filter.tags:TOO_LONG"),
    ] {
        assert_eq!(ada.run(&list, variables).await.complaint(), complaint);
    }
    server.stop().await;
});

on_both_databases!(models_and_server_data_are_listed, |database| async move {
    let provider = FakeProvider::start().await;
    let setup = Setup::new(&database).with("MODELS_FILE", provider.models_file()).with("MAX_MESSAGE_LENGTH", "77");
    let server = setup.start().await;
    let fields = "id provider displayName contextWindow maxOutputTokens inputPricePerMillionTokens
        outputPricePerMillionTokens isDefault isAvailable";
    let document =
        format!("{{ models {{ {fields} }} server {{ id name version isRegistrationOpen isDemo maxMessageLength }} }}");
    let told = server.client().data(&document, json!({})).await;
    let model = |id: &str| told["models"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap();
    let fake = model("fake/model");
    assert_eq!(
        (&fake["provider"], &fake["contextWindow"], &fake["isAvailable"]),
        (&json!("fake"), &json!(8192), &json!(true))
    );
    assert_eq!(
        (&fake["inputPricePerMillionTokens"], &fake["outputPricePerMillionTokens"]),
        (&json!(1_000_000), &json!(2_000_000))
    );
    assert_eq!(model("keyless/model")["isAvailable"], false);
    assert_eq!(model("demo")["isAvailable"], true);
    let defaults = told["models"].as_array().unwrap().iter().filter(|model| model["isDefault"] == true);
    assert_eq!(
        defaults.map(|model| text(&model["id"])).collect::<Vec<_>>(),
        ["fake/model"],
        "the first that can be used"
    );
    let server_data = &told["server"];
    assert_eq!((&server_data["name"], &server_data["maxMessageLength"]), (&json!("duologue"), &json!(77)));
    assert_eq!((&server_data["isRegistrationOpen"], &server_data["isDemo"]), (&json!(true), &json!(false)));

    // A provider without its key is refused by name, before anything is made.
    let ada = server.sign_up("ada").await;
    let input = json!({ "newChat": { "modelId": "keyless/model" }, "content": "Hi" });
    assert_eq!(ada.try_send(input).await.unwrap().complaint(), "INVALID_INPUT newChat.modelId:NOT_ALLOWED");
    let input = json!({ "newChat": {}, "modelId": "keyless/model", "content": "Hi" });
    assert_eq!(ada.try_send(input).await.unwrap().complaint(), "INVALID_INPUT modelId:NOT_ALLOWED");
    assert_eq!(ada.data("{ me { chats { totalCount } } }", json!({})).await["me"]["chats"]["totalCount"], 0);
    assert_eq!(provider.calls(), 0);
    server.stop().await;
});
