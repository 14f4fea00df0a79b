//! Converts a provider's bytes to common events.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::sse::{self, Broken, MAX_EVENT_BYTES};
use super::{Event, EventStream, ProviderError};
use crate::entity::enums::ReplyErrorCode;

/// Maximum silence after the provider has sent the finish reason. Usage and the end event follow immediately, if at
/// all.
const SILENCE_AFTER_FINISH: Duration = Duration::from_secs(2);

/// A provider's dialect: a pure state machine over the data of its server-sent events.
///
/// Unknown data is skipped. Data that is not JSON is an error, because it is the sign of a truncated stream.
pub(super) trait Interpreter: Send + 'static {
    /// Interprets the data of one event and adds the resulting events to `events`. [`Event::Finished`] stands for the
    /// provider's end event.
    fn interpret(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError>;

    /// Whether the reply is complete, so that the stream may end without the provider's end event.
    fn is_finishing(&self) -> bool {
        false
    }

    /// Ends the reply like the provider's end event. Called only if [`Self::is_finishing`].
    fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError>;
}

/// The events in a provider's response. They always end with [`Event::Finished`] or an error.
pub(super) fn interpret<S>(bytes: S, interpreter: impl Interpreter) -> EventStream
where
    S: Stream<Item = Result<Bytes, ProviderError>> + Send + Unpin + 'static,
{
    let reading = Reading {
        source: Box::pin(sse::events(bytes)),
        interpreter,
        ready: VecDeque::new(),
        end_of_wait: None,
        failure: None,
        is_over: false,
    };
    stream::unfold(reading, |mut reading| async { reading.next().await.map(|event| (event, reading)) }).boxed()
}

struct Reading<S, I> {
    source: S,
    interpreter: I,
    ready: VecDeque<Event>,
    /// The time at which silence ends a complete reply.
    end_of_wait: Option<Instant>,
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
            self.failure = self.read().await.err();
        }
        None
    }

    /// Handles the source's next event, or its end.
    async fn read(&mut self) -> Result<(), ProviderError> {
        let next = match self.end_of_wait {
            Some(end) => timeout_at(end, self.source.next()).await.unwrap_or(None),
            None => self.source.next().await,
        };
        match next {
            // Some servers send events without data as keep-alive.
            Some(Ok(event)) if event.data.is_empty() => {}
            Some(Ok(event)) => self.interpreter.interpret(&event.data, &mut self.ready)?,
            Some(Err(Broken::Transport(failure))) => return Err(failure),
            Some(Err(Broken::TooLong)) => {
                let detail = format!("an event of more than {MAX_EVENT_BYTES} bytes");
                return Err(ProviderError::new(ReplyErrorCode::ProviderUnavailable, &detail));
            }
            None if self.interpreter.is_finishing() => self.interpreter.finish(&mut self.ready)?,
            None => return Err(ProviderError::truncated("the stream ended without its end event")),
        }
        if self.interpreter.is_finishing() && (self.end_of_wait.is_none() || !self.ready.is_empty()) {
            self.end_of_wait = Some(Instant::now() + SILENCE_AFTER_FINISH);
        }
        Ok(())
    }
}

/// Removes NUL, which PostgreSQL cannot store.
pub(super) fn without_nul(mut text: String) -> String {
    if text.contains('\0') {
        text.retain(|c| c != '\0');
    }
    text
}

/// Removes NUL from all strings in the value.
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

/// A call's arguments: parsed JSON, or a string if they are not JSON.
pub(super) fn arguments(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    value_without_nul(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
