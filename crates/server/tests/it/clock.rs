//! A clock that stands still until a test moves it.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use angarium_domain::time::Timestamp;
use angarium_engine::Clock;

/// Wall and steady time, moved together.
pub(crate) struct HandClock {
    began_at: Timestamp,
    millis: AtomicI64,
}

impl HandClock {
    /// A clock that shows a time.
    pub(crate) fn at(began_at: Timestamp) -> HandClock {
        HandClock { began_at, millis: AtomicI64::new(0) }
    }

    /// Moves it on.
    pub(crate) fn advance(&self, by: Duration) {
        self.millis.fetch_add(i64::try_from(by.as_millis()).expect("a moment"), Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        self.began_at + self.steady()
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.millis.load(Relaxed) as u64)
    }
}
