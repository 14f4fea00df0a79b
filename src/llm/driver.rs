//! Policy over the adapters: how long to wait, when to try again, whom to try next.
//!
//! Until the first event that a reader would see, whatever fails is tried again or handed to the next model; from then on a
//! failure ends the reply, for a second beginning would not fit the first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::registry::Model;
use super::{CompletionRequest, Event, EventStream, ProviderError, Usage};
use crate::entity::enums::ReplyErrorCode;

/// How patient the driver is. The time to connect is the client's own ([`super::http_client`]), the time to the first event
/// is the model's ([`Model::first_event`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Between events, from the first one that a reader would see.
    pub idle: Duration,
    /// For the whole reply, all models and waits together.
    pub total: Duration,
    /// How often one model is asked again.
    pub retries: u32,
    /// Before the first retry; twice as much before each later one. A quarter of it or less is added at random, so that
    /// replies that failed together do not come back together.
    pub backoff: Duration,
    /// The longest wait before a retry. A provider that asks for more gives way to the next model.
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

/// What the driver tells.
#[derive(Debug, Clone)]
pub enum DriverEvent {
    /// This model is asked now. The last one named is the one that wrote the reply.
    Attempt(Arc<Model>),
    /// What it answers.
    Event(Event),
}

/// Asks the models of `chain` in turn until one answers, and streams its answer. `build` makes the request anew for each, since
/// each has a window of its own.
///
/// The stream ends after [`Event::Finished`] or an error, and always with one of the two. To drop it is to cancel the request.
/// The error of an exhausted chain is that of its last model; an empty chain is [`ReplyErrorCode::ProviderUnavailable`].
pub fn stream(
    chain: Vec<Arc<Model>>,
    build: impl Fn(&Model) -> CompletionRequest + Send + Sync + 'static,
    policy: Policy,
) -> impl Stream<Item = Result<DriverEvent, ProviderError>> + Send + 'static {
    let driver = Driver { chain: chain.into_iter(), build, policy, deadline: None, stage: Stage::NextModel(None) };
    stream::unfold(driver, |mut driver| async move { driver.next().await.map(|event| (event, driver)) })
}

struct Driver<B> {
    chain: std::vec::IntoIter<Arc<Model>>,
    build: B,
    policy: Policy,
    /// Set when the first model is asked.
    deadline: Option<Instant>,
    stage: Stage,
}

enum Stage {
    /// The next model's turn, or the end with the last one's failure.
    NextModel(Option<Failure>),
    Ask(Arc<Model>),
    /// A reply has begun: first what was held back, then the rest of the stream.
    Read(VecDeque<Event>, EventStream),
    Failed(ProviderError),
    Over,
}

/// A try that ended before anything was to be seen, with the usage that it reported all the same.
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
                    Ok((held, events)) => self.stage = Stage::Read(held, events),
                    Err(failure) if self.may_hand_on(&failure.error) => self.stage = Stage::NextModel(Some(failure)),
                    Err(failure) => {
                        if let Some(event) = self.give_up(failure) {
                            return Some(Ok(event));
                        }
                    }
                },
                Stage::Read(mut held, mut events) => {
                    let event = match held.pop_front() {
                        Some(event) => Ok(event),
                        None => self.read(&mut events).await,
                    };
                    if matches!(event, Ok(ref event) if !matches!(event, Event::Finished(_))) {
                        self.stage = Stage::Read(held, events);
                    }
                    return Some(event.map(DriverEvent::Event));
                }
                Stage::Failed(error) => return Some(Err(error)),
                Stage::Over => return None,
            }
        }
    }

    /// Asks one model as often as the policy allows, until an event is there to be seen.
    async fn ask(&mut self, model: &Model) -> Result<(VecDeque<Event>, EventStream), Failure> {
        let mut tries = 0;
        loop {
            let failure = match self.begin(model).await {
                Ok(begun) => return Ok(begun),
                Err(failure) => failure,
            };
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

    /// Sends the request once and reads up to the first event to be seen. Usage that came before it comes along.
    async fn begin(&mut self, model: &Model) -> Result<(VecDeque<Event>, EventStream), Failure> {
        let request = (self.build)(model);
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
                Ok((held, events))
            }
            Err(error) => Err(Failure { error, usage }),
        }
    }

    async fn read(&mut self, events: &mut EventStream) -> Result<Event, ProviderError> {
        match timeout_at(self.end_of_wait(self.policy.idle), events.next()).await {
            Ok(Some(event)) => event,
            Ok(None) => Err(ProviderError::truncated("the stream ended without its end event")),
            Err(_) => Err(ProviderError::new(ReplyErrorCode::TimedOut, "no event in time")),
        }
    }

    /// When a wait that begins now is over; never after the whole reply's end.
    fn end_of_wait(&mut self, wait: Duration) -> Instant {
        let now = Instant::now();
        let deadline = *self.deadline.get_or_insert(now + self.policy.total);
        deadline.min(now + wait)
    }

    fn is_out_of_time(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// How long to wait before this model is asked again; none where it would not help, or where the next model is quicker.
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

    /// Whether another model may fare better.
    fn may_hand_on(&self, error: &ProviderError) -> bool {
        error.code != ReplyErrorCode::ContentFiltered && !self.is_out_of_time()
    }

    /// Ends with the error. Tokens that were read all the same are told first, for they are charged.
    fn give_up(&mut self, failure: Failure) -> Option<DriverEvent> {
        self.stage = Stage::Failed(failure.error);
        failure.usage.map(|usage| DriverEvent::Event(Event::Usage(usage)))
    }
}

/// A random time below `most`; none where the system has no randomness to give.
fn jitter(most: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
