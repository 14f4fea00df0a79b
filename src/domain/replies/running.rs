//! The registry of the replies that this node is writing, and the limits of their number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::log::{Outcome, ReplyLog};
use crate::domain::chats::StopReplies;
use crate::domain::{Error, Result};
use crate::entity::ids::{ChatId, MessageId, UserId};

/// A reply that is being written.
#[derive(Debug)]
pub struct RunningReply {
    /// The reply.
    pub id: MessageId,
    /// Its chat.
    pub chat_id: ChatId,
    /// Whose chat it is.
    pub owner: UserId,
    /// The log.
    pub log: ReplyLog,
    /// Cancelled to stop the reply.
    pub stop: CancellationToken,
    /// Whether the reply's row is committed.
    pub is_committed: AtomicBool,
}

/// All running replies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RunningReplies {
    replies: Arc<Mutex<HashMap<MessageId, Arc<RunningReply>>>>,
    max_per_user: usize,
    max: usize,
}

/// Keeps a reply registered. If it is dropped before the log has ended, the readers are told that the reply is lost.
#[derive(Debug)]
pub struct Registration {
    reply: Arc<RunningReply>,
    all: RunningReplies,
}

impl RunningReplies {
    /// An empty registry with these limits.
    pub fn new(max_per_user: usize, max: usize) -> Self {
        Self { replies: Arc::default(), max_per_user, max }
    }

    /// Registers a reply.
    ///
    /// # Errors
    /// [`Error::RateLimited`] at the limit of the user, [`Error::Unavailable`] at the limit of the server.
    pub fn register(&self, id: MessageId, chat_id: ChatId, owner: UserId) -> Result<Registration> {
        let mut replies = self.lock();
        let retry_after = Some(Duration::from_secs(1));
        if replies.len() >= self.max {
            return Err(Error::Unavailable {
                message: "The server has reached its limit of running replies. Try again later.",
                retry_after,
            });
        }
        if replies.values().filter(|reply| reply.owner == owner).count() >= self.max_per_user {
            return Err(Error::RateLimited { message: "You have too many running replies.", retry_after });
        }
        let (log, stop) = (ReplyLog::default(), CancellationToken::new());
        let reply = Arc::new(RunningReply { id, chat_id, owner, log, stop, is_committed: AtomicBool::new(false) });
        replies.insert(id, Arc::clone(&reply));
        Ok(Registration { reply, all: self.clone() })
    }

    /// A reply that this node is writing.
    pub fn get(&self, id: MessageId) -> Option<Arc<RunningReply>> {
        self.lock().get(&id).cloned()
    }

    /// All replies whose rows are committed.
    pub fn all(&self) -> Vec<Arc<RunningReply>> {
        self.lock().values().filter(|reply| reply.is_committed.load(Ordering::Acquire)).cloned().collect()
    }

    /// The number of registered replies.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no reply is registered.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, Arc<RunningReply>>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StopReplies for RunningReplies {
    fn stop(&self, replies: &[MessageId]) {
        let running = self.lock();
        replies.iter().filter_map(|id| running.get(id)).for_each(|reply| reply.stop.cancel());
    }

    fn stop_chat(&self, chat: ChatId) {
        self.lock().values().filter(|reply| reply.chat_id == chat).for_each(|reply| reply.stop.cancel());
    }

    fn stop_user(&self, owner: UserId) {
        self.lock().values().filter(|reply| reply.owner == owner).for_each(|reply| reply.stop.cancel());
    }
}

impl Registration {
    /// The reply.
    pub fn reply(&self) -> &Arc<RunningReply> {
        &self.reply
    }

    /// Records that the reply's row is committed.
    pub fn committed(&self) {
        self.reply.is_committed.store(true, Ordering::Release);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.reply.log.outcome().is_none() {
            self.reply.log.end(Outcome::Lost);
        }
        self.all.lock().remove(&self.reply.id);
    }
}
