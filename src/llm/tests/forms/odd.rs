//! Fields of unexpected types, one at a time.

use serde_json::{Value, json};

use super::{Form, reasoning, text, usage};
use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::Event;
use crate::llm::tests::tool_call;

pub(super) fn forms() -> Vec<Form> {
    [contents().collect(), calls(), others()].into_iter().flatten().collect()
}

const FINISH: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// A delta between two words.
fn between(name: &'static str, delta: Value, meaning: Vec<Event>, end: Result<FinishReason, ReplyErrorCode>) -> Form {
    Form::completion(name, end)
        .data(r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#, [text("a")])
        .data(&json!({ "choices": [{ "index": 0, "delta": delta }] }).to_string(), meaning)
        .data(r#"{"choices":[{"index":0,"delta":{"content":"z"}}]}"#, [text("z")])
        .last(FINISH, [])
        .done()
}

fn contents() -> impl Iterator<Item = Form> {
    let read = [
        ("a list of texts", json!({ "content": ["b", "c"] }), vec![text("bc")]),
        ("one part that is no list", json!({ "content": { "type": "text", "text": "b" } }), vec![text("b")]),
        ("parts without a type", json!({ "content": [{ "text": "b" }] }), vec![text("b")]),
        (
            "thinking as a text in a part",
            json!({ "content": [{ "type": "thinking", "thinking": "b" }] }),
            vec![reasoning("b")],
        ),
        ("reasoning as a part", json!({ "content": [{ "type": "reasoning", "text": "b" }] }), vec![reasoning("b")]),
        (
            "a picture among the parts",
            json!({ "content": [{ "type": "image_url", "image_url": {} }, { "type": "text", "text": "b" }] }),
            vec![text("b")],
        ),
        ("a number as content", json!({ "content": 42 }), vec![text("42")]),
        ("reasoning in `thinking`", json!({ "thinking": "b", "content": null }), vec![reasoning("b")]),
        ("reasoning in parts", json!({ "reasoning": [{ "type": "text", "text": "b" }] }), vec![reasoning("b")]),
        (
            "a text of null beside thinking",
            json!({ "content": [{ "type": "thinking", "text": null, "thinking": "b" }, { "type": "text", "text": null }] }),
            vec![reasoning("b")],
        ),
        ("reasoning as an object", json!({ "reasoning": { "content": "b" } }), vec![reasoning("b")]),
        ("reasoning before text", json!({ "content": "c", "reasoning_content": "b" }), vec![reasoning("b"), text("c")]),
        (
            "the same reasoning in two fields",
            json!({ "reasoning": "b", "reasoning_content": "b" }),
            vec![reasoning("b")],
        ),
        ("`thinking` as a flag", json!({ "thinking": true, "content": "b" }), vec![text("b")]),
        ("a role of a wrong kind", json!({ "role": 7, "content": "b" }), vec![text("b")]),
        ("calls of null", json!({ "tool_calls": null, "content": "b" }), vec![text("b")]),
        ("an empty object as PHP writes it", json!([]), vec![]),
        ("no delta", json!(null), vec![]),
    ];
    let unread = [
        ("content without words", json!({ "content": { "value": "b" } })),
        ("a flag as content", json!({ "content": true })),
        ("a text as delta", json!("b")),
        ("a text as calls", json!({ "tool_calls": "b" })),
    ];
    let read = read.into_iter().map(|(name, delta, meaning)| between(name, delta, meaning, Ok(FinishReason::Stop)));
    let lost = Err(ReplyErrorCode::ProviderTruncated);
    read.chain(unread.into_iter().map(move |(name, delta)| between(name, delta, vec![], lost)))
}

/// A reply with only tool calls, each part in a separate event.
fn calling(name: &'static str, parts: &[Value], calls: Vec<Event>) -> Form {
    let form = Form::completion(name, Ok(FinishReason::ToolCalls));
    let form = parts.iter().fold(form, |form, part| {
        form.data(&json!({ "choices": [{ "delta": { "tool_calls": [part] }, "finish_reason": "" }] }).to_string(), [])
    });
    form.last(r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#, calls)
}

fn calls() -> Vec<Form> {
    let part = |index: Value, id: Value, name: Value, arguments: Value| json!({ "index": index, "id": id, "function": { "name": name, "arguments": arguments } });
    let none = Value::Null;
    vec![
        calling(
            "arguments as an object",
            &[part(json!(0), json!("c"), json!("f"), json!({ "a": 1 }))],
            vec![tool_call("c", "f", json!({ "a": 1 }))],
        ),
        calling(
            "an empty object before the arguments",
            &[
                part(json!(0), json!("c"), json!("f"), json!({})),
                part(json!(0), none.clone(), none.clone(), json!("{\"a\":1}")),
            ],
            vec![tool_call("c", "f", json!({ "a": 1 }))],
        ),
        calling(
            "no arguments",
            &[part(json!(0), json!("c"), json!("f"), none.clone())],
            vec![tool_call("c", "f", json!({}))],
        ),
        calling(
            "a new id on a used index",
            &[
                part(json!(0), json!("c"), json!("f"), json!("{\"a\"")),
                part(json!(0), json!("c"), json!("f"), json!(":1}")),
                part(json!(0), json!("d"), json!("f"), json!("{}")),
            ],
            vec![tool_call("c", "f", json!({ "a": 1 })), tool_call("d", "f", json!({}))],
        ),
        calling(
            "calls without an index",
            &[
                part(none.clone(), json!("c"), json!("f"), json!("{\"a\"")),
                part(none.clone(), none.clone(), none.clone(), json!(":1}")),
                part(none.clone(), json!("d"), json!("g"), json!("{}")),
            ],
            vec![tool_call("c", "f", json!({ "a": 1 })), tool_call("d", "g", json!({}))],
        ),
        calling(
            "calls without index and id",
            &[
                part(none.clone(), json!(""), json!("f"), json!("{\"a\":1}")),
                part(none.clone(), json!(""), json!("f"), json!("{\"a\":2}")),
            ],
            vec![tool_call("call_0", "f", json!({ "a": 1 })), tool_call("call_1", "f", json!({ "a": 2 }))],
        ),
        calling(
            "a name with every part",
            &[
                part(json!(0), none.clone(), json!("f"), json!("")),
                part(json!(0), none.clone(), json!("f"), json!("{\"a\"")),
                part(json!(0), none, json!("f"), json!(":1}")),
            ],
            vec![tool_call("call_0", "f", json!({ "a": 1 }))],
        ),
        calling(
            "a number as id",
            &[part(json!("0"), json!(7), json!("f"), json!("{}"))],
            vec![tool_call("7", "f", json!({}))],
        ),
        calling("an empty part", &[json!({}), json!(null)], vec![]),
        Form::completion("a function call of 2023", Ok(FinishReason::ToolCalls))
            .data(
                r#"{"choices":[{"index":0,"delta":{"content":null,"function_call":{"name":"f","arguments":""}}}]}"#,
                [],
            )
            .data(r#"{"choices":[{"index":0,"delta":{"function_call":{"arguments":"{\"a\":1}"}}}]}"#, [])
            .last(
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"function_call"}]}"#,
                [tool_call("call_0", "f", json!({ "a": 1 }))],
            )
            .done(),
    ]
}

fn others() -> Vec<Form> {
    let a = r#"{"choices":[{"index":null,"delta":{"content":"a"},"finish_reason":null}]}"#;
    let with_usage = |name: &'static str, usage: &str, meaning: Vec<Event>| {
        let data = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        Form::completion(name, Ok(FinishReason::Stop)).data(a, [text("a")]).last(FINISH, []).data(&data, meaning).done()
    };
    vec![
        Form::completion("an index of null", Ok(FinishReason::Stop)).data(a, [text("a")]).last(FINISH, []),
        Form::completion("another choice", Ok(FinishReason::Stop))
            .data(r#"{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"length"},{"index":"0","delta":{"content":"a"}}]}"#, [text("a")])
            .last(FINISH, []),
        Form::completion("a lone surrogate", Ok(FinishReason::Stop))
            .data(r#"{"choices":[{"index":0,"delta":{"content":"a \ud83d"}}]}"#, [text("a \u{fffd}")])
            .data(r#"{"choices":[{"index":0,"delta":{"content":"b \ud83d\ude00 \\ud83d"}}]}"#, [text("b 😀 \\ud83d")])
            .last(FINISH, []),
        Form::completion("a number as reason", Ok(FinishReason::Other))
            .last(r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":2}]}"#, [text("a")])
            .done(),
        Form::completion("an empty reason", Ok(FinishReason::Stop))
            .data(r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":""}]}"#, [text("a")])
            .data(r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":""}]}"#, [text("b")])
            .last(FINISH, []),
        Form::completion("no reason", Ok(FinishReason::Other)).data(a, [text("a")]).done(),
        Form::completion("the whole reply at once", Ok(FinishReason::Stop))
            .last(r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning":"r"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#, [reasoning("r"), text("a"), usage(1, 2, 0)]),
        Form::completion("choices that are no list", Err(ReplyErrorCode::ProviderTruncated))
            .data(a, [text("a")])
            .data(r#"{"choices":"b"}"#, [])
            .last(FINISH, [])
            .done(),
        Form::completion("a choice that is no object", Err(ReplyErrorCode::ProviderTruncated))
            .data(r#"{"choices":[null,"b"]}"#, [])
            .last(FINISH, []),
        Form::completion("a filter that leaves nothing", Err(ReplyErrorCode::ContentFiltered))
            .last(r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"content_filter"}]}"#, [])
            .done(),
        Form::completion("an error of null", Ok(FinishReason::Stop))
            .data(r#"{"error":null,"choices":[{"index":0,"delta":{"content":"a"}}]}"#, [text("a")])
            .data(r#"{"error":{},"choices":null}"#, [])
            .last(FINISH, []),
        Form::completion("an error that is a text", Err(ReplyErrorCode::ProviderUnavailable))
            .data(a, [text("a")])
            .data(r#"{"error":"out of memory"}"#, []),
        with_usage("half a token", r#"{"prompt_tokens":5.5,"completion_tokens":"7"}"#, vec![usage(6, 7, 0)]),
        with_usage("a part of the counts", r#"{"completion_tokens":7,"total_tokens":12}"#, vec![usage(5, 7, 0)]),
        with_usage("counts that are none", r#"{"prompt_tokens":-1,"completion_tokens":null,"total_tokens":[]}"#, vec![]),
        with_usage("usage that is no object", "[1]", vec![]),
        with_usage("counts of zero", r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, vec![]),
        with_usage(
            "huge counts",
            r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615,"total_tokens":18446744073709551615}"#,
            vec![usage(u32::MAX, u32::MAX, 0)],
        ),
    ]
}
