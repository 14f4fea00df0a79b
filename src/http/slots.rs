//! Counts open sockets and subscriptions per user and per address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::rate_limit_key::RateLimitKey;

/// The number of slots taken, by rate limit key; a key without slots has no entry.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<RateLimitKey, usize>>);

/// A taken slot; released on drop.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    key: RateLimitKey,
}

impl Slots {
    /// Takes a slot if fewer than `limit` are taken.
    pub(super) fn take(self: &Arc<Self>, key: RateLimitKey, limit: usize) -> Option<Slot> {
        let mut counts = self.counts();
        let held = counts.get(&key).copied().unwrap_or_default();
        (held < limit).then(|| {
            counts.insert(key, held + 1);
            Slot { slots: self.clone(), key }
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<RateLimitKey, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts();
        match counts.get_mut(&self.key) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(counts.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_taken_slots_and_removes_empty_keys() {
        let slots = Arc::<Slots>::default();
        let a = RateLimitKey::network("2001:db8::1".parse().unwrap());
        let same = RateLimitKey::network("2001:db8::2:0:0:1".parse().unwrap());
        let other = RateLimitKey::network("2001:db8:0:1::1".parse().unwrap());
        let first = slots.take(a, 2).unwrap();
        let second = slots.take(same, 2).unwrap();
        assert!(slots.take(a, 2).is_none());
        assert!(slots.take(other, 2).is_some());
        drop(first);
        assert!(slots.take(a, 2).is_some());
        drop(second);
        assert!(slots.counts().is_empty());
    }
}
