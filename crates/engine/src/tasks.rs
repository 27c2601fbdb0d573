//! Supervised tasks: what still runs is known, and can be asked to end.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The engine's tasks. Two bells: "start nothing more" and "drop what you do".
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
    cut_short: CancellationToken,
}

impl Tasks {
    pub(crate) fn new() -> Tasks {
        Tasks {
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            cut_short: CancellationToken::new(),
        }
    }

    /// Runs a future in a task that [`Tasks::finished`] waits for.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(future)
    }

    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    pub(crate) fn stopped(&self) -> CancellationToken {
        self.stopping.clone()
    }

    pub(crate) fn cut_short(&self) {
        self.cut_short.cancel();
    }

    pub(crate) fn cutoff(&self) -> CancellationToken {
        self.cut_short.clone()
    }

    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Runs a write in a task of its own and awaits it: a caller who hangs up changes nothing half way.
///
/// # Panics
///
/// If the write panics: its panic goes on in the caller.
pub async fn run<F>(future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "awaited at once; this is the supervised form for writes")]
    let task = tokio::spawn(future);
    match task.await {
        Ok(output) => output,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
