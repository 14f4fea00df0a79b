//! How much one user, or one network of who is not signed in, may ask for in a minute.
//!
//! The generic cell rate algorithm (ITU-T I.371): of every holder one moment is kept, at which their allowance is whole again.
//! Asking for something moves it away; it may lie a minute ahead at most. So a holder may ask for a minute's allowance at once,
//! and gets it back evenly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_graphql::ServerError;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::domain::{Client, Error, Requester};
use crate::http::cost::Cost;
use crate::http::holder::Holder;

/// What an allowance is for.
const WINDOW: Duration = Duration::from_secs(60);
/// Holders that one table remembers, which makes some 8 MiB. Who is forgotten has a whole allowance again.
const CAPACITY: usize = 100_000;

/// Counts what is asked for.
pub(super) struct RateLimiter(Mutex<Tables>);

struct Tables {
    general: Table,
    chat: Table,
}

/// What became of a request at the limits.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Of each policy that it counted for.
    standings: Vec<Standing>,
    refusal: Option<Error>,
    /// Whom it counted for, and as how much so far.
    charged: Option<(Holder, u32)>,
}

/// How a holder stands in one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    policy: &'static str,
    limit: u32,
    remaining: u32,
    whole_in: Duration,
}

impl RateLimiter {
    /// Each limit is a number of root fields a minute; 0 for any number.
    pub(super) fn new(per_minute: u32, chat_per_minute: u32) -> Self {
        let table =
            |policy, complaint, limit| Table { policy, complaint, limit, capacity: CAPACITY, whole_at: HashMap::new() };
        Self(Mutex::new(Tables {
            general: table("general", "Too many requests: wait a little.", per_minute),
            chat: table("chat", "Too many messages to models: wait a little.", chat_per_minute),
        }))
    }

    /// Counts an operation, or refuses it and counts nothing.
    pub(super) fn check(&self, requester: &Requester, client: &Client, cost: Cost) -> Verdict {
        self.check_at(Instant::now(), requester, client, cost)
    }

    fn check_at(&self, now: Instant, requester: &Requester, client: &Client, cost: Cost) -> Verdict {
        let (holder, network) = (Holder::of(requester, client), Holder::Network(client.network()));
        let Cost { fields, chat, entrances } = cost;
        let general = match holder {
            Holder::User(_) => [(holder, fields - entrances), (network, entrances)],
            Holder::Network(_) => [(holder, fields), (holder, 0)],
        };
        let chat = [(holder, chat)];
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = tables.general.refusal(&general, now).or_else(|| tables.chat.refusal(&chat, now));
        if refusal.is_none() {
            tables.general.charge(&general, now);
            tables.chat.charge(&chat, now);
        }
        let standings = [tables.general.standing(&general, now), tables.chat.standing(&chat, now)];
        let charged = refusal.is_none().then_some((holder, fields));
        Verdict { standings: standings.into_iter().flatten().collect(), refusal, charged }
    }

    /// What would become of one field. Nothing is counted.
    pub(super) fn look(&self, holder: Holder) -> Verdict {
        let (now, charges) = (Instant::now(), [(holder, 1)]);
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = tables.general.refusal(&charges, now);
        let standings = tables.general.standing(&charges, now).into_iter().collect();
        Verdict { standings, refusal, charged: None }
    }

    /// Counts an operation that used more than it had counted for as `fields`. That is not refused any more; what comes next is.
    pub(super) fn settle(&self, verdict: &mut Verdict, fields: u32) {
        let Some((holder, charged)) = verdict.charged.filter(|(_, charged)| fields > *charged) else { return };
        let (now, charges) = (Instant::now(), [(holder, fields - charged)]);
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.general.charge(&charges, now);
        verdict.charged = Some((holder, fields));
        if let Some(standing) = tables.general.standing(&charges, now) {
            verdict.standings.retain(|other| other.policy != standing.policy);
            verdict.standings.insert(0, standing);
        }
    }
}

impl Verdict {
    /// What comes of a request: its refusal, or what was to come of it.
    pub(super) fn admit<T>(&self, request: Result<T, Vec<ServerError>>) -> Result<T, Vec<ServerError>> {
        let Some(cause) = self.refusal.clone() else { return request };
        let mut error = ServerError::new("too many requests", None);
        error.source = Some(Arc::new(cause));
        Err(vec![error])
    }

    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), and with a refusal `Retry-After` (RFC 9110,
    /// section 10.2.3).
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let list =
            |member: &dyn Fn(&Standing) -> String| self.standings.iter().map(member).collect::<Vec<_>>().join(", ");
        let policies = list(&|of| format!("\"{}\";q={};w={}", of.policy, of.limit, WINDOW.as_secs()));
        let standings = list(&|of| format!("\"{}\";r={};t={}", of.policy, of.remaining, whole_seconds(of.whole_in)));
        let mut set = |name, text: String| {
            if let Some(value) = HeaderValue::try_from(text).ok().filter(|value| !value.is_empty()) {
                headers.insert(name, value);
            }
        };
        set(HeaderName::from_static("ratelimit-policy"), policies);
        set(HeaderName::from_static("ratelimit"), standings);
        if let Some(Error::RateLimited { retry_after: Some(retry_after), .. }) = self.refusal {
            set(header::RETRY_AFTER, whole_seconds(retry_after).to_string());
        }
    }
}

/// Rounded up, so that who waits so long is never early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The holders of one policy.
struct Table {
    /// Its name in `RateLimit`.
    policy: &'static str,
    complaint: &'static str,
    /// What a minute allows; 0 for no limit.
    limit: u32,
    capacity: usize,
    /// When each holder's allowance is whole again; of who stands here not at all, it is now.
    whole_at: HashMap<Holder, Instant>,
}

impl Table {
    /// How long one of the allowance takes to come back.
    fn interval(&self) -> Duration {
        WINDOW / self.limit.max(1)
    }

    fn whole_at(&self, holder: Holder, now: Instant) -> Instant {
        self.whole_at.get(&holder).copied().unwrap_or(now).max(now)
    }

    /// Why these charges are not taken, with the time after which they would be. More than is allowed in a minute never is; the
    /// wait then is for a whole allowance.
    fn refusal(&self, charges: &[(Holder, u32)], now: Instant) -> Option<Error> {
        if charges.iter().any(|(_, n)| *n > self.limit) && self.limit > 0 {
            let message = "The document asks for more root fields at once than a minute allows.";
            return Some(Error::RateLimited { message, retry_after: Some(WINDOW) });
        }
        let wait = |(holder, n): &(Holder, u32)| {
            let ahead = self.whole_at(*holder, now) + self.interval() * *n - now;
            ahead.checked_sub(WINDOW).filter(|wait| !wait.is_zero() && *n > 0)
        };
        let retry_after = charges.iter().filter_map(wait).max().filter(|_| self.limit > 0)?;
        Some(Error::RateLimited { message: self.complaint, retry_after: Some(retry_after) })
    }

    fn charge(&mut self, charges: &[(Holder, u32)], now: Instant) {
        if self.limit == 0 {
            return;
        }
        for (holder, n) in charges.iter().filter(|(_, n)| *n > 0) {
            // What an operation turned out to use may go beyond a minute, and costs one more at most.
            let whole_at = (self.whole_at(*holder, now) + self.interval() * *n).min(now + 2 * WINDOW);
            if self.whole_at.len() >= self.capacity && !self.whole_at.contains_key(holder) {
                self.make_room(now);
            }
            self.whole_at.insert(*holder, whole_at);
        }
    }

    /// How the tightest of those stands that were charged something.
    fn standing(&self, charges: &[(Holder, u32)], now: Instant) -> Option<Standing> {
        let charged = charges.iter().filter(|(_, n)| *n > 0 && self.limit > 0);
        let whole_in = charged.map(|(holder, _)| self.whole_at(*holder, now) - now).max()?;
        let left = WINDOW.saturating_sub(whole_in).as_nanos() / self.interval().as_nanos().max(1);
        let remaining = u32::try_from(left).unwrap_or(u32::MAX).min(self.limit);
        Some(Standing { policy: self.policy, limit: self.limit, remaining, whole_in })
    }

    /// Forgets who has a whole allowance, and of the others, where they are too many, the half that asked for least: a flood of
    /// new networks does not wash out who is at their limit.
    fn make_room(&mut self, now: Instant) {
        self.whole_at.retain(|_, whole_at| *whole_at > now);
        if self.whole_at.len() < self.capacity / 2 {
            return;
        }
        let mut moments: Vec<Instant> = self.whole_at.values().copied().collect();
        let middle = moments.len() / 2;
        let (_, median, _) = moments.select_nth_unstable(middle);
        let (median, mut spare) = (*median, middle);
        self.whole_at.retain(|_, whole_at| {
            let goes = spare > 0 && *whole_at <= median;
            spare -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests;
