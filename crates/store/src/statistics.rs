//! What was counted of attempts, and how much waits.

use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::statistics::{Grain, Tally};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::event_log::Lane;

/// What was counted for one subscription around one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Whose it is.
    pub handle: Handle,
    /// Which subscription.
    pub subscription_id: SubscriptionId,
    /// A time in the spans that it is counted in.
    pub at: Timestamp,
    /// What was counted.
    pub tally: Tally,
}

/// How much of a lane waits to become due or to be attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Scheduled deliveries, those behind an older one of their key included, up to a limit.
    pub scheduled: u32,
    /// When the oldest was made, of those that were counted and wait behind no other.
    pub oldest_made_at: Option<Timestamp>,
    /// When the earliest is due.
    pub next_due_at: Option<Timestamp>,
}

/// Statistics of subscriptions. Nothing that is delivered depends on them.
#[async_trait]
pub trait Statistics: Send + Sync {
    /// Adds to what was counted before, in the span of every grain. What belongs to a subscription
    /// that is gone is left out.
    async fn count(&self, counted: Vec<Counted>) -> Result<(), StoreError>;

    /// The sum over the spans of one grain that began at `since` or later.
    async fn tally(&self, of: &Lane, grain: Grain, since: Timestamp) -> Result<Tally, StoreError>;

    /// What is scheduled in a lane. Looks at the `limit` that are due first, and if there are fewer at
    /// what waits behind them in order, and at no more.
    async fn waiting(&self, of: &Lane, limit: u32) -> Result<Backlog, StoreError>;
}
