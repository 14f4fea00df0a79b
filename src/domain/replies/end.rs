//! The end of a reply: one conditional UPDATE with everything that belongs to it, in one transaction. Who comes second
//! touches no row; that decides stop against finish, and fences a server that slept past its lease.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::log::Outcome;
use super::parts::{self, Call, CallResult, Piece, ToolCallState};
use super::prompt::estimate_tokens;
use super::running::Running;
use super::write::Progress;
use crate::domain::Result;
use crate::entity::enums::{FinishReason, MessageStatus, PieceKind, ReplyErrorCode};
use crate::entity::ids::{BootId, MessageId};
use crate::entity::{message, tool_call};
use crate::llm::Usage;
use crate::llm::registry::Model;
use crate::storage;

/// How often the final row is tried when the database fails, and the wait that grows between.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Why the writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Complete(FinishReason),
    /// This server ended it, because it was longer than a reply may be.
    Cut,
    Stopped,
    Failed(ReplyErrorCode),
    Interrupted,
}

/// What the final row is made of.
pub(super) struct Record<'a> {
    pub(super) reply: message::Model,
    pub(super) question: message::Model,
    pub(super) ending: Ending,
    pub(super) progress: &'a Progress,
}

impl Engine {
    /// Ends a reply that this server wrote, and tells its readers.
    pub(super) async fn end(&self, running: &Running, record: Record<'_>) {
        let pieces = close_calls(running.log.pieces());
        let reply = self.final_row(&pieces, record);
        let mut wait = FIRST_WAIT;
        for attempt in 1..=ATTEMPTS {
            match self.save_end(Some(self.boot), &reply, &pieces).await {
                Ok(true) => {
                    for piece in pieces.iter().skip(running.log.pieces().len()) {
                        running.log.append(piece.clone());
                    }
                    running.log.end(Outcome::Finished(Arc::new(reply)));
                    return;
                }
                Ok(false) => {
                    tracing::warn!(reply = %running.id, "the reply was ended by somebody else");
                    return;
                }
                Err(cause) => {
                    tracing::error!(reply = %running.id, attempt, error = &cause as &dyn std::error::Error, "end of reply not saved");
                }
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    /// Ends a reply that nobody writes any more, with what had been saved of it. False when somebody else did.
    pub(super) async fn interrupt(&self, mut reply: message::Model) -> Result<bool> {
        let mut end = 0;
        let chunks = storage::messages::chunks(self.db.reader(), reply.id, 0).await?;
        let whole = chunks.into_iter().map_while(|(start, kind, body)| {
            let piece = Piece { kind, body };
            let follows = start == end;
            end += piece.span();
            follows.then_some(piece)
        });
        let pieces = close_calls(parts::join(whole));
        (reply.body, reply.layout) = parts::fold(&pieces);
        let written = text_tokens(&pieces);
        if !pieces.is_empty() {
            let model = reply.model_id.as_deref().and_then(|id| self.models.get(id));
            let usage = estimate(reply.branch_tokens, written);
            set_usage(&mut reply, model.as_deref(), usage, true);
        }
        reply.branch_tokens = reply.branch_tokens.saturating_add(written);
        reply.status = MessageStatus::Interrupted;
        reply.error_code = Some(ReplyErrorCode::Interrupted);
        reply.completed_at = Some(self.clock.now());
        let owner = reply.boot_id.take();
        self.save_end(owner, &reply, &pieces).await
    }

    async fn save_end(&self, owner: Option<BootId>, reply: &message::Model, pieces: &[Piece]) -> Result<bool> {
        let tx = self.db.begin().await?;
        // The chat before the message: whoever writes to a tree takes its locks in this order.
        storage::chats::touch(&tx, reply.chat_id, self.clock.now()).await?;
        let is_ours = storage::messages::finish(&tx, owner, reply).await?;
        if is_ours {
            let calls = pieces.iter().filter_map(|piece| registered(reply.id, piece)).collect();
            storage::messages::insert_calls(&tx, calls).await?;
            tx.commit().await?;
        }
        Ok(is_ours)
    }

    fn final_row(&self, pieces: &[Piece], record: Record<'_>) -> message::Model {
        let Record { mut reply, question, ending, progress } = record;
        (reply.body, reply.layout) = parts::fold(pieces);
        (reply.status, reply.finish_reason, reply.error_code) = match ending {
            Ending::Complete(reason) => (MessageStatus::Complete, Some(reason), None),
            Ending::Cut => (MessageStatus::Complete, Some(FinishReason::Length), None),
            Ending::Stopped => (MessageStatus::Stopped, None, None),
            Ending::Failed(code) => (MessageStatus::Failed, None, Some(code)),
            Ending::Interrupted => (MessageStatus::Interrupted, None, Some(ReplyErrorCode::Interrupted)),
        };
        let written = text_tokens(pieces);
        let is_whole = matches!(ending, Ending::Complete(_));
        let usage = match progress.usage {
            // A count of nothing is none.
            Some(counted) if is_whole && (counted.output_tokens > 0 || written == 0) => Some((counted, false)),
            // Providers count at the end: of a reply that was cut short, the count may be its beginning's.
            Some(counted) => {
                Some((Usage { output_tokens: counted.output_tokens.max(written.unsigned_abs()), ..counted }, true))
            }
            None if is_whole || !pieces.is_empty() => Some((estimate(progress.prompt_tokens, written), true)),
            None => None,
        };
        if let Some((usage, is_estimate)) = usage {
            set_usage(&mut reply, progress.model.as_deref(), usage, is_estimate);
        }
        if let Some(model) = &progress.model {
            reply.model_id = Some(model.id.clone());
        }
        reply.branch_tokens = question.branch_tokens.saturating_add(written);
        reply.time_to_first_token_ms = progress.time_to_first_token.map(milliseconds);
        reply.duration_ms = Some(milliseconds(progress.duration()));
        reply.completed_at = Some(self.clock.now());
        reply.boot_id = None;
        reply
    }
}

/// The row that finds a call's message, when the piece is a call.
pub(super) fn registered(reply: MessageId, piece: &Piece) -> Option<tool_call::Model> {
    if piece.kind != PieceKind::Call {
        return None;
    }
    let call: Call = serde_json::from_str(&piece.body).ok()?;
    Some(tool_call::Model { id: call.id, message_id: reply })
}

/// The pieces, with an end for every call that has none.
fn close_calls(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let calls = pieces.iter().filter(|piece| piece.kind == PieceKind::Call);
    let open =
        calls.filter_map(|piece| parts::tool_call(&pieces, piece)).filter(|call| call.state == ToolCallState::Running);
    let ends: Vec<Piece> = open
        .map(|call| {
            let outcome = Err("The reply ended before the tool answered.".to_owned());
            let result = CallResult { id: call.call.id, outcome, duration_ms: 0 };
            Piece { kind: PieceKind::Result, body: serde_json::to_string(&result).unwrap_or_default() }
        })
        .collect();
    pieces.extend(ends);
    pieces
}

fn set_usage(reply: &mut message::Model, model: Option<&Model>, usage: Usage, is_estimate: bool) {
    reply.input_tokens = Some(signed(usage.input_tokens));
    reply.output_tokens = Some(signed(usage.output_tokens));
    reply.cached_input_tokens = Some(signed(usage.cached_input_tokens));
    reply.is_usage_estimate = is_estimate;
    reply.cost_nanodollars = model.and_then(|model| model.cost(&usage));
}

fn text_tokens(pieces: &[Piece]) -> i32 {
    let texts = pieces.iter().filter(|piece| parts::is_text(piece.kind));
    texts.fold(0, |sum, piece| sum.saturating_add(estimate_tokens(&piece.body)))
}

fn estimate(input: i32, output: i32) -> Usage {
    Usage { input_tokens: input.unsigned_abs(), output_tokens: output.unsigned_abs(), cached_input_tokens: 0 }
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
