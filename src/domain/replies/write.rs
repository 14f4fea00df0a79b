//! Writing one reply: builds the prompt, runs the model, appends its output to the log, and ends the reply in any case.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::Engine;
use super::afterwards::Afterwards;
use super::end::{Ending, Record};
use super::log::ReplyLog;
use super::parts::{Call, CallResult, Piece, StoredCall};
use super::running::{Registration, RunningReply};
use crate::domain::context::{Fit, Prompt};
use crate::domain::{Error, Result};
use crate::entity::enums::{PieceKind, ReplyErrorCode, TitleState};
use crate::entity::ids::{MessageId, ToolCallId};
use crate::entity::{character, chat, message};
use crate::llm::driver::{self, DriverEvent};
use crate::llm::registry::Model;
use crate::llm::{Event, Usage};
use crate::traces::{Span, SpanKind};

/// The maximum size of one reply in bytes, including reasoning, tool calls and their results.
const MAX_REPLY_BYTES: usize = 2 * 1024 * 1024;

/// The delay before the prompt is read again after the database was unavailable, and for how long it is tried.
const PROMPT_RETRY: Duration = Duration::from_secs(1);
const PROMPT_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Content that was appended this long ago is announced even if more is ready.
const MAX_UNANNOUNCED: Duration = Duration::from_millis(10);

/// The task of writing one reply.
pub(super) struct Job {
    pub(super) registration: Registration,
    pub(super) reply: message::Model,
    /// The message to be answered.
    pub(super) question: message::Model,
    pub(super) chat: chat::Model,
    pub(super) character: Option<character::Model>,
    /// The model and its fallbacks.
    pub(super) chain: Vec<Arc<Model>>,
}

/// The state of a reply while it is being written.
pub(super) struct Progress {
    started: Instant,
    pub(super) model: Option<Arc<Model>>,
    pub(super) usage: Option<Usage>,
    /// The estimated tokens of the prompt.
    pub(super) prompt_tokens: i32,
    /// The model to which the prompt was sent last, and how the prompt fits its context window.
    sent: Option<(Arc<Model>, Fit)>,
    /// A summary that the prompt contains and that the branch does not find by itself.
    found_checkpoint: Option<MessageId>,
    /// The first message of the user, if the chat needs a title.
    pub(super) first_question: Option<String>,
    pub(super) time_to_first_token: Option<Duration>,
    /// The size of all pieces, in bytes.
    bytes: usize,
    calls: HashMap<String, (ToolCallId, Instant)>,
}

impl Progress {
    pub(super) fn duration(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Engine {
    /// Writes the reply in its own task. Shutdown waits for it; a disconnect of the client does not affect it. The
    /// span of the reply is below the operation that starts it.
    pub(super) fn spawn(self: &Arc<Self>, job: Job) {
        let engine = Arc::clone(self);
        job.registration.committed();
        let span = self.traces.start(SpanKind::Internal, || "reply");
        span.set("duologue.reply.id", || job.reply.id.to_string());
        span.set("gen_ai.conversation.id", || job.chat.id.to_string());
        let place = span.place();
        self.tracker.spawn(place.run(async move { engine.write(job, span).await }));
    }

    async fn write(&self, job: Job, span: Span) {
        let running = Arc::clone(job.registration.reply());
        let mut progress = Progress {
            started: Instant::now(),
            model: job.chain.first().cloned(),
            usage: None,
            prompt_tokens: 0,
            sent: None,
            found_checkpoint: None,
            first_question: None,
            time_to_first_token: None,
            bytes: 0,
            calls: HashMap::new(),
        };
        let ending = tokio::select! {
            biased;
            () = running.stop.cancelled() => Ending::Stopped,
            () = self.hard_stop.cancelled() => Ending::Interrupted,
            outcome = AssertUnwindSafe(self.generate(&job, &running, &mut progress)).catch_unwind() => match outcome {
                Ok(Ok(ending)) => ending,
                Ok(Err(cause)) => {
                    tracing::error!(duologue.reply.id = %running.id, exception.message = &cause as &dyn std::error::Error, "reply failed");
                    Ending::Failed(ReplyErrorCode::Internal)
                }
                Err(_) => {
                    tracing::error!(duologue.reply.id = %running.id, "reply panicked");
                    Ending::Failed(ReplyErrorCode::Internal)
                }
            },
        };
        running.log.announce();
        let Job { registration, reply, question, chat, character, .. } = job;
        let character_id = character.as_ref().map(|character| character.id);
        self.end(registration, Record { reply, question, character_id, ending, progress: &progress, span: &span });
        let Progress { first_question, found_checkpoint, sent, .. } = progress;
        let afterwards = Afterwards { chat, character, first_question, found_checkpoint, sent };
        self.work_afterwards(&running, afterwards, span).await;
    }

    async fn generate(&self, job: &Job, running: &RunningReply, progress: &mut Progress) -> Result<Ending> {
        let prompt = self.read_prompt(job, progress.started + PROMPT_LIMIT).await?;
        if job.chat.title_state == TitleState::Due {
            let first = prompt.first_question().unwrap_or(&job.question.body);
            progress.first_question = Some(first.to_owned());
        }
        progress.found_checkpoint = prompt.checkpoint_id().filter(|id| job.question.checkpoint_id != Some(*id));
        let prompt = Arc::new(prompt);
        let for_model = Arc::clone(&prompt);
        let mut events = std::pin::pin!(driver::stream(
            job.chain.clone(),
            move |model| for_model.request(model),
            self.policy,
            self.metrics.clone(),
            self.traces.clone()
        ));
        // When the content was appended that is not announced yet.
        let mut unannounced = None;
        while let Some(event) = next(&mut events, &running.log, &mut unannounced).await {
            let event = match event {
                Ok(DriverEvent::Attempt(model)) => {
                    let fit = prompt.fit(&model);
                    progress.prompt_tokens = fit.estimated_tokens;
                    progress.sent = Some((Arc::clone(&model), fit));
                    progress.model = Some(model);
                    continue;
                }
                Ok(DriverEvent::Event(event)) => event,
                Err(error) => {
                    let model = progress.model.as_ref().map(|model| model.id.as_str());
                    tracing::warn!(duologue.reply.id = %running.id, model, %error, "provider failed");
                    return Ok(Ending::Failed(error.code));
                }
            };
            let piece = match event {
                Event::Text(body) => Piece { kind: PieceKind::Text, body },
                Event::Reasoning(body) => Piece { kind: PieceKind::Reasoning, body },
                Event::ToolCall { id, name, arguments, reasoning_blocks } => {
                    self.call(progress, id, name, arguments, reasoning_blocks)
                }
                Event::ToolResult { id, result } => match Self::call_result(progress, &id, result) {
                    Some(piece) => piece,
                    None => continue,
                },
                Event::Usage(usage) => {
                    progress.usage = Some(usage);
                    continue;
                }
                Event::Finished(reason) => return Ok(Ending::Complete(reason)),
            };
            if !self.journal.is_lease_held() {
                running.log.announce();
                self.journal.lease_held().await;
            }
            progress.time_to_first_token.get_or_insert_with(|| progress.started.elapsed());
            progress.bytes += piece.body.len();
            if progress.bytes > MAX_REPLY_BYTES {
                return Ok(Ending::Cut);
            }
            running.log.append(piece);
            unannounced.get_or_insert_with(Instant::now);
        }
        Ok(Ending::Failed(ReplyErrorCode::ProviderTruncated))
    }

    /// Reads the messages of the prompt. While the database is unavailable, the acknowledged reply waits for it.
    async fn read_prompt(&self, job: &Job, give_up: Instant) -> Result<Prompt> {
        loop {
            let owner = job.chat.owner_id;
            match self.contexts.prompt(owner, job.character.as_ref(), &job.question, &job.chain).await {
                Err(Error::Unavailable { .. }) if Instant::now() < give_up => tokio::time::sleep(PROMPT_RETRY).await,
                outcome => return outcome,
            }
        }
    }

    fn call(
        &self,
        progress: &mut Progress,
        key: String,
        name: String,
        arguments: Value,
        reasoning_blocks: Vec<Value>,
    ) -> Piece {
        let now = self.clock.now();
        let id = ToolCallId(self.ids.next(now));
        progress.calls.insert(key, (id, Instant::now()));
        let call = StoredCall { call: Call { id, name, arguments, started_at: now }, reasoning_blocks };
        Piece { kind: PieceKind::Call, body: serde_json::to_string(&call).unwrap_or_default() }
    }

    fn call_result(progress: &mut Progress, key: &str, outcome: Result<Value, String>) -> Option<Piece> {
        let (id, started) = progress.calls.remove(key)?;
        let duration_ms = i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX);
        let result = CallResult { id, outcome, duration_ms };
        Some(Piece { kind: PieceKind::Result, body: serde_json::to_string(&result).unwrap_or_default() })
    }
}

/// The next event. Appended content is announced when no further event is ready, and after [`MAX_UNANNOUNCED`], so that
/// content that the provider sent at once goes out as one event.
async fn next<T>(
    events: &mut (impl Stream<Item = T> + Unpin),
    log: &ReplyLog,
    unannounced: &mut Option<Instant>,
) -> Option<T> {
    if let Some(since) = unannounced {
        if since.elapsed() < MAX_UNANNOUNCED {
            // The HTTP client's task provides one chunk at a time. It needs to run first.
            tokio::task::yield_now().await;
            if let Some(event) = events.next().now_or_never() {
                return event;
            }
        }
        log.announce();
        *unannounced = None;
    }
    events.next().await
}

impl RunningReply {
    /// Whether the reply's row is committed.
    pub(super) fn is_committed(&self) -> bool {
        self.is_committed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn content_is_announced_when_nothing_more_is_ready() {
        let log = ReplyLog::default();
        let mut growth = log.watch();
        let mut events = stream::iter([1, 2, 3, 4]).chain(stream::pending());
        let mut unannounced = None;
        for expected in 1..=3 {
            assert_eq!(next(&mut events, &log, &mut unannounced).await, Some(expected));
            log.append(Piece { kind: PieceKind::Text, body: "text".to_owned() });
            unannounced.get_or_insert_with(Instant::now);
            assert!(!growth.has_changed().unwrap(), "more is ready");
        }
        tokio::time::advance(MAX_UNANNOUNCED).await;
        assert_eq!(next(&mut events, &log, &mut unannounced).await, Some(4));
        assert!(growth.has_changed().unwrap(), "it is announced in time, even if more is ready");
        growth.mark_unchanged();
        unannounced = Some(Instant::now());
        let waiting = tokio::time::timeout(MAX_UNANNOUNCED, next(&mut events, &log, &mut unannounced)).await;
        assert!(waiting.is_err() && growth.has_changed().unwrap(), "nothing more is ready");
    }
}
