//! Rate limits per minute for one user, or for one network of anonymous clients.
//!
//! Uses the generic cell rate algorithm (ITU-T I.371): for each key, the table stores when its allowance is full again.
//! A request moves this time forward, at most one minute ahead. A key can therefore use a whole minute's allowance at
//! once, and regains it at a constant rate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_graphql::ServerError;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::domain::{Client, Error, Requester};
use crate::http::cost::Cost;
use crate::http::rate_limit_key::RateLimitKey;

/// The period of an allowance.
const WINDOW: Duration = Duration::from_secs(60);
/// The maximum number of keys in a table, about 8 MiB. A key without an entry has a full allowance.
const CAPACITY: usize = 100_000;

/// Counts root fields per key and policy.
pub(super) struct RateLimiter(Mutex<Tables>);

struct Tables {
    general: Table,
    chat: Table,
}

/// The result of a rate limit check.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The state of each policy that applied.
    states: Vec<PolicyState>,
    refusal: Option<Error>,
    /// The key and the number of fields charged so far.
    charged: Option<(RateLimitKey, u32)>,
}

/// The remaining allowance of a key in one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PolicyState {
    policy: &'static str,
    limit: u32,
    remaining: u32,
    full_in: Duration,
}

impl RateLimiter {
    /// Limits are root fields per minute; 0 for no limit.
    pub(super) fn new(per_minute: u32, chat_per_minute: u32) -> Self {
        let table =
            |policy, message, limit| Table { policy, message, limit, capacity: CAPACITY, full_at: HashMap::new() };
        Self(Mutex::new(Tables {
            general: table("general", "Too many requests; try again later.", per_minute),
            chat: table("chat", "Too many model replies; try again later.", chat_per_minute),
        }))
    }

    /// Counts an operation, or refuses it without counting.
    pub(super) fn check(&self, requester: &Requester, client: &Client, cost: Cost) -> Verdict {
        self.check_at(Instant::now(), requester, client, cost)
    }

    fn check_at(&self, now: Instant, requester: &Requester, client: &Client, cost: Cost) -> Verdict {
        let (key, network) = (RateLimitKey::of(requester, client), RateLimitKey::Network(client.network()));
        let Cost { fields, chat, credentials } = cost;
        let general = match key {
            RateLimitKey::User(_) => [(key, fields - credentials), (network, credentials)],
            RateLimitKey::Network(_) => [(key, fields), (key, 0)],
        };
        let chat = [(key, chat)];
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = tables.general.refusal(&general, now).or_else(|| tables.chat.refusal(&chat, now));
        if refusal.is_none() {
            tables.general.charge(&general, now);
            tables.chat.charge(&chat, now);
        }
        let states = [tables.general.state(&general, now), tables.chat.state(&chat, now)];
        let charged = refusal.is_none().then_some((key, fields));
        Verdict { states: states.into_iter().flatten().collect(), refusal, charged }
    }

    /// Checks whether one field would be allowed, without counting.
    pub(super) fn peek(&self, key: RateLimitKey) -> Verdict {
        let (now, charges) = (Instant::now(), [(key, 1)]);
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = tables.general.refusal(&charges, now);
        let states = tables.general.state(&charges, now).into_iter().collect();
        Verdict { states, refusal, charged: None }
    }

    /// Charges usage beyond the `fields` counted at the start. The operation itself is not refused, but later ones are.
    pub(super) fn charge_usage(&self, verdict: &mut Verdict, fields: u32) {
        let Some((key, charged)) = verdict.charged.filter(|(_, charged)| fields > *charged) else { return };
        let (now, charges) = (Instant::now(), [(key, fields - charged)]);
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.general.charge(&charges, now);
        verdict.charged = Some((key, fields));
        if let Some(state) = tables.general.state(&charges, now) {
            verdict.states.retain(|other| other.policy != state.policy);
            verdict.states.insert(0, state);
        }
    }
}

impl Verdict {
    /// Returns the refusal, or `request` if it is allowed.
    pub(super) fn admit<T>(&self, request: Result<T, Vec<ServerError>>) -> Result<T, Vec<ServerError>> {
        let Some(cause) = self.refusal.clone() else { return request };
        let mut error = ServerError::new("too many requests", None);
        error.source = Some(Arc::new(cause));
        Err(vec![error])
    }

    /// Writes `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), and `Retry-After` for a
    /// refusal (RFC 9110, section 10.2.3).
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let list =
            |member: &dyn Fn(&PolicyState) -> String| self.states.iter().map(member).collect::<Vec<_>>().join(", ");
        let policies = list(&|of| format!("\"{}\";q={};w={}", of.policy, of.limit, WINDOW.as_secs()));
        let states = list(&|of| format!("\"{}\";r={};t={}", of.policy, of.remaining, seconds_rounded_up(of.full_in)));
        let mut set = |name, text: String| {
            if let Some(value) = HeaderValue::try_from(text).ok().filter(|value| !value.is_empty()) {
                headers.insert(name, value);
            }
        };
        set(HeaderName::from_static("ratelimit-policy"), policies);
        set(HeaderName::from_static("ratelimit"), states);
        if let Some(Error::RateLimited { retry_after: Some(retry_after), .. }) = self.refusal {
            set(header::RETRY_AFTER, seconds_rounded_up(retry_after).to_string());
        }
    }
}

/// Rounded up, so that a client that waits this long is not refused again.
fn seconds_rounded_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The keys of one policy.
struct Table {
    /// The name in `RateLimit`.
    policy: &'static str,
    message: &'static str,
    /// The allowance per minute; 0 for no limit.
    limit: u32,
    capacity: usize,
    /// When the allowance of each key is full again; now for keys without an entry.
    full_at: HashMap<RateLimitKey, Instant>,
}

impl Table {
    /// The time to regain one field.
    fn interval(&self) -> Duration {
        WINDOW / self.limit.max(1)
    }

    fn full_at(&self, key: RateLimitKey, now: Instant) -> Instant {
        self.full_at.get(&key).copied().unwrap_or(now).max(now)
    }

    /// The refusal of these charges, with the time to wait. Charges of more than a minute's allowance are always
    /// refused, with the time until the allowance is full.
    fn refusal(&self, charges: &[(RateLimitKey, u32)], now: Instant) -> Option<Error> {
        if charges.iter().any(|(_, n)| *n > self.limit) && self.limit > 0 {
            let message = "The document has more root fields than the limit per minute.";
            return Some(Error::RateLimited { message, retry_after: Some(WINDOW) });
        }
        let wait = |(key, n): &(RateLimitKey, u32)| {
            let ahead = self.full_at(*key, now) + self.interval() * *n - now;
            ahead.checked_sub(WINDOW).filter(|wait| !wait.is_zero() && *n > 0)
        };
        let retry_after = charges.iter().filter_map(wait).max().filter(|_| self.limit > 0)?;
        Some(Error::RateLimited { message: self.message, retry_after: Some(retry_after) })
    }

    fn charge(&mut self, charges: &[(RateLimitKey, u32)], now: Instant) {
        if self.limit == 0 {
            return;
        }
        for (key, n) in charges.iter().filter(|(_, n)| *n > 0) {
            // Usage found after execution may exceed a minute's allowance; it costs at most one more minute.
            let full_at = (self.full_at(*key, now) + self.interval() * *n).min(now + 2 * WINDOW);
            if self.full_at.len() >= self.capacity && !self.full_at.contains_key(key) {
                self.make_room(now);
            }
            self.full_at.insert(*key, full_at);
        }
    }

    /// The state of the charged key with the least remaining allowance.
    fn state(&self, charges: &[(RateLimitKey, u32)], now: Instant) -> Option<PolicyState> {
        let charged = charges.iter().filter(|(_, n)| *n > 0 && self.limit > 0);
        let full_in = charged.map(|(key, _)| self.full_at(*key, now) - now).max()?;
        let left = WINDOW.saturating_sub(full_in).as_nanos() / self.interval().as_nanos().max(1);
        let remaining = u32::try_from(left).unwrap_or(u32::MAX).min(self.limit);
        Some(PolicyState { policy: self.policy, limit: self.limit, remaining, full_in })
    }

    /// Removes keys with a full allowance. If there are still too many, removes the half with the most remaining
    /// allowance, so that a flood from new networks does not reset the keys that are at their limit.
    fn make_room(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.capacity / 2 {
            return;
        }
        let mut moments: Vec<Instant> = self.full_at.values().copied().collect();
        let middle = moments.len() / 2;
        let (_, median, _) = moments.select_nth_unstable(middle);
        let (median, mut spare) = (*median, middle);
        self.full_at.retain(|_, full_at| {
            let is_removed = spare > 0 && *full_at <= median;
            spare -= usize::from(is_removed);
            !is_removed
        });
    }
}

#[cfg(test)]
mod tests;
