//! What the operator says of handles, and their end, in memory.

use std::ops::Bound::{Excluded, Unbounded};

use angarium_domain::account::Presence;
use angarium_domain::chain::Rulebook;
use angarium_domain::handle::Handle;
use angarium_domain::quota::{Day, Draw, Exhausted};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::deliveries::Key;
use super::directory::Stored;
use super::{Contents, MemoryStore};
use crate::accounts::{Accounts, Known};
use crate::error::StoreError;

#[async_trait]
impl Accounts for MemoryStore {
    async fn accounts(&self, after: Option<Handle>, limit: u32) -> Result<Vec<Known>, StoreError> {
        let contents = self.lock();
        let from = after.as_ref().map_or(Unbounded, Excluded);
        let known = contents.accounts.range::<Handle, _>((from, Unbounded)).map(|(handle, stored)| Known {
            handle: handle.clone(),
            version: stored.version,
            account: stored.account.clone(),
        });
        let there = known.filter(|known| !matches!(known.account.presence, Presence::Gone { .. }));
        Ok(there.take(limit as usize).collect())
    }

    async fn drawn(&self, handle: &Handle, day: Day) -> Result<u32, StoreError> {
        Ok(self.lock().drawn(handle, day))
    }

    async fn leaving(&self) -> Result<Vec<Handle>, StoreError> {
        let contents = self.lock();
        let leaving = contents
            .accounts
            .iter()
            .filter(|(_, stored)| matches!(stored.account.presence, Presence::Leaving { .. }));
        Ok(leaving.map(|(handle, _)| handle.clone()).collect())
    }

    async fn clear(&self, handle: &Handle, limit: u32) -> Result<u64, StoreError> {
        let mut contents = self.lock();
        let limit = limit as usize;
        let deliveries: Vec<Key> =
            contents.deliveries.of(handle).map(|row| (handle.clone(), row.delivery.id)).take(limit).collect();
        for key in &deliveries {
            contents.deliveries.remove(key);
            contents.attempts.remove(key);
        }
        let mut cleared = deliveries.len();
        if let Some(stored) = contents.accounts.get_mut(handle) {
            cleared += stored.subscriptions.len() + stored.outages.len() + stored.tokens.len();
            stored.subscriptions.clear();
            stored.outages.clear();
            stored.tokens.clear();
            cleared += stored.event_types.len() + usize::from(stored.catalog_version > 0);
            stored.event_types.clear();
            stored.catalog_version = 0;
            cleared += usize::from(stored.rulebook.version > 0);
            stored.rulebook = Rulebook::default();
        }
        cleared += contents.clear_inbox(handle, limit);
        let endings = contents.endings.len();
        contents.endings.retain(|(owner, _)| owner != handle);
        cleared += endings - contents.endings.len();
        let tenant = format!("{handle}\n");
        cleared += remove_some(&mut contents.replays, limit, |(owner, _)| owner == handle);
        cleared += remove_some(&mut contents.voice_notes, limit, |(owner, _)| owner == handle);
        let of_handle: Vec<_> = contents
            .reports
            .values()
            .filter(|report| report.handle.as_ref() == Some(handle))
            .map(|report| report.id)
            .take(limit)
            .collect();
        for id in &of_handle {
            contents.reports.remove(id);
        }
        cleared += of_handle.len();
        cleared += remove_some(&mut contents.tallies, limit, |(owner, ..)| owner == handle);
        cleared += remove_some(&mut contents.alerts, limit, |(owner, _)| owner == handle);
        cleared += remove_some(&mut contents.mailboxes, limit, |(owner, _)| owner == handle);
        cleared += remove_some(&mut contents.drawn, limit, |(owner, _)| owner == handle);
        cleared += contents.shelves.clear(handle, limit);
        cleared += contents.sessions.clear(handle, limit);
        // A delivery is never without its event.
        let events = if deliveries.len() < limit { limit } else { 0 };
        cleared += remove_some(&mut contents.events, events, |(owner, _)| owner == handle);
        cleared += remove_some(&mut contents.keys, limit, |scope| scope.as_str().starts_with(&tenant));
        Ok(cleared as u64)
    }
}

/// Removes the first entries that match, and answers how many there were.
pub(super) fn remove_some<K: Ord + Clone, V>(
    map: &mut std::collections::BTreeMap<K, V>,
    limit: usize,
    matches: impl Fn(&K) -> bool,
) -> usize {
    let keys: Vec<K> = map.keys().filter(|key| matches(key)).take(limit).cloned().collect();
    for key in &keys {
        map.remove(key);
    }
    keys.len()
}

impl Contents {
    /// Refuses what was begun before the handle's present life, or after its end.
    pub(super) fn require_owner(&self, handle: &Handle, begun_at: Timestamp) -> Result<(), StoreError> {
        let owns = |stored: &Stored| stored.account.owns_what_was_begun_at(begun_at);
        if self.accounts.get(handle).is_none_or(owns) { Ok(()) } else { Err(StoreError::Conflict) }
    }

    fn drawn(&self, handle: &Handle, day: Day) -> u32 {
        self.drawn.get(&(handle.clone(), day)).copied().unwrap_or(0)
    }

    /// How many writes there are with this one, if there is room for it.
    pub(super) fn check_draw(&self, draw: &Draw) -> Result<u32, Exhausted> {
        draw.take(self.drawn(&draw.handle, draw.day))
    }

    pub(super) fn take(&mut self, draw: &Draw) {
        if let Ok(used) = self.check_draw(draw) {
            self.drawn.insert((draw.handle.clone(), draw.day), used);
            let old = draw.day.a_year_earlier();
            self.drawn.retain(|(handle, day), _| *handle != draw.handle || *day >= old);
        }
    }
}
