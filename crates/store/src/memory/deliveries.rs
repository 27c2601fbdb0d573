//! The table of deliveries, with the orders in which they are asked for.

use std::collections::{BTreeMap, BTreeSet};

use angarium_domain::delivery::{Delivery, OrderingKey, State};
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::time::Timestamp;

use crate::delivery_queue::Lease;
use crate::history::Logged;

pub(super) type Key = (Handle, DeliveryId);
pub(super) type Lane = (Handle, SubscriptionId);
/// What goes one after the other.
type Queue = (Lane, OrderingKey);

/// A delivery as it is stored.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) delivery: Delivery,
    /// The token of its newest lease.
    pub(super) token: u64,
    pub(super) replayed_by: Option<DeliveryId>,
    /// Where it stands among those of its ordering key; 0 without one.
    place: u64,
    /// Whether it is scheduled behind an older one of its ordering key.
    waits: bool,
}

/// Every row passes through `put` and [`Deliveries::remove`], so no order can miss a change.
#[derive(Default)]
pub(super) struct Deliveries {
    rows: BTreeMap<Key, Row>,
    /// The scheduled ones of each lane that wait for nothing but their time, by due time. No set is empty.
    due: BTreeMap<Lane, BTreeSet<(Timestamp, DeliveryId)>>,
    /// The unfinished ones of each ordering key, by place. No map is empty.
    in_order: BTreeMap<Queue, BTreeMap<u64, DeliveryId>>,
    /// Those in flight, by the end of their lease.
    in_flight: BTreeSet<(Timestamp, Key)>,
}

impl Row {
    pub(super) fn logged(&self) -> Logged {
        Logged { delivery: self.delivery.clone(), replayed_by: self.replayed_by, waits: self.waits }
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

    fn queue(&self) -> Option<Queue> {
        self.delivery.ordering_key.clone().map(|key| (self.lane(), key))
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

    /// The deliveries of a lane that may be claimed once they are due, by due time.
    pub(super) fn scheduled(&self, lane: &Lane) -> impl Iterator<Item = (Timestamp, DeliveryId)> {
        self.due.get(lane).into_iter().flatten().copied()
    }

    /// Those of a lane that wait behind others, key by key.
    pub(super) fn waiting(&self, lane: &Lane) -> impl Iterator<Item = DeliveryId> {
        let first = (lane.clone(), OrderingKey::from_stored(String::new()));
        let of_lane = self.in_order.range(first..).take_while(move |((of, _), _)| of == lane);
        let ids = of_lane.flat_map(|(_, queue)| queue.values().copied());
        ids.filter(|id| self.get(&lane.0, *id).is_some_and(|row| row.waits))
    }

    /// Those in flight, by the end of their lease.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &(Timestamp, Key)> {
        self.in_flight.iter()
    }

    /// Writes a new delivery, at the end of its queue if it has an ordering key.
    pub(super) fn add(&mut self, delivery: Delivery, token: u64) {
        let mut row = Row { delivery, token, replayed_by: None, place: 0, waits: false };
        if let Some(queue) = row.queue() {
            let last = self.in_order.get(&queue).and_then(|queue| Some(*queue.last_key_value()?.0));
            row.place = last.unwrap_or(0) + 1;
            row.waits = last.is_some();
        }
        self.put(row);
    }

    /// Lets the delivery that waited behind one that has just ended be claimed, and answers when it
    /// is due.
    pub(super) fn bring_up_next(&mut self, handle: &Handle, ended: DeliveryId) -> Option<Timestamp> {
        let queue = self.in_order.get(&self.get(handle, ended)?.queue()?)?;
        let next = *queue.first_key_value()?.1;
        let due_at = match self.get(handle, next)? {
            Row { waits: true, delivery: Delivery { state: State::Scheduled { due_at }, .. }, .. } => *due_at,
            _ => return None,
        };
        self.change(handle, next, |row| row.waits = false);
        Some(due_at)
    }

    /// Writes a row in place of the one that it was made of.
    fn put(&mut self, mut row: Row) {
        self.remove(&row.key());
        row.waits &= matches!(row.delivery.state, State::Scheduled { .. });
        match row.delivery.state {
            State::Scheduled { due_at } if !row.waits => {
                self.due.entry(row.lane()).or_default().insert((due_at, row.delivery.id));
            }
            State::InFlight { lease_until } => {
                self.in_flight.insert((lease_until, row.key()));
            }
            State::Scheduled { .. }
            | State::Delivered { .. }
            | State::Dead { .. }
            | State::Cancelled { .. } => {}
        }
        if let Some(queue) = row.queue().filter(|_| !row.delivery.is_final()) {
            self.in_order.entry(queue).or_default().insert(row.place, row.delivery.id);
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
        let Some(queue) = row.queue() else { return };
        if let Some(places) = self.in_order.get_mut(&queue)
            && places.get(&row.place) == Some(&key.1)
        {
            places.remove(&row.place);
            if places.is_empty() {
                self.in_order.remove(&queue);
            }
        }
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
