//! The log of one reply: an append-only buffer, and a watch on its growth. A reader holds a position and nothing else, so a
//! slow one costs nothing, loses nothing, and gets what piled up as one event of bounded size.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::parts::{self, Piece, is_text};
use crate::entity::enums::PieceKind;
use crate::entity::message;

/// The most bytes of text that one event brings.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// What one reply has written so far, and its final message once that is saved.
#[derive(Debug, Default)]
pub struct ReplyLog {
    state: Mutex<State>,
    growth: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    pieces: Vec<(i32, Piece)>,
    end: i32,
    saved: i32,
    outcome: Option<Outcome>,
}

/// How a log ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The final message is saved.
    Finished(Arc<message::Model>),
    /// The end could not be saved; another server, or the next start, will end the reply.
    Lost,
}

/// What lies at a position.
#[derive(Debug, Clone)]
pub enum Next {
    /// Content from the position on.
    Piece {
        /// Where it ends.
        end: i32,
        /// What it is; of text at most [`MAX_EVENT_BYTES`].
        piece: Piece,
    },
    /// Nothing more will come.
    End {
        /// Where the log ends.
        end: i32,
        /// How.
        outcome: Outcome,
    },
    /// Nothing yet.
    Nothing,
}

/// The position lies inside a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InsideCharacter;

impl ReplyLog {
    /// The log of a message that has its final state.
    pub fn of_message(message: Arc<message::Model>) -> Self {
        let log = Self::default();
        for piece in parts::unfold(&message) {
            log.append(piece);
        }
        log.end(Outcome::Finished(message));
        log
    }

    /// Adds a piece; text joins the text before it. Answers where the log ends now.
    pub fn append(&self, piece: Piece) -> i32 {
        let mut state = self.lock();
        let start = state.end;
        state.end = start.saturating_add(piece.span());
        match state.pieces.last_mut() {
            Some((_, last)) if last.kind == piece.kind && is_text(piece.kind) => last.body.push_str(&piece.body),
            _ => state.pieces.push((start, piece)),
        }
        let end = state.end;
        drop(state);
        self.growth.send_replace(());
        end
    }

    /// Ends the log.
    pub fn end(&self, outcome: Outcome) {
        self.lock().outcome = Some(outcome);
        self.growth.send_replace(());
    }

    /// Tells of growth from now on; look at [`Self::next`] after taking it.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.growth.subscribe()
    }

    /// What lies at `position`.
    ///
    /// # Errors
    /// When it lies inside a character.
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

    /// How the log ended, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.lock().outcome.clone()
    }

    /// Where the log ends now.
    pub fn position(&self) -> i32 {
        self.lock().end
    }

    /// All pieces.
    pub fn pieces(&self) -> Vec<Piece> {
        self.lock().pieces.iter().map(|(_, piece)| piece.clone()).collect()
    }

    /// What a checkpoint must add to the database, with the positions where it starts, and where it ends.
    pub fn unsaved(&self) -> (Vec<(i32, Piece)>, i32) {
        let state = self.lock();
        let first = state.pieces.partition_point(|(start, piece)| start.saturating_add(piece.span()) <= state.saved);
        let unsaved = state.pieces.iter().skip(first).filter_map(|(start, piece)| {
            let from = usize::try_from(state.saved - start).unwrap_or(0);
            slice(piece, from, usize::MAX).ok().map(|piece| ((*start).max(state.saved), piece))
        });
        (unsaved.collect(), state.end)
    }

    /// Whether a checkpoint has something to add.
    pub fn has_unsaved(&self) -> bool {
        let state = self.lock();
        state.saved < state.end
    }

    /// Notes that everything before `position` is in the database.
    pub fn mark_saved(&self, position: i32) {
        let mut state = self.lock();
        state.saved = state.saved.max(position);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece from a byte on, with at most `limit` bytes of text.
fn slice(piece: &Piece, from: usize, limit: usize) -> Result<Piece, InsideCharacter> {
    if !is_text(piece.kind) {
        return Ok(piece.clone());
    }
    let rest = piece.body.get(from..).ok_or(InsideCharacter)?;
    let body = rest[..rest.floor_char_boundary(limit)].to_owned();
    Ok(Piece { kind: piece.kind, body })
}

/// A text piece.
pub fn text(body: impl Into<String>) -> Piece {
    Piece { kind: PieceKind::Text, body: body.into() }
}
