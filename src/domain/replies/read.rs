//! Reading a reply, from any position, while it is written and after, on any node.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use super::log::{Next, Outcome, ReplyLog};
use super::parts::{self, Call, CallResult, Piece, ToolCall, ToolCallState};
use super::running::Running;
use super::{Engine, Replies};
use crate::domain::{Error, FieldErrorCode, Result, Viewer};
use crate::entity::enums::{MessageRole, MessageStatus, PieceKind};
use crate::entity::ids::{MessageId, ToolCallId, UserId};
use crate::entity::message;
use crate::storage;

/// How often a reply that another server writes is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How long a reader of a lost reply waits for the database.
const OUTAGE_WAIT: Duration = Duration::from_secs(120);
/// How long a stop may take to reach the reply, on whichever server it is written.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// An event of a reply. `start` and `end` are positions.
#[derive(Debug, Clone)]
pub enum ReplyEvent {
    /// More of the answer.
    Text {
        /// Where it starts.
        start: i32,
        /// Where it ends.
        end: i32,
        /// The text.
        text: String,
    },
    /// More of the reasoning.
    Reasoning {
        /// Where it starts.
        start: i32,
        /// Where it ends.
        end: i32,
        /// The text.
        text: String,
    },
    /// A tool call that began, or ended.
    ToolCall {
        /// Where it starts.
        start: i32,
        /// Where it ends.
        end: i32,
        /// The call.
        call: ToolCall,
    },
    /// The reply is final; always the last event.
    Finished {
        /// Where the reply ends.
        position: i32,
        /// The message.
        message: Arc<message::Model>,
    },
}

/// A log that is held as long as somebody reads it.
#[derive(Clone)]
enum Source {
    Running(Arc<Running>),
    Stored(Arc<ReplyLog>),
}

impl Source {
    fn log(&self) -> &ReplyLog {
        match self {
            Self::Running(reply) => &reply.log,
            Self::Stored(log) => log,
        }
    }
}

struct Reader {
    engine: Arc<Engine>,
    viewer: UserId,
    id: MessageId,
    source: Source,
    growth: watch::Receiver<()>,
    position: i32,
    is_done: bool,
}

impl Replies {
    /// The events of a reply from the position `after` on, each once and none missing, then its end.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is no reply in a chat of the viewer; [`Error::Invalid`] when `after` is negative or inside
    /// a character.
    pub async fn read(
        &self,
        viewer: &Viewer,
        id: MessageId,
        after: Option<i32>,
    ) -> Result<impl Stream<Item = Result<ReplyEvent>> + Send + use<>> {
        let position = after.unwrap_or(0);
        if position < 0 {
            return Err(Error::invalid("after", FieldErrorCode::OutOfRange, "A position is at least 0."));
        }
        let source = self.0.attach(viewer.user_id, id).await?;
        source.log().next(position).map_err(|_| inside_character())?;
        let (engine, viewer, growth) = (Arc::clone(&self.0), viewer.user_id, source.log().watch());
        let reader = Reader { engine, viewer, id, source, growth, position, is_done: false };
        Ok(stream::unfold(reader, |mut reader| async move {
            if reader.is_done {
                return None;
            }
            let event = reader.next().await;
            reader.is_done = matches!(event, Err(_) | Ok(ReplyEvent::Finished { .. }));
            Some((event, reader))
        }))
    }

    /// Stops a reply, on whichever server it is written, and answers its final state. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is no reply in a chat of the viewer; [`Error::Unavailable`] when the server that writes it
    /// does not answer in time.
    pub async fn stop(&self, viewer: &Viewer, id: MessageId) -> Result<message::Model> {
        let source = self.0.attach(viewer.user_id, id).await?;
        match &source {
            Source::Running(reply) => reply.stop.cancel(),
            Source::Stored(log) if log.outcome().is_none() => {
                let tx = self.0.db.begin().await?;
                storage::messages::request_stop(&tx, id).await?;
                tx.commit().await?;
            }
            Source::Stored(_) => {}
        }
        let ended = tokio::time::timeout(STOP_WAIT, outcome(source.log())).await;
        if let Ok(Outcome::Finished(message)) = ended {
            return Ok(Arc::unwrap_or_clone(message));
        }
        match storage::messages::find(self.0.db.reader(), viewer.user_id, id).await? {
            Some(message) if message.status != MessageStatus::Streaming => Ok(message),
            Some(_) => Err(Error::Unavailable { message: "The reply is being stopped.", retry_after: Some(POLL * 2) }),
            None => Err(Error::NotFound),
        }
    }

    /// A tool call in a chat of the viewer, from the moment when the readers of its reply hear of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn call(&self, viewer: &Viewer, id: ToolCallId) -> Result<Option<ToolCall>> {
        // What no checkpoint has saved yet is in the logs alone; a user has a few of them at most.
        let running = self.0.running.all().into_iter().filter(|reply| reply.owner == viewer.user_id);
        if let Some(call) = running.map(|reply| reply.log.pieces()).find_map(|pieces| parts::find_call(&pieces, id)) {
            return Ok(Some(call));
        }
        let row = storage::messages::find_by_call(self.0.db.reader(), viewer.user_id, id).await?;
        let Some(message) = row else { return Ok(None) };
        Ok(parts::find_call(&self.pieces(&message).await?, id))
    }

    /// What a message holds now, with the pieces that a running reply has so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pieces(&self, message: &message::Model) -> Result<Vec<Piece>> {
        if message.status != MessageStatus::Streaming {
            return Ok(parts::unfold(message));
        }
        if let Some(running) = self.0.running.get(message.id) {
            return Ok(running.log.pieces());
        }
        match storage::messages::find_any(self.0.db.reader(), message.id).await? {
            Some(now) if now.status != MessageStatus::Streaming => Ok(parts::unfold(&now)),
            _ => self.0.saved_pieces(message.id, 0).await,
        }
    }
}

impl Engine {
    /// Finds a reply's log: while it is written here, in its row, or on another server.
    async fn attach(self: &Arc<Self>, viewer: UserId, id: MessageId) -> Result<Source> {
        let here = || self.running.get(id).filter(|reply| reply.owner == viewer && reply.is_committed());
        if let Some(reply) = here() {
            return Ok(Source::Running(reply));
        }
        let row = storage::messages::find(self.db.reader(), viewer, id).await?;
        let reply = row.filter(|row| row.role == MessageRole::Assistant).ok_or(Error::NotFound)?;
        if reply.status != MessageStatus::Streaming {
            return Ok(Source::Stored(Arc::new(ReplyLog::of_message(Arc::new(reply)))));
        }
        // It may have been registered, or ended, between the two looks.
        Ok(here().map_or_else(|| Source::Stored(self.replica(id)), Source::Running))
    }

    /// The log of a reply that another server writes: one for all readers here, fed as long as there are any.
    fn replica(self: &Arc<Self>, id: MessageId) -> Arc<ReplyLog> {
        let mut replicas = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        replicas.retain(|_, log| log.strong_count() > 0);
        if let Some(log) = replicas.get(&id).and_then(std::sync::Weak::upgrade).filter(|log| log.outcome().is_none()) {
            return log;
        }
        let log = Arc::new(ReplyLog::default());
        replicas.insert(id, Arc::downgrade(&log));
        let (engine, fed) = (Arc::clone(self), Arc::clone(&log));
        self.tracker.spawn(async move { engine.feed(id, fed).await });
        log
    }

    async fn feed(&self, id: MessageId, log: Arc<ReplyLog>) {
        while Arc::strong_count(&log) > 1 && !self.hard_stop.is_cancelled() {
            match self.fetch(id, &log).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(cause) => tracing::warn!(reply = %id, error = &cause as &dyn std::error::Error, "reply not read"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Appends what is new; true when the reply has ended.
    async fn fetch(&self, id: MessageId, log: &ReplyLog) -> Result<bool> {
        for piece in self.saved_pieces(id, log.position()).await? {
            log.append(piece);
        }
        match storage::messages::find_any(self.db.reader(), id).await? {
            Some(row) if row.status == MessageStatus::Streaming => return Ok(false),
            Some(row) => log.finish(Arc::new(row)),
            None => log.end(Outcome::Lost),
        }
        Ok(true)
    }

    async fn saved_pieces(&self, id: MessageId, from: i32) -> Result<Vec<Piece>> {
        Ok(parts::from_chunks(storage::reply_chunks::after(self.db.reader(), id, from).await?, from))
    }
}

impl Reader {
    async fn next(&mut self) -> Result<ReplyEvent> {
        loop {
            self.growth.borrow_and_update();
            let start = self.position;
            match self.source.log().next(start).map_err(|_| inside_character())? {
                Next::Piece { end, piece } => {
                    self.position = end;
                    if let Some(event) = self.event(start, end, piece) {
                        return Ok(event);
                    }
                }
                Next::End { end, outcome: Outcome::Finished(message) } => {
                    return Ok(ReplyEvent::Finished { position: end, message });
                }
                Next::End { outcome: Outcome::Lost, .. } => {
                    // Boxed: every reader would hold the space for it, and hardly any ever needs it.
                    Box::pin(self.attach_again()).await?;
                }
                Next::Nothing => {
                    // The sender lives in the log that `source` holds.
                    drop(self.growth.changed().await);
                    // To the end of the line: what providers sent at once joins in the log first, and goes out together.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Looks up what became of a lost reply: deleted, ended elsewhere, or still to be ended. An outage of the database is waited out.
    async fn attach_again(&mut self) -> Result<()> {
        let give_up = tokio::time::Instant::now() + OUTAGE_WAIT;
        self.source = loop {
            tokio::time::sleep(POLL).await;
            match self.engine.attach(self.viewer, self.id).await {
                Err(Error::Unavailable { .. }) if tokio::time::Instant::now() < give_up => {}
                attached => break attached?,
            }
        };
        self.growth = self.source.log().watch();
        Ok(())
    }

    fn event(&self, start: i32, end: i32, piece: Piece) -> Option<ReplyEvent> {
        match piece.kind {
            PieceKind::Text => Some(ReplyEvent::Text { start, end, text: piece.body }),
            PieceKind::Reasoning => Some(ReplyEvent::Reasoning { start, end, text: piece.body }),
            PieceKind::Call => {
                let call: Call = serde_json::from_str(&piece.body).ok()?;
                Some(ReplyEvent::ToolCall { start, end, call: ToolCall { call, state: ToolCallState::Running } })
            }
            PieceKind::Result => {
                let result: CallResult = serde_json::from_str(&piece.body).ok()?;
                let call = parts::find_call(&self.source.log().pieces(), result.id)?;
                Some(ReplyEvent::ToolCall {
                    start,
                    end,
                    call: ToolCall { state: ToolCallState::Ended(result), ..call },
                })
            }
        }
    }
}

async fn outcome(log: &ReplyLog) -> Outcome {
    let mut growth = log.watch();
    loop {
        growth.borrow_and_update();
        if let Some(outcome) = log.outcome() {
            return outcome;
        }
        drop(growth.changed().await);
    }
}

fn inside_character() -> Error {
    Error::invalid("after", FieldErrorCode::Malformed, "The position lies inside a character.")
}
