//! The lease: until it expires, other nodes treat this node as alive. Other nodes judge expiry by the database's clock.
//! This node measures the remaining time by a monotonic clock, starting before it sends a renewal.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Journal, step};
use crate::domain::Result;

/// The duration of a lease, counted from its renewal.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// The delay after a failed renewal.
const RETRY: Duration = Duration::from_secs(1);

/// This node's side of its lease.
pub(super) struct Lease {
    /// On SQLite there is no other node, and no lease.
    is_needed: bool,
    state: Mutex<State>,
    renewed: Notify,
}

#[derive(Default)]
struct State {
    held_until: Option<Instant>,
    /// The time since which each renewal succeeded before the previous lease had expired.
    on_time_since: Option<Instant>,
}

impl Lease {
    pub(super) fn new(is_needed: bool) -> Self {
        Self { is_needed, state: Mutex::default(), renewed: Notify::new() }
    }

    pub(super) fn is_held(&self) -> bool {
        !self.is_needed || is_held(&self.lock(), Instant::now())
    }

    /// Waits until the lease is held.
    pub(super) async fn held(&self) {
        loop {
            let renewed = self.renewed.notified();
            if self.is_held() {
                return;
            }
            renewed.await;
        }
    }

    /// Whether this node may declare other nodes dead: its own renewals succeeded in time for the duration of a lease.
    /// After an outage of the database, all leases have expired, and every node needs time to renew its own.
    pub(super) fn may_judge(&self) -> bool {
        let (now, state) = (Instant::now(), self.lock());
        self.is_needed && is_held(&state, now) && state.on_time_since.is_some_and(|since| now >= since + LEASE)
    }

    /// Records a renewal that was sent at `began`.
    fn note_renewal(&self, began: Instant) {
        let mut state = self.lock();
        if !is_held(&state, Instant::now()) {
            state.on_time_since = Some(began);
        }
        state.held_until = Some(began + LEASE);
        drop(state);
        self.renewed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_held(state: &State, now: Instant) -> bool {
    state.held_until.is_some_and(|until| now < until)
}

impl Journal {
    /// Renews the lease until `stop`, then releases it unless replies of this node are still running.
    pub(super) async fn renew_until(&self, stop: CancellationToken) {
        if !self.lease.is_needed {
            return stop.cancelled().await;
        }
        let mut wait = RENEWAL;
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            wait = match self.renew().await {
                Ok(()) => RENEWAL,
                Err(cause) => {
                    let is_held = self.lease.is_held();
                    tracing::warn!(exception.message = &cause as &dyn std::error::Error, is_held, "lease not renewed");
                    RETRY
                }
            };
        }
        // If it is not released, the lease expires by itself, and another node ends the remaining replies.
        if self.running.is_empty()
            && let Err(cause) = step(self.store.forget(self.boot)).await
        {
            tracing::warn!(exception.message = &cause as &dyn std::error::Error, "lease not released");
        }
    }

    pub(super) async fn renew(&self) -> Result<()> {
        let began = Instant::now();
        step(self.store.renew(self.boot)).await?;
        self.lease.note_renewal(began);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_judges_others_only_after_a_whole_lease_on_time() {
        let lease = Lease::new(true);
        assert!(!lease.is_held() && !lease.may_judge());
        for _ in 0..3 {
            lease.note_renewal(Instant::now());
            assert!(lease.is_held() && !lease.may_judge());
            tokio::time::advance(RENEWAL).await;
        }
        assert!(lease.may_judge());

        // An outage of the duration of a lease resets the time.
        tokio::time::advance(LEASE).await;
        assert!(!lease.is_held() && !lease.may_judge());
        lease.note_renewal(Instant::now());
        tokio::time::advance(LEASE / 2).await;
        assert!(lease.is_held() && !lease.may_judge());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_counts_from_the_moment_before_it_was_asked_for() {
        let lease = Lease::new(true);
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(4)).await;
        lease.note_renewal(began);
        tokio::time::advance(LEASE - Duration::from_secs(4)).await;
        assert!(!lease.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn writers_wait_for_the_lease() {
        let lease = Lease::new(true);
        let waited = async {
            lease.held().await;
            Instant::now()
        };
        let renewed = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            lease.note_renewal(Instant::now());
            Instant::now()
        };
        let (waited, renewed) = tokio::join!(waited, renewed);
        assert_eq!(waited, renewed);
        assert!(Lease::new(false).is_held(), "SQLite has no other node");
    }
}
