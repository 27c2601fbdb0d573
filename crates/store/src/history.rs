//! The delivery log: what happened to each delivery.

use angarium_domain::attempt::AttemptRecord;
use angarium_domain::delivery::Delivery;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::replay::DeliveryFilter;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// Which deliveries to list or count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// The conditions that all must hold.
    pub conditions: DeliveryFilter,
    /// Only dead letters: dead, and neither replayed nor discarded.
    pub dead_letters: bool,
    /// The handle's subscriptions that hold their deliveries: what makes `held` of `pending`.
    pub paused: Vec<SubscriptionId>,
}

/// A delivery as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The delivery.
    pub delivery: Delivery,
    /// The newest delivery that replays it.
    pub replayed_by: Option<DeliveryId>,
    /// Whether it is scheduled and waits behind an older one of its ordering key.
    pub waits: bool,
}

/// The delivery log of a handle.
#[async_trait]
pub trait History: Send + Sync {
    /// One delivery of a handle.
    async fn delivery(&self, handle: &Handle, id: DeliveryId) -> Result<Option<Logged>, StoreError>;

    /// A handle's deliveries, newest first.
    async fn deliveries(
        &self,
        handle: &Handle,
        filter: LogFilter,
        page: PageRequest,
    ) -> Result<Page<Logged>, StoreError>;

    /// Every attempt of a delivery, by number.
    async fn attempts(&self, handle: &Handle, id: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError>;

    /// How many delivered or dead deliveries match that were neither replayed nor discarded.
    async fn count_replayable(&self, handle: &Handle, filter: LogFilter) -> Result<u64, StoreError>;

    /// The first of those after `after`, from old to new.
    async fn replayable(
        &self,
        handle: &Handle,
        filter: LogFilter,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Takes a dead letter off the list. Answers whether it was on it; if not, nothing is written,
    /// neither the key nor the audit entry.
    async fn discard(
        &self,
        handle: &Handle,
        id: DeliveryId,
        at: Timestamp,
        context: Context,
    ) -> Result<Written<bool>, StoreError>;

    /// When the newest delivery of each subscription of a handle was made, as far back as the log goes.
    async fn last_triggered(
        &self,
        handle: &Handle,
        subscriptions: Vec<SubscriptionId>,
    ) -> Result<Vec<Option<Timestamp>>, StoreError>;
}
