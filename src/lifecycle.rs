//! Graceful and forced shutdown. The first signal starts the graceful shutdown; a second signal, or the end of the
//! grace period, forces it.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks may take to end after the forced shutdown begins. Remaining tasks are abandoned.
const HARD_STOP_LIMIT: Duration = Duration::from_secs(10);

/// The shutdown tokens, and the tasks that shutdown waits for.
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
    /// Listens for SIGTERM and SIGINT. Running work may take `grace` to finish after the first signal. Requires a Tokio
    /// runtime.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
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

    /// Cancelled when the graceful shutdown begins: accept no new work, finish running work.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when the shutdown is forced: save state and return.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// The tracker that all tasks are spawned on, so that none outlives the shutdown.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Spawns a task that the server depends on and that ends only during shutdown. If it panics or ends earlier, the
    /// server stops with a failure exit code, so that a supervisor restarts it.
    pub fn spawn_vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (soft, crashed) = (self.soft.clone(), Arc::clone(&self.crashed));
        self.tracker.spawn(async move {
            let outcome = std::panic::AssertUnwindSafe(task).catch_unwind().await;
            if outcome.is_err() || !soft.is_cancelled() {
                tracing::error!(task = name, panicked = outcome.is_err(), "a vital task ended; shutting down");
                crashed.store(true, Ordering::Relaxed);
                soft.cancel();
            }
        });
    }

    fn announce(&self, signal: &str) {
        let seconds = self.grace.as_secs();
        tracing::info!("{signal} received; waiting up to {seconds} s for running replies; a second signal stops them");
    }

    /// Waits for the first signal or a failed vital task, then for all tasks to end. Returns the exit code.
    pub async fn run_until_stopped(mut self) -> ExitCode {
        tokio::select! {
            () = self.soft.cancelled() => {}
            _ = self.terminate.recv() => self.announce("SIGTERM"),
            _ = self.interrupt.recv() => self.announce("SIGINT"),
        }
        self.soft.cancel();
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => {}
            () = tokio::time::sleep(self.grace) => tracing::warn!("grace period over; forcing shutdown"),
            _ = self.terminate.recv() => tracing::warn!("second signal; forcing shutdown"),
            _ = self.interrupt.recv() => tracing::warn!("second signal; forcing shutdown"),
        }
        self.hard.cancel();
        let ended = tokio::time::timeout(HARD_STOP_LIMIT, self.tracker.wait()).await;
        if ended.is_err() {
            tracing::error!(tasks = self.tracker.len(), "tasks did not stop; abandoning them");
        }
        if ended.is_err() || self.crashed.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `ExitCode` has no `PartialEq`; compare its debug form.
    fn is_success(code: ExitCode) -> bool {
        format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
    }

    #[tokio::test]
    async fn waits_for_work_within_the_grace_period() {
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
    async fn forces_shutdown_after_the_grace_period() {
        let lifecycle = Lifecycle::new(Duration::from_millis(20)).unwrap();
        let hard = lifecycle.hard().clone();
        lifecycle.tracker().spawn(async move { hard.cancelled().await });
        lifecycle.soft().cancel();
        assert!(is_success(lifecycle.run_until_stopped().await));
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_or_ends_early_is_a_failure() {
        let lifecycle = Lifecycle::new(Duration::from_secs(60)).unwrap();
        lifecycle.spawn_vital("panics", async { panic!("on purpose") });
        assert!(!is_success(lifecycle.run_until_stopped().await));

        let lifecycle = Lifecycle::new(Duration::from_secs(60)).unwrap();
        lifecycle.spawn_vital("ends", async {});
        assert!(!is_success(lifecycle.run_until_stopped().await));
    }

    #[tokio::test]
    async fn a_vital_task_that_ends_during_shutdown_is_not_a_failure() {
        let lifecycle = Lifecycle::new(Duration::from_secs(60)).unwrap();
        let soft = lifecycle.soft().clone();
        lifecycle.spawn_vital("obeys", async move { soft.cancelled().await });
        lifecycle.soft().cancel();
        assert!(is_success(lifecycle.run_until_stopped().await));
    }
}
