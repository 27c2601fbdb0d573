//! The queue of deliveries waiting for an attempt.

use std::sync::Arc;

use angarium_domain::attempt::AttemptRecord;
use angarium_domain::delivery::{Delivery, Settlement};
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::event_log::Append;

/// The exclusive right to attempt one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose delivery it is.
    pub handle: Handle,
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// The fencing token: a write with an older one is refused.
    pub token: u64,
    /// When the lease is void.
    pub until: Timestamp,
}

/// A leased delivery with everything that an attempt needs.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The right to attempt it.
    pub lease: Lease,
    /// The delivery, in flight.
    pub delivery: Delivery,
    /// Its event.
    pub event: Arc<Event>,
}

/// A lane with work in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneHead {
    /// Whose lane.
    pub handle: Handle,
    /// Which lane.
    pub subscription_id: SubscriptionId,
    /// When its earliest scheduled delivery is due.
    pub next_due_at: Timestamp,
}

/// How much to claim from one lane. Lanes that are not named are not touched, however full they
/// are: that is what keeps claiming fair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneClaim {
    /// Whose lane.
    pub handle: Handle,
    /// Which lane.
    pub subscription_id: SubscriptionId,
    /// At most so many.
    pub limit: u32,
    /// Claim only the oldest unfinished delivery, and only if it is due and not in flight. Looks at
    /// the deliveries that were made to wait for each other ([`Delivery::ordered`]) and at no others.
    pub ordered: bool,
}

/// What was claimed from one lane.
#[derive(Debug, Clone)]
pub struct ClaimedLane {
    /// Which lane.
    pub subscription_id: SubscriptionId,
    /// Those due longest first; in an ordered lane, the oldest.
    pub leased: Vec<Leased>,
    /// When the next one left in the store is due. None if nothing is scheduled, or if the head of
    /// an ordered lane is in flight.
    pub next_due_at: Option<Timestamp>,
}

/// A decision about a leased delivery.
pub struct Settle {
    /// The right to decide.
    pub lease: Lease,
    /// The decision.
    pub settlement: Settlement,
    /// What happened; none if no attempt was made.
    pub record: Option<AttemptRecord>,
    /// Events and deliveries that follow from it, such as a terminal failure event.
    pub follow_up: Option<Append>,
}

/// Which leases to take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Every lease: the process that held them is gone.
    ByAnyone,
    /// Those that are void at a time.
    Until(Timestamp),
}

/// The queue of deliveries waiting for an attempt.
///
/// Engines store what they are told. They never compute a delay, count an attempt or choose a
/// next state: that is [`Delivery::settle`]'s work.
#[async_trait]
pub trait DeliveryQueue: Send + Sync {
    /// Every lane with at least one scheduled delivery. In time proportional to the lanes, not to
    /// the deliveries.
    async fn lanes(&self) -> Result<Vec<LaneHead>, StoreError>;

    /// Leases deliveries that are due at `now`, from the lanes named and no others.
    ///
    /// No two live leases share a delivery. Each lane costs in proportion to its limit, whatever
    /// its backlog. The answer names every lane of the claim once, in its order.
    async fn claim(
        &self,
        lanes: Vec<LaneClaim>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<ClaimedLane>, StoreError>;

    /// Commits a decision with its record and what follows from it, and ends the lease. A follow-up
    /// whose key was seen before is left out: it is in the log already.
    ///
    /// # Errors
    ///
    /// [`StoreError::LeaseLost`] if the lease is void; [`StoreError::Conflict`] if the follow-up
    /// was fanned out from an old snapshot. Nothing was written.
    async fn settle(&self, settle: Settle) -> Result<(), StoreError>;

    /// Gives leased deliveries back, due at the times named, without a trace in their history. A
    /// void lease is skipped: someone else has the delivery.
    async fn release(&self, leases: Vec<(Lease, Timestamp)>) -> Result<(), StoreError>;

    /// Takes back leases whose holder is gone. Their deliveries are due at `now`; each counts one
    /// interruption more, and has an attempt record and a last outcome that say so.
    ///
    /// Returns how many there were.
    async fn take_back(&self, held: Held, now: Timestamp) -> Result<u64, StoreError>;
}
