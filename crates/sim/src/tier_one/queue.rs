//! A queue as naive as possible: every question is a walk through what is unfinished.

use std::collections::{BTreeMap, BTreeSet};

use angarium_domain::attempt::{AttemptRecord, Exchange};
use angarium_domain::delivery::{Delivery, Settlement, State};
use angarium_domain::dispatch::Want;
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::outcome::{Class, Failure};
use angarium_domain::time::Timestamp;

use crate::evidence::Kept;

/// The right to decide about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) id: DeliveryId,
    pub(super) token: u64,
    pub(super) until: Timestamp,
}

struct Row {
    kept: Kept,
    token: u64,
    /// Which one it was to be appended.
    number: u64,
}

#[derive(Default)]
pub(super) struct Queue {
    rows: BTreeMap<DeliveryId, Row>,
    /// The unfinished ones of each lane, in the order in which they were appended.
    open: BTreeMap<SubscriptionId, BTreeMap<u64, DeliveryId>>,
    /// A lie: nobody waits for anybody.
    disorderly: bool,
}

impl Queue {
    pub(super) fn new(disorderly: bool) -> Queue {
        Queue { disorderly, ..Queue::default() }
    }

    pub(super) fn append(&mut self, delivery: Delivery) {
        let number = self.rows.len() as u64;
        self.open.entry(delivery.subscription_id).or_default().insert(number, delivery.id);
        let kept = Kept { delivery, attempts: Vec::new() };
        self.rows.insert(kept.delivery.id, Row { kept, token: 1, number });
    }

    pub(super) fn get(&self, id: DeliveryId) -> &Delivery {
        &self.rows[&id].kept.delivery
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn into_kept(self) -> Vec<Kept> {
        self.rows.into_values().map(|row| row.kept).collect()
    }

    /// When the earliest of a lane's deliveries that wait for their time alone is due.
    pub(super) fn next_due(&self, lane: SubscriptionId) -> Option<Timestamp> {
        self.heads(lane).filter_map(Row::due_at).min()
    }

    /// Leases what is due in one lane, and answers when the next one is due.
    pub(super) fn claim(
        &mut self,
        want: &Want,
        now: Timestamp,
        until: Timestamp,
    ) -> (Vec<Lease>, Option<Timestamp>) {
        let ids = self.due(want.lane, now).into_iter().take(want.limit as usize);
        let leases = ids.map(|id| self.lease(id, until)).collect();
        (leases, self.next_due(want.lane))
    }

    fn due(&self, lane: SubscriptionId, now: Timestamp) -> Vec<DeliveryId> {
        let mut due: Vec<_> =
            self.heads(lane).filter_map(|row| Some((row.due_at()?, row.kept.delivery.id))).collect();
        due.retain(|(at, _)| *at <= now);
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Those with nothing unfinished of their ordering key before them.
    fn heads(&self, lane: SubscriptionId) -> impl Iterator<Item = &Row> {
        let mut seen = BTreeSet::new();
        self.of_lane(lane).filter(move |row| match &row.kept.delivery.ordering_key {
            Some(key) if !self.disorderly => seen.insert(key),
            _ => true,
        })
    }

    fn of_lane(&self, lane: SubscriptionId) -> impl Iterator<Item = &Row> {
        self.open.get(&lane).into_iter().flatten().map(|(_, id)| &self.rows[id])
    }

    fn lease(&mut self, id: DeliveryId, until: Timestamp) -> Lease {
        let row = self.rows.get_mut(&id).expect("found a moment ago");
        row.token += 1;
        row.kept.delivery.state = State::InFlight { lease_until: until };
        Lease { id, token: row.token, until }
    }

    fn held(&mut self, lease: Lease) -> Option<&mut Kept> {
        let row = self.rows.get_mut(&lease.id)?;
        let in_flight = matches!(row.kept.delivery.state, State::InFlight { .. });
        (in_flight && row.token == lease.token).then_some(&mut row.kept)
    }

    /// Writes a decision, unless the lease is void. Answers when the next of its ordering key is due,
    /// if that was waiting for the end of this one.
    pub(super) fn settle(
        &mut self,
        lease: Lease,
        settlement: Settlement,
        record: Option<AttemptRecord>,
    ) -> Option<Timestamp> {
        let kept = self.held(lease)?;
        kept.delivery.state = settlement.next;
        kept.delivery.attempts_made = settlement.attempts_made;
        kept.delivery.last_outcome = settlement.outcome;
        kept.attempts.extend(record);
        let Delivery { id, subscription_id: lane, ordering_key, .. } = kept.delivery.clone();
        if !settlement.next.is_final() {
            return None;
        }
        self.close(lane, id);
        let same_key = |row: &&Row| row.kept.delivery.ordering_key == ordering_key;
        self.heads(lane).find(same_key).filter(|_| ordering_key.is_some())?.due_at()
    }

    /// Gives a delivery back as if it had not been claimed.
    pub(super) fn release(&mut self, lease: Lease, now: Timestamp) {
        if let Some(kept) = self.held(lease) {
            kept.delivery.state = State::Scheduled { due_at: now };
        }
    }

    /// Cancels what is scheduled in a lane.
    pub(super) fn cancel(&mut self, lane: SubscriptionId, now: Timestamp) {
        let scheduled: Vec<_> =
            self.of_lane(lane).filter(|row| row.due_at().is_some()).map(|row| row.kept.delivery.id).collect();
        for id in scheduled {
            self.rows.get_mut(&id).expect("found a moment ago").kept.delivery.state =
                State::Cancelled { at: now };
            self.close(lane, id);
        }
    }

    fn close(&mut self, lane: SubscriptionId, id: DeliveryId) {
        self.open.get_mut(&lane).expect("the lane of a delivery").remove(&self.rows[&id].number);
    }

    /// Takes everything in flight back: whoever held it is gone.
    pub(super) fn take_back(&mut self, now: Timestamp) {
        for Kept { delivery, attempts } in self.rows.values_mut().map(|row| &mut row.kept) {
            if let State::InFlight { .. } = delivery.state {
                attempts.push(AttemptRecord {
                    number: delivery.next_attempt(),
                    started_at: now,
                    exchange: Exchange::failed(Failure::Interrupted, "", "killed"),
                    class: Class::Retry,
                    delay: None,
                });
                delivery.interruptions += 1;
                delivery.state = State::Scheduled { due_at: now };
            }
        }
    }
}

impl Row {
    fn due_at(&self) -> Option<Timestamp> {
        match self.kept.delivery.state {
            State::Scheduled { due_at } => Some(due_at),
            State::InFlight { .. }
            | State::Delivered { .. }
            | State::Dead { .. }
            | State::Cancelled { .. } => None,
        }
    }
}
