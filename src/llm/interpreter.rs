//! From a provider's bytes to the events that every provider shares.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::sse::{self, Broken, MAX_EVENT_BYTES};
use super::{Event, EventStream, ProviderError};
use crate::entity::enums::ReplyErrorCode;

/// How long a provider may be silent after it has said why it stopped. Usage and the end event follow at once, if at all.
const SILENCE_AFTER_FINISH: Duration = Duration::from_secs(2);

/// A provider's dialect: a pure state machine over the data of its server-sent events.
///
/// It skips what it does not know. Data that is not JSON is an error: a cut leaves such data.
pub(super) trait Interpreter: Send + 'static {
    /// Takes the data of one event and adds what it means to `events`. [`Event::Finished`] is the provider's own end event.
    fn interpret(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError>;

    /// Whether the reply is whole, so that an end of the stream without the provider's end event is a normal end.
    fn is_finishing(&self) -> bool {
        false
    }

    /// Ends the reply as the provider's own end event would. Called where [`Self::is_finishing`] holds.
    fn finish(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError>;
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
    /// When silence ends a reply that is whole.
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

    /// Takes the source's next event, or its end.
    async fn read(&mut self) -> Result<(), ProviderError> {
        let next = match self.end_of_wait {
            Some(end) => timeout_at(end, self.source.next()).await.unwrap_or(None),
            None => self.source.next().await,
        };
        match next {
            // Some servers send events without data to keep the connection alive.
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
