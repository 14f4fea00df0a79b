//! Start and stop: the first signal asks everything to finish, the second, or the end of the grace period, to stop now.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks may take to notice the hard stop. One that takes longer is left behind.
const HARD_STOP_LIMIT: Duration = Duration::from_secs(10);

/// The two stops, and the tasks that are waited for.
#[derive(Debug)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tracker: TaskTracker,
    crashed: Arc<AtomicBool>,
    grace: Duration,
    terminate: Signal,
    interrupt: Signal,
}

impl Lifecycle {
    /// Listens for SIGTERM and SIGINT from now on. Running work may take `grace` to finish after the first. Needs a Tokio
    /// runtime.
    ///
    /// # Errors
    /// When the signals cannot be listened for.
    pub fn new(grace: Duration) -> io::Result<Self> {
        Ok(Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tracker: TaskTracker::new(),
            crashed: Arc::default(),
            grace,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Cancelled at the first signal: take nothing new, finish what runs.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when time is up: save what there is and return.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// What everything is spawned on, so that nothing outlives the stop.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Spawns a task that the server cannot do without and that ends at one of the stops. When it panics, or ends before, the
    /// server stops with a failing exit code, for a supervisor to start it again.
    pub fn spawn_vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (soft, crashed) = (self.soft.clone(), Arc::clone(&self.crashed));
        self.tracker.spawn(async move {
            let outcome = std::panic::AssertUnwindSafe(task).catch_unwind().await;
            if outcome.is_err() || !soft.is_cancelled() {
                tracing::error!(task = name, panicked = outcome.is_err(), "a vital task ended; stopping");
                crashed.store(true, Ordering::Relaxed);
                soft.cancel();
            }
        });
    }

    /// Waits for the first signal or a crash, then for everything to end; answers the process's exit code.
    pub async fn run_until_stopped(mut self) -> ExitCode {
        tokio::select! {
            () = self.soft.cancelled() => {}
            _ = self.terminate.recv() => tracing::info!("SIGTERM received; finishing what runs"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT received; finishing what runs"),
        }
        self.soft.cancel();
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => {}
            () = tokio::time::sleep(self.grace) => tracing::warn!("the grace period is over; stopping now"),
            _ = self.terminate.recv() => tracing::warn!("second signal; stopping now"),
            _ = self.interrupt.recv() => tracing::warn!("second signal; stopping now"),
        }
        self.hard.cancel();
        let ended = tokio::time::timeout(HARD_STOP_LIMIT, self.tracker.wait()).await;
        if ended.is_err() {
            tracing::error!(tasks = self.tracker.len(), "tasks do not stop; leaving them behind");
        }
        if ended.is_err() || self.crashed.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Exit codes cannot be compared; their debug form can.
    fn is_success(code: ExitCode) -> bool {
        format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
    }

    #[tokio::test]
    async fn work_that_ends_in_time_is_waited_for() {
        let lifecycle = Lifecycle::new(Duration::from_secs(60)).unwrap();
        let (soft, hard) = (lifecycle.soft().clone(), lifecycle.hard().clone());
        let finished = Arc::new(AtomicBool::new(false));
        let (stop, seen) = (soft.clone(), Arc::clone(&finished));
        lifecycle.tracker().spawn(async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            seen.store(!hard.is_cancelled(), Ordering::Relaxed);
        });
        soft.cancel();
        assert!(is_success(lifecycle.run_until_stopped().await));
        assert!(finished.load(Ordering::Relaxed), "it ended before the hard stop");
    }

    #[tokio::test]
    async fn work_that_takes_too_long_is_stopped_hard() {
        let lifecycle = Lifecycle::new(Duration::from_millis(20)).unwrap();
        let hard = lifecycle.hard().clone();
        lifecycle.tracker().spawn(async move { hard.cancelled().await });
        lifecycle.soft().cancel();
        assert!(is_success(lifecycle.run_until_stopped().await));
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_or_ends_stops_the_server_with_a_failure() {
        let lifecycle = Lifecycle::new(Duration::from_secs(60)).unwrap();
        lifecycle.spawn_vital("panics", async { panic!("on purpose") });
        assert!(!is_success(lifecycle.run_until_stopped().await));

        let lifecycle = Lifecycle::new(Duration::from_secs(60)).unwrap();
        lifecycle.spawn_vital("ends", async {});
        assert!(!is_success(lifecycle.run_until_stopped().await));
    }

    #[tokio::test]
    async fn a_vital_task_that_ends_at_the_stop_is_no_crash() {
        let lifecycle = Lifecycle::new(Duration::from_secs(60)).unwrap();
        let soft = lifecycle.soft().clone();
        lifecycle.spawn_vital("obeys", async move { soft.cancelled().await });
        lifecycle.soft().cancel();
        assert!(is_success(lifecycle.run_until_stopped().await));
    }
}
