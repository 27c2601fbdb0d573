//! What owners are still to be told of, in memory.

use angarium_domain::alert::{Alert, Failure, Told};
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::alerts::Alerts;
use crate::error::StoreError;

#[async_trait]
impl Alerts for MemoryStore {
    async fn due_alerts(&self, now: Timestamp, limit: u32) -> Result<Vec<Alert>, StoreError> {
        let contents = self.lock();
        let mut due: Vec<_> = contents.alerts.values().filter(|alert| alert.due_at <= now).cloned().collect();
        due.sort_by_key(|alert| (alert.due_at, alert.handle.clone(), alert.last.subscription_id));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn next_alert(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().alerts.values().map(|alert| alert.due_at).min())
    }

    async fn forget_alerts(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut contents = self.lock();
        let told = contents.alerts.iter().filter(|(_, alert)| alert.due_at <= now && alert.gathered == 0);
        let told: Vec<_> = told.map(|(key, _)| key.clone()).take(limit as usize).collect();
        for key in &told {
            contents.alerts.remove(key);
        }
        Ok(told.len() as u64)
    }
}

impl Contents {
    pub(super) fn note_failure(&mut self, handle: &Handle, failure: &Failure) {
        let key = (handle.clone(), failure.subscription_id);
        let alert = match self.alerts.remove(&key) {
            Some(alert) => alert.and(failure.clone()),
            None => Alert::of(handle.clone(), failure.clone()),
        };
        self.alerts.insert(key, alert);
    }

    pub(super) fn check_told(&self, told: &Told) -> Result<(), StoreError> {
        let alert = self.alerts.get(&(told.handle.clone(), told.subscription_id));
        let untold = alert.is_some_and(|alert| alert.due_at == told.due_at);
        if untold { Ok(()) } else { Err(StoreError::Conflict) }
    }

    pub(super) fn note_told(&mut self, told: &Told) {
        let key = (told.handle.clone(), told.subscription_id);
        if let Some(alert) = self.alerts.remove(&key) {
            self.alerts.insert(key, alert.after(told));
        }
    }
}
