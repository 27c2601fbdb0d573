//! The queue of deliveries, in memory.

use angarium_domain::delivery::State;
use angarium_domain::handle::Handle;
use angarium_domain::ids::DeliveryId;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::deliveries::{Key, Row};
use super::{Contents, MemoryStore};
use crate::delivery_queue::{ClaimedLane, DeliveryQueue, Held, LaneClaim, LaneHead, Lease, Leased, Settle};
use crate::error::StoreError;
use crate::interruption::interrupt;

#[async_trait]
impl DeliveryQueue for MemoryStore {
    async fn lanes(&self) -> Result<Vec<LaneHead>, StoreError> {
        let contents = self.lock();
        let heads = contents.deliveries.lanes().map(|((handle, subscription_id), next_due_at)| LaneHead {
            handle: handle.clone(),
            subscription_id: *subscription_id,
            next_due_at,
        });
        Ok(heads.collect())
    }

    async fn claim(
        &self,
        lanes: Vec<LaneClaim>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<ClaimedLane>, StoreError> {
        let mut contents = self.lock();
        Ok(lanes.iter().map(|claim| contents.claim(claim, now, until)).collect())
    }

    async fn settle(&self, settle: Settle) -> Result<Option<Timestamp>, StoreError> {
        self.lock().settle(settle)
    }

    async fn release(&self, leases: Vec<(Lease, Timestamp)>) -> Result<(), StoreError> {
        let mut contents = self.lock();
        for (lease, due_at) in leases {
            if contents.deliveries.holds(&lease) {
                let scheduled = |row: &mut Row| row.delivery.state = State::Scheduled { due_at };
                contents.deliveries.change(&lease.handle, lease.delivery_id, scheduled);
            }
        }
        Ok(())
    }

    async fn take_back(&self, held: Held, now: Timestamp) -> Result<u64, StoreError> {
        let mut contents = self.lock();
        let is_void = |lease_until: Timestamp| match held {
            Held::ByAnyone => true,
            Held::Until(time) => lease_until <= time,
        };
        let leases = contents.deliveries.in_flight().filter(|(lease_until, _)| is_void(*lease_until));
        let keys: Vec<Key> = leases.map(|(_, key)| key.clone()).collect();
        for (handle, id) in &keys {
            contents.take_back(handle, *id, now);
        }
        Ok(keys.len() as u64)
    }
}

impl Contents {
    fn claim(&mut self, claim: &LaneClaim, now: Timestamp, until: Timestamp) -> ClaimedLane {
        let lane = (claim.handle.clone(), claim.subscription_id);
        let due = self.deliveries.scheduled(&lane).take_while(|(due_at, _)| *due_at <= now);
        let due: Vec<DeliveryId> = due.map(|(_, id)| id).take(claim.limit as usize).collect();
        let leased = due.into_iter().map(|id| self.lease(&claim.handle, id, until)).collect();
        let next_due_at = self.deliveries.scheduled(&lane).next().map(|(due_at, _)| due_at);
        ClaimedLane { subscription_id: claim.subscription_id, leased, unreadable: Vec::new(), next_due_at }
    }

    fn lease(&mut self, handle: &Handle, id: DeliveryId, until: Timestamp) -> Leased {
        self.deliveries.change(handle, id, |row| {
            row.token += 1;
            row.delivery.state = State::InFlight { lease_until: until };
        });
        let row = self.deliveries.get(handle, id).expect("only rows that were found are leased");
        let event = self.events.get(&(handle.clone(), row.delivery.event_id));
        Leased {
            lease: Lease {
                handle: handle.clone(),
                delivery_id: id,
                token: row.token,
                until,
                in_order: row.delivery.ordering_key.is_some(),
            },
            delivery: row.delivery.clone(),
            event: event.expect("no event is forgotten before its deliveries").clone(),
        }
    }

    fn settle(&mut self, settle: Settle) -> Result<Option<Timestamp>, StoreError> {
        let Settle { lease, settlement, record, follow_up } = settle;
        if !self.deliveries.holds(&lease) {
            return Err(StoreError::LeaseLost);
        }
        // A follow-up that was seen before is in the log already; the settlement is not.
        let follow_up =
            follow_up.filter(|append| self.seen(&append.context).is_ok_and(|seen| seen.is_none()));
        if let Some(append) = &follow_up {
            self.check(append)?;
        }
        self.deliveries.change(&lease.handle, lease.delivery_id, |row| {
            row.delivery.state = settlement.next;
            row.delivery.attempts_made = settlement.attempts_made;
            row.delivery.last_outcome = settlement.outcome.or(row.delivery.last_outcome);
        });
        let is_over = lease.in_order && settlement.next.is_final();
        let next_due_at =
            is_over.then(|| self.deliveries.bring_up_next(&lease.handle, lease.delivery_id)).flatten();
        self.attempts.entry((lease.handle, lease.delivery_id)).or_default().extend(record);
        if let Some(append) = follow_up {
            self.write(append);
        }
        Ok(next_due_at)
    }

    fn take_back(&mut self, handle: &Handle, id: DeliveryId, now: Timestamp) {
        let attempts = self.attempts.entry((handle.clone(), id)).or_default();
        self.deliveries.change(handle, id, |row| attempts.push(interrupt(&mut row.delivery, now)));
    }
}
