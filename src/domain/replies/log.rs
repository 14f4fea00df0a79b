//! The log of one reply: an append-only buffer with a watch channel that signals growth. A reader keeps only a
//! position, so that a slow reader uses no extra memory, misses nothing, and receives its backlog as events of bounded
//! size.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::parts::{self, Piece, is_text};
use crate::entity::message;

/// The maximum number of bytes of text in one event.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// The content of a reply so far, and its final message once that is saved.
#[derive(Debug, Default)]
pub struct ReplyLog {
    state: Mutex<State>,
    growth: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    pieces: Vec<(i32, Piece)>,
    end: i32,
    /// Everything before this position is saved in the database.
    saved: i32,
    /// The end of the checkpoint that was proposed and is not confirmed yet.
    proposed: Option<i32>,
    outcome: Option<Outcome>,
}

/// The content that a checkpoint must add to the database.
#[derive(Debug)]
pub struct Proposal {
    /// The pieces with their start positions.
    pub pieces: Vec<(i32, Piece)>,
    /// The position at which the content ends.
    pub end: i32,
    /// Whether the content reaches the end of the log.
    pub is_all: bool,
}

/// The way in which a log ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The final message is saved.
    Finished(Arc<message::Model>),
    /// The final message could not be saved. Another server, or the next start, will end the reply.
    Lost,
}

/// The content at a position.
#[derive(Debug, Clone)]
pub enum Next {
    /// Content that starts at the position.
    Piece {
        /// The position at which it ends.
        end: i32,
        /// The content. Text has at most [`MAX_EVENT_BYTES`].
        piece: Piece,
    },
    /// The log ends here.
    End {
        /// The position at which the log ends.
        end: i32,
        /// The way in which it ended.
        outcome: Outcome,
    },
    /// The log has no content there yet.
    Nothing,
}

/// The position is inside of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InsideCharacter;

impl ReplyLog {
    /// The log of a message that is in its final state.
    pub fn of_message(message: Arc<message::Model>) -> Self {
        let log = Self::default();
        log.finish(message);
        log
    }

    /// Appends a piece, of which [`Self::announce`] notifies the readers. Text is joined with preceding text of the
    /// same kind. Returns the end position of the log.
    pub fn append(&self, piece: Piece) -> i32 {
        let mut state = self.lock();
        let start = state.end;
        state.end = start.saturating_add(piece.span());
        match state.pieces.last_mut() {
            Some((_, last)) if last.kind == piece.kind && is_text(piece.kind) => last.body.push_str(&piece.body),
            _ => state.pieces.push((start, piece)),
        }
        state.end
    }

    /// Notifies the readers of what was appended.
    pub fn announce(&self) {
        self.growth.send_replace(());
    }

    /// Ends the log with its final message, whose content replaces the content of the log. It can be shorter, if
    /// another node ended the reply with the content that had been saved.
    pub fn finish(&self, message: Arc<message::Model>) {
        let mut state = self.lock();
        let (mut pieces, mut end) = (Vec::new(), 0_i32);
        for piece in parts::unfold(&message) {
            let start = end;
            end = end.saturating_add(piece.span());
            pieces.push((start, piece));
        }
        (state.pieces, state.end, state.outcome) = (pieces, end, Some(Outcome::Finished(message)));
        drop(state);
        self.announce();
    }

    /// Ends the log without a final message.
    pub fn end(&self, outcome: Outcome) {
        self.lock().outcome = Some(outcome);
        self.announce();
    }

    /// A receiver that is notified when the log grows. Call [`Self::next`] after subscribing.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.growth.subscribe()
    }

    /// The content at `position`.
    ///
    /// # Errors
    /// If the position is inside of a character.
    pub fn next(&self, position: i32) -> Result<Next, InsideCharacter> {
        let state = self.lock();
        if position >= state.end {
            return Ok(match &state.outcome {
                Some(outcome) => Next::End { end: state.end, outcome: outcome.clone() },
                None => Next::Nothing,
            });
        }
        let index = state.pieces.partition_point(|(start, _)| *start <= position).saturating_sub(1);
        let Some((start, piece)) = state.pieces.get(index) else { return Ok(Next::Nothing) };
        let piece = slice(piece, usize::try_from(position - start).unwrap_or(0), MAX_EVENT_BYTES)?;
        Ok(Next::Piece { end: position.saturating_add(piece.span()), piece })
    }

    /// The way in which the log ended. None if it has not.
    pub fn outcome(&self) -> Option<Outcome> {
        self.lock().outcome.clone()
    }

    /// Waits for the end of the log.
    pub async fn ended(&self) -> Outcome {
        let mut growth = self.watch();
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            if growth.changed().await.is_err() {
                return Outcome::Lost;
            }
        }
    }

    /// The end position of the log.
    pub fn position(&self) -> i32 {
        self.lock().end
    }

    /// All pieces.
    pub fn pieces(&self) -> Vec<Piece> {
        self.lock().pieces.iter().map(|(_, piece)| piece.clone()).collect()
    }

    /// The content that the next checkpoint must add to the database, at most about `limit` bytes. It stays the same
    /// until [`Self::mark_saved`], so that a checkpoint that is repeated after a lost answer writes identical chunks.
    pub fn propose(&self, limit: usize) -> Proposal {
        let mut state = self.lock();
        let end = state.proposed.unwrap_or_else(|| state.boundary(limit));
        state.proposed = Some(end);
        Proposal { pieces: state.between(state.saved, end), end, is_all: end == state.end }
    }

    /// Whether there is content for a checkpoint.
    pub fn has_unsaved(&self) -> bool {
        let state = self.lock();
        state.saved < state.end
    }

    /// Records that everything before `position` is in the database.
    pub fn mark_saved(&self, position: i32) {
        let mut state = self.lock();
        state.saved = state.saved.max(position);
        state.proposed = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The pieces between two positions, which must be on character boundaries.
    fn between(&self, from: i32, to: i32) -> Vec<(i32, Piece)> {
        let first = self.pieces.partition_point(|(start, piece)| start.saturating_add(piece.span()) <= from);
        let covered = self.pieces.iter().skip(first).take_while(|(start, _)| *start < to);
        let cut = covered.filter_map(|(start, piece)| {
            let begin = (*start).max(from);
            let length = usize::try_from(to - begin).unwrap_or(0);
            slice(piece, usize::try_from(begin - start).unwrap_or(0), length).ok().map(|piece| (begin, piece))
        });
        cut.collect()
    }

    /// The position about `limit` bytes after the saved content.
    fn boundary(&self, limit: usize) -> i32 {
        let (mut position, mut room) = (self.saved, limit);
        for (start, piece) in self.between(self.saved, self.end) {
            let taken = match slice(&piece, 0, room) {
                Ok(taken) if taken.span() > 0 => taken,
                _ => break,
            };
            position = start.saturating_add(taken.span());
            room = room.saturating_sub(taken.body.len());
            if room == 0 || taken.span() < piece.span() {
                break;
            }
        }
        // With a limit below one character, the position would never advance.
        if position == self.saved { self.end } else { position }
    }
}

/// The part of a piece that starts at a byte offset, with at most `limit` bytes of text.
fn slice(piece: &Piece, from: usize, limit: usize) -> Result<Piece, InsideCharacter> {
    if !is_text(piece.kind) {
        return Ok(piece.clone());
    }
    let rest = piece.body.get(from..).ok_or(InsideCharacter)?;
    let body = rest[..rest.floor_char_boundary(limit)].to_owned();
    Ok(Piece { kind: piece.kind, body })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::chats;
    use crate::entity::enums::{MessageRole, PieceKind};
    use crate::entity::ids::{ChatId, MessageId};

    fn piece(kind: PieceKind, body: &str) -> Piece {
        Piece { kind, body: body.to_owned() }
    }

    fn text(body: &str) -> Piece {
        piece(PieceKind::Text, body)
    }

    /// Everything from a position on, as a reader receives it.
    fn read(log: &ReplyLog, mut position: i32) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Ok(Next::Piece { end, piece }) = log.next(position) {
            assert!(end > position, "positions only grow");
            position = end;
            pieces.push(piece);
        }
        pieces
    }

    #[test]
    fn text_joins_and_calls_count_one() {
        let log = ReplyLog::default();
        log.append(piece(PieceKind::Reasoning, "hm"));
        log.append(text("Grü"));
        log.append(text("ße"));
        log.append(piece(PieceKind::Call, "{}"));
        assert_eq!(log.append(piece(PieceKind::Result, "{}")), 2 + 7 + 2);
        let kinds: Vec<PieceKind> = read(&log, 0).iter().map(|piece| piece.kind).collect();
        assert_eq!(kinds, [PieceKind::Reasoning, PieceKind::Text, PieceKind::Call, PieceKind::Result]);
        assert_eq!(read(&log, 2)[0].body, "Grüße");
        assert_eq!(log.next(5).unwrap_err(), InsideCharacter);
        assert!(matches!(log.next(11), Ok(Next::Nothing)));
        log.end(Outcome::Lost);
        assert!(matches!(log.next(99), Ok(Next::End { end: 11, .. })));
    }

    #[test]
    fn a_backlog_comes_as_events_of_bounded_size() {
        let log = ReplyLog::default();
        let body = "aé".repeat(MAX_EVENT_BYTES / 3 + 100);
        log.append(text(&body));
        let pieces = read(&log, 0);
        assert!(pieces.iter().all(|piece| piece.body.len() <= MAX_EVENT_BYTES));
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces.iter().map(|piece| piece.body.as_str()).collect::<String>(), body);
    }

    #[test]
    fn checkpoints_contain_only_new_content() {
        let log = ReplyLog::default();
        log.append(text("abc"));
        let first = log.propose(100);
        assert_eq!((first.pieces, first.is_all), (vec![(0, text("abc"))], true));
        log.append(text("dé"));
        let again = log.propose(100);
        assert_eq!((again.pieces, again.is_all), (vec![(0, text("abc"))], false), "the same until it is confirmed");
        log.mark_saved(first.end);
        log.append(piece(PieceKind::Call, "{}"));
        let second = log.propose(100);
        assert_eq!(second.pieces, [(3, text("dé")), (6, piece(PieceKind::Call, "{}"))]);
        assert!(log.has_unsaved());
        log.mark_saved(second.end);
        assert!(!log.has_unsaved() && log.propose(100).pieces.is_empty());
    }

    #[test]
    fn a_long_backlog_is_saved_in_several_checkpoints() {
        let log = ReplyLog::default();
        log.append(piece(PieceKind::Reasoning, "ab€"));
        log.append(text(&"é".repeat(10)));
        let mut saved = Vec::new();
        while log.has_unsaved() {
            let proposal = log.propose(4);
            assert!(proposal.pieces.iter().map(|(_, piece)| piece.body.len()).sum::<usize>() <= 4);
            saved.extend(proposal.pieces.into_iter().map(|(_, piece)| piece));
            log.mark_saved(proposal.end);
        }
        assert_eq!(parts::join(saved), log.pieces());
        log.append(text("😀"));
        assert_eq!(log.propose(1).end, log.position(), "one character is saved whole");
    }

    #[test]
    fn the_final_message_decides_where_a_log_ends() {
        let log = ReplyLog::default();
        log.append(text("saved, and not saved"));
        let (id, chat) = (MessageId(uuid::Uuid::nil()), ChatId(uuid::Uuid::nil()));
        let now = chrono::DateTime::UNIX_EPOCH;
        log.finish(Arc::new(chats::message(id, chat, MessageRole::Assistant, "saved", None, now)));
        assert_eq!(read(&log, 0), [text("saved")]);
        assert!(matches!(log.next(20), Ok(Next::End { end: 5, .. })), "also for a reader that is further on");
    }

    fn any_piece() -> impl Strategy<Value = Piece> {
        let kind = prop_oneof![
            4 => Just(PieceKind::Text),
            2 => Just(PieceKind::Reasoning),
            1 => Just(PieceKind::Call),
            1 => Just(PieceKind::Result)
        ];
        (kind, "[a-zé€😀]{1,6}").prop_map(|(kind, text)| {
            let body = if is_text(kind) { text } else { format!("{{\"k\":\"{text}\"}}") };
            Piece { kind, body }
        })
    }

    proptest! {
        /// A reader receives the stored content, wherever it reconnects and wherever checkpoints are made.
        #[test]
        fn readers_resume_at_any_position(pieces in proptest::collection::vec(any_piece(), 0..30), cut in 0_usize..200) {
            let log = ReplyLog::default();
            let mut chunks = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                log.append(piece.clone());
                if index % 3 == 0 {
                    let proposal = log.propose(7);
                    chunks.extend(proposal.pieces.into_iter().map(|(_, piece)| piece));
                    log.mark_saved(proposal.end);
                }
            }
            chunks.extend(log.propose(usize::MAX).pieces.into_iter().map(|(_, piece)| piece));
            let whole = read(&log, 0);
            prop_assert_eq!(&whole, &log.pieces());
            prop_assert_eq!(&parts::join(chunks), &whole);
            let end = log.position();
            let cut = i32::try_from(cut).unwrap().min(end);
            if log.next(cut).is_ok() {
                let mut before = Vec::new();
                let mut position = 0;
                for piece in &whole {
                    let room = usize::try_from((cut - position).clamp(0, piece.span())).unwrap();
                    if room > 0 {
                        let body = if is_text(piece.kind) { piece.body[..room].to_owned() } else { piece.body.clone() };
                        before.push(Piece { kind: piece.kind, body });
                    }
                    position += piece.span();
                }
                prop_assert_eq!(parts::join(before.into_iter().chain(read(&log, cut))), whole);
            }
            let (body, layout) = parts::fold(&log.pieces());
            prop_assert_eq!(parts::unfold_parts(&body, layout.as_deref()), log.pieces());
        }
    }
}
