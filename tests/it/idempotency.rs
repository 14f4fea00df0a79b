//! Idempotency keys: a repeated request returns the first result and has no further effect.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::{SEND, sent, text};
use crate::support::database::on_both_databases;
use crate::support::provider::FakeProvider;
use crate::support::server::Setup;

const PARALLEL: usize = 20;

on_both_databases!(concurrent_requests_with_one_key_execute_once, |database| async move {
    let provider = FakeProvider::start().await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "fake/model" })).await;
    let inputs = [
        json!({ "newChat": { "modelId": "fake/model", "title": "New" }, "content": "Hi", "idempotencyKey": "one" }),
        json!({ "chatId": chat, "content": "Hi", "idempotencyKey": "two" }),
    ];
    for (round, input) in inputs.iter().enumerate() {
        let answers = join_all((0..PARALLEL).map(|_| ada.run(SEND, json!({ "input": input })))).await;
        let all: Vec<_> = answers.into_iter().map(sent).collect();
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        assert_eq!(ada.ended(&all[0].reply).await, "COMPLETE");
        assert_eq!(sent(ada.run(SEND, json!({ "input": input })).await), all[0], "also after the reply has ended");
        assert_eq!(provider.calls(), round + 1);
        let chat = ada.data("query($id: ID!) { chat(id: $id) { messageCount } }", json!({ "id": all[0].chat })).await;
        assert_eq!(chat["chat"]["messageCount"], 2);
    }
    let chats = ada.data("{ me { chats { totalCount } } }", json!({})).await;
    assert_eq!(chats["me"]["chats"]["totalCount"], 2);

    // Keys of different users are independent.
    let eve = server.sign_up("eve").await;
    let hers = sent(eve.run(SEND, json!({ "input": inputs[0] })).await);
    eve.ended(&hers.reply).await;
    assert_eq!(provider.calls(), 3);
    server.stop().await;
});

on_both_databases!(a_key_is_bound_to_its_input, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let first = json!({ "newChat": { "modelId": "demo/fast" }, "content": "Hi", "idempotencyKey": "k" });
    let made = ada.send(first.clone()).await;
    ada.ended(&made.reply).await;
    let mut others = vec![
        json!({ "newChat": { "modelId": "demo/fast" }, "content": "Ho", "idempotencyKey": "k" }),
        json!({ "newChat": { "modelId": "demo/fast", "title": "T" }, "content": "Hi", "idempotencyKey": "k" }),
        json!({ "newChat": { "modelId": "demo" }, "content": "Hi", "idempotencyKey": "k" }),
        json!({ "newChat": { "modelId": "demo/fast" }, "modelId": "demo/fast", "content": "Hi", "idempotencyKey": "k" }),
        json!({ "chatId": made.chat, "content": "Hi", "idempotencyKey": "k" }),
    ];
    others.push(json!({ "chatId": made.chat, "parentId": made.reply, "content": "Hi", "idempotencyKey": "k" }));
    for other in others {
        let answer = ada.run(SEND, json!({ "input": other })).await;
        assert_eq!(answer.complaint(), "CONFLICT idempotencyKey:TAKEN", "{other}");
    }
    assert_eq!(ada.send(first).await, made, "the first input still returns the first result");
    let chat = ada.data("query($id: ID!) { chat(id: $id) { messageCount } }", json!({ "id": made.chat })).await;
    assert_eq!(chat["chat"]["messageCount"], 2);

    // Keys of `createChat` are separate, with the same rules.
    let create = |title: &str| {
        let input = json!({ "title": title, "idempotencyKey": "k" });
        ada.mutate("createChat", "chat { id }", input)
    };
    let (one, again) = tokio::join!(create("A"), create("A"));
    let one = one.data()["createChat"]["chat"]["id"].take();
    assert_eq!(again.data()["createChat"]["chat"]["id"], one);
    assert_eq!(create("B").await.complaint(), "CONFLICT idempotencyKey:TAKEN");
    assert_ne!(one, made.chat);
    server.stop().await;
});

on_both_databases!(a_failed_request_stores_nothing_and_does_not_use_the_key, |database| async move {
    let server = Setup::new(&database).with("MAX_REPLIES_PER_USER", "1").start().await;
    let ada = server.sign_up("ada").await;
    let send = |input: Value| {
        let client = ada.clone();
        async move { client.run(SEND, json!({ "input": input })).await }
    };
    let running = ada.ask("demo/stalls", "Hi").await;
    let key = |input: Value| {
        let mut input = input;
        input["idempotencyKey"] = json!("k");
        input["content"] = json!("Hi");
        input
    };
    // Each input fails at another point: before the transaction, and early and late inside it.
    for (input, code) in [
        (json!({ "newChat": { "title": "" } }), "INVALID_INPUT"),
        (json!({ "chatId": "chat_01h455vb4pex5vsknk084sn02q" }), "NOT_FOUND"),
        (json!({ "newChat": { "modelId": "none" } }), "INVALID_INPUT"),
        (json!({ "newChat": {}, "modelId": "none" }), "INVALID_INPUT"),
        (json!({ "chatId": running.chat }), "CONFLICT"),
        (json!({ "newChat": { "modelId": "demo" } }), "RATE_LIMITED"),
    ] {
        let answer = send(key(input.clone())).await;
        assert_eq!(answer.code(), code, "{input}");
    }
    let chats = ada.data("{ me { chats { totalCount } } }", json!({})).await;
    assert_eq!(chats["me"]["chats"]["totalCount"], 1, "failed requests leave no chat");
    ada.mutate("stopReply", "message { id }", json!({ "messageId": running.reply })).await.data();
    let made = sent(send(key(json!({ "newChat": { "modelId": "demo/fast" } }))).await);
    assert_eq!(ada.ended(&made.reply).await, "COMPLETE");
    assert_eq!(text(&ada.message(&made.message, "idempotencyKey").await["idempotencyKey"]), "k");

    // The key of a deleted chat is NOT_FOUND; it does not create another chat.
    ada.mutate("deleteChat", "chatId", json!({ "chatId": made.chat })).await.data();
    assert_eq!(send(key(json!({ "newChat": { "modelId": "demo/fast" } }))).await.code(), "NOT_FOUND");
    server.stop().await;
});
