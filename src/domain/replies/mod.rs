//! Replies: durable jobs with a log, not properties of a socket.
//!
//! `send` makes the rows and registers the log, `write` runs the model and appends to the log, `end` writes the one final row,
//! `checkpoint` saves what has arrived meanwhile, `read` serves any number of readers from any position, `lease` ends what a
//! dead server left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, IdGenerator};
use crate::entity::ids::{BootId, MessageId};
use crate::llm::driver::Policy;
use crate::llm::registry::Registry;
use crate::storage::Database;

mod checkpoint;
mod end;
mod lease;
pub mod log;
pub mod parts;
mod prompt;
mod read;
mod running;
mod send;
mod write;

pub use prompt::message_tokens;
pub use read::ReplyEvent;
pub use running::RunningReplies;
pub use send::{NewChat, SendMessage, Sent};

/// The reply engine. Cheap to clone.
#[derive(Clone)]
pub struct Replies(Arc<Engine>);

/// What the engine works with.
pub struct Parts {
    /// The database.
    pub db: Database,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<IdGenerator>,
    /// The models.
    pub models: Arc<Registry>,
    /// This run of the process, which owns the replies that it writes.
    pub boot: BootId,
    /// Where replies are registered while they are written.
    pub running: RunningReplies,
    /// How providers are tried.
    pub policy: Policy,
    /// The longest message, in Unicode characters.
    pub max_message_length: usize,
    /// Holds every task, so that shutdown waits for them.
    pub tracker: TaskTracker,
    /// The hard stop: what is still written then is saved as interrupted.
    pub hard_stop: CancellationToken,
}

struct Engine {
    parts: Parts,
    /// The logs of replies that other servers write and somebody reads here.
    replicas: Mutex<HashMap<MessageId, Weak<log::ReplyLog>>>,
}

impl Replies {
    /// An engine that writes nothing yet.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Engine { parts, replicas: Mutex::default() }))
    }
}

impl std::ops::Deref for Engine {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}
