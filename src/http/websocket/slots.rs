//! How many sockets each user and each address holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::holder::Holder;

/// The sockets that are open now, counted by holder; who holds none takes no place.
#[derive(Debug, Default)]
pub(in crate::http) struct Slots(Mutex<HashMap<Holder, usize>>);

/// One socket's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    holder: Holder,
}

impl Slots {
    /// A place among at most `limit`, or none.
    pub(super) fn take(self: &Arc<Self>, holder: Holder, limit: usize) -> Option<Slot> {
        let mut counts = self.counts();
        let held = counts.get(&holder).copied().unwrap_or_default();
        (held < limit).then(|| {
            counts.insert(holder, held + 1);
            Slot { slots: self.clone(), holder }
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts();
        match counts.get_mut(&self.holder) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(counts.remove(&self.holder)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_forgets() {
        let slots = Arc::<Slots>::default();
        let a = Holder::network("2001:db8::1".parse().unwrap());
        let same = Holder::network("2001:db8::2:0:0:1".parse().unwrap());
        let other = Holder::network("2001:db8:0:1::1".parse().unwrap());
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
