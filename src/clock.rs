//! The clock, and the generator of time-ordered ids.

use std::sync::Mutex;

use chrono::{DateTime, SubsecRound as _, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// A source of the current time, which tests can replace.
pub trait Clock: Send + Sync + 'static {
    /// The current time in whole milliseconds: the precision of a JavaScript `Date`, which both databases store without
    /// loss.
    fn now(&self) -> DateTime<Utc>;
}

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }
}

/// Generates the ids of this process: UUIDv7 (RFC 9562, section 6.2, method 1), in increasing order.
#[derive(Default)]
pub struct IdGenerator(Mutex<ContextV7>);

impl IdGenerator {
    /// A new id with the timestamp `now`.
    pub fn next(&self, now: DateTime<Utc>) -> Uuid {
        let context = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(&*context, seconds, now.timestamp_subsec_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_within_a_millisecond() {
        let (ids, now) = (IdGenerator::default(), SystemClock.now());
        let made: Vec<Uuid> = (0..10_000).map(|_| ids.next(now)).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
