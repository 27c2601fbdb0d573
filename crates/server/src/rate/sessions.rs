//! How many signals a session takes, whoever sends them.

use std::sync::Arc;

use angarium_domain::chain::SessionId;
use angarium_domain::handle::Handle;
use angarium_engine::{Metrics, TooFast};

use super::{Class, RateLimits};

/// The buckets of sessions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SessionPace {
    rates: RateLimits,
    metrics: Arc<Metrics>,
}

impl SessionPace {
    pub(crate) fn new(rates: RateLimits, metrics: Arc<Metrics>) -> SessionPace {
        SessionPace { rates, metrics }
    }

    /// Takes places for so many signals, or none.
    pub(crate) fn take(&self, handle: &Handle, id: &SessionId, count: usize) -> Result<(), TooFast> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.rates.take_of_session(handle.as_str(), id.as_str(), count).map_err(|refused| {
            self.metrics.rate_limited(Class::Signals.as_str());
            TooFast { message: refused.problem().message, retry_after: refused.wait }
        })
    }
}
