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
    /// Whether others may wait for the delivery's end: it has an ordering key. Set by the claim, so
    /// that the settlement of what has none needs no look.
    pub in_order: bool,
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

/// A leased delivery that cannot be attempted: what is stored of it, or of its event, makes no sense.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// The right to end it.
    pub lease: Lease,
    /// How many attempts were settled.
    pub attempts_made: u32,
    /// For the operator: what cannot be read.
    pub reason: String,
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
}

/// What was claimed from one lane.
#[derive(Debug, Clone)]
pub struct ClaimedLane {
    /// Which lane.
    pub subscription_id: SubscriptionId,
    /// Those due longest first.
    pub leased: Vec<Leased>,
    /// Those that were due and cannot be read. They cost the others nothing.
    pub unreadable: Vec<Unreadable>,
    /// When the next one left in the store is due. None if there is none that waits for its time alone.
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
///
/// What they do keep is the order. Of the unfinished deliveries of one lane with one ordering key
/// ([`Delivery::ordering_key`]) only the first can be claimed, settled or released; the others wait
/// behind it, in the order in which their appends were committed, and those of one append in the
/// order in which it names them. They are scheduled and due like any other, but no claim sees them,
/// and none costs a claim anything, until the settlement that ends the first brings up the next.
#[async_trait]
pub trait DeliveryQueue: Send + Sync {
    /// Every lane with at least one delivery that waits for its time alone. In time proportional to
    /// the lanes, not to the deliveries.
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
    /// If that is the end of a delivery behind which others wait, the next of them can be claimed
    /// from now on: answers when it is due.
    ///
    /// # Errors
    ///
    /// [`StoreError::LeaseLost`] if the lease is void; [`StoreError::Conflict`] if the follow-up
    /// was fanned out from an old snapshot. Nothing was written.
    async fn settle(&self, settle: Settle) -> Result<Option<Timestamp>, StoreError>;

    /// Gives leased deliveries back, due at the times named, without a trace in their history. A
    /// void lease is skipped: someone else has the delivery.
    async fn release(&self, leases: Vec<(Lease, Timestamp)>) -> Result<(), StoreError>;

    /// Takes back leases whose holder is gone. Their deliveries are due at `now`; each counts one
    /// interruption more, and has an attempt record and a last outcome that say so. One that cannot be
    /// read is due again as it is, so that the next claim finds it.
    ///
    /// Returns how many there were.
    async fn take_back(&self, held: Held, now: Timestamp) -> Result<u64, StoreError>;
}
