//! The same reply in the format of each kind of provider.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::json;

use crate::entity::enums::FinishReason;
use crate::llm::anthropic::Messages;
use crate::llm::interpreter::interpret;
use crate::llm::openai::ChatCompletion;
use crate::llm::{Event, EventStream, ProviderError, Usage};

pub(super) type Chunks = BoxStream<'static, Result<Bytes, ProviderError>>;

/// The format of one kind of provider.
pub(super) struct Dialect {
    pub(super) kind: &'static str,
    pub(super) read: fn(Chunks) -> EventStream,
    /// The events before the first word.
    pub(super) opening: String,
    pub(super) reasoning: fn(&str) -> String,
    pub(super) text: fn(&str) -> String,
    /// A complete tool call in several events: id `call_1`, name `look`, arguments `{"up": "née"}`.
    pub(super) tool_call: String,
    /// The reasoning of the call that is sent in the next round.
    reasoning_blocks: Vec<serde_json::Value>,
    /// The events after the last word, with a usage of 5 input tokens, 2 of them cached, and 7 output tokens.
    pub(super) closing: String,
    /// The events after the last word, without usage.
    pub(super) closing_without_usage: String,
    /// The number of events after the finish reason. The reply is complete without them.
    pub(super) after_finish: usize,
    /// Events that are ignored: pings and unknown events.
    pub(super) noise: Vec<&'static str>,
    /// An error event for an overloaded provider.
    pub(super) overloaded: &'static str,
}

pub(super) const REASONING: &str = "Grüße? 你好 🦀.";
pub(super) const TEXT: [&str; 4] = ["Hé", "llo, ", "世界 👩‍👩‍👧‍👦", " e\u{301}\n\n{\"data\": \"[DONE]\"}"];

impl Dialect {
    /// Reasoning, text, a tool call, usage, the end.
    pub(super) fn whole(&self) -> String {
        let text: String = TEXT.into_iter().map(self.text).collect();
        format!("{}{}{text}{}{}", self.opening, (self.reasoning)(REASONING), self.tool_call, self.closing)
    }

    /// The events of [`Self::whole`], with text joined.
    pub(super) fn meaning(&self) -> Vec<Event> {
        vec![
            Event::Reasoning(REASONING.to_owned()),
            Event::Text(TEXT.concat()),
            Event::ToolCall {
                id: "call_1".to_owned(),
                name: "look".to_owned(),
                arguments: json!({ "up": "née" }),
                reasoning_blocks: self.reasoning_blocks.clone(),
            },
            Event::Usage(Usage { input_tokens: 5, output_tokens: 7, cached_input_tokens: 2 }),
            Event::Finished(FinishReason::ToolCalls),
        ]
    }
}

pub(in crate::llm) fn tool_call(id: &str, name: &str, arguments: serde_json::Value) -> Event {
    Event::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments, reasoning_blocks: Vec::new() }
}

pub(super) fn all() -> [Dialect; 2] {
    [anthropic(), openai()]
}

fn named(name: &str, data: serde_json::Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn anthropic() -> Dialect {
    fn delta(index: u32, delta: serde_json::Value) -> String {
        named("content_block_delta", json!({ "type": "content_block_delta", "index": index, "delta": delta }))
    }
    fn stop(index: u32) -> String {
        named("content_block_stop", json!({ "type": "content_block_stop", "index": index }))
    }
    fn closing(usage: serde_json::Value) -> String {
        let mut last =
            json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null } });
        if !usage.is_null() {
            last["usage"] = usage;
        }
        named("message_delta", last) + &named("message_stop", json!({ "type": "message_stop" }))
    }
    let start = json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "content": [] } });
    let call = json!({ "type": "tool_use", "id": "call_1", "name": "look", "input": {} });
    Dialect {
        kind: "anthropic",
        read: |chunks| interpret(chunks, Messages::default()),
        opening: named("message_start", start)
            + &named(
                "content_block_start",
                json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "", "signature": "" } }),
            ),
        reasoning: |text| {
            delta(0, json!({ "type": "thinking_delta", "thinking": text }))
                + &delta(0, json!({ "type": "signature_delta", "signature": "EqQB" }))
                + &stop(0)
        },
        text: |text| delta(1, json!({ "type": "text_delta", "text": text })),
        tool_call: named(
            "content_block_start",
            json!({ "type": "content_block_start", "index": 2, "content_block": call }),
        ) + &delta(2, json!({ "type": "input_json_delta", "partial_json": "" }))
            + &delta(2, json!({ "type": "input_json_delta", "partial_json": "{\"up\": \"n" }))
            + &delta(2, json!({ "type": "input_json_delta", "partial_json": "ée\"}" }))
            + &stop(2),
        reasoning_blocks: vec![json!({ "type": "thinking", "thinking": REASONING, "signature": "EqQB" })],
        closing: closing(json!({
            "input_tokens": 2, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 7
        })),
        closing_without_usage: closing(json!(null)),
        after_finish: 0,
        noise: vec![
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            ": comment\n\n",
            "data\n\n",
            "event: future\ndata: {\"type\": \"future\", \"delta\": 3}\n\n",
            "data: {\"type\": \"content_block_start\", \"index\": 9, \"content_block\": {\"type\": \"hologram\", \"text\": []}}\n\n",
            "data: {\"type\": \"content_block_delta\", \"index\": 9, \"delta\": {\"type\": \"light_delta\", \"text\": []}}\n\n",
            "data: {\"type\": \"content_block_delta\", \"index\": 1, \"delta\": {\"type\": \"text_delta\", \"text\": \"\"}}\n\n",
            "data: {\"type\": \"content_block_stop\", \"index\": 9}\n\n",
            "data: {\"type\": \"content_block_start\", \"index\": 9, \"content_block\": [3]}\n\n",
            "data: {\"no type\": true}\n\n",
            "data: [3]\n\n",
            "id: 7\nretry: 10\n\n",
        ],
        overloaded: "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}}\n\n",
    }
}

fn openai() -> Dialect {
    fn chunk(delta: serde_json::Value, finish_reason: Option<&str>) -> String {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason });
        let chunk = json!({ "id": "c1", "object": "chat.completion.chunk", "choices": [choice], "usage": null });
        format!("data: {chunk}\n\n")
    }
    fn call(part: serde_json::Value) -> String {
        chunk(json!({ "content": null, "tool_calls": [part] }), None)
    }
    let usage = json!({ "choices": [], "usage": {
        "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "prompt_tokens_details": { "cached_tokens": 2 }
    } });
    let closing_without_usage = chunk(json!({}), Some("tool_calls")) + "data: [DONE]\n\n";
    Dialect {
        kind: "openai",
        read: |chunks| interpret(chunks, ChatCompletion::default()),
        opening: chunk(json!({ "role": "assistant", "content": "" }), None),
        reasoning: |text| chunk(json!({ "reasoning_content": text, "reasoning": text, "content": null }), None),
        text: |text| chunk(json!({ "content": text }), None),
        tool_call: call(
            json!({ "index": 0, "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "" } }),
        ) + &call(json!({ "index": 0, "function": { "arguments": "{\"up\": \"n" } }))
            + &call(json!({ "index": 0, "id": "", "function": { "name": null, "arguments": "ée\"}" } })),
        reasoning_blocks: Vec::new(),
        closing: closing_without_usage.replace("data: [DONE]", &format!("data: {usage}\n\ndata: [DONE]")),
        closing_without_usage,
        after_finish: 2,
        noise: vec![
            ": OPENROUTER PROCESSING\n\n",
            "data:\n\n",
            "data: {\"choices\": null, \"future\": [1]}\n\n",
            "data: {\"choices\": [{\"index\": 1, \"delta\": {\"content\": \"another\"}}]}\n\n",
            "data: {\"choices\": [{\"delta\": null}]}\n\n",
            "data: [3]\n\n",
            "event: ping\ndata: {}\n\n",
        ],
        overloaded: "data: {\"error\": {\"message\": \"The engine is overloaded\", \"type\": \"server_error\", \"code\": 503}}\n\n",
    }
}
