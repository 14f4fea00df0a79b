//! The end of a reply: builds its final row, which the journal saves together with its tool calls.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Engine;
use super::journal::{Abandoned, FinalReply};
use super::parts::{self, Call, CallResult, Piece, ToolCallState};
use super::running::Registration;
use super::write::Progress;
use crate::domain::chats::titles;
use crate::domain::tokens::{Ratio, estimate_tokens, estimated_usage, message_tokens, settled_usage};
use crate::domain::usage::{Call as ProviderCall, signed};
use crate::entity::enums::{CallKind, FinishReason, MessageStatus, PieceKind, ReplyErrorCode};
use crate::entity::ids::{CharacterId, MessageId, UserId};
use crate::entity::{ledger_entry, message, tool_call};
use crate::llm::Usage;
use crate::llm::registry::{Model, Registry};
use crate::traces::Span;

/// The reason why writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Complete(FinishReason),
    /// The server ended the reply because it reached the maximum size of a reply.
    Cut,
    Stopped,
    Failed(ReplyErrorCode),
    Interrupted,
}

/// The data from which the final row is built.
pub(super) struct Record<'a> {
    pub(super) reply: message::Model,
    pub(super) question: message::Model,
    pub(super) character_id: Option<CharacterId>,
    pub(super) ending: Ending,
    pub(super) progress: &'a Progress,
    pub(super) span: &'a Span,
}

impl Engine {
    /// Ends a reply that this node wrote. The journal notifies its readers when the final row is saved.
    pub(super) fn end(&self, registration: Registration, record: Record<'_>) {
        let pieces = close_calls(registration.reply().log.pieces());
        let (user_id, character_id) = (registration.reply().owner, record.character_id);
        let (progress, span) = (record.progress, record.span);
        let row = self.final_row(&pieces, record);
        span.set("duologue.reply.outcome", || row.status.name());
        if let Some(code) = row.error_code {
            span.fail(|| code.name().into());
        }
        let entry = entry(&row, progress.model.as_deref(), user_id, character_id);
        let is_complete = row.status == MessageStatus::Complete;
        let excerpt = progress.first_question.as_deref().filter(|_| is_complete).and_then(titles::excerpt);
        let reply = FinalReply { owner: Some(self.boot), calls: call_rows(row.id, &pieces), entry, row, excerpt };
        self.journal.end(registration, reply);
    }

    fn final_row(&self, pieces: &[Piece], record: Record<'_>) -> message::Model {
        let Record { mut reply, question, ending, progress, .. } = record;
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
        let (is_failed, has_output) = (matches!(ending, Ending::Failed(_)), !pieces.is_empty());
        // A reply that failed before its first token is free.
        let usage = match is_failed && !has_output {
            true => None,
            false => settled_usage(progress.usage, is_whole, has_output, progress.prompt_tokens, written),
        };
        if let Some((usage, is_estimate)) = usage {
            set_usage(&mut reply, progress.model.as_deref(), usage, is_estimate);
        }
        if let Some(model) = &progress.model {
            reply.model_id = Some(model.id.clone());
        }
        if let Some(ratio) = usage
            .filter(|(_, is_estimate)| !is_estimate)
            .and_then(|(usage, _)| Ratio::measured(usage.input_tokens, progress.prompt_tokens))
        {
            reply.token_ratio = ratio.per_thousand();
        }
        reply.branch_tokens = question.branch_tokens.saturating_add(content_tokens(&reply));
        reply.time_to_first_token_ms = progress.time_to_first_token.map(milliseconds);
        reply.duration_ms = Some(milliseconds(progress.duration()));
        reply.completed_at = Some(self.clock.now());
        reply.boot_id = None;
        reply
    }
}

/// The final state of a reply that no task writes any more: INTERRUPTED, with the content that had been saved.
pub(super) fn interrupted(abandoned: Abandoned, models: &Registry, now: DateTime<Utc>) -> FinalReply {
    let Abandoned { reply: mut row, pieces, user_id, character_id } = abandoned;
    let pieces = close_calls(pieces);
    (row.body, row.layout) = parts::fold(&pieces);
    let written = text_tokens(&pieces);
    let model = row.model_id.as_deref().and_then(|id| models.get(id));
    if !pieces.is_empty() {
        let usage = estimated_usage(row.branch_tokens, written);
        set_usage(&mut row, model.as_deref(), usage, true);
    }
    row.branch_tokens = row.branch_tokens.saturating_add(content_tokens(&row));
    row.status = MessageStatus::Interrupted;
    row.error_code = Some(ReplyErrorCode::Interrupted);
    row.completed_at = Some(now);
    let owner = row.boot_id.take();
    let entry = entry(&row, model.as_deref(), user_id, character_id);
    FinalReply { owner, calls: call_rows(row.id, &pieces), entry, row, excerpt: None }
}

/// The ledger entry of a reply with this final row.
pub(super) fn entry(
    row: &message::Model,
    model: Option<&Model>,
    user_id: UserId,
    character_id: Option<CharacterId>,
) -> ledger_entry::Model {
    let count = |count: Option<i32>| count.map_or(0, i32::unsigned_abs);
    let usage = row.input_tokens.is_some().then(|| Usage {
        input_tokens: count(row.input_tokens),
        output_tokens: count(row.output_tokens),
        cached_input_tokens: count(row.cached_input_tokens),
    });
    let call = ProviderCall {
        id: row.id.0,
        kind: CallKind::Reply,
        user_id,
        chat_id: row.chat_id,
        character_id,
        model_id: row.model_id.as_deref().unwrap_or_default(),
        model,
        started_at: row.created_at,
        usage,
        is_estimate: row.is_usage_estimate,
        time_to_first_token_ms: row.time_to_first_token_ms,
        duration_ms: row.duration_ms,
        outcome: row.status,
        error_code: row.error_code,
    };
    call.entry()
}

fn call_rows(reply: MessageId, pieces: &[Piece]) -> Vec<tool_call::Model> {
    pieces.iter().filter_map(|piece| call_row(reply, piece)).collect()
}

/// The row by which a tool call's message is found. None if the piece is not a call.
pub(super) fn call_row(reply: MessageId, piece: &Piece) -> Option<tool_call::Model> {
    if piece.kind != PieceKind::Call {
        return None;
    }
    let call: Call = serde_json::from_str(&piece.body).ok()?;
    Some(tool_call::Model { id: call.id, message_id: reply })
}

/// The pieces, with a failed result appended for every call that has none.
fn close_calls(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let calls = pieces.iter().filter(|piece| piece.kind == PieceKind::Call);
    let open =
        calls.filter_map(|piece| parts::tool_call(&pieces, piece)).filter(|call| call.state == ToolCallState::Running);
    let ends: Vec<Piece> = open
        .map(|call| {
            let outcome = Err("The reply ended before the tool returned a result.".to_owned());
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

/// The tokens of a reply in the prompts that follow it, which contain its text only.
fn content_tokens(reply: &message::Model) -> i32 {
    let content = parts::content(reply);
    if content.trim().is_empty() { 0 } else { message_tokens(&content) }
}

fn text_tokens(pieces: &[Piece]) -> i32 {
    let texts = pieces.iter().filter(|piece| parts::is_text(piece.kind));
    texts.fold(0, |sum, piece| sum.saturating_add(estimate_tokens(&piece.body)))
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
