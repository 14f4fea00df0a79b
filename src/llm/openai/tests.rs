use std::collections::VecDeque;

use serde_json::json;

use super::*;
use crate::config::models::{ModelSettings, ProviderKeys, ProviderKind};
use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::interpreter::Interpreter as _;
use crate::llm::tests::{client, question, tool_call};
use crate::llm::{Event, Usage};

fn adapter(name: &str, base_url: &str, takes_temperature: bool) -> OpenAi {
    let settings = ModelSettings::load(None, &ProviderKeys::default(), None, &|_| None).unwrap();
    let model = ModelEntry { temperature: takes_temperature, ..settings.models[0].clone() };
    let provider = ProviderSettings {
        name: name.to_owned(),
        kind: ProviderKind::OpenAi,
        base_url: base_url.to_owned(),
        api_key: None,
        missing: None,
    };
    OpenAi::new(client(), &provider, &model).unwrap()
}

fn events(data: &[serde_json::Value]) -> Result<Vec<Event>, ProviderError> {
    let (mut state, mut events) = (ChatCompletion::default(), VecDeque::new());
    for data in data {
        state.interpret(&data.to_string(), &mut events)?;
    }
    state.interpret("[DONE]", &mut events)?;
    Ok(events.into())
}

#[test]
fn the_token_limit_has_the_parameter_name_of_the_server() {
    let request = question("m");
    let local = adapter("local", "http://127.0.0.1:1/v1", true);
    assert_eq!(
        serde_json::to_value(local.request(&request)).unwrap(),
        json!({
            "model": "m", "max_tokens": 100, "temperature": 0.5,
            "stream": true, "stream_options": { "include_usage": true },
            "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hello?" }],
        })
    );
    for vendor in [
        adapter("openai", "http://127.0.0.1:1/v1", false),
        adapter("mine", "https://eu.api.openai.com/v1", false),
        adapter("azure", "https://x.openai.azure.com/openai/v1", false),
    ] {
        let sent = serde_json::to_value(vendor.request(&request)).unwrap();
        assert_eq!(sent["max_completion_tokens"], 100);
        assert!(sent.get("max_tokens").is_none() && sent.get("temperature").is_none());
    }
    assert!(is_vendors_host("https://x.services.ai.azure.com/openai/v1"));
    assert!(!is_vendors_host("https://x.services.ai.azure.com/models"));
    assert!(!is_vendors_host("https://api.openai.com.example.org/v1"));
}

#[test]
fn a_request_to_mistral_does_not_ask_for_usage() {
    let sent = adapter("mistral", "https://api.mistral.ai/v1", true);
    let sent = serde_json::to_value(sent.request(&question("m"))).unwrap();
    assert_eq!((sent.get("stream_options"), &sent["max_tokens"]), (None, &json!(100)));
}

#[test]
fn finish_reasons_are_mapped() {
    let end = |reason: serde_json::Value, text: &str| {
        let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": reason });
        events(&[json!({ "choices": [choice] })]).map(|events| events.last().cloned())
    };
    for (reason, expected) in [
        (json!("stop"), FinishReason::Stop),
        (json!("length"), FinishReason::Length),
        (json!("model_length"), FinishReason::Length),
        (json!("tool_calls"), FinishReason::ToolCalls),
        (json!("function_call"), FinishReason::ToolCalls),
        (json!("content_filter"), FinishReason::ContentFilter),
        (json!("eos"), FinishReason::Other),
        (json!(null), FinishReason::Other),
    ] {
        assert_eq!(end(reason.clone(), "a").unwrap(), Some(Event::Finished(expected)), "{reason}");
    }
    for (reason, text, expected) in [
        ("content_filter", "", ReplyErrorCode::ContentFiltered),
        ("error", "a", ReplyErrorCode::ProviderUnavailable),
        ("insufficient_system_resource", "a", ReplyErrorCode::ProviderOverloaded),
    ] {
        assert_eq!(end(json!(reason), text).unwrap_err().code, expected, "{reason}");
    }
}

#[test]
fn tool_calls_are_joined_sorted_and_get_an_id() {
    let part = |index: u64, id: serde_json::Value, name: serde_json::Value, text: &str| {
        let call = json!({ "index": index, "id": id, "function": { "name": name, "arguments": text } });
        json!({ "choices": [{ "delta": { "tool_calls": [call] } }] })
    };
    let read = events(&[
        part(1, json!("b"), json!("second"), "not json"),
        part(0, json!(null), json!("first"), "[1"),
        part(0, json!(null), json!(null), ",2]"),
    ]);
    let expected = [tool_call("call_0", "first", json!([1, 2])), tool_call("b", "second", json!("not json"))];
    assert_eq!(read.unwrap()[..2], expected);
}

#[test]
fn the_usage_of_groq_and_refusals_are_read() {
    let read = events(&[
        json!({ "choices": [{ "delta": { "refusal": "I will not." } }] }),
        json!({ "choices": [], "x_groq": { "id": "r", "usage": { "prompt_tokens": 3, "completion_tokens": 4 } } }),
    ]);
    assert_eq!(
        read.unwrap()[..2],
        [
            Event::Text("I will not.".to_owned()),
            Event::Usage(Usage { input_tokens: 3, output_tokens: 4, cached_input_tokens: 0 })
        ]
    );
}
