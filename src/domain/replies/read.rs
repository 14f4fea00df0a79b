//! Reading a reply from any position, during and after its writing, on any node.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use super::log::{Next, Outcome, ReplyLog};
use super::parts::{self, Call, CallResult, Piece, ToolCall, ToolCallState};
use super::running::RunningReply;
use super::{Engine, Replies};
use crate::domain::{Error, FieldErrorCode, Result, Viewer};
use crate::entity::enums::{MessageRole, MessageStatus, PieceKind};
use crate::entity::ids::{MessageId, ToolCallId, UserId};
use crate::entity::message;
use crate::storage;

/// The interval at which a reply of another node is polled.
const POLL: Duration = Duration::from_millis(500);
/// The longest time for which a reader of a lost reply waits for the database.
const OUTAGE_WAIT: Duration = Duration::from_secs(120);
/// The longest time for which a stop may take to reach the reply, on any node.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Tool calls, and the size of the stored messages that were read for them, in bytes.
#[derive(Debug, Default)]
pub struct FoundCalls {
    /// The calls.
    pub calls: Vec<ToolCall>,
    /// The size.
    pub bytes: usize,
}

/// An event of a reply, with positions.
#[derive(Debug, Clone)]
pub enum ReplyEvent {
    /// Text of the answer.
    Text {
        /// The start position.
        start: i32,
        /// The end position.
        end: i32,
        /// The text.
        text: String,
    },
    /// Text of the reasoning.
    Reasoning {
        /// The start position.
        start: i32,
        /// The end position.
        end: i32,
        /// The text.
        text: String,
    },
    /// A tool call that started or ended.
    ToolCall {
        /// The start position.
        start: i32,
        /// The end position.
        end: i32,
        /// The call.
        call: ToolCall,
    },
    /// The reply has its final state. Always the last event.
    Finished {
        /// The end position of the reply.
        position: i32,
        /// The message.
        message: Arc<message::Model>,
    },
}

/// The log that a reader reads. It is kept as long as it has readers.
#[derive(Clone)]
enum Source {
    Running(Arc<RunningReply>),
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
    /// The events of a reply after the position `after`, without gaps or repeats, ending with [`ReplyEvent::Finished`].
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not a reply in a chat of the viewer; [`Error::Invalid`] if `after` is negative or
    /// inside of a character.
    pub async fn read(
        &self,
        viewer: &Viewer,
        id: MessageId,
        after: Option<i32>,
    ) -> Result<impl Stream<Item = Result<ReplyEvent>> + Send + use<>> {
        let position = after.unwrap_or(0);
        if position < 0 {
            return Err(Error::invalid("after", FieldErrorCode::OutOfRange, "Must not be negative."));
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

    /// Stops a reply on the node that writes it, and returns its final state. A reply that has ended is returned
    /// unchanged.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not a reply in a chat of the viewer; [`Error::Unavailable`] if the node that writes
    /// it does not react in time.
    pub async fn stop(&self, viewer: &Viewer, id: MessageId) -> Result<message::Model> {
        let source = self.0.attach(viewer.user_id, id).await?;
        match &source {
            Source::Running(reply) => reply.stop.cancel(),
            Source::Stored(log) if log.outcome().is_none() => {
                let transaction = self.0.database.begin().await?;
                storage::messages::request_stop(&transaction, id).await?;
                transaction.commit().await?;
            }
            Source::Stored(_) => {}
        }
        let ended = tokio::time::timeout(STOP_WAIT, outcome(source.log())).await;
        if let Ok(Outcome::Finished(message)) = ended {
            return Ok(Arc::unwrap_or_clone(message));
        }
        match storage::messages::find(self.0.database.reader(), viewer.user_id, id).await? {
            Some(message) if message.status != MessageStatus::Streaming => Ok(message),
            Some(_) => Err(Error::Unavailable {
                message: "The reply has not stopped yet. Try again.",
                retry_after: Some(POLL * 2),
            }),
            None => Err(Error::NotFound),
        }
    }

    /// Those of these tool calls that are in chats of the viewer. A call is found as soon as the readers of the reply
    /// receive it. If the messages have more than `max_bytes`, some are left out, and `bytes` exceeds `max_bytes`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn calls(&self, viewer: &Viewer, ids: &[ToolCallId], max_bytes: u64) -> Result<FoundCalls> {
        let mut found = FoundCalls::default();
        // Calls that no checkpoint has saved yet are only in the logs. A user has few running replies.
        for reply in self.0.running.all().into_iter().filter(|reply| reply.owner == viewer.user_id) {
            found.calls.extend(parts::find_calls(&reply.log.pieces(), ids));
        }
        let is_open = |id: &&ToolCallId| found.calls.iter().all(|call| call.call.id != **id);
        let open: Vec<ToolCallId> = ids.iter().filter(is_open).copied().collect();
        if open.is_empty() {
            return Ok(found);
        }
        let db = self.0.database.reader();
        for message in storage::messages::find_by_calls(db, viewer.user_id, &open, max_bytes).await? {
            found.bytes += message.body.len() + message.layout.as_ref().map_or(0, String::len);
            found.calls.extend(parts::find_calls(&self.pieces(&message).await?, &open));
        }
        Ok(found)
    }

    /// The pieces of a message. For a running reply, the pieces so far.
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
        match storage::messages::find_any(self.0.database.reader(), message.id).await? {
            Some(now) if now.status != MessageStatus::Streaming => Ok(parts::unfold(&now)),
            _ => self.0.saved_pieces(message.id, 0).await,
        }
    }
}

impl Engine {
    /// Finds the log of a reply: on this node if it is running here, from its row if it has ended, otherwise from
    /// another node.
    async fn attach(self: &Arc<Self>, viewer: UserId, id: MessageId) -> Result<Source> {
        let here = || self.running.get(id).filter(|reply| reply.owner == viewer && reply.is_committed());
        if let Some(reply) = here() {
            return Ok(Source::Running(reply));
        }
        let row = storage::messages::find(self.database.reader(), viewer, id).await?;
        let reply = row.filter(|row| row.role == MessageRole::Assistant).ok_or(Error::NotFound)?;
        if reply.status != MessageStatus::Streaming {
            return Ok(Source::Stored(Arc::new(ReplyLog::of_message(Arc::new(reply)))));
        }
        // The reply may have been registered or ended between the two lookups.
        Ok(here().map_or_else(|| Source::Stored(self.replica(id)), Source::Running))
    }

    /// The log of a reply that another node writes. It is shared by all readers on this node and polled while there are
    /// any.
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
                Err(cause) => tracing::warn!(
                    duologue.reply.id = %id,
                    exception.message = &cause as &dyn std::error::Error,
                    "reply not read"
                ),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Appends new content. Returns true when the reply has ended.
    async fn fetch(&self, id: MessageId, log: &ReplyLog) -> Result<bool> {
        let pieces = self.saved_pieces(id, log.position()).await?;
        if !pieces.is_empty() {
            for piece in pieces {
                log.append(piece);
            }
            log.announce();
        }
        match storage::messages::find_any(self.database.reader(), id).await? {
            Some(row) if row.status == MessageStatus::Streaming => return Ok(false),
            Some(row) => log.finish(Arc::new(row)),
            None => log.end(Outcome::Lost),
        }
        Ok(true)
    }

    async fn saved_pieces(&self, id: MessageId, from: i32) -> Result<Vec<Piece>> {
        Ok(parts::from_chunks(storage::reply_chunks::after(self.database.reader(), id, from).await?, from))
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
                    // Boxed because it is rarely needed and would enlarge every reader.
                    Box::pin(self.attach_again()).await?;
                }
                Next::Nothing => {
                    // The sender cannot be dropped: it belongs to the log in `source`.
                    drop(self.growth.changed().await);
                }
            }
        }
    }

    /// Looks up the state of a lost reply: deleted, ended on another node, or still running. Waits while the database
    /// is unavailable.
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
    Error::invalid("after", FieldErrorCode::Malformed, "The position is inside of a character.")
}
