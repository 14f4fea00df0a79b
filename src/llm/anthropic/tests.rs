use std::collections::VecDeque;

use serde_json::json;

use super::*;
use crate::config::models::{ModelSettings, ProviderKeys};
use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::interpreter::Interpreter as _;
use crate::llm::tests::{client, question, tool_call};
use crate::llm::{Event, PromptMessage, Usage};

fn adapter(id: &str) -> Anthropic {
    let keys = ProviderKeys { anthropic_api_key: Some("k".to_owned().into()), ..ProviderKeys::default() };
    let settings = ModelSettings::load(None, &keys, None, &|_| None).unwrap();
    let model = settings.models.iter().find(|model| model.id == id).unwrap();
    Anthropic::new(client(), &settings.providers[0], model).unwrap()
}

fn said(speaker: Speaker, content: &str) -> PromptMessage {
    PromptMessage { speaker, content: content.to_owned() }
}

fn events(data: &[serde_json::Value]) -> Result<Vec<Event>, ProviderError> {
    let (mut state, mut events) = (Messages::default(), VecDeque::new());
    for data in data {
        state.interpret(&data.to_string(), &mut events)?;
    }
    Ok(events.into())
}

#[test]
fn a_request_has_only_parameters_that_the_model_accepts() {
    let request = question("claude-sonnet-5-5");
    assert_eq!(
        serde_json::to_value(adapter("claude-sonnet-5-5").request(&request)).unwrap(),
        json!({
            "model": "claude-sonnet-5-5", "max_tokens": 100, "system": "Be brief.", "stream": true,
            "messages": [{ "role": "user", "content": "Hello?" }],
            "thinking": { "type": "adaptive", "display": "summarized" },
        }),
        "newer models refuse a temperature"
    );
    let older = Anthropic { takes_temperature: true, asks_reasoning: false, ..adapter("claude-sonnet-5-5") };
    let request =
        CompletionRequest { system: vec![" ".to_owned()], max_output_tokens: None, temperature: Some(1.7), ..request };
    let sent = serde_json::to_value(older.request(&request)).unwrap();
    assert_eq!((&sent["temperature"], &sent["max_tokens"]), (&json!(1.0), &json!(8192)));
    assert!(sent.get("system").is_none() && sent.get("thinking").is_none());
}

#[test]
fn a_greeting_is_sent_after_a_user_turn() {
    let adapter = adapter("claude-opus-5-5");
    let mut request = question("m");
    request.messages.insert(0, said(Speaker::Assistant, "Welcome."));
    let sent = serde_json::to_value(adapter.request(&request)).unwrap();
    assert_eq!(
        sent["messages"],
        json!([
            { "role": "user", "content": OPENING },
            { "role": "assistant", "content": "Welcome." },
            { "role": "user", "content": "Hello?" },
        ])
    );
    request.messages.clear();
    assert_eq!(adapter.request(&request).messages.len(), 1);
}

#[test]
fn the_url_contains_the_version_once() {
    let provider = |base_url: &str| ProviderSettings {
        name: "p".to_owned(),
        kind: crate::config::models::ProviderKind::Anthropic,
        base_url: base_url.to_owned(),
        api_key: None,
        missing: None,
    };
    let settings = ModelSettings::load(None, &ProviderKeys::default(), None, &|_| None).unwrap();
    for base_url in ["http://127.0.0.1:1/x", "http://127.0.0.1:1/x/v1"] {
        let adapter = Anthropic::new(client(), &provider(base_url), &settings.models[0]).unwrap();
        assert_eq!(adapter.endpoint.url, "http://127.0.0.1:1/x/v1/messages");
    }
}

#[test]
fn later_counts_replace_earlier_ones() {
    let start = json!({ "type": "message_start", "message": { "usage": { "input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1 } } });
    let delta =
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 9 } });
    let stop = json!({ "type": "message_stop" });
    assert_eq!(
        events(&[start, delta, stop]).unwrap(),
        [
            Event::Usage(Usage { input_tokens: 15, output_tokens: 1, cached_input_tokens: 5 }),
            Event::Usage(Usage { input_tokens: 15, output_tokens: 9, cached_input_tokens: 5 }),
            Event::Finished(FinishReason::Stop),
        ]
    );
}

#[test]
fn stop_reasons_are_mapped() {
    let end = |reason: serde_json::Value, text: &str| {
        let block =
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": text } });
        let delta = json!({ "type": "message_delta", "delta": { "stop_reason": reason } });
        events(&[block, delta, json!({ "type": "message_stop" })]).map(|events| events.last().cloned())
    };
    for (reason, expected) in [
        (json!("end_turn"), FinishReason::Stop),
        (json!("stop_sequence"), FinishReason::Stop),
        (json!("max_tokens"), FinishReason::Length),
        (json!("model_context_window_exceeded"), FinishReason::Length),
        (json!("tool_use"), FinishReason::ToolCalls),
        (json!("refusal"), FinishReason::ContentFilter),
        (json!("pause_turn"), FinishReason::Other),
        (json!(null), FinishReason::Other),
    ] {
        assert_eq!(end(reason.clone(), "a").unwrap(), Some(Event::Finished(expected)), "{reason}");
    }
    assert_eq!(end(json!("refusal"), "").unwrap_err().code, ReplyErrorCode::ContentFiltered);
}

#[test]
fn results_of_server_tools_are_read() {
    let start = |index: u64, block: serde_json::Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let stop = |index: u64| json!({ "type": "content_block_stop", "index": index });
    let found = json!([{ "type": "web_search_result", "title": "a\u{0}b" }]);
    let read = events(&[
        start(0, json!({ "type": "server_tool_use", "id": "s1", "name": "web_search", "input": { "query": "x" } })),
        stop(0),
        start(1, json!({ "type": "web_search_tool_result", "tool_use_id": "s1", "content": found })),
        stop(1),
        start(
            2,
            json!({ "type": "web_search_tool_result", "tool_use_id": "s2", "content": { "type": "web_search_tool_result_error", "error_code": "max_uses_exceeded" } }),
        ),
        start(3, json!({ "type": "mcp_tool_result", "tool_use_id": "m1", "is_error": true, "content": "no" })),
    ]);
    assert_eq!(
        read.unwrap(),
        [
            tool_call("s1", "web_search", json!({ "query": "x" })),
            Event::ToolResult {
                id: "s1".to_owned(),
                result: Ok(json!([{ "type": "web_search_result", "title": "ab" }]))
            },
            Event::ToolResult { id: "s2".to_owned(), result: Err("max_uses_exceeded".to_owned()) },
            Event::ToolResult { id: "m1".to_owned(), result: Err("no".to_owned()) },
        ]
    );
}
