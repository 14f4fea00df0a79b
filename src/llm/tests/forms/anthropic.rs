//! Replies of Anthropic, and unexpected types of their fields.
//! See <https://platform.claude.com/docs/en/build-with-claude/extended-thinking>.

use serde_json::{Value, json};

use super::{Form, reasoning, text, usage};
use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::Event;

pub(super) fn forms() -> Vec<Form> {
    vec![signed(), omitted(), odd(), unread(), overloaded()]
}

const TOOL_USE: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}"#;
const END_TURN: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn weather(reasoning_blocks: Vec<Value>) -> Event {
    let (id, name) = ("toolu_1".to_owned(), "weather".to_owned());
    Event::ToolCall { id, name, arguments: json!({ "city": "Bern" }), reasoning_blocks }
}

/// Reasoning with its signature, and encrypted reasoning, before a call and after it.
fn signed() -> Form {
    Form::message("Anthropic, signed and redacted reasoning", Ok(FinishReason::ToolCalls))
        .data(r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":4,"cache_read_input_tokens":100,"output_tokens":1}}}"#, [usage(129, 1, 100)])
        .data(r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#, [])
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"The city "}}"#, [reasoning("The city ")])
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"is Bern."}}"#, [reasoning("is Bern.")])
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIY"}}"#, [])
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"AhIM1g=="}}"#, [])
        .data(r#"{"type":"content_block_stop","index":0}"#, [])
        .data(r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"EmwKAhgB"}}"#, [])
        .data(r#"{"type":"content_block_stop","index":1}"#, [])
        .data(r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#, [])
        .data(r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"I look."}}"#, [text("I look.")])
        .data(r#"{"type":"content_block_stop","index":2}"#, [])
        .data(r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}"#, [])
        .data(r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Bern\"}"}}"#, [])
        .data(r#"{"type":"content_block_stop","index":3}"#, [weather(vec![
            json!({ "type": "thinking", "thinking": "The city is Bern.", "signature": "EqQBCgIYAhIM1g==" }),
            json!({ "type": "redacted_thinking", "data": "EmwKAhgB" }),
        ])])
        .data(r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Bern"}}}"#, [])
        .data(r#"{"type":"content_block_stop","index":4}"#, [weather(vec![])])
        .data(TOOL_USE, [usage(129, 89, 100)])
        .data(STOP, [])
}

/// A signature without reasoning, and reasoning without a signature, which compatible servers send.
fn omitted() -> Form {
    Form::message("Anthropic, reasoning that is not shown", Ok(FinishReason::ToolCalls))
        .data(r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":"EosnCk"}}"#, [])
        .data(r#"{"type":"content_block_stop","index":0}"#, [])
        .data(r#"{"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"Hm."}}"#, [reasoning("Hm.")])
        .data(r#"{"type":"content_block_stop","index":1}"#, [])
        .data(r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Bern"}}}"#, [])
        .data(r#"{"type":"content_block_stop","index":2}"#, [weather(vec![json!({ "type": "thinking", "thinking": "", "signature": "EosnCk" })])])
        .data(TOOL_USE, [usage(0, 89, 0)])
        .data(STOP, [])
}

fn odd() -> Form {
    Form::message("Anthropic, odd fields", Ok(FinishReason::Stop))
        .data(r#"{"type":"message_start","message":{"usage":{"input_tokens":"10","cache_read_input_tokens":5.4,"output_tokens":null}}}"#, [usage(15, 0, 5)])
        .data(r#"{"type":"content_block_start","index":null,"content_block":{"type":"text","text":null}}"#, [])
        .data(r#"{"type":"content_block_delta","index":null,"delta":{"type":"text_delta","text":"a \ud83d"}}"#, [text("a \u{fffd}")])
        .data(r#"{"type":"content_block_delta","index":"0","delta":{"type":"text_delta","text":"b","citations":7}}"#, [text("b")])
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"char_location"}}}"#, [])
        .data(r#"{"type":"content_block_stop"}"#, [])
        .data(r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":[]}"#, [])
        .data(END_TURN, [])
        .data(STOP, [])
}

fn unread() -> Form {
    Form::message("Anthropic, a text that is none", Err(ReplyErrorCode::ProviderTruncated))
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#, [text("a")])
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":{"value":"b"}}}"#, [])
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"c"}}"#, [text("c")])
        .data(END_TURN, [])
        .data(STOP, [])
}

fn overloaded() -> Form {
    Form::message("Anthropic, overloaded", Err(ReplyErrorCode::ProviderOverloaded))
        .data(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#, [text("a")])
        .data(r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, [])
}
