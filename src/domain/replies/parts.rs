//! The content of a reply: ordered pieces, and positions in them.
//!
//! A position is the number of bytes of text and reasoning before it, plus one for each tool call and each tool result.
//! It depends only on stored content, so a reader can continue from it on any node and after any restart. A stored
//! message holds all of its text in one body, and a small layout that describes how the body is divided into pieces.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::entity::enums::PieceKind;
use crate::entity::ids::ToolCallId;
use crate::entity::{message, reply_chunk};

/// Consecutive content of one kind. The body of a call or a result is its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The kind of content.
    pub kind: PieceKind,
    /// Text, or JSON.
    pub body: String,
}

impl Piece {
    /// The number of positions that the piece takes.
    pub fn span(&self) -> i32 {
        span(self.kind, self.body.len())
    }
}

/// Whether pieces of this kind can be split and joined at bytes. The others take one position and stay whole.
pub fn is_text(kind: PieceKind) -> bool {
    matches!(kind, PieceKind::Text | PieceKind::Reasoning)
}

fn span(kind: PieceKind, bytes: usize) -> i32 {
    if is_text(kind) { i32::try_from(bytes).unwrap_or(i32::MAX) } else { 1 }
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its id.
    pub id: ToolCallId,
    /// The name of the tool.
    pub name: String,
    /// The arguments of the call.
    pub arguments: Value,
    /// When the call started.
    pub started_at: DateTime<Utc>,
}

/// The body of a call's piece: the call, and data that is only for the provider. Parsing the piece as a [`Call`] skips
/// that data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredCall {
    /// The call.
    #[serde(flatten)]
    pub call: Call,
    /// Blocks that must be returned to the provider with the call's result; see [`crate::llm::Event::ToolCall`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasoning_blocks: Vec<Value>,
}

/// The result of a tool call, as its piece stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallResult {
    /// The call's id.
    pub id: ToolCallId,
    /// The output, or the reason of the failure.
    pub outcome: Result<Value, String>,
    /// The duration of the call, in milliseconds.
    pub duration_ms: i32,
}

/// A tool call with its state.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The call.
    pub call: Call,
    /// The state.
    pub state: ToolCallState,
}

/// The state of a tool call.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolCallState {
    /// No result yet.
    Running,
    /// It has a result.
    Ended(CallResult),
}

/// A part of a message, as clients see it.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text of the answer.
    Text(String),
    /// The model's reasoning.
    Reasoning(String),
    /// A tool call with its state.
    ToolCall(ToolCall),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Segment {
    Text(usize),
    Reasoning(usize),
    Call(Box<RawValue>),
    Result(Box<RawValue>),
}

/// Encodes pieces as the `body` and `layout` of a message. The layout is none if there is only text.
pub fn fold(pieces: &[Piece]) -> (String, Option<String>) {
    let mut body = String::new();
    let mut segments = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece.kind {
            PieceKind::Text => segments.push(Segment::Text(piece.body.len())),
            PieceKind::Reasoning => segments.push(Segment::Reasoning(piece.body.len())),
            PieceKind::Call | PieceKind::Result => {
                let Ok(json) = RawValue::from_string(piece.body.clone()) else { continue };
                segments.push(if piece.kind == PieceKind::Call { Segment::Call(json) } else { Segment::Result(json) });
                continue;
            }
        }
        body.push_str(&piece.body);
    }
    let is_plain = matches!(segments.as_slice(), [] | [Segment::Text(_)]);
    let layout = if is_plain { None } else { serde_json::to_string(&segments).ok() };
    (body, layout)
}

/// Decodes the pieces of a stored message.
pub fn unfold(message: &message::Model) -> Vec<Piece> {
    unfold_parts(&message.body, message.layout.as_deref())
}

/// Decodes a body and its layout. If a damaged layout does not match the body, the matching pieces are returned and the
/// rest as text.
pub fn unfold_parts(body: &str, layout: Option<&str>) -> Vec<Piece> {
    let layout = layout.and_then(|layout| serde_json::from_str::<Vec<Segment>>(layout).ok());
    let mut rest = body;
    let mut take = |length: usize| {
        let (taken, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = after;
        taken.to_owned()
    };
    let mut pieces = Vec::new();
    for segment in layout.unwrap_or_default() {
        pieces.push(match segment {
            Segment::Text(length) => Piece { kind: PieceKind::Text, body: take(length) },
            Segment::Reasoning(length) => Piece { kind: PieceKind::Reasoning, body: take(length) },
            Segment::Call(json) => Piece { kind: PieceKind::Call, body: json.get().to_owned() },
            Segment::Result(json) => Piece { kind: PieceKind::Result, body: json.get().to_owned() },
        });
    }
    if !rest.is_empty() {
        pieces.push(Piece { kind: PieceKind::Text, body: rest.to_owned() });
    }
    pieces
}

/// Joins adjacent pieces of the same text kind, which chunks in the database split.
pub fn join(pieces: impl IntoIterator<Item = Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if last.kind == piece.kind && is_text(piece.kind) => last.body.push_str(&piece.body),
            _ => joined.push(piece),
        }
    }
    joined
}

/// The content of chunks from a position on, up to the first gap. The first chunk may begin before the position.
pub fn from_chunks(chunks: impl IntoIterator<Item = reply_chunk::Model>, from: i32) -> Vec<Piece> {
    let mut position = from;
    let following = chunks.into_iter().map_while(|chunk| {
        let known = usize::try_from(position.checked_sub(chunk.start)?).ok()?;
        if chunk.end_position <= position {
            return Some(None);
        }
        position = chunk.end_position;
        let body = if known == 0 { chunk.body } else { chunk.body.get(known..)?.to_owned() };
        Some(Some(Piece { kind: chunk.kind, body }))
    });
    join(following.flatten())
}

/// The parts that clients see.
pub fn parts(pieces: &[Piece]) -> Vec<Part> {
    let mut parts = Vec::new();
    for piece in pieces {
        match piece.kind {
            PieceKind::Text => parts.push(Part::Text(piece.body.clone())),
            PieceKind::Reasoning => parts.push(Part::Reasoning(piece.body.clone())),
            PieceKind::Call => parts.extend(tool_call(pieces, piece).map(Part::ToolCall)),
            PieceKind::Result => {}
        }
    }
    parts
}

/// The call in a piece, with its result if the pieces contain it.
pub fn tool_call(pieces: &[Piece], call: &Piece) -> Option<ToolCall> {
    let call: Call = serde_json::from_str(&call.body).ok()?;
    let results = pieces.iter().filter(|piece| piece.kind == PieceKind::Result);
    let mut results = results.filter_map(|piece| serde_json::from_str::<CallResult>(&piece.body).ok());
    let result = results.find(|result| result.id == call.id);
    let state = result.map_or(ToolCallState::Running, ToolCallState::Ended);
    Some(ToolCall { call, state })
}

/// The call with this id.
pub fn find_call(pieces: &[Piece], id: ToolCallId) -> Option<ToolCall> {
    find_calls(pieces, &[id]).pop()
}

/// The calls with these ids.
pub fn find_calls(pieces: &[Piece], ids: &[ToolCallId]) -> Vec<ToolCall> {
    let calls = pieces.iter().filter(|piece| piece.kind == PieceKind::Call);
    let calls = calls.filter_map(|piece| serde_json::from_str::<Call>(&piece.body).ok());
    let wanted: Vec<Call> = calls.filter(|call| ids.contains(&call.id)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let results = pieces.iter().filter(|piece| piece.kind == PieceKind::Result);
    let results = results.filter_map(|piece| serde_json::from_str::<CallResult>(&piece.body).ok());
    let mut results: HashMap<ToolCallId, CallResult> = results.map(|result| (result.id, result)).collect();
    let with_state = |call: Call| {
        let state = results.remove(&call.id).map_or(ToolCallState::Running, ToolCallState::Ended);
        ToolCall { call, state }
    };
    wanted.into_iter().map(with_state).collect()
}

/// All text parts, joined.
pub fn content(message: &message::Model) -> String {
    if message.layout.is_none() {
        return message.body.clone();
    }
    unfold(message).iter().filter(|piece| piece.kind == PieceKind::Text).map(|piece| piece.body.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_needs_no_layout() {
        let pieces = [Piece { kind: PieceKind::Text, body: "Hello".to_owned() }];
        assert_eq!(fold(&pieces), ("Hello".to_owned(), None));
        assert_eq!(fold(&[]), (String::new(), None));
        assert_eq!(unfold_parts("Hello", None), pieces);
    }

    #[test]
    fn a_damaged_layout_loses_no_text() {
        for layout in ["[]", "nonsense", r#"[{"text":99}]"#, r#"[{"reasoning":2}]"#, r#"[{"text":1}]"#] {
            let pieces = unfold_parts("é!", Some(layout));
            assert_eq!(pieces.iter().map(|piece| piece.body.as_str()).collect::<String>(), "é!", "{layout}");
        }
    }

    #[test]
    fn chunks_are_read_from_the_one_that_covers_a_position_up_to_a_gap() {
        let chunk = |start, kind, body: &str| reply_chunk::Model {
            message_id: crate::entity::ids::MessageId(uuid::Uuid::nil()),
            start,
            end_position: start + span(kind, body.len()),
            kind,
            body: body.to_owned(),
        };
        let chunks = [
            chunk(0, PieceKind::Text, "abé"),
            chunk(4, PieceKind::Text, "cd"),
            chunk(6, PieceKind::Call, "{}"),
            chunk(7, PieceKind::Text, "e"),
            chunk(9, PieceKind::Text, "after a gap"),
        ];
        let read = |from| from_chunks(chunks.clone(), from).into_iter().map(|piece| piece.body).collect::<Vec<_>>();
        assert_eq!(read(0), ["abécd", "{}", "e"]);
        assert_eq!(read(2), ["écd", "{}", "e"]);
        assert_eq!(read(4), ["cd", "{}", "e"]);
        assert_eq!(read(7), ["e"]);
        assert!(read(8).is_empty() && read(3).is_empty(), "at the gap, and inside a character");
        assert_eq!(read(10), ["fter a gap"]);
    }

    #[test]
    fn calls_are_matched_with_their_results() {
        let id = ToolCallId(uuid::Uuid::from_u128(7));
        let call = Call { id, name: "clock".to_owned(), arguments: Value::Null, started_at: DateTime::UNIX_EPOCH };
        let result = CallResult { id, outcome: Ok(Value::from(12)), duration_ms: 3 };
        let pieces = [
            Piece { kind: PieceKind::Call, body: serde_json::to_string(&call).unwrap() },
            Piece { kind: PieceKind::Result, body: serde_json::to_string(&result).unwrap() },
        ];
        assert_eq!(find_calls(&pieces[..1], &[id])[0].state, ToolCallState::Running);
        let whole = ToolCall { call, state: ToolCallState::Ended(result) };
        assert_eq!(find_calls(&pieces, &[id]), std::slice::from_ref(&whole));
        assert_eq!(parts(&pieces), [Part::ToolCall(whole)]);
        assert_eq!(find_calls(&pieces, &[ToolCallId(uuid::Uuid::from_u128(8))]), []);
    }

    #[test]
    fn provider_data_is_stored_unchanged_and_hidden_from_parts() {
        let id = ToolCallId(uuid::Uuid::from_u128(7));
        let call = Call { id, name: "clock".to_owned(), arguments: Value::Null, started_at: DateTime::UNIX_EPOCH };
        let reasoning_blocks = vec![
            serde_json::json!({ "type": "thinking", "thinking": "a\0b", "signature": "EqQB" }),
            serde_json::json!({ "type": "redacted_thinking", "data": "EmwK" }),
        ];
        let stored = StoredCall { call: call.clone(), reasoning_blocks };
        let piece = Piece { kind: PieceKind::Call, body: serde_json::to_string(&stored).unwrap() };
        assert!(!piece.body.contains('\0'), "PostgreSQL cannot hold NUL");
        let (body, layout) = fold(std::slice::from_ref(&piece));
        let pieces = unfold_parts(&body, layout.as_deref());
        assert_eq!(serde_json::from_str::<StoredCall>(&pieces[0].body).unwrap(), stored);
        assert_eq!(
            (pieces[0].span(), parts(&pieces)),
            (1, vec![Part::ToolCall(ToolCall { call, state: ToolCallState::Running })])
        );
    }
}
