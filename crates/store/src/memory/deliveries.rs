//! The table of deliveries, with the orders in which they are asked for.

use std::collections::{BTreeMap, BTreeSet};

use angarium_domain::delivery::{Delivery, State};
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::time::Timestamp;

use crate::delivery_queue::Lease;
use crate::history::Logged;

pub(super) type Key = (Handle, DeliveryId);
pub(super) type Lane = (Handle, SubscriptionId);

/// A delivery as it is stored.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) delivery: Delivery,
    /// The token of its newest lease.
    pub(super) token: u64,
    pub(super) replayed_by: Option<DeliveryId>,
}

/// Every row passes through [`Deliveries::put`] and [`Deliveries::remove`], so no order can miss a change.
#[derive(Default)]
pub(super) struct Deliveries {
    rows: BTreeMap<Key, Row>,
    /// The scheduled ones of each lane, by due time. No set is empty.
    due: BTreeMap<Lane, BTreeSet<(Timestamp, DeliveryId)>>,
    /// The unfinished ones of each lane that must stay in order. No set is empty.
    in_order: BTreeMap<Lane, BTreeSet<DeliveryId>>,
    /// Those in flight, by the end of their lease.
    in_flight: BTreeSet<(Timestamp, Key)>,
}

impl Row {
    pub(super) fn logged(&self) -> Logged {
        Logged { delivery: self.delivery.clone(), replayed_by: self.replayed_by }
    }

    /// Neither replayed nor discarded.
    pub(super) fn is_untouched(&self) -> bool {
        self.replayed_by.is_none() && self.delivery.discarded_at.is_none()
    }

    pub(super) fn is_dead_letter(&self) -> bool {
        matches!(self.delivery.state, State::Dead { .. }) && self.is_untouched()
    }

    fn key(&self) -> Key {
        (self.delivery.handle.clone(), self.delivery.id)
    }

    fn lane(&self) -> Lane {
        (self.delivery.handle.clone(), self.delivery.subscription_id)
    }
}

impl Deliveries {
    pub(super) fn get(&self, handle: &Handle, id: DeliveryId) -> Option<&Row> {
        self.rows.get(&(handle.clone(), id))
    }

    /// Whether the lease is the newest of its delivery and was neither settled nor released.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.get(&lease.handle, lease.delivery_id).is_some_and(|row| {
            row.token == lease.token && matches!(row.delivery.state, State::InFlight { .. })
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// A handle's deliveries from old to new.
    pub(super) fn of(&self, handle: &Handle) -> impl DoubleEndedIterator<Item = &Row> {
        let first = (handle.clone(), DeliveryId::from_bytes([0; 16]));
        let last = (handle.clone(), DeliveryId::from_bytes([0xFF; 16]));
        self.rows.range(first..=last).map(|(_, row)| row)
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = (&Lane, Timestamp)> {
        self.due.iter().map(|(lane, due)| (lane, due.first().expect("no set is empty").0))
    }

    /// The scheduled deliveries of a lane, by due time.
    pub(super) fn scheduled(&self, lane: &Lane) -> impl Iterator<Item = (Timestamp, DeliveryId)> {
        self.due.get(lane).into_iter().flatten().copied()
    }

    /// The oldest unfinished delivery of a lane that must stay in order.
    pub(super) fn head(&self, lane: &Lane) -> Option<&Row> {
        self.in_order.get(lane).and_then(|ids| self.get(&lane.0, *ids.first()?))
    }

    /// Those in flight, by the end of their lease.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &(Timestamp, Key)> {
        self.in_flight.iter()
    }

    /// Writes a row in place of the one that it was made of.
    pub(super) fn put(&mut self, row: Row) {
        self.remove(&row.key());
        match row.delivery.state {
            State::Scheduled { due_at } => {
                self.due.entry(row.lane()).or_default().insert((due_at, row.delivery.id));
            }
            State::InFlight { lease_until } => {
                self.in_flight.insert((lease_until, row.key()));
            }
            State::Delivered { .. } | State::Dead { .. } | State::Cancelled { .. } => {}
        }
        if row.delivery.ordered && !row.delivery.is_final() {
            self.in_order.entry(row.lane()).or_default().insert(row.delivery.id);
        }
        self.rows.insert(row.key(), row);
    }

    /// Changes a row. Answers false if there is none.
    pub(super) fn change(&mut self, handle: &Handle, id: DeliveryId, change: impl FnOnce(&mut Row)) -> bool {
        let Some(mut row) = self.get(handle, id).cloned() else { return false };
        change(&mut row);
        self.put(row);
        true
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(row) = self.rows.remove(key) else { return };
        let lane = row.lane();
        match row.delivery.state {
            State::Scheduled { due_at } => take(&mut self.due, &lane, &(due_at, key.1)),
            State::InFlight { lease_until } => {
                self.in_flight.remove(&(lease_until, key.clone()));
            }
            State::Delivered { .. } | State::Dead { .. } | State::Cancelled { .. } => {}
        }
        take(&mut self.in_order, &lane, &key.1);
    }
}

/// Takes an item out of a lane's set, and the set out when it was the last.
fn take<T: Ord>(sets: &mut BTreeMap<Lane, BTreeSet<T>>, lane: &Lane, item: &T) {
    if let Some(set) = sets.get_mut(lane) {
        set.remove(item);
        if set.is_empty() {
            sets.remove(lane);
        }
    }
}
