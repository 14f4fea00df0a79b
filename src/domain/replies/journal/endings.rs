//! The queue of endings. An ending stays in the queue until its final row is saved, until the database shows another
//! final row, or until the hard stop. Waiting endings are saved together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::log::Outcome;
use super::super::report;
use super::super::running::Registration;
use super::store::{Ended, FinalReply};
use super::{HARD_STOP_LIMIT, Journal, step};
use crate::domain::{Error, Result};

/// The maximum number of endings in one transaction.
const BATCH: usize = 32;
/// The maximum number of bytes in one transaction. A single larger ending has its own transaction.
const BATCH_BYTES: usize = 1024 * 1024;
/// The delay after a failure. It doubles with each failure up to the limit.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// The maximum number of attempts to save an ending that the database refuses while it is available.
const MAX_REFUSALS: u32 = 5;

/// The endings that are not saved yet, oldest first.
#[derive(Default)]
pub(super) struct Endings {
    queue: Mutex<VecDeque<Pending>>,
    arrived: Notify,
}

struct Pending {
    /// Keeps the reply registered, with its log for readers, and counted in the limits.
    registration: Registration,
    reply: Arc<FinalReply>,
    refusals: u32,
}

impl Endings {
    pub(super) fn push(&self, registration: Registration, reply: FinalReply) {
        self.lock().push_back(Pending { registration, reply: Arc::new(reply), refusals: 0 });
        self.arrived.notify_one();
    }

    /// The oldest endings, at most `most`.
    fn first_batch(&self, most: usize) -> Vec<Arc<FinalReply>> {
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            let is_first = bytes == 0;
            bytes += pending.reply.row.body.len() + 1;
            is_first || bytes <= BATCH_BYTES
        };
        self.lock().iter().take(most).take_while(fits).map(|pending| Arc::clone(&pending.reply)).collect()
    }

    /// Removes the oldest ending and notifies the readers of its reply. Returns it if this node ended the reply.
    fn resolve_first(&self, ended: Ended) -> Option<Arc<FinalReply>> {
        let Pending { registration, reply, .. } = self.lock().pop_front()?;
        let log = &registration.reply().log;
        match ended {
            Ended::Saved => {
                log.finish(Arc::new(reply.row.clone()));
                return Some(reply);
            }
            Ended::Before(row) => {
                if row.status != reply.row.status {
                    tracing::warn!(
                        duologue.reply.id = %reply.row.id,
                        status = ?row.status,
                        "another node ended this reply first"
                    );
                }
                log.finish(Arc::from(row));
            }
            Ended::Gone => log.end(Outcome::Lost),
        }
        None
    }

    /// Moves the oldest ending, which the database refused, to the end of the queue. Drops it after [`MAX_REFUSALS`]
    /// attempts.
    fn refuse_first(&self, cause: &Error) {
        let mut queue = self.lock();
        let Some(mut pending) = queue.pop_front() else { return };
        pending.refusals += 1;
        let (id, refusals) = (pending.reply.row.id, pending.refusals);
        tracing::error!(
            duologue.reply.id = %id,
            refusals,
            exception.message = cause as &dyn std::error::Error,
            "the end of a reply was refused"
        );
        if refusals < MAX_REFUSALS {
            queue.push_back(pending);
        }
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Saves endings until `stop` is cancelled and the queue is empty, or until the hard stop.
    pub(super) async fn save_endings_until(&self, stop: CancellationToken) {
        let hard_stop = async {
            self.hard_stop.cancelled().await;
            tokio::time::sleep(HARD_STOP_LIMIT).await;
        };
        tokio::select! {
            () = self.drain(&stop) => {}
            () = hard_stop => tracing::error!(
                endings = self.endings.len(),
                "stopped before every reply's end was saved"
            ),
        }
    }

    fn resolve_first(&self, ended: Ended) {
        if let Some(reply) = self.endings.resolve_first(ended) {
            report::ended(&reply.row, &self.models, &self.metrics);
        }
    }

    async fn drain(&self, stop: &CancellationToken) {
        let (mut retry, mut most) = (FIRST_RETRY, BATCH);
        loop {
            let batch = self.endings.first_batch(most);
            if batch.is_empty() {
                if stop.is_cancelled() {
                    return;
                }
                stop.run_until_cancelled(self.endings.arrived.notified()).await;
                continue;
            }
            match self.save_endings(&batch).await {
                Ok(()) => (retry, most) = (FIRST_RETRY, (2 * most).min(BATCH)),
                Err(cause) => {
                    let endings = self.endings.len();
                    tracing::warn!(
                        endings,
                        exception.message = &cause as &dyn std::error::Error,
                        "ends of replies not saved yet"
                    );
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(LAST_RETRY);
                    // A slow database may not save a full batch within the deadline of a step, however often it is
                    // tried.
                    most = (most / 2).max(1);
                }
            }
        }
    }

    /// Saves the first endings: in one transaction, or one by one if the database refuses one of them.
    pub(super) async fn save_endings(&self, batch: &[Arc<FinalReply>]) -> Result<()> {
        match step(self.store.end(batch)).await {
            Ok(all) => {
                all.into_iter().for_each(|ended| self.resolve_first(ended));
                return Ok(());
            }
            Err(cause @ Error::Unavailable { .. }) => return Err(cause),
            Err(_) => {}
        }
        for reply in batch {
            match step(self.store.end(std::slice::from_ref(reply))).await {
                Ok(ended) => ended.into_iter().for_each(|ended| self.resolve_first(ended)),
                Err(cause @ Error::Unavailable { .. }) => return Err(cause),
                Err(cause) => self.endings.refuse_first(&cause),
            }
        }
        Ok(())
    }
}
