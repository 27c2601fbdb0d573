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
}

#[derive(Default)]
pub(super) struct Queue {
    rows: BTreeMap<DeliveryId, Row>,
    /// The unfinished ones of each lane.
    open: BTreeMap<SubscriptionId, BTreeSet<DeliveryId>>,
}

impl Queue {
    pub(super) fn append(&mut self, delivery: Delivery) {
        self.open.entry(delivery.subscription_id).or_default().insert(delivery.id);
        self.rows.insert(delivery.id, Row { kept: Kept { delivery, attempts: Vec::new() }, token: 1 });
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

    /// When the earliest scheduled delivery of a lane is due.
    pub(super) fn next_due(&self, lane: SubscriptionId) -> Option<Timestamp> {
        self.of_lane(lane).filter_map(Row::due_at).min()
    }

    /// Leases what is due in one lane, and answers when the next one is due.
    pub(super) fn claim(
        &mut self,
        want: &Want,
        now: Timestamp,
        until: Timestamp,
    ) -> (Vec<Lease>, Option<Timestamp>) {
        let ids = if want.ordered { self.due_head(want.lane, now) } else { self.due(want.lane, now) };
        let leases = ids.into_iter().take(want.limit as usize).map(|id| self.lease(id, until)).collect();
        let next =
            if want.ordered { self.head(want.lane).and_then(Row::due_at) } else { self.next_due(want.lane) };
        (leases, next)
    }

    fn due(&self, lane: SubscriptionId, now: Timestamp) -> Vec<DeliveryId> {
        let mut due: Vec<_> =
            self.of_lane(lane).filter_map(|row| Some((row.due_at()?, row.kept.delivery.id))).collect();
        due.retain(|(at, _)| *at <= now);
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    fn due_head(&self, lane: SubscriptionId, now: Timestamp) -> Vec<DeliveryId> {
        let head = self.head(lane).filter(|row| row.due_at().is_some_and(|at| at <= now));
        head.map(|row| row.kept.delivery.id).into_iter().collect()
    }

    fn head(&self, lane: SubscriptionId) -> Option<&Row> {
        self.of_lane(lane).next()
    }

    fn of_lane(&self, lane: SubscriptionId) -> impl Iterator<Item = &Row> {
        self.open.get(&lane).into_iter().flatten().map(|id| &self.rows[id])
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

    /// Writes a decision, unless the lease is void.
    pub(super) fn settle(&mut self, lease: Lease, settlement: Settlement, record: Option<AttemptRecord>) {
        if let Some(kept) = self.held(lease) {
            kept.delivery.state = settlement.next;
            kept.delivery.attempts_made = settlement.attempts_made;
            kept.delivery.last_outcome = settlement.outcome;
            kept.attempts.extend(record);
            let (id, lane, over) =
                (kept.delivery.id, kept.delivery.subscription_id, kept.delivery.is_final());
            if over {
                self.close(lane, id);
            }
        }
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
        self.open.get_mut(&lane).expect("the lane of a delivery").remove(&id);
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
