//! The parts of a message.

use std::borrow::Cow;

use async_graphql::{Enum, ID, Object, SimpleObject, Union};

use crate::domain::replies::parts::{self, Part, ToolCallState};
use crate::graphql::budget::{AnyJson, Text};
use crate::graphql::ids;
use crate::graphql::scalars::DateTime;

/// A part of a message.
#[derive(Debug, Clone, Union)]
pub enum MessagePart {
    /// Text.
    Text(TextPart),
    /// Reasoning.
    Reasoning(ReasoningPart),
    /// A tool call.
    ToolCall(ToolCall),
}

/// A part of a message that is text.
#[derive(Debug, Clone, SimpleObject)]
pub struct TextPart {
    /// The text.
    text: Text<'static>,
}

/// A part of a message that is reasoning of the model, if the provider returns it.
#[derive(Debug, Clone, SimpleObject)]
pub struct ReasoningPart {
    /// The reasoning.
    text: Text<'static>,
}

/// The state of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ToolCallStatus {
    /// The tool is running; there is no result yet.
    Running,
    /// The tool returned a result.
    Succeeded,
    /// The tool failed with an error.
    Failed,
}

/// A call of a tool by the model, with its result.
#[derive(Debug, Clone)]
pub struct ToolCall(pub parts::ToolCall);

/// A call of a tool by the model, with its result.
#[Object]
impl ToolCall {
    /// The tool call's ID, with the prefix `call`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.call.id)
    }

    /// The name of the tool.
    async fn name(&self) -> &str {
        &self.0.call.name
    }

    /// The arguments of the call. Null until they have been received completely.
    async fn arguments(&self) -> Option<AnyJson<'_>> {
        Some(AnyJson(Cow::Borrowed(&self.0.call.arguments)))
    }

    /// The result of the call. Null while the tool is running, and if it failed.
    async fn result(&self) -> Option<AnyJson<'_>> {
        match &self.0.state {
            ToolCallState::Ended(result) => result.outcome.as_ref().ok().map(|result| AnyJson(Cow::Borrowed(result))),
            ToolCallState::Running => None,
        }
    }

    /// The state of the call.
    async fn status(&self) -> ToolCallStatus {
        match &self.0.state {
            ToolCallState::Running => ToolCallStatus::Running,
            ToolCallState::Ended(result) if result.outcome.is_ok() => ToolCallStatus::Succeeded,
            ToolCallState::Ended(_) => ToolCallStatus::Failed,
        }
    }

    /// The error of the call. Null unless the status is FAILED.
    async fn error(&self) -> Option<Text<'_>> {
        match &self.0.state {
            ToolCallState::Ended(result) => result.outcome.as_ref().err().map(Text::from),
            ToolCallState::Running => None,
        }
    }

    /// The time when the call started.
    async fn started_at(&self) -> DateTime {
        DateTime(self.0.call.started_at)
    }

    /// The duration of the call, in milliseconds. Null while the tool is running.
    async fn duration_ms(&self) -> Option<i32> {
        match &self.0.state {
            ToolCallState::Ended(result) => Some(result.duration_ms),
            ToolCallState::Running => None,
        }
    }
}

impl From<Part> for MessagePart {
    fn from(part: Part) -> Self {
        match part {
            Part::Text(text) => Self::Text(TextPart { text: text.into() }),
            Part::Reasoning(text) => Self::Reasoning(ReasoningPart { text: text.into() }),
            Part::ToolCall(call) => Self::ToolCall(ToolCall(call)),
        }
    }
}
