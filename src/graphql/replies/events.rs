//! The events of a reply.

use async_graphql::{Interface, SimpleObject};

use crate::domain::replies;
use crate::graphql::budget::Text;
use crate::graphql::chats::{Message, ToolCall};

/// What happens in a reply. `start` and `position` bound what the event brings; both only grow within one subscription and are
/// otherwise opaque. An event that starts before the client's own position (a transport that reconnected by itself sends the
/// old `after`) replaces what the client has from `start` on.
#[derive(Debug, Interface)]
#[expect(clippy::duplicated_attributes, reason = "two fields of one type")]
#[graphql(
    field(name = "start", ty = "&i32", desc = "The position before the event."),
    field(name = "position", ty = "&i32", desc = "The position after the event: pass it as `after` to read on.")
)]
pub enum ReplyEvent {
    /// More of the answer.
    Text(ReplyText),
    /// More of the reasoning.
    Reasoning(ReplyReasoning),
    /// A tool call that began or ended.
    ToolCall(ReplyToolCall),
    /// The end.
    Finished(ReplyFinished),
}

/// More of the answer.
#[derive(Debug, SimpleObject)]
pub struct ReplyText {
    /// The position before the event.
    start: i32,
    /// The position after the event: pass it as `after` to read on.
    position: i32,
    /// What is to be added to the text.
    text: Text<'static>,
}

/// More of the model's reasoning.
#[derive(Debug, SimpleObject)]
pub struct ReplyReasoning {
    /// The position before the event.
    start: i32,
    /// The position after the event: pass it as `after` to read on.
    position: i32,
    /// What is to be added to the reasoning.
    text: Text<'static>,
}

/// A tool call. It comes twice for each: RUNNING, then its end.
#[derive(Debug, SimpleObject)]
pub struct ReplyToolCall {
    /// The position before the event.
    start: i32,
    /// The position after the event: pass it as `after` to read on.
    position: i32,
    /// The call as it is now.
    tool_call: ToolCall,
}

/// Always the last event. The message is final: COMPLETE, STOPPED, FAILED (with its error) or INTERRUPTED; its parts are the
/// truth.
#[derive(Debug, SimpleObject)]
pub struct ReplyFinished {
    /// Where the reply ends.
    start: i32,
    /// Where the reply ends. Below the client's own position, the client holds text that a crash lost: take the message's
    /// parts.
    position: i32,
    /// The final message.
    message: Message,
}

impl From<replies::ReplyEvent> for ReplyEvent {
    fn from(event: replies::ReplyEvent) -> Self {
        match event {
            replies::ReplyEvent::Text { start, end, text } => {
                Self::Text(ReplyText { start, position: end, text: text.into() })
            }
            replies::ReplyEvent::Reasoning { start, end, text } => {
                Self::Reasoning(ReplyReasoning { start, position: end, text: text.into() })
            }
            replies::ReplyEvent::ToolCall { start, end, call } => {
                Self::ToolCall(ReplyToolCall { start, position: end, tool_call: ToolCall(call) })
            }
            replies::ReplyEvent::Finished { position, message } => {
                let message = Message::new(message);
                Self::Finished(ReplyFinished { start: position, position, message })
            }
        }
    }
}
