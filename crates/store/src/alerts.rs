//! What owners are still to be told of.

use angarium_domain::alert::Alert;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;

/// One alert for each subscription with failures that its owner was not told of, or was told of
/// lately. They gather by [`Beside::Failed`](crate::event_log::Beside), in the transaction that settles
/// the delivery, and are told by [`Beside::Told`](crate::event_log::Beside), in the one that appends
/// the event that tells.
#[async_trait]
pub trait Alerts: Send + Sync {
    /// The alerts that are due at `now`, those due longest first; those with nothing to tell of are
    /// among them.
    async fn due_alerts(&self, now: Timestamp, limit: u32) -> Result<Vec<Alert>, StoreError>;

    /// When the next alert is due, with or without anything to tell of.
    async fn next_alert(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Forgets at most `limit` alerts that are due at `now` and have nothing to tell of: the next
    /// failure of their subscription is told at once. Answers how many there were.
    async fn forget_alerts(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
