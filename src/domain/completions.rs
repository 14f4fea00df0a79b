//! Model calls that no client waits for: titles and summaries. All of them go through [`Completions::complete`], which
//! limits their number, time and size, and enters them into the usage ledger.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::{Clock, IdGenerator};
use crate::domain::Result;
use crate::domain::tokens::{estimate_tokens, request_tokens, settled_usage};
use crate::domain::usage::{self, quotas};
use crate::entity::enums::{CallKind, FinishReason, MessageStatus, ReplyErrorCode};
use crate::entity::{chat, ledger_entry};
use crate::llm::driver::{self, DriverEvent, Policy};
use crate::llm::registry::{Model, Registry};
use crate::llm::{CompletionRequest, Event, ProviderError, Usage};
use crate::metrics::Metrics;
use crate::storage::{self, Database};
use crate::traces::Traces;

/// The maximum number of calls at once. Further ones wait.
const MAX_CALLS: usize = 16;
/// The longest wait for other calls to end.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// The longest text, in bytes. A longer one is cut.
const MAX_BYTES: usize = 32 * 1024;
/// The time limits and retries of a call.
const POLICY: Policy = Policy {
    idle: Duration::from_secs(30),
    total: Duration::from_secs(120),
    retries: 1,
    backoff: Duration::from_secs(1),
    longest_wait: Duration::from_secs(15),
};

/// A call to make.
pub struct Task<B> {
    /// Its purpose.
    pub kind: CallKind,
    /// The chat, whose model is called, and whose owner is charged.
    pub chat: chat::Model,
    /// The smallest context window that is large enough. Fallbacks with a smaller one are not called.
    pub least_window: u32,
    /// Makes the request for a model.
    pub build: B,
}

/// Calls models in the background. Cheap to clone.
#[derive(Clone)]
pub struct Completions {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Generates ids.
    pub ids: Arc<IdGenerator>,
    /// The models.
    pub models: Arc<Registry>,
    /// Counts errors of providers.
    pub metrics: Metrics,
    /// Starts the spans of the calls.
    pub traces: Traces,
    /// Cancels all calls.
    pub stop: CancellationToken,
    /// The calls that may still begin. See [`slots`].
    pub slots: Arc<Semaphore>,
}

/// The slots of a server for background calls.
pub fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_CALLS))
}

/// A call while it runs, and its result.
struct Call {
    started_at: DateTime<Utc>,
    started: Instant,
    /// The model that was called last.
    model: Arc<Model>,
    prompt_tokens: i32,
    text: String,
    time_to_first_token: Option<Duration>,
    usage: Option<Usage>,
}

impl Completions {
    /// Whether a model with this id, or one of its fallbacks, writes titles and summaries. Demo models do not.
    pub fn is_available(&self, model_id: &str) -> bool {
        !self.chain(model_id).is_empty()
    }

    fn chain(&self, model_id: &str) -> Vec<Arc<Model>> {
        self.models.chain(model_id).into_iter().filter(|model| !model.is_demo).collect()
    }

    /// The text from the chat's model or, if it fails, from a fallback. None if no model is available, if the quota of
    /// the chat's owner has no room for the call, if the call failed, or if the server stops.
    pub async fn complete<B>(&self, task: Task<B>) -> Option<String>
    where
        B: Fn(&Model) -> CompletionRequest + Send + Sync + 'static,
    {
        let Task { kind, chat, least_window, build } = task;
        let mut chain = self.chain(&chat.model_id);
        chain.retain(|model| model.context_window >= least_window);
        let first = chain.first().cloned()?;
        let slot = tokio::time::timeout(MAX_WAIT, self.slots.acquire());
        let Some(Ok(Ok(_slot))) = self.stop.run_until_cancelled(slot).await else {
            tracing::info!(?kind, chat = %chat.id, "background call not made: too many others, or shutdown");
            return None;
        };
        if !self.has_room(&chat, &chain, &build(&first)).await {
            return None;
        }
        let mut call = Call::new(first, self.clock.now());
        let outcome =
            self.stop.run_until_cancelled(call.run(chain, build, self.metrics.clone(), self.traces.clone())).await;
        let entry = call.entry(&outcome, kind, &chat, self.ids.next(call.started_at));
        if let Err(cause) = self.record(entry).await {
            tracing::warn!(
                gen_ai.conversation.id = %chat.id,
                exception.message = &cause as &dyn std::error::Error,
                "usage of a call was not recorded"
            );
        }
        match outcome {
            Some(Ok(_)) => Some(call.text.trim().to_owned()).filter(|text| !text.is_empty()),
            Some(Err(error)) => {
                tracing::warn!(?kind, chat = %chat.id, model = call.model.id, %error, "background call failed");
                None
            }
            None => None,
        }
    }

    /// Whether the quota of the chat's owner has room for the call. A failure to find out is logged, and counts as no.
    async fn has_room(&self, chat: &chat::Model, chain: &[Arc<Model>], request: &CompletionRequest) -> bool {
        let start = quotas::Start {
            user: chat.owner_id,
            chain,
            input_tokens: request_tokens(request),
            max_output_tokens: request.max_output_tokens,
            now: self.clock.now(),
        };
        match quotas::has_room(self.database.reader(), start).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::info!(gen_ai.conversation.id = %chat.id, "background call not made: the quota has no room");
                false
            }
            Err(cause) => {
                tracing::warn!(
                    gen_ai.conversation.id = %chat.id,
                    exception.message = &cause as &dyn std::error::Error,
                    "background call not made: the quota is not known"
                );
                false
            }
        }
    }

    async fn record(&self, entry: ledger_entry::Model) -> Result<()> {
        let transaction = self.database.begin().await?;
        storage::usage::record(&transaction, vec![entry]).await?;
        Ok(transaction.commit().await?)
    }
}

impl Call {
    fn new(model: Arc<Model>, started_at: DateTime<Utc>) -> Self {
        let (started, text) = (Instant::now(), String::new());
        Self { started_at, started, model, prompt_tokens: 0, text, time_to_first_token: None, usage: None }
    }

    /// The entry for the usage ledger. The outcome is none if the server stops.
    fn entry(
        &self,
        outcome: &Option<Result<bool, ProviderError>>,
        kind: CallKind,
        chat: &chat::Model,
        id: Uuid,
    ) -> ledger_entry::Model {
        let (outcome, error_code, is_whole) = match outcome {
            Some(Ok(is_whole)) => (MessageStatus::Complete, None, *is_whole),
            Some(Err(error)) => (MessageStatus::Failed, Some(error.code), false),
            None => (MessageStatus::Interrupted, Some(ReplyErrorCode::Interrupted), false),
        };
        let has_output = self.time_to_first_token.is_some();
        let written = estimate_tokens(&self.text);
        // A call that failed before its first token is free.
        let usage = match error_code.is_some() && !has_output {
            true => None,
            false => settled_usage(self.usage, is_whole, has_output, self.prompt_tokens, written),
        };
        let milliseconds = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let call = usage::Call {
            id,
            kind,
            user_id: chat.owner_id,
            chat_id: chat.id,
            character_id: chat.character_id,
            model_id: &self.model.id,
            model: Some(&self.model),
            started_at: self.started_at,
            usage: usage.map(|(usage, _)| usage),
            is_estimate: usage.is_some_and(|(_, is_estimate)| is_estimate),
            time_to_first_token_ms: self.time_to_first_token.map(milliseconds),
            duration_ms: Some(milliseconds(self.started.elapsed())),
            outcome,
            error_code,
        };
        call.entry()
    }

    /// Returns true if the model ended the text, false if it was cut at [`MAX_BYTES`].
    async fn run(
        &mut self,
        chain: Vec<Arc<Model>>,
        build: impl Fn(&Model) -> CompletionRequest + Send + Sync + 'static,
        metrics: Metrics,
        traces: Traces,
    ) -> Result<bool, ProviderError> {
        let build = Arc::new(build);
        let for_model = Arc::clone(&build);
        let mut events = pin!(driver::stream(chain, move |model| for_model(model), POLICY, metrics, traces));
        while let Some(event) = events.next().await {
            match event? {
                DriverEvent::Attempt(model) => {
                    self.prompt_tokens = request_tokens(&build(&model));
                    self.model = model;
                }
                DriverEvent::Event(Event::Text(text)) => {
                    self.time_to_first_token.get_or_insert_with(|| self.started.elapsed());
                    if self.text.len() + text.len() > MAX_BYTES {
                        return Ok(false);
                    }
                    self.text.push_str(&text);
                }
                DriverEvent::Event(Event::Usage(usage)) => self.usage = Some(usage),
                DriverEvent::Event(Event::Finished(FinishReason::ContentFilter)) => {
                    return Err(ProviderError::new(ReplyErrorCode::ContentFiltered, "the model refused"));
                }
                DriverEvent::Event(Event::Finished(_)) => return Ok(true),
                // Reasoning and tool calls are not part of the text.
                DriverEvent::Event(_) => {
                    self.time_to_first_token.get_or_insert_with(|| self.started.elapsed());
                }
            }
        }
        Err(ProviderError::new(ReplyErrorCode::ProviderTruncated, "the stream ended without its end event"))
    }
}
