//! Usage accounting: the ledger of provider calls, quotas, and reports.

pub mod quotas;
mod reports;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::entity::enums::{CallKind, MessageStatus, ReplyErrorCode};
use crate::entity::ids::{CharacterId, ChatId, UserId};
use crate::entity::ledger_entry;
use crate::llm::Usage;
use crate::llm::registry::Model;

pub use crate::storage::quotas::{Amounts, Limits};
pub use crate::storage::statistics::Created;
pub use crate::storage::usage::Sums;
pub use quotas::Quota;
pub use reports::{Group, MAX_STEPS, Series, SeriesQuery, Subject, SystemStats, UsageBucket, UsageReports, UserStats};

/// An ended provider call. A request that was retried, or passed to a fallback, is one call. Enter it with
/// [`record`](crate::storage::usage::record) in the transaction that saves its result.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The id of the reply for a reply; an id of its own for other calls.
    pub id: Uuid,
    /// The purpose.
    pub kind: CallKind,
    /// The user, who is charged.
    pub user_id: UserId,
    /// The chat.
    pub chat_id: ChatId,
    /// The character of the chat.
    pub character_id: Option<CharacterId>,
    /// The id of the model that answered, or of the last one that was tried.
    pub model_id: &'a str,
    /// That model, which has the prices. None if it is no longer configured.
    pub model: Option<&'a Model>,
    /// When the call began. For a reply, when the reply was created.
    pub started_at: DateTime<Utc>,
    /// The token counts. None if nothing is charged.
    pub usage: Option<Usage>,
    /// Whether the token counts are estimated by this server.
    pub is_estimate: bool,
    /// The time from the start to the first output, in milliseconds.
    pub time_to_first_token_ms: Option<i32>,
    /// The time from the start to the end, in milliseconds.
    pub duration_ms: Option<i32>,
    /// How it ended.
    pub outcome: MessageStatus,
    /// The reason why it failed.
    pub error_code: Option<ReplyErrorCode>,
}

impl Call<'_> {
    /// The ledger entry, with the prices of today.
    pub fn entry(self) -> ledger_entry::Model {
        let usage = self.usage.unwrap_or_default();
        ledger_entry::Model {
            id: self.id,
            kind: self.kind,
            user_id: Some(self.user_id),
            chat_id: Some(self.chat_id),
            character_id: self.character_id,
            model_id: self.model_id.to_owned(),
            started_at: self.started_at,
            input_tokens: signed(usage.input_tokens),
            cached_input_tokens: signed(usage.cached_input_tokens),
            output_tokens: signed(usage.output_tokens),
            is_estimate: self.is_estimate,
            input_price: self.model.and_then(|model| model.input_price),
            cached_input_price: self.model.and_then(|model| model.cached_input_price.or(model.input_price)),
            output_price: self.model.and_then(|model| model.output_price),
            cost_nanodollars: self.model.and_then(|model| model.cost(&usage)),
            time_to_first_token_ms: self.time_to_first_token_ms,
            duration_ms: self.duration_ms,
            outcome: self.outcome,
            error_code: self.error_code,
        }
    }
}

/// A token count as it is stored.
pub fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
