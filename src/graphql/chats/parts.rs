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

/// A stretch of text.
#[derive(Debug, Clone, SimpleObject)]
pub struct TextPart {
    /// The text.
    text: Text<'static>,
}

/// A stretch of the model's reasoning, where its provider shows it.
#[derive(Debug, Clone, SimpleObject)]
pub struct ReasoningPart {
    /// The reasoning.
    text: Text<'static>,
}

/// How far a tool call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ToolCallStatus {
    /// No result yet.
    Running,
    /// It has a result.
    Succeeded,
    /// It has an error.
    Failed,
}

/// A call of a tool, and what came of it.
#[derive(Debug, Clone)]
pub struct ToolCall(pub parts::ToolCall);

/// A call of a tool, and what came of it.
#[Object]
impl ToolCall {
    /// Its id, with the prefix `call`.
    pub async fn id(&self) -> ID {
        ids::show(self.0.call.id)
    }

    /// The tool.
    async fn name(&self) -> &str {
        &self.0.call.name
    }

    /// What the tool was given; null until it has arrived whole.
    async fn arguments(&self) -> Option<AnyJson<'_>> {
        Some(AnyJson(Cow::Borrowed(&self.0.call.arguments)))
    }

    /// What the tool gave; null until it has, and when it failed.
    async fn result(&self) -> Option<AnyJson<'_>> {
        match &self.0.state {
            ToolCallState::Ended(result) => result.outcome.as_ref().ok().map(|result| AnyJson(Cow::Borrowed(result))),
            ToolCallState::Running => None,
        }
    }

    /// How far it is.
    async fn status(&self) -> ToolCallStatus {
        match &self.0.state {
            ToolCallState::Running => ToolCallStatus::Running,
            ToolCallState::Ended(result) if result.outcome.is_ok() => ToolCallStatus::Succeeded,
            ToolCallState::Ended(_) => ToolCallStatus::Failed,
        }
    }

    /// Why it failed; null unless its status is FAILED.
    async fn error(&self) -> Option<Text<'_>> {
        match &self.0.state {
            ToolCallState::Ended(result) => result.outcome.as_ref().err().map(Text::from),
            ToolCallState::Running => None,
        }
    }

    /// When it began.
    async fn started_at(&self) -> DateTime {
        DateTime(self.0.call.started_at)
    }

    /// How long it took, in milliseconds; null while it runs.
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
