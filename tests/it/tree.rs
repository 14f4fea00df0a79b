//! Changing the tree of a chat: other replies, edited messages, the active branch, ratings and deletion.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, User, text};
use crate::support::database::{Engine, on_both_databases};
use crate::support::server::Setup;
use crate::support::socket::read_all;

const TREE: &str =
    "query($id: ID!) { chat(id: $id) { messageCount lastMessage { id } messages(last: 100) { nodes { id } } } }";

/// The messages of the active branch, its last message, and the number of messages in the chat.
async fn branch(client: &Client, chat: &str) -> (Vec<String>, Value, i64) {
    let chat = client.data(TREE, json!({ "id": chat })).await["chat"].take();
    let nodes = chat["messages"]["nodes"].as_array().unwrap().iter().map(|node| text(&node["id"])).collect();
    (nodes, chat["lastMessage"]["id"].clone(), chat["messageCount"].as_i64().unwrap())
}

async fn regenerate(client: &Client, input: Value) -> Answer {
    client
        .mutate(
            "regenerateReply",
            "chat { id messageCount lastMessage { id } } reply { id status role parent { id } idempotencyKey }",
            input,
        )
        .await
}

async fn edit(client: &Client, input: Value) -> Answer {
    let fields = "id status role content modelId parent { id } idempotencyKey";
    let payload =
        format!("chat {{ id messageCount lastMessage {{ id }} }} message {{ {fields} }} reply {{ {fields} }}");
    client.mutate("editMessage", &payload, input).await
}

async fn select(client: &Client, chat: &str, message: &str) -> Answer {
    client
        .mutate("selectBranch", "chat { id lastMessage { id } }", json!({ "chatId": chat, "messageId": message }))
        .await
}

async fn delete(client: &Client, message: &str) -> Answer {
    let payload = "messageId chat { id messageCount lastMessage { id } }";
    client.mutate("deleteMessage", payload, json!({ "messageId": message })).await
}

/// The ids of a list of messages.
fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|message| text(&message["id"])).collect()
}

/// A chat with a greeting.
async fn greeted(client: &Client) -> (String, String) {
    let found = client.data("{ characters { nodes { id greeting } } }", json!({})).await;
    let nodes = found["characters"]["nodes"].as_array().unwrap().clone();
    let character = nodes.iter().find(|one| one["greeting"].is_string()).unwrap();
    let chat = client.new_chat(json!({ "characterId": character["id"], "modelId": "demo/fast" })).await;
    let (messages, ..) = branch(client, &chat).await;
    (chat, messages[0].clone())
}

on_both_databases!(a_reply_is_generated_again, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let (chat, greeting) = greeted(&ada).await;
    let first = ada.talk(&chat, "one").await;
    let second = ada.talk(&chat, "two").await;

    // A sibling of a reply, with another model; its branch is the active one.
    let input = json!({ "messageId": first.reply, "modelId": "demo", "idempotencyKey": "k" });
    let made = regenerate(&ada, input.clone()).await.data()["regenerateReply"].take();
    let reply = text(&made["reply"]["id"]);
    assert_eq!(
        (&made["reply"]["status"], &made["reply"]["parent"]["id"], &made["reply"]["idempotencyKey"]),
        (&json!("STREAMING"), &json!(first.message), &json!("k"))
    );
    assert_eq!(made["chat"], json!({ "id": chat, "messageCount": 6, "lastMessage": { "id": reply } }));
    assert!(read_all(&ada, &reply).await.text.contains("one"), "it answers the same message");
    let shown = ada.message(&reply, "modelId siblings { id }").await;
    assert_eq!(shown, json!({ "modelId": "demo", "siblings": [{ "id": first.reply }, { "id": reply }] }));
    assert_eq!(branch(&ada, &chat).await.0, [&greeting, &first.message, &reply].map(Clone::clone));
    // The same key starts nothing more.
    let again = regenerate(&ada, input).await.data()["regenerateReply"].take();
    assert_eq!((&again["reply"]["id"], &again["chat"]["messageCount"]), (&json!(reply), &json!(6)));
    let other = json!({ "messageId": second.reply, "modelId": "demo", "idempotencyKey": "k" });
    assert_eq!(regenerate(&ada, other).await.complaint(), "CONFLICT idempotencyKey:TAKEN");

    // A reply to a message of the user, and beside one that is still running.
    let stalled = json!({ "messageId": second.message, "modelId": "demo/stalls" });
    let one = regenerate(&ada, stalled).await.data()["regenerateReply"]["reply"]["id"].take();
    let two = regenerate(&ada, json!({ "messageId": one })).await.data()["regenerateReply"]["reply"]["id"].take();
    assert_eq!(ada.ended(&text(&two)).await, "COMPLETE");
    assert_eq!(ada.message(&text(&one), "status").await["status"], "STREAMING");
    assert_eq!(
        ids(&ada.message(&second.message, "children { id }").await["children"]),
        [second.reply.clone(), text(&one), text(&two)]
    );

    assert_eq!(
        regenerate(&ada, json!({ "messageId": greeting })).await.complaint(),
        "INVALID_INPUT messageId:NOT_ALLOWED"
    );
    assert_eq!(regenerate(&ada, json!({ "messageId": chat })).await.complaint(), "INVALID_INPUT messageId:MALFORMED");
    let unknown = json!({ "messageId": first.reply, "modelId": "none" });
    assert_eq!(regenerate(&ada, unknown).await.complaint(), "INVALID_INPUT modelId:UNKNOWN");
    let eve = server.sign_up("eve").await;
    assert_eq!(regenerate(&eve, json!({ "messageId": first.reply })).await.code(), "NOT_FOUND");
    server.kill().await;
});

on_both_databases!(a_reply_is_generated_again_within_the_limits, |database| async move {
    let server = Setup::new(&database).with("MAX_REPLIES_PER_USER", "2").start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/stalls", "Hi").await;
    let input = json!({ "messageId": sent.reply, "idempotencyKey": "k" });
    let one =
        regenerate(&ada, json!({ "messageId": sent.reply })).await.data()["regenerateReply"]["reply"]["id"].take();
    assert_eq!(regenerate(&ada, input.clone()).await.code(), "RATE_LIMITED");
    assert_eq!(edit(&ada, json!({ "messageId": sent.message, "content": "Ho" })).await.code(), "RATE_LIMITED");
    // An edited reply needs no model.
    edit(&ada, json!({ "messageId": one, "content": "Ho" })).await.data();
    ada.mutate("stopReply", "message { id }", json!({ "messageId": one })).await.data();
    regenerate(&ada, input).await.data();
    server.kill().await;
});

on_both_databases!(a_message_is_edited, |database| async move {
    let server = Setup::new(&database).with("MAX_MESSAGE_LENGTH", "20").start().await;
    let ada = server.sign_up("ada").await;
    let (chat, greeting) = greeted(&ada).await;
    let first = ada.talk(&chat, "one").await;
    let second = ada.talk(&chat, "two").await;

    // A message of the user: a sibling, and a reply to it.
    let input = json!({ "messageId": second.message, "content": "drei", "modelId": "demo", "idempotencyKey": "k" });
    let made = edit(&ada, input.clone()).await.data()["editMessage"].take();
    let (message, reply) = (&made["message"], &made["reply"]);
    assert_eq!(
        (&message["role"], &message["content"], &message["parent"]["id"], &message["idempotencyKey"]),
        (&json!("USER"), &json!("drei"), &json!(first.reply), &json!("k"))
    );
    assert_eq!(
        (&reply["status"], &reply["parent"]["id"], &reply["modelId"]),
        (&json!("STREAMING"), &message["id"], &json!("demo"))
    );
    assert_eq!((&made["chat"]["messageCount"], &made["chat"]["lastMessage"]["id"]), (&json!(7), &reply["id"]));
    assert!(read_all(&ada, &text(&reply["id"])).await.text.contains("drei"));
    assert_eq!(
        ids(&ada.message(&second.message, "siblings { id }").await["siblings"]),
        [second.message.clone(), text(&message["id"])]
    );
    assert_eq!(ada.message(&second.message, "content").await["content"], "two", "the edited message stays");
    let again = edit(&ada, input.clone()).await.data()["editMessage"].take();
    assert_eq!((&again["message"]["id"], &again["reply"]["id"]), (&message["id"], &reply["id"]));
    assert_eq!(again["reply"]["status"], "COMPLETE", "the current state");

    // A reply: a complete sibling, which no model wrote, and no reply.
    let input = json!({ "messageId": first.reply, "content": "mine", "idempotencyKey": "k2" });
    let made = edit(&ada, input.clone()).await.data()["editMessage"].take();
    let copy = &made["message"];
    assert_eq!(
        (&copy["role"], &copy["status"], &copy["content"], &copy["modelId"], &made["reply"]),
        (&json!("ASSISTANT"), &json!("COMPLETE"), &json!("mine"), &Value::Null, &Value::Null)
    );
    assert_eq!(edit(&ada, input).await.data()["editMessage"], made);
    let shown = ada
        .message(&text(&copy["id"]), "usage { cost } finishReason parts { ... on TextPart { text } } position")
        .await;
    assert_eq!(shown, json!({ "usage": null, "finishReason": null, "parts": [{ "text": "mine" }], "position": 4 }));
    let next = ada.talk(&chat, "next").await;
    assert_eq!(
        branch(&ada, &chat).await.0,
        [&greeting, &first.message, &text(&copy["id"]), &next.message, &next.reply].map(Clone::clone)
    );

    // Roots: the greeting, and a first message.
    let made = edit(&ada, json!({ "messageId": greeting, "content": "Hello" })).await.data()["editMessage"].take();
    let hello = text(&made["message"]["id"]);
    assert_eq!((&made["message"]["role"], &made["message"]["parent"]), (&json!("ASSISTANT"), &Value::Null));
    assert_eq!(ids(&ada.message(&greeting, "siblings { id }").await["siblings"]), [greeting.clone(), hello.clone()]);
    assert_eq!(branch(&ada, &chat).await.0, [hello]);
    let bare = ada.ask("demo/fast", "one").await;
    ada.ended(&bare.reply).await;
    let made = edit(&ada, json!({ "messageId": bare.message, "content": "two" })).await.data()["editMessage"].take();
    let two = text(&made["message"]["id"]);
    assert_eq!(ids(&ada.message(&two, "siblings { id }").await["siblings"]), [bare.message, two]);
    assert_eq!(ada.ended(&text(&made["reply"]["id"])).await, "COMPLETE");

    for (input, complaint) in [
        (json!({ "messageId": first.reply, "content": " " }), "INVALID_INPUT content:REQUIRED"),
        (json!({ "messageId": first.reply, "content": "x".repeat(21) }), "INVALID_INPUT content:TOO_LONG"),
        (
            json!({ "messageId": first.reply, "content": "x", "idempotencyKey": "" }),
            "INVALID_INPUT idempotencyKey:REQUIRED",
        ),
        (json!({ "messageId": first.message, "content": "x", "modelId": "none" }), "INVALID_INPUT modelId:UNKNOWN"),
        (json!({ "messageId": "msg_01h455vb4pex5vsknk084sn02q", "content": "x" }), "NOT_FOUND"),
    ] {
        assert_eq!(edit(&ada, input.clone()).await.complaint(), complaint, "{input}");
    }
    let eve = server.sign_up("eve").await;
    assert_eq!(edit(&eve, json!({ "messageId": first.reply, "content": "x" })).await.code(), "NOT_FOUND");
    server.stop().await;
});

on_both_databases!(a_branch_is_selected, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
    let one = ada.talk(&chat, "one").await;
    let two = ada.talk(&chat, "two").await;
    let other =
        regenerate(&ada, json!({ "messageId": one.reply })).await.data()["regenerateReply"]["reply"]["id"].take();
    let other = text(&other);
    ada.ended(&other).await;
    for (through, last) in
        [(&one.reply, &two.reply), (&other, &other), (&two.message, &two.reply), (&one.message, &other)]
    {
        let chosen = select(&ada, &chat, through).await.data()["selectBranch"]["chat"].take();
        assert_eq!(chosen, json!({ "id": chat, "lastMessage": { "id": last } }), "{through}");
        assert_eq!(branch(&ada, &chat).await.0.last(), Some(last));
    }
    // The next message follows the selected branch.
    select(&ada, &chat, &two.message).await.data();
    let next = ada.talk(&chat, "next").await;
    assert_eq!(ada.message(&next.message, "parent { id }").await["parent"]["id"], two.reply);

    let elsewhere = ada.ask("demo/fast", "x").await;
    let eve = server.sign_up("eve").await;
    for (client, chat, message) in [
        (&ada, &chat, &elsewhere.message),
        (&eve, &chat, &one.message),
        (&eve, &elsewhere.chat, &one.message),
        (&ada, &chat, &"msg_01h455vb4pex5vsknk084sn02q".to_owned()),
    ] {
        assert_eq!(select(client, chat, message).await.code(), "NOT_FOUND");
    }
    server.stop().await;
});

on_both_databases!(a_reply_is_rated, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/stalls", "Hi").await;
    let rate = |client: &User, id: &str, rating: Value| {
        let (client, id) = (client.clone(), id.to_owned());
        async move {
            client.mutate("rateMessage", "message { id rating }", json!({ "messageId": id, "rating": rating })).await
        }
    };
    assert_eq!(ada.message(&sent.reply, "rating").await["rating"], Value::Null);
    // Also while it is written; its end keeps the rating.
    for rating in ["DOWN", "UP"] {
        let rated = rate(&ada, &sent.reply, json!(rating)).await.data()["rateMessage"]["message"].take();
        assert_eq!(rated, json!({ "id": sent.reply, "rating": rating }));
    }
    ada.mutate("stopReply", "message { id }", json!({ "messageId": sent.reply })).await.data();
    assert_eq!(ada.message(&sent.reply, "rating").await["rating"], "UP");
    rate(&ada, &sent.reply, Value::Null).await.data();
    assert_eq!(ada.message(&sent.reply, "rating").await["rating"], Value::Null);

    assert_eq!(rate(&ada, &sent.message, json!("UP")).await.complaint(), "INVALID_INPUT messageId:NOT_ALLOWED");
    assert_eq!(ada.message(&sent.message, "rating").await["rating"], Value::Null);
    let eve = server.sign_up("eve").await;
    assert_eq!(rate(&eve, &sent.reply, json!("UP")).await.code(), "NOT_FOUND");
    server.stop().await;
});

on_both_databases!(a_message_is_deleted_with_what_follows_it, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let (chat, greeting) = greeted(&ada).await;
    let one = ada.talk(&chat, "one").await;
    let two = ada.talk(&chat, "two").await;
    let three = ada.talk(&chat, "three").await;
    let other =
        regenerate(&ada, json!({ "messageId": one.reply })).await.data()["regenerateReply"]["reply"]["id"].take();
    let other = text(&other);
    ada.ended(&other).await;
    select(&ada, &chat, &two.reply).await.data();

    // The active branch ends in it: it ends in the newest message below the parent then.
    let eve = server.sign_up("eve").await;
    assert_eq!(delete(&eve, &two.message).await.code(), "NOT_FOUND");
    let deleted = delete(&ada, &two.message).await.data()["deleteMessage"].take();
    let left = json!({ "id": chat, "messageCount": 4, "lastMessage": { "id": one.reply } });
    assert_eq!(deleted, json!({ "messageId": two.message, "chat": left }));
    for gone in [&two.message, &two.reply, &three.message, &three.reply] {
        assert_eq!(ada.message(gone, "id").await, Value::Null);
        assert_eq!(delete(&ada, gone).await.code(), "NOT_FOUND");
        assert_eq!(regenerate(&ada, json!({ "messageId": gone })).await.code(), "NOT_FOUND");
        assert_eq!(select(&ada, &chat, gone).await.code(), "NOT_FOUND");
        let below = json!({ "chatId": chat, "parentId": gone, "content": "x" });
        assert_eq!(ada.try_send(below).await.unwrap().code(), "NOT_FOUND");
    }
    assert_eq!(ada.message(&one.reply, "children { id }").await["children"], json!([]));
    assert_eq!(branch(&ada, &chat).await.0, [&greeting, &one.message, &one.reply].map(Clone::clone));

    // Another branch: the active one stays.
    let next = ada.talk(&chat, "next").await;
    let deleted = delete(&ada, &other).await.data()["deleteMessage"]["chat"].take();
    assert_eq!((&deleted["messageCount"], &deleted["lastMessage"]["id"]), (&json!(5), &json!(next.reply)));

    // A message of the user without a reply is at the end: it is answered with `regenerateReply`, and nothing follows
    // it.
    let deleted = delete(&ada, &next.reply).await.data()["deleteMessage"]["chat"].take();
    assert_eq!(deleted["lastMessage"]["id"], json!(next.message));
    let below = json!({ "chatId": chat, "content": "x" });
    assert_eq!(ada.try_send(below).await.unwrap().complaint(), "INVALID_INPUT parentId:NOT_ALLOWED");
    let again =
        regenerate(&ada, json!({ "messageId": next.message })).await.data()["regenerateReply"]["reply"]["id"].take();
    assert_eq!(ada.ended(&text(&again)).await, "COMPLETE");

    // A root: the branch ends in the newest message that is left; the last root leaves an empty chat.
    let hello = edit(&ada, json!({ "messageId": greeting, "content": "Hello" })).await.data()["editMessage"].take();
    let hello = text(&hello["message"]["id"]);
    let deleted = delete(&ada, &hello).await.data()["deleteMessage"]["chat"].take();
    assert_eq!(deleted["lastMessage"]["id"], again);
    let deleted = delete(&ada, &greeting).await.data()["deleteMessage"]["chat"].take();
    assert_eq!(deleted, json!({ "id": chat, "messageCount": 0, "lastMessage": null }));
    let anew = ada.talk(&chat, "anew").await;
    assert_eq!(branch(&ada, &chat).await, (vec![anew.message, anew.reply.clone()], json!(anew.reply), 2));

    // No deleted message and no deleted chat shows in any list.
    assert_eq!(ada.data("{ me { chats { totalCount } } }", json!({})).await["me"]["chats"]["totalCount"], 1);
    server.stop().await;
});

on_both_databases!(a_running_reply_is_stopped_when_it_is_deleted, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
    let first = ada.talk(&chat, "one").await;
    let sent = ada.send(json!({ "chatId": chat, "content": "two", "modelId": "demo/slow" })).await;
    ada.has_written(&sent.reply, 10).await;
    let mut socket = ada.socket().await;
    socket.read("1", &sent.reply, None).await;
    delete(&ada, &sent.message).await.data();
    // The reader sees its end, or that it is gone.
    loop {
        let message = socket.next().await;
        let payload = &message["payload"];
        let is_gone = payload["errors"][0]["extensions"]["code"] == "NOT_FOUND";
        if is_gone || payload["data"]["reply"]["__typename"] == "ReplyFinished" {
            break;
        }
        assert_eq!(message["type"], "next", "{message}");
    }
    assert_eq!(ada.message(&sent.reply, "id").await, Value::Null);
    assert_eq!(branch(&ada, &chat).await.0, [first.message, first.reply]);
    server.stop().await;
});

on_both_databases!(what_was_deleted_is_removed, |database| async move {
    use duologue::domain::chats;
    use duologue::entity::enums::MessageRole;
    use duologue::entity::ids::{ChatId, MessageId};
    use duologue::entity::message;
    use duologue::storage::{Database, messages};
    use sea_orm::{EntityTrait as _, PaginatorTrait as _};

    // A branch of 2,000 messages: it takes several transactions to delete it.
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
    let first = ada.talk(&chat, "one").await;
    let storage = Database::connect(database.url(), 2).await.unwrap();
    let chat_id: ChatId = chat.parse().unwrap();
    let root = messages::find_any(storage.reader(), first.reply.parse().unwrap()).await.unwrap().unwrap();
    let id = |n: u128| MessageId(uuid::Uuid::from_u128(root.id.0.as_u128() + n));
    let now = chrono::DateTime::UNIX_EPOCH;
    let rows: Vec<message::Model> = (1..=2_000)
        .map(|n| {
            let of = |n: i32| if n == 0 { root.id } else { id(n.unsigned_abs().into()) };
            let parent = if n <= 1_000 { of(n - 1) } else { of(n - 1_000) };
            let depth = root.depth + if n <= 1_000 { n } else { n - 999 };
            message::Model {
                parent_id: Some(parent),
                depth,
                jump_id: parent,
                jump_depth: depth - 1,
                is_leaf: n > 1_000,
                ..chats::message(of(n), chat_id, MessageRole::User, "x", None, now)
            }
        })
        .collect();
    for rows in rows.chunks(500) {
        let transaction = storage.begin().await.unwrap();
        messages::insert(&transaction, rows).await.unwrap();
        messages::mark_followed(&transaction, root.id).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let deleted = delete(&ada, &id(1).to_string()).await.data()["deleteMessage"]["chat"].take();
    assert_eq!(deleted["lastMessage"]["id"], first.reply);
    for n in [1, 2, 499, 500, 501, 1_000, 1_001, 2_000] {
        assert_eq!(ada.message(&id(n).to_string(), "id").await, Value::Null, "{n}");
    }
    // The sweep removes all of it.
    let count = async || message::Entity::find().count(storage.reader()).await.unwrap();
    let start = std::time::Instant::now();
    while count().await > 2 {
        assert!(start.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    storage.close().await;
    server.stop().await;
});

#[test]
fn two_servers_share_a_tree() {
    crate::support::database::run(Engine::Postgres, |database| async move {
        let (setup, other) = (Setup::new(&database), Setup::new(&database));
        let (here, there) = (setup.start().await, other.start().await);
        let ada = here.sign_up("ada").await;
        let away = ada.at(there.address);
        let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
        let first = ada.talk(&chat, "one").await;
        // A reply of one node is regenerated, rated and deleted on the other, while it is written.
        let sent = ada.send(json!({ "chatId": chat, "content": "two", "modelId": "demo/slow" })).await;
        ada.has_written(&sent.reply, 10).await;
        let twin =
            regenerate(&away, json!({ "messageId": sent.reply })).await.data()["regenerateReply"]["reply"]["id"].take();
        away.mutate("rateMessage", "message { id }", json!({ "messageId": sent.reply, "rating": "UP" })).await.data();
        let deleted = delete(&away, &sent.reply).await.data()["deleteMessage"]["chat"].take();
        assert_eq!((&deleted["messageCount"], &deleted["lastMessage"]["id"]), (&json!(4), &twin));
        assert_eq!(ada.message(&sent.reply, "id").await, Value::Null);
        assert_eq!(away.ended(&text(&twin)).await, "COMPLETE");
        // The node that wrote it goes on.
        let next = ada.talk(&chat, "three").await;
        assert_eq!(
            branch(&away, &chat).await.0,
            [first.message, first.reply, sent.message, text(&twin), next.message, next.reply]
        );
        // Writers of both nodes on one tree: each sees the tree of the other.
        let writes = (0..8).map(|number| {
            let client = if number % 2 == 0 { (*ada).clone() } else { away.clone() };
            let reply = text(&twin);
            async move { regenerate(&client, json!({ "messageId": reply })).await.data() }
        });
        futures_util::future::join_all(writes).await;
        assert_eq!(branch(&ada, &chat).await.2, 14);
        assert_eq!(ids(&ada.message(&text(&twin), "siblings { id }").await["siblings"]).len(), 9);
        here.stop().await;
        there.stop().await;
    });
}
