//! Tool calls that are received in parts.

use std::collections::VecDeque;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::entity::enums::ReplyErrorCode;
use crate::llm::interpreter::{arguments, without_nul};
use crate::llm::json::{count, take, text};
use crate::llm::sse::MAX_EVENT_BYTES;
use crate::llm::{Event, ProviderError};

/// Maximum number of tool calls in a reply.
const MAX_TOOL_CALLS: usize = 64;

/// The tool calls of a stream.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Vec<Call>,
    finished: usize,
    argument_bytes: usize,
}

/// A call whose arguments are being received.
#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Adds a part of `tool_calls`.
    ///
    /// A part belongs to the newest call with its index or, without an index, to the newest call. It starts a new call
    /// if it has a new id (Ollama gives every call the index 0), or if it names a tool after complete arguments (some
    /// gateways to Gemini send no ids).
    pub(super) fn add(&mut self, mut part: Value) -> Result<(), ProviderError> {
        let index = count(&part["index"]);
        let id = text(take(&mut part, "id"));
        let mut function = take(&mut part, "function");
        let name = text(take(&mut function, "name"));
        let written = match take(&mut function, "arguments") {
            Value::String(text) => text,
            Value::Null => String::new(),
            // Some servers start a call with an empty object and then send the arguments as text.
            Value::Object(fields) if fields.is_empty() => String::new(),
            value => value.to_string(),
        };
        self.argument_bytes += written.len();

        let known = self.open.iter().rposition(|call| index.is_none() || call.index == index);
        let known = known.filter(|at| !self.open[*at].is_followed_by(id.as_deref(), name.as_deref(), &written));
        let call = match known.and_then(|at| self.open.get_mut(at)) {
            Some(call) => call,
            None => self.open.push_mut(Call { index, ..Call::default() }),
        };
        call.arguments.push_str(&written);
        if call.id.is_empty() {
            call.id = id.unwrap_or_default();
        }
        if call.name.is_empty() {
            call.name = name.unwrap_or_default();
        }
        if self.finished + self.open.len() > MAX_TOOL_CALLS || self.argument_bytes > MAX_EVENT_BYTES {
            let detail = "more tool calls than a reply may hold";
            return Err(ProviderError::new(ReplyErrorCode::ProviderUnavailable, detail));
        }
        Ok(())
    }

    /// Adds the calls to `events` in the order of their indexes. Returns whether there were any.
    pub(super) fn finish(&mut self, events: &mut VecDeque<Event>) -> bool {
        let mut calls = std::mem::take(&mut self.open);
        calls.retain(|call| !(call.name.is_empty() && call.arguments.is_empty()));
        calls.sort_by_key(|call| call.index);
        let are_any = !calls.is_empty();
        for Call { id, name, arguments: written, .. } in calls {
            let id = if id.is_empty() { format!("call_{}", self.finished) } else { id };
            self.finished += 1;
            let arguments = arguments(without_nul(written));
            events.push_back(Event::ToolCall { id, name, arguments, reasoning_blocks: Vec::new() });
        }
        are_any
    }
}

impl Call {
    /// Whether a part with this id, name and text starts another call.
    fn is_followed_by(&self, id: Option<&str>, name: Option<&str>, written: &str) -> bool {
        let is_whole = || serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok();
        match id {
            Some(id) if id == self.id => false,
            // Old versions of vLLM give every part a new id; only the first has a name.
            Some(_) if !self.id.is_empty() => name.is_some() || is_whole(),
            _ => name.is_some() && !self.name.is_empty() && !written.is_empty() && is_whole(),
        }
    }
}
