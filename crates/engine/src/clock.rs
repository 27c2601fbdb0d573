//! The time, in one place.

use std::sync::OnceLock;
use std::time::Duration;

use angarium_domain::time::Timestamp;
use tokio::time::Instant;

/// What time it is.
pub trait Clock: Send + Sync {
    /// The time on the wall. It may jump; waits are measured by the runtime's own clock.
    fn now(&self) -> Timestamp;

    /// How long the process has run. Never jumps, so it measures where the wall cannot.
    fn steady(&self) -> Duration {
        static STARTED_AT: OnceLock<Instant> = OnceLock::new();
        STARTED_AT.get_or_init(Instant::now).elapsed()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
        let now = std::time::SystemTime::now();
        let since_epoch = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}
