//! Writing one reply: builds the prompt, runs the model, appends its output to the log, and ends the reply in any case.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::Engine;
use super::end::{Ending, Record};
use super::parts::{Call, CallResult, Piece, StoredCall};
use super::prompt::{Prompt, request_tokens};
use super::running::{Registration, RunningReply};
use crate::domain::Result;
use crate::entity::enums::{PieceKind, ReplyErrorCode};
use crate::entity::ids::ToolCallId;
use crate::entity::{character, message};
use crate::llm::driver::{self, DriverEvent};
use crate::llm::registry::Model;
use crate::llm::{Event, Usage};
use crate::storage;

/// The maximum size of one reply in bytes, including reasoning, tool calls and their results.
const MAX_REPLY_BYTES: usize = 2 * 1024 * 1024;
/// The number of messages that are loaded by one query for a prompt.
const PROMPT_BATCH: i32 = 100;

/// The task of writing one reply.
pub(super) struct Job {
    pub(super) registration: Registration,
    pub(super) reply: message::Model,
    /// The message to be answered.
    pub(super) question: message::Model,
    pub(super) character: Option<character::Model>,
    /// The model and its fallbacks.
    pub(super) chain: Vec<Arc<Model>>,
}

/// The state of a reply while it is being written.
pub(super) struct Progress {
    started: Instant,
    pub(super) model: Option<Arc<Model>>,
    pub(super) usage: Option<Usage>,
    pub(super) prompt_tokens: i32,
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
    /// Writes the reply in its own task. Shutdown waits for it; a disconnect of the client does not affect it.
    pub(super) fn spawn(self: &Arc<Self>, job: Job) {
        let engine = Arc::clone(self);
        job.registration.committed();
        self.tracker.spawn(async move { engine.write(job).await });
    }

    async fn write(&self, job: Job) {
        let running = Arc::clone(job.registration.reply());
        let mut progress = Progress {
            started: Instant::now(),
            model: job.chain.first().cloned(),
            usage: None,
            prompt_tokens: 0,
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
        let Job { registration, reply, question, character, .. } = job;
        let character_id = character.map(|character| character.id);
        self.end(registration, Record { reply, question, character_id, ending, progress: &progress });
    }

    async fn generate(&self, job: &Job, running: &RunningReply, progress: &mut Progress) -> Result<Ending> {
        let prompt = Arc::new(self.prompt(job).await?);
        let for_model = Arc::clone(&prompt);
        let chain = job.chain.clone();
        let mut events = std::pin::pin!(driver::stream(
            chain,
            move |model| for_model.request(model),
            self.policy,
            self.metrics.clone()
        ));
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(DriverEvent::Attempt(model)) => {
                    progress.prompt_tokens = request_tokens(&prompt.request(&model));
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
            self.journal.lease_held().await;
            progress.time_to_first_token.get_or_insert_with(|| progress.started.elapsed());
            progress.bytes += piece.body.len();
            if progress.bytes > MAX_REPLY_BYTES {
                return Ok(Ending::Cut);
            }
            running.log.append(piece);
        }
        Ok(Ending::Failed(ReplyErrorCode::ProviderTruncated))
    }

    /// The prompt: the branch from the question upwards, limited to the largest context window of the models.
    async fn prompt(&self, job: &Job) -> Result<Prompt> {
        let window = job.chain.iter().map(|model| model.context_window).max().unwrap_or(0);
        let above = job.question.branch_tokens.saturating_sub(i32::try_from(window).unwrap_or(i32::MAX));
        let mut branch = Vec::new();
        let mut to = job.question.depth + 1;
        while to > 0 {
            let from = (to - PROMPT_BATCH).max(0);
            let mut batch = storage::messages::branch(self.database.reader(), job.question.id, from, to).await?;
            let is_enough = batch.first().is_none_or(|oldest| oldest.branch_tokens <= above);
            batch.append(&mut branch);
            branch = batch;
            if is_enough {
                break;
            }
            to = from;
        }
        Ok(Prompt::new(job.character.as_ref(), &branch))
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

impl RunningReply {
    /// Whether the reply's row is committed.
    pub(super) fn is_committed(&self) -> bool {
        self.is_committed.load(Ordering::Acquire)
    }
}
