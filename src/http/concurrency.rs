//! Limits the concurrent operations per rate limit key. Further operations wait: one user cannot occupy the whole
//! server, and the usage of an operation is charged before the next one starts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::rate_limit_key::RateLimitKey;

/// The running operations, by rate limit key; a key without operations has no entry.
#[derive(Debug, Default)]
pub(super) struct ConcurrencyLimiter(Mutex<HashMap<RateLimitKey, Arc<Semaphore>>>);

/// The permit of one operation; released on drop.
#[derive(Debug)]
pub(super) struct OperationPermit {
    limiter: Arc<ConcurrencyLimiter>,
    key: RateLimitKey,
    permit: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimiter {
    /// Waits until fewer than `limit` operations of the key are running.
    pub(super) async fn acquire(self: &Arc<Self>, key: RateLimitKey, limit: usize) -> OperationPermit {
        let semaphore = self.keys().entry(key).or_insert_with(|| Arc::new(Semaphore::new(limit))).clone();
        let mut permit = OperationPermit { limiter: self.clone(), key, permit: None };
        // The semaphore is never closed.
        permit.permit = semaphore.acquire_owned().await.ok();
        permit
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<RateLimitKey, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OperationPermit {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut keys = self.limiter.keys();
        // No operation runs or waits.
        if keys.get(&self.key).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn operations_beyond_the_limit_wait() {
        let limiter = Arc::<ConcurrencyLimiter>::default();
        let key = |address: &str| RateLimitKey::network(address.parse().unwrap());
        let (ada, eve) = (key("192.0.2.1"), key("192.0.2.2"));
        let take = |key| limiter.acquire(key, 2).now_or_never();
        let (first, second) = (take(ada).unwrap(), take(ada).unwrap());
        let mut third = Box::pin(limiter.acquire(ada, 2));
        assert!(third.as_mut().now_or_never().is_none() && take(eve).is_some());
        drop(first);
        let third = third.now_or_never().unwrap();
        let mut gone = Box::pin(limiter.acquire(ada, 2));
        assert!(gone.as_mut().now_or_never().is_none());
        drop((second, third));
        drop(gone);
        assert!(limiter.keys().is_empty());
    }
}
