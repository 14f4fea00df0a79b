//! Limits concurrent operations, so that one user cannot occupy the whole server.
//!
//! Each user, or each network of anonymous clients, may run a number of operations at once. Further ones wait until one
//! has ended and its usage is deducted from the rate limit. Operations that use much processor time are heavy: they
//! share all cores except one, which is kept free for the others.

use std::collections::HashMap;
use std::num::NonZero;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::ready;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

use crate::http::rate_limit_key::RateLimitKey;

/// The processor time after which an operation is heavy.
const LIGHT: Duration = Duration::from_millis(5);
/// The first part of this time, which is measured by the clock: reading the processor time is a system call.
const UNMEASURED: Duration = Duration::from_millis(2);
/// The length of a request or a response from which reading or writing it is heavy work, in bytes.
const LONG: usize = 64 * 1024;

/// The running operations.
#[derive(Debug)]
pub(super) struct ConcurrencyLimiter {
    /// By rate limit key; a key without operations has no entry.
    keys: Mutex<HashMap<RateLimitKey, Arc<Semaphore>>>,
    /// The turns of heavy operations.
    turns: Arc<Semaphore>,
}

impl Default for ConcurrencyLimiter {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { keys: Mutex::default(), turns: Arc::new(Semaphore::new((cores - 1).max(1))) }
    }
}

/// The turn of a heavy operation; released on drop.
pub(super) type Turn = OwnedSemaphorePermit;

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

    /// Waits for a turn to read a request or to write a response of `length` bytes; none if it is short.
    pub(super) async fn turn(&self, length: usize) -> Option<Turn> {
        // The semaphore is never closed.
        if length < LONG { None } else { self.turns.clone().acquire_owned().await.ok() }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<RateLimitKey, Arc<Semaphore>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OperationPermit {
    /// Runs the operation. Once it is heavy, each of its steps waits for a turn, in the order of arrival. It has no
    /// turn while it waits for anything else.
    pub(super) async fn run<T>(&self, operation: impl Future<Output = T>) -> T {
        let mut operation = pin!(operation);
        let (mut turns, mut used) = (PollSemaphore::new(self.limiter.turns.clone()), Duration::ZERO);
        std::future::poll_fn(|context| {
            let _turn = if used < LIGHT { None } else { ready!(turns.poll_acquire(context)) };
            if used < UNMEASURED {
                let start = Instant::now();
                let step = operation.as_mut().poll(context);
                used += start.elapsed();
                return step;
            }
            let start = processor_time();
            let step = operation.as_mut().poll(context);
            used += processor_time().saturating_sub(start);
            step
        })
        .await
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

/// The processor time of this thread. Unlike the time of day, it stands still while other threads use the core.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
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

    #[tokio::test(start_paused = true)]
    async fn heavy_operations_take_turns() {
        async fn heavy_step() {
            for length in [UNMEASURED, LIGHT] {
                let (start, clock) = (processor_time(), Instant::now());
                while processor_time() - start < length || clock.elapsed() < length {}
                tokio::task::yield_now().await;
            }
        }
        let limiter = Arc::<ConcurrencyLimiter>::default();
        let permit = limiter.acquire(RateLimitKey::network("192.0.2.1".parse().unwrap()), 2).await;
        let count = limiter.turns.available_permits();
        let all = limiter.turns.clone().acquire_many_owned(u32::try_from(count).unwrap()).await.unwrap();
        assert!(limiter.turn(LONG - 1).await.is_none() && limiter.turn(LONG).now_or_never().is_none());
        permit.run(tokio::task::yield_now()).await;
        let mut heavy = pin!(permit.run(heavy_step()));
        assert!(tokio::time::timeout(LIGHT, &mut heavy).await.is_err());
        drop(all);
        heavy.await;
        assert!(limiter.turn(LONG).await.is_some());
        assert_eq!(limiter.turns.available_permits(), count);
    }
}
