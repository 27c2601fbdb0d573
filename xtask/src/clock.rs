//! The time of day, read in one place; everything else here measures with `tokio::time::Instant`.

use std::time::{Duration, SystemTime};

/// Time since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "tooling measures the real world; the rule protects the product"
)]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the machine's clock is set after 1970")
}
