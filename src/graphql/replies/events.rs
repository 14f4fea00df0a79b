//! The GraphQL types of the events of the `reply` subscription.

use async_graphql::{Interface, SimpleObject};

use crate::domain::replies;
use crate::graphql::budget::Text;
use crate::graphql::chats::{Message, ToolCall};

/// An event of a reply. `start` and `position` are the positions before and after the content of the event. Within one
/// subscription, both only increase; apart from that they are opaque. An event whose `start` is before the client's own
/// position replaces the client's content from `start` on. This occurs when a transport reconnects by itself and sends
/// the old `after`.
#[derive(Debug, Interface)]
#[expect(clippy::duplicated_attributes, reason = "two fields of one type")]
#[graphql(
    field(name = "start", ty = "&i32", desc = "The position before the event."),
    field(
        name = "position",
        ty = "&i32",
        desc = "The position after the event. Pass it as `after` to continue reading."
    )
)]
pub enum ReplyEvent {
    /// Text that was added to the reply.
    Text(ReplyText),
    /// Reasoning that was added to the reply.
    Reasoning(ReplyReasoning),
    /// A tool call that started or ended.
    ToolCall(ReplyToolCall),
    /// The end of the reply.
    Finished(ReplyFinished),
}

/// Text that was added to the reply.
#[derive(Debug, SimpleObject)]
pub struct ReplyText {
    /// The position before the event.
    start: i32,
    /// The position after the event. Pass it as `after` to continue reading.
    position: i32,
    /// The added text, to be appended.
    text: Text<'static>,
}

/// Reasoning of the model that was added to the reply.
#[derive(Debug, SimpleObject)]
pub struct ReplyReasoning {
    /// The position before the event.
    start: i32,
    /// The position after the event. Pass it as `after` to continue reading.
    position: i32,
    /// The added reasoning, to be appended.
    text: Text<'static>,
}

/// A tool call of the reply. Sent twice for each tool call: first with status RUNNING, then with its final status.
#[derive(Debug, SimpleObject)]
pub struct ReplyToolCall {
    /// The position before the event.
    start: i32,
    /// The position after the event. Pass it as `after` to continue reading.
    position: i32,
    /// The tool call in its current state.
    tool_call: ToolCall,
}

/// The end of the reply; always the last event. The message is in a final state: COMPLETE, STOPPED, FAILED (with its
/// error) or INTERRUPTED. Use its parts in place of those that were assembled from earlier events.
#[derive(Debug, SimpleObject)]
pub struct ReplyFinished {
    /// The end position of the reply.
    start: i32,
    /// The end position of the reply. If it is before the client's own position, the client holds text that was lost in
    /// a crash and must replace it with the parts of the message.
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
