//! From a provider's bytes to the events that every provider shares.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::Value;

use super::sse::{self, Broken, MAX_EVENT_BYTES};
use super::{Event, EventStream, ProviderError};
use crate::entity::enums::ReplyErrorCode;

/// A provider's dialect: a pure state machine over the data of its server-sent events.
///
/// What it does not know it skips; only data that is not JSON is an error, for that is what a cut leaves.
pub(super) trait Interpreter: Send + 'static {
    /// Takes the data of one event and adds what it means to `events`. [`Event::Finished`] is the provider's own end event.
    fn interpret(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError>;
}

/// The events in a provider's answer. They end with [`Event::Finished`] or an error, whatever the provider does.
pub(super) fn interpret<S>(bytes: S, interpreter: impl Interpreter) -> EventStream
where
    S: Stream<Item = Result<Bytes, ProviderError>> + Send + Unpin + 'static,
{
    let reading = Reading {
        source: Box::pin(sse::events(bytes)),
        interpreter,
        ready: VecDeque::new(),
        failure: None,
        is_over: false,
    };
    stream::unfold(reading, |mut reading| async { reading.next().await.map(|event| (event, reading)) }).boxed()
}

struct Reading<S, I> {
    source: S,
    interpreter: I,
    ready: VecDeque<Event>,
    failure: Option<ProviderError>,
    is_over: bool,
}

impl<S, I> Reading<S, I>
where
    S: Stream<Item = Result<eventsource_stream::Event, Broken<ProviderError>>> + Unpin,
    I: Interpreter,
{
    async fn next(&mut self) -> Option<Result<Event, ProviderError>> {
        while !self.is_over {
            if let Some(event) = self.ready.pop_front() {
                self.is_over = matches!(event, Event::Finished(_));
                return Some(Ok(event));
            }
            if let Some(failure) = self.failure.take() {
                self.is_over = true;
                return Some(Err(failure));
            }
            self.failure = match self.source.next().await {
                // Some servers send events without data to keep the connection alive.
                Some(Ok(event)) if event.data.is_empty() => None,
                Some(Ok(event)) => self.interpreter.interpret(&event.data, &mut self.ready).err(),
                Some(Err(Broken::Transport(failure))) => Some(failure),
                Some(Err(Broken::TooLong)) => Some(ProviderError::new(
                    ReplyErrorCode::ProviderUnavailable,
                    &format!("an event of more than {MAX_EVENT_BYTES} bytes"),
                )),
                None => Some(ProviderError::truncated("the stream ended without its end event")),
            };
        }
        None
    }
}

/// The text without NUL, which PostgreSQL cannot hold.
pub(super) fn without_nul(mut text: String) -> String {
    if text.contains('\0') {
        text.retain(|c| c != '\0');
    }
    text
}

/// The value without NUL in any of its texts.
pub(super) fn value_without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => items.into_iter().map(value_without_nul).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (without_nul(name), value_without_nul(value))).collect()
        }
        other => other,
    }
}

/// A call's arguments as they were written: JSON, or a text where they are not.
pub(super) fn arguments(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    value_without_nul(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
