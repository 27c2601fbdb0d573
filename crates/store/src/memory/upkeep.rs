//! Looking after the store, in memory.

use std::collections::BTreeSet;

use angarium_domain::delivery::State;
use angarium_domain::handle::Handle;
use angarium_domain::ids::EventId;
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::deliveries::{Key, Row};
use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::upkeep::{Census, Forgotten, Upkeep};

#[async_trait]
impl Upkeep for MemoryStore {
    async fn forget(&self, cutoffs: Cutoffs, limit: u32) -> Result<Forgotten, StoreError> {
        let mut contents = self.lock();
        let (items, marks) = contents.forget_items(cutoffs, limit);
        Ok(Forgotten {
            deliveries: contents.forget_deliveries(cutoffs, limit),
            events: contents.forget_events(cutoffs, limit),
            keys: contents.forget_keys(cutoffs, limit),
            replays: contents.forget_replays(cutoffs, limit),
            tallies: contents.forget_tallies(cutoffs, limit),
            items,
            marks,
            signals: contents.forget_signals(cutoffs, limit),
            cooldowns: contents.forget_cooldowns(cutoffs, limit),
            voice_notes: contents.forget_voice_notes(cutoffs, limit),
            reports: contents.forget_reports(cutoffs, limit),
        })
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn backlog(&self, limit: u32) -> Result<u64, StoreError> {
        let contents = self.lock();
        let scheduled = contents.deliveries.lanes().flat_map(|(lane, _)| contents.deliveries.scheduled(lane));
        Ok(scheduled.take(limit as usize).count() as u64)
    }

    async fn oldest_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().deliveries.lanes().map(|(_, next_due_at)| next_due_at).min())
    }

    async fn census(&self) -> Result<Census, StoreError> {
        let contents = self.lock();
        let mut census = Census { events: contents.events.len() as u64, ..Census::default() };
        for row in contents.deliveries.all() {
            *match row.delivery.state {
                State::Scheduled { .. } => &mut census.scheduled,
                State::InFlight { .. } => &mut census.in_flight,
                State::Delivered { .. } => &mut census.delivered,
                State::Dead { .. } => &mut census.dead,
                State::Cancelled { .. } => &mut census.cancelled,
            } += 1;
        }
        Ok(census)
    }
}

impl Contents {
    fn forget_deliveries(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let old = self.deliveries.all().filter(|row| may_be_forgotten(row, cutoffs)).take(limit as usize);
        let keys: Vec<Key> = old.map(|row| (row.delivery.handle.clone(), row.delivery.id)).collect();
        for key in &keys {
            self.deliveries.remove(key);
            self.attempts.remove(key);
        }
        keys.len() as u64
    }

    fn forget_events(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let used: BTreeSet<(Handle, EventId)> =
            self.deliveries.all().map(|row| (row.delivery.handle.clone(), row.delivery.event_id)).collect();
        let old = self
            .events
            .iter()
            .filter(|(key, event)| event.id.made_at() < cutoffs.finished_before && !used.contains(key));
        let keys: Vec<(Handle, EventId)> = old.map(|(key, _)| key.clone()).take(limit as usize).collect();
        for key in &keys {
            self.events.remove(key);
        }
        keys.len() as u64
    }

    fn forget_keys(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let ended = self.keys.values().filter(|record| record.expires_at <= cutoffs.keys_ended_by);
        let scopes: Vec<_> = ended.map(|record| record.scope.clone()).take(limit as usize).collect();
        for scope in &scopes {
            self.keys.remove(scope);
        }
        scopes.len() as u64
    }

    fn forget_replays(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let ended = self
            .replays
            .iter()
            .filter(|(_, job)| job.finished_at.is_some_and(|at| at < cutoffs.finished_before));
        let keys: Vec<_> = ended.map(|(key, _)| key.clone()).take(limit as usize).collect();
        for key in &keys {
            self.replays.remove(key);
        }
        keys.len() as u64
    }
}

/// Dead letters have a cutoff of their own; a dead delivery that was replayed or discarded is
/// finished like any other.
fn may_be_forgotten(row: &Row, cutoffs: Cutoffs) -> bool {
    match row.delivery.state {
        State::Scheduled { .. } | State::InFlight { .. } => false,
        State::Dead { at, .. } if row.is_dead_letter() => at < cutoffs.dead_before,
        State::Delivered { at } | State::Cancelled { at } | State::Dead { at, .. } => {
            at < cutoffs.finished_before
        }
    }
}
