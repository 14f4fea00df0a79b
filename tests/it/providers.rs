//! Replies from providers with unusual streams.

use duologue::entity::message;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};

use crate::support::client::text;
use crate::support::database::on_both_databases;
use crate::support::provider::FakeProvider;
use crate::support::server::Setup;
use crate::support::socket::read_all;

const USAGE: &str = "status finishReason usage { inputTokens outputTokens cachedInputTokens isEstimate cost }";

on_both_databases!(unusual_streams_arrive_complete_with_the_right_cost, |database| async move {
    let provider = FakeProvider::answering(
        "openai",
        &[
            r#"{"choices":[{"index":null,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]}]},"finish_reason":""}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[],"closed":true},{"type":"text","text":"One \ud83d"}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":", two"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":6.6,"completion_tokens":8,"total_tokens":115,"prompt_tokens_details":{"cached_tokens":161}}}"#,
        ],
    )
    .await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("fake/model", "Hi").await;
    let end = read_all(&ada, &sent.reply).await.message.unwrap();
    assert_eq!(
        end["parts"],
        json!([
            { "__typename": "ReasoningPart", "text": "Hm." },
            { "__typename": "TextPart", "text": "One \u{fffd}, two" },
        ])
    );
    assert_eq!(
        ada.message(&sent.reply, USAGE).await,
        json!({
            "status": "COMPLETE", "finishReason": "STOP",
            // 7 tokens at 1 dollar per million, and 108 at 2 dollars: the total includes reasoning tokens.
            "usage": { "inputTokens": 7, "outputTokens": 108, "cachedInputTokens": 7, "isEstimate": false, "cost": 223 },
        })
    );
    server.stop().await;
});

on_both_databases!(a_reply_with_a_missing_part_is_never_complete, |database| async move {
    let provider = FakeProvider::answering(
        "openai",
        &[
            r#"{"choices":[{"index":0,"delta":{"content":"One, "}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":{"value":"two, "}}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"three"},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ],
    )
    .await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("fake/model", "Hi").await;
    let end = read_all(&ada, &sent.reply).await.message.unwrap();
    assert_eq!((text(&end["status"]), text(&end["content"])), ("FAILED".to_owned(), "One, three".to_owned()));
    assert_eq!(end["error"]["code"], "PROVIDER_TRUNCATED");
    server.stop().await;
});

on_both_databases!(a_truncated_reply_has_an_estimated_usage, |database| async move {
    let words = "word ".repeat(12_000);
    let delta = json!({ "choices": [{ "index": 0, "delta": { "content": words } }] }).to_string();
    let completion = vec![delta.as_str(); 40];
    let delta = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": words } });
    let delta = delta.to_string();
    let mut message = vec![delta.as_str(); 41];
    message[0] = r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}}"#;
    for (kind, data) in [("openai", completion), ("anthropic", message)] {
        let provider = FakeProvider::answering(kind, &data).await;
        let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
        let user = server.sign_up(kind).await;
        let sent = user.ask("fake/model", "Hi").await;
        assert_eq!(user.ended(&sent.reply).await, "COMPLETE");
        let end = user.message(&sent.reply, &format!("{USAGE} position")).await;
        let usage = &end["usage"];
        assert_eq!((&end["finishReason"], &usage["isEstimate"]), (&json!("LENGTH"), &json!(true)), "{kind}");
        // 34 chunks of 60,000 bytes fit in 2 MiB. Four bytes are estimated as one token, which costs 2 microdollars.
        assert_eq!((&end["position"], &usage["outputTokens"]), (&json!(34 * 60_000), &json!(34 * 15_000)), "{kind}");
        assert!(usage["cost"].as_i64().unwrap() >= 34 * 30_000, "{kind}: {usage}");
        server.stop().await;
    }
});

on_both_databases!(tool_results_count_toward_the_maximum_reply_length, |database| async move {
    let start = |index: u32, block: Value| {
        json!({ "type": "content_block_start", "index": index, "content_block": block }).to_string()
    };
    let mut events = Vec::new();
    for index in 0..4 {
        let id = format!("s{index}");
        events.push(start(2 * index, json!({ "type": "server_tool_use", "id": id, "name": "fetch", "input": {} })));
        events.push(json!({ "type": "content_block_stop", "index": 2 * index }).to_string());
        let page = json!({ "type": "web_fetch_result", "text": "x".repeat(800_000) });
        events
            .push(start(2 * index + 1, json!({ "type": "web_fetch_tool_result", "tool_use_id": id, "content": page })));
    }
    let provider = FakeProvider::answering("anthropic", &events.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("fake/model", "Hi").await;
    assert_eq!(ada.ended(&sent.reply).await, "COMPLETE");
    let end = ada.message(&sent.reply, "finishReason position parts { ... on ToolCall { status } }").await;
    assert_eq!((text(&end["finishReason"]), &end["position"]), ("LENGTH".to_owned(), &json!(6)));
    assert_eq!(end["parts"], json!([{ "status": "SUCCEEDED" }, { "status": "SUCCEEDED" }, { "status": "FAILED" }]));
    server.stop().await;
});

on_both_databases!(signed_reasoning_is_kept_for_the_next_round_and_hidden_from_clients, |database| async move {
    let provider = FakeProvider::answering(
        "anthropic",
        &[
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIY"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"EmwKAhgB"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"look","input":{}}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":4,"output_tokens":9}}"#,
            r#"{"type":"message_stop"}"#,
        ],
    )
    .await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("fake/model", "Hi").await;
    let reading = read_all(&ada, &sent.reply).await;
    let end = reading.message.unwrap();
    assert_eq!(end["position"], "Hm.".len() + 2, "a call and its result count one position each");
    assert_eq!(reading.position, i64::try_from("Hm.".len() + 2).unwrap());
    let seen = format!("{end}{:?}", reading.events);
    assert!(seen.contains("look") && !seen.contains("EqQB") && !seen.contains("EmwK"), "{seen}");

    let rows = sea_orm::Database::connect(database.url()).await.unwrap();
    let messages = message::Entity::find().all(&rows).await.unwrap();
    let layout = messages.iter().find_map(|row| row.layout.clone()).unwrap();
    let layout: Value = serde_json::from_str(&layout).unwrap();
    assert_eq!(
        layout[1]["call"]["reasoning_blocks"],
        json!([
            { "type": "thinking", "thinking": "Hm.", "signature": "EqQBCgIY" },
            { "type": "redacted_thinking", "data": "EmwKAhgB" },
        ])
    );
    rows.close().await.unwrap();
    server.stop().await;
});
