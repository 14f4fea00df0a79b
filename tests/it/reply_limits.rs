//! Limits of concurrent replies, and of single requests.

use serde_json::{Value, json};

use crate::support::client::{SEND, User};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;

async fn refusal(user: &User) -> (String, i64) {
    let input = json!({ "newChat": { "modelId": "demo" }, "content": "Hi" });
    let answer = user.run(SEND, json!({ "input": input })).await;
    let wait = answer.extensions()["retryAfterSeconds"].as_i64().unwrap_or_else(|| panic!("{answer:?}"));
    (answer.code().to_owned(), wait)
}

on_both_databases!(running_replies_are_limited_per_user_and_per_server, |database| async move {
    let setup = Setup::new(&database).with("MAX_REPLIES_PER_USER", "2").with("MAX_REPLIES", "3");
    let server = setup.start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let mut running = Vec::new();
    for _ in 0..2 {
        running.push(ada.ask("demo/stalls", "Hi").await);
    }
    let (code, wait) = refusal(&ada).await;
    assert!(code == "RATE_LIMITED" && wait >= 1, "{code} {wait}");

    let hers = eve.ask("demo/stalls", "Hi").await;
    let (code, wait) = refusal(&eve).await;
    assert!(code == "UNAVAILABLE" && wait >= 1, "{code} {wait}");

    // Each reply that ends allows another one.
    eve.mutate("stopReply", "message { id }", json!({ "messageId": hers.reply })).await.data();
    assert_eq!(refusal(&ada).await.0, "RATE_LIMITED");
    ada.mutate("stopReply", "message { id }", json!({ "messageId": running[0].reply })).await.data();
    let next = ada.ask("demo/fast", "Hi").await;
    assert_eq!(ada.ended(&next.reply).await, "COMPLETE");
    let chats = ada.data("{ me { chats { totalCount } } }", json!({})).await;
    assert_eq!(chats["me"]["chats"]["totalCount"], 3, "refused requests leave no chat");
    server.kill().await;
});

on_both_databases!(a_running_reply_has_no_children, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
    let first = ada.talk(&chat, "Hi").await;
    let sent = ada.send(json!({ "chatId": chat, "content": "And?", "modelId": "demo/stalls" })).await;
    let follow = |parent: Option<&str>| {
        let input = json!({ "chatId": chat, "content": "So?", "parentId": parent, "modelId": "demo/stalls" });
        let ada = ada.clone();
        async move { ada.run(SEND, json!({ "input": input })).await }
    };
    for parent in [None, Some(sent.reply.as_str())] {
        assert_eq!(follow(parent).await.code(), "CONFLICT", "{parent:?}");
    }
    assert_eq!(follow(Some(&sent.message)).await.complaint(), "INVALID_INPUT parentId:NOT_ALLOWED");
    // Messages to other branches of the chat are accepted.
    let other = follow(Some(&first.reply)).await.data()["sendMessage"].take();
    assert_eq!(ada.message(&sent.reply, "status").await["status"], "STREAMING");
    assert_eq!((&other["reply"]["status"], &other["chat"]["messageCount"]), (&json!("STREAMING"), &json!(6)));

    // Of several concurrent messages at the end of a branch, one is accepted.
    ada.mutate("stopReply", "message { id }", json!({ "messageId": other["reply"]["id"] })).await.data();
    let answers = futures_util::future::join_all((0..8).map(|_| follow(None))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| !answer.0["errors"].is_null()).collect();
    assert!(refused.len() == 7 && refused.iter().all(|answer| answer.code() == "CONFLICT"), "{answers:?}");
    server.kill().await;
});

/// The code of the only error, or "" without an error.
fn code(errors: &Value) -> &str {
    errors[0]["extensions"]["code"].as_str().unwrap_or_default()
}

on_both_databases!(requests_are_limited_over_http_and_websocket, |database| async move {
    let setup = Setup::new(&database)
        .with("MAX_REQUEST_BYTES", "2000")
        .with("MAX_DOCUMENT_TOKENS", "60")
        .with("MAX_DOCUMENT_DEPTH", "4")
        .with("MAX_DOCUMENT_ALIASES", "3")
        .with("MAX_DOCUMENT_ROOT_FIELDS", "5")
        .with("MAX_DOCUMENT_COMPLEXITY", "90");
    let server = setup.start().await;
    let client = server.sign_up("ada").await;
    let tokens = |count: usize| format!("{{ server {{ {}}} }}", "name ".repeat(count - 5));
    let depth = |count: usize| {
        format!(
            "{{ {} name {} }}",
            "__type(name: \"ID\") { ofType { ofType { ofType { ofType {"
                .split_inclusive('{')
                .take(count - 1)
                .collect::<String>(),
            "}".repeat(count - 1)
        )
    };
    let aliases =
        |count: usize| format!("{{ server {{ {}}} }}", (0..count).map(|n| format!("n{n}: name ")).collect::<String>());
    let root_fields = |count: usize| {
        let all =
            ["__typename", "server { name }", "models { id }", "me { id }", "nodes(ids: []) { id }", "admin { id }"];
        format!("{{ {} }}", all[..count].join(" "))
    };
    let complexity = |page: usize| format!("{{ characters(first: {page}) {{ nodes {{ id name }} }} }}");
    for (below, above) in [
        (tokens(60), tokens(61)),
        (depth(4), depth(5)),
        (aliases(3), aliases(4)),
        (root_fields(5), root_fields(6)),
        (complexity(29), complexity(30)),
    ] {
        for (document, wanted) in [(below, ""), (above, "QUERY_TOO_COMPLEX")] {
            let answer = client.run(&document, json!({})).await.0;
            assert_eq!(code(&answer["errors"]), wanted, "{document}");
            let mut socket = client.socket().await;
            socket.subscribe("1", &document, json!({})).await;
            let message = socket.next().await;
            assert_eq!(message["type"], if wanted.is_empty() { "next" } else { "error" }, "{document}");
            assert_eq!(code(&message["payload"]), wanted, "{document}");
        }
    }
    let request = r#"{"query":"{ server { name } }"}"#.to_owned();
    let message = format!(r#"{{"id":"1","type":"subscribe","payload":{request}}}"#);
    let padded = |text: &str, bytes: usize| text.to_owned() + &" ".repeat(bytes - text.len());
    for (bytes, wanted) in [(2_000, ""), (2_001, "PAYLOAD_TOO_LARGE")] {
        let answer = client.send_raw(padded(&request, bytes)).await.0;
        assert_eq!(code(&answer["errors"]), wanted);
        let mut socket = client.socket().await;
        socket.send_raw(padded(&message, bytes)).await;
        if wanted.is_empty() {
            assert_eq!(socket.next().await["type"], "next");
        } else {
            assert_eq!(socket.closed().await, 1009);
        }
    }
    server.kill().await;
});
