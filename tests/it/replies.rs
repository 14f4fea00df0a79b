//! Sending messages, the events of a reply, and its end.

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::database::on_both_databases;
use crate::support::provider::FakeProvider;
use crate::support::server::Setup;
use crate::support::socket::{Reading, read_all};

on_both_databases!(a_message_starts_a_reply_that_is_streamed_and_stored, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({})).await;
    let input = json!({ "chatId": chat, "content": "Why is the sky blue?", "idempotencyKey": "k1" });
    let payload = ada.try_send(input).await.unwrap().data()["sendMessage"].take();
    assert_eq!(payload["chat"], json!({ "id": chat, "messageCount": 2 }));
    let (message, reply) = (&payload["message"], &payload["reply"]);
    assert_eq!(message["content"], "Why is the sky blue?");
    assert_eq!((&message["role"], &message["status"]), (&json!("USER"), &json!("COMPLETE")));
    assert_eq!((&reply["role"], &reply["status"]), (&json!("ASSISTANT"), &json!("STREAMING")));
    assert_eq!((&message["parent"], &reply["parent"]["id"]), (&Value::Null, &message["id"]));

    let reading = read_all(&ada, &text(&reply["id"])).await;
    assert!(reading.events.len() > 20, "it is streamed: {}", reading.events.len());
    assert!(reading.text.starts_with("You wrote: “Why is the sky blue?”"));
    let end = reading.message.as_ref().unwrap();
    assert_eq!((text(&end["status"]), text(&end["finishReason"])), ("COMPLETE".to_owned(), "STOP".to_owned()));
    assert_eq!((&end["content"], &end["position"]), (&json!(reading.text), &json!(reading.position)));
    assert_eq!(
        (&end["error"], &end["usage"]["isEstimate"], &end["usage"]["cost"]),
        (&Value::Null, &json!(false), &json!(0))
    );

    let fields = "content status position modelId completedAt idempotencyKey chat { lastMessage { id } }";
    let stored = ada.message(&text(&reply["id"]), fields).await;
    assert_eq!((&stored["content"], &stored["position"]), (&json!(reading.text), &json!(reading.position)));
    assert_eq!((text(&stored["modelId"]), &stored["chat"]["lastMessage"]["id"]), ("demo".to_owned(), &reply["id"]));
    assert!(stored["completedAt"].is_string() && stored["idempotencyKey"].is_null());
    assert_eq!(text(&ada.message(&text(&message["id"]), "idempotencyKey").await["idempotencyKey"]), "k1");
    server.stop().await;
});

on_both_databases!(the_previous_messages_are_sent_to_the_model, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let characters = ada.data("{ characters { nodes { id greeting } } }", json!({})).await;
    let with_greeting =
        characters["characters"]["nodes"].as_array().unwrap().iter().find(|one| one["greeting"].is_string());
    let character = with_greeting.expect("a default character greets");
    let chat = ada.new_chat(json!({ "characterId": character["id"], "modelId": "demo/fast" })).await;
    let chat = &ada
        .data(
            "query($id: ID!) { chat(id: $id) { id messageCount lastMessage { id content role status modelId } } }",
            json!({ "id": chat }),
        )
        .await["chat"];
    assert_eq!((&chat["messageCount"], &chat["lastMessage"]["content"]), (&json!(1), &character["greeting"]));
    assert_eq!((&chat["lastMessage"]["role"], &chat["lastMessage"]["modelId"]), (&json!("ASSISTANT"), &Value::Null));

    let sent = ada.talk(&text(&chat["id"]), "First").await;
    let parent = ada.message(&sent.message, "parent { id }").await;
    assert_eq!(parent["parent"]["id"], chat["lastMessage"]["id"], "it follows the greeting");
    let content = text(&ada.message(&sent.reply, "content").await["content"]);
    assert!(content.contains("it has read 2 messages of this chat, with a character behind it"), "{content:.300}");
    // A model with short replies, because the replies of `demo/fast` fill the context window.
    let other = ada.send(json!({ "chatId": chat["id"], "content": "Second", "modelId": "demo" })).await;
    assert_eq!(ada.ended(&other.reply).await, "COMPLETE");
    let of = ada.message(&other.reply, "modelId chat { modelId }").await;
    assert_eq!((text(&of["modelId"]), text(&of["chat"]["modelId"])), ("demo".to_owned(), "demo/fast".to_owned()));
    server.stop().await;
});

/// Reads one reply of a demo model to its end.
async fn reading_of(client: &Client, model: &str) -> (String, Reading) {
    let sent = client.ask(model, "one two three").await;
    (sent.reply.clone(), read_all(client, &sent.reply).await)
}

on_both_databases!(a_failed_reply_has_an_error_and_keeps_its_text, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let ((_, fails), (broken, breaks)) = tokio::join!(reading_of(&ada, "demo/fails"), reading_of(&ada, "demo/breaks"));
    let end = fails.message.unwrap();
    assert_eq!(
        (text(&end["status"]), text(&end["error"]["code"])),
        ("FAILED".to_owned(), "PROVIDER_UNAVAILABLE".to_owned())
    );
    assert_eq!(
        (&end["content"], &end["error"]["isRetryable"], &end["usage"]),
        (&json!(""), &json!(true), &Value::Null)
    );
    assert!(!text(&end["error"]["message"]).contains("demo/fails"), "a fixed message, not that of the provider");

    let end = breaks.message.unwrap();
    assert_eq!(
        (text(&end["status"]), text(&end["error"]["code"])),
        ("FAILED".to_owned(), "PROVIDER_TRUNCATED".to_owned())
    );
    assert!(breaks.text.starts_with("You wrote: “one two three”"));
    assert_eq!((&end["content"], &end["finishReason"]), (&json!(breaks.text), &Value::Null));
    assert_eq!(end["usage"]["isEstimate"], true, "the received text is counted");
    assert!(end["usage"]["outputTokens"].as_i64().unwrap() > 10);
    assert_eq!(ada.message(&broken, "content").await["content"], breaks.text);

    // The chat continues after a failed reply.
    let chat = text(&ada.message(&broken, "chat { id }").await["chat"]["id"]);
    let next = ada.send(json!({ "chatId": chat, "content": "again", "modelId": "demo/fast" })).await;
    assert_eq!(ada.message(&next.message, "parent { id }").await["parent"]["id"], broken);
    assert_eq!(ada.ended(&next.reply).await, "COMPLETE");
    server.stop().await;
});

on_both_databases!(reasoning_and_tool_calls_are_events_and_parts, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let ((_, reasoning), (reply, tools)) =
        tokio::join!(reading_of(&ada, "demo/reasoning"), reading_of(&ada, "demo/tools"));

    let of_kind = |reading: &Reading, kind: &str| -> Vec<Value> {
        reading.events.iter().filter(|event| event["__typename"] == kind).cloned().collect()
    };
    let thought: String = of_kind(&reasoning, "ReplyReasoning").iter().map(|event| text(&event["text"])).collect();
    let end = reasoning.message.unwrap();
    assert!(thought.starts_with("The question is short."), "{thought}");
    assert_eq!(end["parts"][0], json!({ "__typename": "ReasoningPart", "text": thought }));
    assert_eq!(end["parts"][1], json!({ "__typename": "TextPart", "text": reasoning.text }));
    assert_eq!(
        (&end["content"], &end["position"]),
        (&json!(reasoning.text), &json!(thought.len() + reasoning.text.len()))
    );

    let calls = of_kind(&tools, "ReplyToolCall");
    let [begun, ended] = calls.as_slice() else { panic!("{calls:?}") };
    let (begun, ended) = (&begun["toolCall"], &ended["toolCall"]);
    assert_eq!(
        (&begun["status"], &begun["result"], &begun["durationMs"]),
        (&json!("RUNNING"), &Value::Null, &Value::Null)
    );
    assert_eq!((&begun["name"], &begun["arguments"]), (&json!("count_words"), &json!({ "text": "one two three" })));
    assert_eq!(
        (&ended["id"], &ended["status"], &ended["result"]),
        (&begun["id"], &json!("SUCCEEDED"), &json!({ "words": 3 }))
    );
    assert!(ended["durationMs"].as_i64().unwrap() >= 200);
    let end = tools.message.unwrap();
    let kinds: Vec<String> = end["parts"].as_array().unwrap().iter().map(|part| text(&part["__typename"])).collect();
    assert_eq!(kinds, ["TextPart", "ToolCall", "TextPart"]);
    assert_eq!((&end["parts"][1]["id"], &end["parts"][1]["result"]), (&begun["id"], &json!({ "words": 3 })));
    assert_eq!(end["position"], tools.text.len() + 2, "a call and a result count one position each");

    let find = "query($id: ID!) { node(id: $id) { ... on ToolCall { id name status result } } }";
    let node = &ada.data(find, json!({ "id": begun["id"] })).await["node"];
    assert_eq!(
        (&node["id"], &node["status"], &node["result"]),
        (&begun["id"], &json!("SUCCEEDED"), &json!({ "words": 3 }))
    );
    let eve = server.sign_up("eve").await;
    assert_eq!(eve.data(find, json!({ "id": begun["id"] })).await["node"], Value::Null, "a tool call of another user");
    assert_eq!(ada.message(&reply, "content").await["content"], tools.text);

    // From the position between the call and its result on, the event of the result contains the whole call.
    let position = calls[0]["position"].as_i64();
    let mut socket = ada.socket().await;
    socket.read("1", &reply, position).await;
    let event = socket.event("1").await.unwrap();
    assert_eq!((&event["toolCall"]["id"], &event["toolCall"]["status"]), (&begun["id"], &json!("SUCCEEDED")));
    server.stop().await;
});

on_both_databases!(a_running_tool_call_can_be_queried, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/tools", "one two three").await;
    let mut socket = ada.socket().await;
    socket.read("1", &sent.reply, None).await;
    let call = loop {
        let event = socket.event("1").await.unwrap();
        if event["__typename"] == "ReplyToolCall" {
            break event["toolCall"]["id"].clone();
        }
    };
    let find = "query($id: ID!) { node(id: $id) { ... on ToolCall { id status } } }";
    let node = ada.data(find, json!({ "id": call })).await["node"].take();
    assert_eq!(node["id"], call, "before the first checkpoint");
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    server.stop().await;
});

on_both_databases!(a_provider_is_called_and_its_usage_is_stored, |database| async move {
    let provider = FakeProvider::start().await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("fake/model", "Hi").await;
    let end = read_all(&ada, &sent.reply).await.message.unwrap();
    assert_eq!((text(&end["content"]), provider.calls()), ("Hello there.".to_owned(), 1));
    let usage = &end["usage"];
    assert_eq!(
        (&usage["inputTokens"], &usage["outputTokens"], &usage["isEstimate"]),
        (&json!(7), &json!(3), &json!(false))
    );
    assert_eq!(usage["cost"], 13, "7 tokens at a dollar a million and 3 at two");
    server.stop().await;
});
