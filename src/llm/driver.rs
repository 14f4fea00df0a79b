//! Timeouts, retries and fallbacks around the adapters.
//!
//! Until the first visible event, a failed request is retried or passed to the next model. After it, a failure ends the
//! reply, because a second start would not match the text already sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::registry::Model;
use super::{CompletionRequest, Event, EventStream, ProviderError, Usage};
use crate::entity::enums::ReplyErrorCode;
use crate::metrics::Metrics;
use crate::traces::{Span, Traces};

mod spans;

/// The driver's timeouts and retries. The connect timeout is set in the HTTP client ([`super::http_client`]), the time
/// limit for the first event in the model ([`Model::first_event`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Maximum time between events after the first visible event.
    pub idle: Duration,
    /// Maximum time for the whole reply, including all models and waits.
    pub total: Duration,
    /// Maximum number of retries per model.
    pub retries: u32,
    /// Delay before the first retry, doubled for each further one. Up to a quarter is added at random, so that replies
    /// that failed together are not retried together.
    pub backoff: Duration,
    /// Maximum delay before a retry. If a provider asks for more, the next model is used.
    pub longest_wait: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            total: Duration::from_secs(20 * 60),
            retries: 2,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(15),
        }
    }
}

/// An event of the driver.
#[derive(Debug, Clone)]
pub enum DriverEvent {
    /// A request is sent to this model. The last one named writes the reply.
    Attempt(Arc<Model>),
    /// An event of the model's reply.
    Event(Event),
}

/// Requests a reply from the models of `chain` in turn until one answers, and streams it. `build` makes the request for
/// each model, because context windows differ.
///
/// The stream always ends with [`Event::Finished`] or an error. Dropping it cancels the request. If all models fail,
/// the error is that of the last one; for an empty chain it is [`ReplyErrorCode::ProviderUnavailable`]. `metrics`
/// counts every error of a provider, and every request has a span in `traces`.
pub fn stream(
    chain: Vec<Arc<Model>>,
    build: impl Fn(&Model) -> CompletionRequest + Send + Sync + 'static,
    policy: Policy,
    metrics: Metrics,
    traces: Traces,
) -> impl Stream<Item = Result<DriverEvent, ProviderError>> + Send + 'static {
    let stage = Stage::NextModel(None);
    let driver =
        Driver { chain: chain.into_iter(), build, policy, metrics, traces, deadline: None, timer: None, stage };
    stream::unfold(driver, |mut driver| async move { driver.next().await.map(|event| (event, driver)) })
}

struct Driver<B> {
    chain: std::vec::IntoIter<Arc<Model>>,
    build: B,
    policy: Policy,
    metrics: Metrics,
    traces: Traces,
    /// Set when the first request is sent.
    deadline: Option<Instant>,
    /// Ends the wait for an event, or fires earlier.
    timer: Option<Pin<Box<Sleep>>>,
    stage: Stage,
}

enum Stage {
    /// Use the next model, or end with the last failure.
    NextModel(Option<Failure>),
    Ask(Arc<Model>),
    /// A reply has started.
    Read(Arc<Model>, Answer),
    Failed(ProviderError),
    Over,
}

/// The answer to a request: first the buffered events, then the rest of the stream.
struct Answer {
    held: VecDeque<Event>,
    events: EventStream,
    /// Ends with the answer.
    span: Span,
}

/// An attempt that failed before a visible event, with the usage it reported.
struct Failure {
    error: ProviderError,
    usage: Option<Usage>,
}

impl<B: Fn(&Model) -> CompletionRequest> Driver<B> {
    async fn next(&mut self) -> Option<Result<DriverEvent, ProviderError>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::NextModel(last) => match (self.chain.next(), last) {
                    (Some(model), _) => {
                        self.stage = Stage::Ask(model.clone());
                        return Some(Ok(DriverEvent::Attempt(model)));
                    }
                    (None, Some(failure)) => match self.give_up(failure) {
                        Some(event) => return Some(Ok(event)),
                        None => continue,
                    },
                    (None, None) => {
                        let detail = "no model is available";
                        return Some(Err(ProviderError::new(ReplyErrorCode::ProviderUnavailable, detail)));
                    }
                },
                Stage::Ask(model) => match self.ask(&model).await {
                    Ok(answer) => self.stage = Stage::Read(model, answer),
                    Err(failure) if self.may_hand_on(&failure.error) => self.stage = Stage::NextModel(Some(failure)),
                    Err(failure) => {
                        if let Some(event) = self.give_up(failure) {
                            return Some(Ok(event));
                        }
                    }
                },
                Stage::Read(model, mut answer) => {
                    let event = match answer.held.pop_front() {
                        Some(event) => Ok(event),
                        None => self.read(&mut answer.events).await,
                    };
                    spans::record(&answer.span, &event);
                    match &event {
                        Ok(Event::Finished(_)) => {}
                        Ok(_) => self.stage = Stage::Read(model, answer),
                        Err(error) => self.metrics.provider_error(&model.provider, error.code.name()),
                    }
                    return Some(event.map(DriverEvent::Event));
                }
                Stage::Failed(error) => return Some(Err(error)),
                Stage::Over => return None,
            }
        }
    }

    /// Sends requests to one model as often as the policy allows, until there is a visible event.
    async fn ask(&mut self, model: &Model) -> Result<Answer, Failure> {
        let mut tries = 0;
        loop {
            let failure = match self.begin(model).await {
                Ok(begun) => return Ok(begun),
                Err(failure) => failure,
            };
            self.metrics.provider_error(&model.provider, failure.error.code.name());
            let wait = self.wait_before_retry(&failure.error, tries);
            tracing::warn!(
                model = model.id,
                code = ?failure.error.code,
                detail = failure.error.detail,
                tries = tries + 1,
                retry_in_ms = wait.map(|wait| wait.as_millis()),
                "a model failed before its first event"
            );
            let Some(wait) = wait else { return Err(failure) };
            tries += 1;
            sleep_until(Instant::now() + wait).await;
        }
    }

    /// Sends the request once and reads up to the first visible event. Usage reported before it is included.
    async fn begin(&mut self, model: &Model) -> Result<Answer, Failure> {
        let request = (self.build)(model);
        let span = spans::start(&self.traces, model, &request);
        let until = self.end_of_wait(model.first_event);
        let mut usage = None;
        let beginning = async {
            let mut events = model.service.stream(&request).await?;
            loop {
                match events.next().await {
                    Some(Ok(Event::Usage(counts))) => usage = Some(counts),
                    Some(Ok(event)) => return Ok((event, events)),
                    Some(Err(error)) => return Err(error),
                    None => return Err(ProviderError::truncated("the stream ended before its first event")),
                }
            }
        };
        let outcome = match timeout_at(until, beginning).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ProviderError::new(ReplyErrorCode::TimedOut, "no first event in time")),
        };
        match outcome {
            Ok((event, events)) => {
                let held = usage.map(Event::Usage).into_iter().chain([event]).collect();
                span.event("first event");
                Ok(Answer { held, events, span })
            }
            Err(error) => {
                usage.into_iter().for_each(|usage| spans::record_usage(&span, usage));
                span.fail(|| error.code.name().into());
                Err(Failure { error, usage })
            }
        }
    }

    async fn read(&mut self, events: &mut EventStream) -> Result<Event, ProviderError> {
        let end = self.end_of_wait(self.policy.idle);
        // One timer for all events, moved only when it fires, because each move locks the timer wheel. A wait never
        // ends before that of an earlier event.
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            tokio::select! {
                biased;
                event = events.next() => {
                    let ended = || Err(ProviderError::truncated("the stream ended without its end event"));
                    return event.unwrap_or_else(ended);
                }
                () = timer.as_mut() => {
                    if end <= Instant::now() {
                        return Err(ProviderError::new(ReplyErrorCode::TimedOut, "no event in time"));
                    }
                    timer.as_mut().reset(end);
                }
            }
        }
    }

    /// The end of a wait that starts now, at most the deadline of the whole reply.
    fn end_of_wait(&mut self, wait: Duration) -> Instant {
        let now = Instant::now();
        let deadline = *self.deadline.get_or_insert(now + self.policy.total);
        deadline.min(now + wait)
    }

    fn is_out_of_time(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// The delay before this model is retried; `None` if a retry would not help or the next model is faster.
    fn wait_before_retry(&self, error: &ProviderError, tries: u32) -> Option<Duration> {
        let may_pass = matches!(
            error.code,
            ReplyErrorCode::ProviderUnavailable
                | ReplyErrorCode::ProviderOverloaded
                | ReplyErrorCode::ProviderRateLimited
                | ReplyErrorCode::ProviderTruncated
        );
        if !may_pass || tries >= self.policy.retries {
            return None;
        }
        let backoff = self.policy.backoff.saturating_mul(1 << tries.min(16));
        let wait = error.retry_after.unwrap_or(Duration::ZERO).max(backoff.min(self.policy.longest_wait));
        let wait = wait + jitter(backoff / 4);
        let ends_in_time = self.deadline.is_none_or(|deadline| Instant::now() + wait < deadline);
        (wait <= self.policy.longest_wait + backoff / 4 && ends_in_time).then_some(wait)
    }

    /// Whether the next model should be used.
    fn may_hand_on(&self, error: &ProviderError) -> bool {
        error.code != ReplyErrorCode::ContentFiltered && !self.is_out_of_time()
    }

    /// Ends with the error, after the usage of input tokens, which are charged.
    fn give_up(&mut self, failure: Failure) -> Option<DriverEvent> {
        self.stage = Stage::Failed(failure.error);
        failure.usage.map(|usage| DriverEvent::Event(Event::Usage(usage)))
    }
}

/// A random duration below `most`; zero if the system provides no randomness.
fn jitter(most: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
