//! How many replies run at once.

use serde_json::json;

use crate::support::client::{SEND, User};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;

async fn refusal(user: &User) -> (String, i64) {
    let input = json!({ "newChat": { "modelId": "demo" }, "content": "Hi" });
    let answer = user.run(SEND, json!({ "input": input })).await;
    let wait = answer.extensions()["retryAfterSeconds"].as_i64().unwrap_or_else(|| panic!("{answer:?}"));
    (answer.code().to_owned(), wait)
}

on_both_databases!(a_user_and_a_server_write_so_many_replies_at_once, |database| async move {
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

    // Each end makes room for one.
    eve.mutate("stopReply", "message { id }", json!({ "messageId": hers.reply })).await.data();
    assert_eq!(refusal(&ada).await.0, "RATE_LIMITED");
    ada.mutate("stopReply", "message { id }", json!({ "messageId": running[0].reply })).await.data();
    let next = ada.ask("demo/fast", "Hi").await;
    assert_eq!(ada.ended(&next.reply).await, "COMPLETE");
    let chats = ada.data("{ me { chats { totalCount } } }", json!({})).await;
    assert_eq!(chats["me"]["chats"]["totalCount"], 3, "what was refused left nothing");
    server.kill().await;
});

on_both_databases!(a_chat_has_one_running_reply, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/stalls", "Hi").await;
    for input in [
        json!({ "chatId": sent.chat, "content": "And?" }),
        json!({ "chatId": sent.chat, "content": "And?", "parentId": sent.message }),
    ] {
        assert_eq!(ada.run(SEND, json!({ "input": input })).await.code(), "CONFLICT");
    }
    // Of many at once, one gets the chat.
    ada.mutate("stopReply", "message { id }", json!({ "messageId": sent.reply })).await.data();
    let input = json!({ "chatId": sent.chat, "content": "And?", "modelId": "demo/stalls" });
    let tries = (0..8).map(|_| ada.run(SEND, json!({ "input": input })));
    let answers = futures_util::future::join_all(tries).await;
    let refused: Vec<_> = answers.iter().filter(|answer| !answer.0["errors"].is_null()).collect();
    assert!(refused.len() == 7 && refused.iter().all(|answer| answer.code() == "CONFLICT"), "{answers:?}");
    server.kill().await;
});
