//! How many operations of one holder run at once. The others wait: what one user asks for never takes the whole server, and what
//! the first ones used is charged before the next ones begin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::holder::Holder;

/// The operations that run now, by holder; who runs none takes no place.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Holder, Arc<Semaphore>>>);

/// One operation's turn; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    holder: Holder,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits until fewer than `limit` operations of the holder run.
    pub(super) async fn take(self: &Arc<Self>, holder: Holder, limit: usize) -> Turn {
        let semaphore = self.holders().entry(holder).or_insert_with(|| Arc::new(Semaphore::new(limit))).clone();
        let mut turn = Turn { turns: self.clone(), holder, permit: None };
        // It is never closed.
        turn.permit = semaphore.acquire_owned().await.ok();
        turn
    }

    fn holders(&self) -> MutexGuard<'_, HashMap<Holder, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut holders = self.turns.holders();
        // Nobody runs, and nobody waits.
        if holders.get(&self.holder).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            holders.remove(&self.holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_next_one_waits_for_its_turn() {
        let turns = Arc::<Turns>::default();
        let holder = |address: &str| Holder::network(address.parse().unwrap());
        let (ada, eve) = (holder("192.0.2.1"), holder("192.0.2.2"));
        let take = |holder| turns.take(holder, 2).now_or_never();
        let (first, second) = (take(ada).unwrap(), take(ada).unwrap());
        let mut third = Box::pin(turns.take(ada, 2));
        assert!(third.as_mut().now_or_never().is_none() && take(eve).is_some());
        drop(first);
        let third = third.now_or_never().unwrap();
        let mut gone = Box::pin(turns.take(ada, 2));
        assert!(gone.as_mut().now_or_never().is_none());
        drop((second, third));
        drop(gone);
        assert!(turns.holders().is_empty());
    }
}
