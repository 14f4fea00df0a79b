//! Monthly quotas. The transaction that starts a reply reserves its maximum usage. The transaction that saves its end
//! enters its usage and removes the reservation. A reservation counts only while its reply is STREAMING, so nothing
//! stays reserved after a crash. Titles and summaries reserve nothing, but are written only if they fit the quota.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use super::UsageReports;
use crate::domain::{Error, Result};
use crate::entity::enums::Span;
use crate::entity::ids::{MessageId, UserId};
use crate::entity::quota_reservation;
use crate::llm::Usage;
use crate::llm::registry::Model;
use crate::storage::quotas::{self, Amounts, Limits};
use crate::storage::usage::{bucket, start};
use crate::storage::users;

/// Nanodollars per microdollar.
const NANODOLLARS: i128 = 1_000;

/// The limits that apply to a user, and the settled usage of the current month.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// The limits.
    pub limits: Limits,
    /// The settled usage, without reservations.
    pub used: Amounts,
    /// When the next month begins.
    pub resets_at: DateTime<Utc>,
}

/// A call that is about to start.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The user who is charged.
    pub user: UserId,
    /// The model and its fallbacks.
    pub chain: &'a [Arc<Model>],
    /// An estimate of the input tokens.
    pub input_tokens: i32,
    /// The limit of output tokens of the character or of the request.
    pub max_output_tokens: Option<u32>,
    /// When the call starts.
    pub now: DateTime<Utc>,
}

/// Reserves the most that a reply may use, if its user has a quota: the estimated input and the maximum output of the
/// most expensive model. The row of the reply is inserted before in the same transaction. The user's row is locked
/// until the transaction ends, so that concurrent replies cannot exceed the quota together. Call it after chats are
/// locked. Users without a quota pay for one query.
///
/// # Errors
/// [`Error::QuotaExceeded`] if the usage of the month, all reservations and this one would exceed a limit.
pub async fn reserve(transaction: &impl ConnectionTrait, reply: MessageId, start: Start<'_>) -> Result<()> {
    let limits = limits_of(transaction, start.user).await?;
    if limits.is_unlimited() {
        return Ok(());
    }
    users::lock(transaction, start.user).await?;
    let wanted = most(&start);
    if !fits(transaction, &start, limits, wanted).await? {
        let retry_after = (resets_at(start.now) - start.now).to_std().unwrap_or_default();
        return Err(Error::QuotaExceeded { retry_after });
    }
    let row = quota_reservation::Model {
        message_id: reply,
        user_id: start.user,
        month: bucket(Span::Month, start.now),
        tokens: wanted.tokens,
        cost_nanodollars: wanted.cost,
    };
    Ok(quotas::reserve(transaction, row).await?)
}

/// Whether the quota of its user has room for the most that a call may use. Nothing is reserved, so calls at the same
/// time may exceed the quota together.
///
/// # Errors
/// When the database fails.
pub async fn has_room(db: &impl ConnectionTrait, start: Start<'_>) -> Result<bool> {
    let limits = limits_of(db, start.user).await?;
    Ok(limits.is_unlimited() || fits(db, &start, limits, most(&start)).await?)
}

async fn limits_of(db: &impl ConnectionTrait, user: UserId) -> Result<Limits> {
    let limits = quotas::limits(db, &[user]).await?;
    Ok(limits.into_iter().next().map(|(_, limits)| limits).unwrap_or_default())
}

/// Whether the usage of the month, all reservations and these amounts are within the limits.
async fn fits(db: &impl ConnectionTrait, start: &Start<'_>, limits: Limits, wanted: Amounts) -> Result<bool> {
    let taken = quotas::used_and_reserved(db, start.user, bucket(Span::Month, start.now)).await?;
    let is_within = |limit: Option<i64>, unit: i128, taken: i64, wanted: i64| {
        limit.is_none_or(|limit| i128::from(taken) + i128::from(wanted) <= i128::from(limit) * unit)
    };
    Ok(is_within(limits.token_limit, 1, taken.tokens, wanted.tokens)
        && is_within(limits.cost_limit, NANODOLLARS, taken.cost, wanted.cost))
}

/// The maximum usage of a call: of each amount, the highest of all models. A model without prices costs nothing.
fn most(start: &Start<'_>) -> Amounts {
    let of = |model: &Arc<Model>| {
        let input_tokens = start.input_tokens.unsigned_abs().min(model.context_window);
        let room = model.context_window - input_tokens;
        let limits = [start.max_output_tokens, model.max_output_tokens];
        let output_tokens = limits.into_iter().flatten().fold(room, u32::min);
        let cost = |cached_input_tokens| model.cost(&Usage { input_tokens, output_tokens, cached_input_tokens });
        let cost = cost(0).max(cost(input_tokens)).unwrap_or(0);
        Amounts { tokens: i64::from(input_tokens) + i64::from(output_tokens), cost }
    };
    start.chain.iter().map(of).fold(Amounts::default(), |most, one| Amounts {
        tokens: most.tokens.max(one.tokens),
        cost: most.cost.max(one.cost),
    })
}

fn resets_at(now: DateTime<Utc>) -> DateTime<Utc> {
    start(Span::Month, bucket(Span::Month, now) + 1).unwrap_or(now)
}

impl UsageReports {
    /// The quotas of these users. The caller checks that the viewer may see them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quotas_of(&self, ids: &[UserId]) -> Result<HashMap<UserId, Quota>> {
        let now = self.clock.now();
        let resets_at = resets_at(now);
        let db = self.database.snapshot().await?;
        let limits = quotas::limits(&db, ids).await?;
        let used: HashMap<UserId, Amounts> =
            quotas::used(&db, ids, bucket(Span::Month, now)).await?.into_iter().collect();
        let quota = |(id, limits): (UserId, Limits)| {
            (id, Quota { limits, used: used.get(&id).copied().unwrap_or_default(), resets_at })
        };
        Ok(limits.into_iter().map(quota).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::models::{ModelSettings, ProviderKeys};
    use crate::llm::registry::Registry;

    fn model(context_window: u32, max_output_tokens: Option<u32>, prices: Option<(i64, i64, i64)>) -> Arc<Model> {
        let settings = ModelSettings::load(None, &ProviderKeys::default(), None, &|_| None).unwrap();
        drop(rustls::crypto::ring::default_provider().install_default());
        let registry = Registry::build(&settings, crate::llm::http_client().unwrap()).unwrap();
        let demo = Model::clone(registry.default_model());
        Arc::new(Model {
            context_window,
            max_output_tokens,
            input_price: prices.map(|prices| prices.0),
            output_price: prices.map(|prices| prices.1),
            cached_input_price: prices.map(|prices| prices.2),
            ..demo
        })
    }

    fn most_of(chain: &[Arc<Model>], input_tokens: i32, max_output_tokens: Option<u32>) -> (i64, i64) {
        let (user, now) = (UserId(uuid::Uuid::nil()), DateTime::UNIX_EPOCH);
        let most = most(&Start { user, chain, input_tokens, max_output_tokens, now });
        (most.tokens, most.cost)
    }

    #[test]
    fn the_most_expensive_model_of_the_chain_is_reserved() {
        let cheap = model(1_000, Some(500), Some((1_000, 2_000, 1_000)));
        let dear = model(300, Some(100), Some((10_000, 20_000, 30_000)));
        let unknown = model(1_000, None, None);
        let cheap = std::slice::from_ref(&cheap);
        assert_eq!(most_of(cheap, 100, None), (600, 100 + 1_000));
        assert_eq!(most_of(cheap, 100, Some(10)), (110, 100 + 20), "the character's limit is lower");
        assert_eq!(most_of(cheap, 900, None), (1_000, 900 + 200), "the window has no room for more");
        assert_eq!(most_of(cheap, 5_000, None), (1_000, 1_000));
        let chain = [cheap, &[dear, unknown]].concat();
        assert_eq!(most_of(&chain, 100, None), (1_000, 3_000 + 2_000), "the dearer price of input counts");
        assert_eq!(most_of(&[], 100, None), (0, 0));
    }

    #[test]
    fn a_quota_resets_at_the_start_of_the_next_month() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(resets_at(at("2026-12-31T23:59:59.999Z")), at("2027-01-01T00:00:00Z"));
        assert_eq!(resets_at(at("2026-11-01T00:00:00Z")), at("2026-12-01T00:00:00Z"));
    }
}
