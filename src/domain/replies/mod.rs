//! Replies: durable jobs with a log, independent of the connections that read them.
//!
//! `start` creates the rows and registers the log, `write` runs the model and appends to the log, `end` builds the
//! final row, `journal` saves all state, `read` serves any number of readers from any position, and `afterwards` writes
//! titles and summaries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, IdGenerator};
use crate::domain::Result;
use crate::domain::completions::Completions;
use crate::domain::context::{Contexts, Summaries};
use crate::entity::ids::{BootId, MessageId};
use crate::events::Bus;
use crate::llm::driver::Policy;
use crate::llm::registry::Registry;
use crate::metrics::Metrics;
use crate::storage::Database;
use crate::traces::Traces;

mod afterwards;
mod edit;
mod end;
mod journal;
pub mod log;
pub mod parts;
mod read;
mod regenerate;
mod report;
mod running;
mod send;
mod start;
mod write;

use journal::{DatabaseStore, Journal, JournalParts};

pub use edit::EditMessage;
pub use read::ReplyEvent;
pub use regenerate::RegenerateReply;
pub use running::RunningReplies;
pub use send::{NewChat, SendMessage};
pub use start::Started;

/// The reply engine. Cheap to clone.
#[derive(Clone)]
pub struct Replies(Arc<Engine>);

/// The dependencies and settings of the engine.
pub struct Parts {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Generates ids.
    pub ids: Arc<IdGenerator>,
    /// The models.
    pub models: Arc<Registry>,
    /// Builds the prompts.
    pub contexts: Contexts,
    /// Calls models in the background.
    pub completions: Completions,
    /// The id of this run of the process, which owns the replies that it writes.
    pub boot: BootId,
    /// The registry of running replies.
    pub running: RunningReplies,
    /// The retry policy for providers.
    pub policy: Policy,
    /// The longest message, in Unicode characters.
    pub max_message_length: usize,
    /// Carries changes to subscribers.
    pub bus: Arc<dyn Bus>,
    /// Tracks all tasks, so that shutdown waits for them.
    pub tracker: TaskTracker,
    /// Counts replies and errors of providers.
    pub metrics: Metrics,
    /// Starts the spans of replies and of requests to providers.
    pub traces: Traces,
    /// The hard stop. Replies that are still running then are saved as interrupted.
    pub hard_stop: CancellationToken,
}

struct Engine {
    parts: Parts,
    journal: Arc<Journal>,
    summaries: Summaries,
    /// The logs of replies that other nodes write and that have readers on this node.
    replicas: Mutex<HashMap<MessageId, Weak<log::ReplyLog>>>,
}

impl Replies {
    /// An engine without running replies.
    pub fn new(parts: Parts) -> Self {
        let store = DatabaseStore {
            database: parts.database.clone(),
            clock: Arc::clone(&parts.clock),
            bus: Arc::clone(&parts.bus),
        };
        let journal = Arc::new(Journal::new(JournalParts {
            boot: parts.boot,
            store: Box::new(store),
            running: parts.running.clone(),
            models: Arc::clone(&parts.models),
            clock: Arc::clone(&parts.clock),
            metrics: parts.metrics.clone(),
            hard_stop: parts.hard_stop.clone(),
        }));
        let summaries = Summaries::new(parts.contexts.clone(), parts.completions.clone());
        Self(Arc::new(Engine { parts, journal, summaries, replicas: Mutex::default() }))
    }

    /// Acquires this node's lease, and ends the replies that cannot be running any more: on SQLite all of them, on
    /// PostgreSQL those of `predecessor`, the previous run with the same DATA_DIR.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recover(&self, predecessor: Option<BootId>) -> Result<()> {
        self.0.journal.recover(predecessor).await
    }

    /// The tasks of the journal. Cancel `stop` once no reply is being written; the tasks then save the remaining
    /// endings and finish.
    pub fn journal_tasks(&self, stop: CancellationToken) -> [(&'static str, BoxFuture<'static, ()>); 4] {
        self.0.journal.tasks(stop)
    }

    /// The number of replies that this node is writing.
    pub fn running(&self) -> usize {
        self.0.running.len()
    }

    /// Whether replies may begin on this node: it holds its lease.
    pub fn is_ready(&self) -> bool {
        self.0.journal.is_lease_held()
    }
}

impl std::ops::Deref for Engine {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}
