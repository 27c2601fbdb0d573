//! The log of accepted events, in memory.

use std::sync::Arc;

use angarium_domain::delivery::Delivery;
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::{Record, Scope};
use angarium_domain::ids::{EventId, SubscriptionId};
use angarium_domain::replay::JobStatus;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::deliveries::Row;
use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::event_log::{Append, BIRTH_TOKEN, EventFilter, EventLog, Lane, Span, Undelivered};
use crate::page::{Page, PageRequest};
use crate::write::Written;

#[async_trait]
impl EventLog for MemoryStore {
    async fn append(&self, append: Append) -> Result<Written<()>, StoreError> {
        self.lock().append(append)
    }

    async fn event(&self, handle: &Handle, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        Ok(self.lock().events.get(&(handle.clone(), id)).cloned())
    }

    async fn events(
        &self,
        handle: &Handle,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<Arc<Event>>, StoreError> {
        let contents = self.lock();
        let first = (handle.clone(), EventId::from_bytes([0; 16]));
        let end = (handle.clone(), EventId::from_bytes(page.before.unwrap_or([0xFF; 16])));
        let older = contents.events.range(first..end).rev().map(|(_, event)| event);
        let items =
            older.filter(|event| matches(&filter, event)).take(page.limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, page.limit, |event| *event.id.as_bytes()))
    }

    async fn undelivered(&self, to: &Lane, span: Span, limit: u32) -> Result<Undelivered, StoreError> {
        let contents = self.lock();
        let Lane { handle, subscription_id } = to;
        let Span { since, until, after } = span;
        let first = (handle.clone(), EventId::floor(since));
        let end = (handle.clone(), EventId::floor(until));
        if first >= end {
            return Ok(Undelivered::default());
        }
        let newer = contents.events.range(first..end).map(|(_, event)| event);
        let looked_at: Vec<_> =
            newer.filter(|event| after.is_none_or(|after| event.id > after)).take(limit as usize).collect();
        let undelivered = looked_at.iter().filter(|e| !contents.has_delivery(handle, e.id, *subscription_id));
        Ok(Undelivered {
            events: undelivered.map(|event| Arc::clone(event)).collect(),
            last: looked_at.last().map(|event| event.id),
        })
    }

    async fn seen(&self, scope: &Scope, now: Timestamp) -> Result<Option<Record>, StoreError> {
        Ok(self.lock().remembered(scope, now))
    }
}

fn matches(filter: &EventFilter, event: &Event) -> bool {
    filter.event_type.as_ref().is_none_or(|wanted| *wanted == event.event_type)
        && filter.origin.is_none_or(|wanted| wanted == event.origin)
        && filter.since.is_none_or(|since| event.id.made_at() >= since)
        && filter.until.is_none_or(|until| event.id.made_at() < until)
}

impl Contents {
    pub(super) fn append(&mut self, append: Append) -> Result<Written<()>, StoreError> {
        if let Some(record) = self.seen(&append.context)? {
            return Ok(Written::Seen(record));
        }
        self.check(&append)?;
        self.write(append);
        Ok(Written::Done(()))
    }

    /// Whether what an append was decided upon still holds.
    pub(super) fn check(&self, append: &Append) -> Result<(), StoreError> {
        let current = append.decided_upon.iter().all(|(handle, version)| self.version(handle) == *version);
        let running = append.job.as_ref().is_none_or(|job| {
            let stored = self.replays.get(&(job.handle.clone(), job.id));
            stored.is_some_and(|stored| stored.status == JobStatus::Running)
        });
        let new_events = append.events.iter().all(|e| !self.events.contains_key(&(e.handle.clone(), e.id)));
        let new_deliveries = append.deliveries.iter().all(|d| self.deliveries.get(&d.handle, d.id).is_none());
        let known_events = append.deliveries.iter().all(|d| {
            let key = (d.handle.clone(), d.event_id);
            self.events.contains_key(&key)
                || append.events.iter().any(|e| e.handle == d.handle && e.id == d.event_id)
        });
        let first = append.job.is_none() || append.deliveries.iter().all(|d| self.is_first(d));
        let holds = current && running && first && new_events && new_deliveries && known_events;
        if !holds {
            return Err(StoreError::Conflict);
        }
        append.beside.iter().try_for_each(|beside| self.check_beside(beside))
    }

    /// Whether a job comes first with this delivery: nobody has replayed or discarded its original,
    /// or nobody has delivered its event.
    fn is_first(&self, delivery: &Delivery) -> bool {
        match delivery.replay_of {
            Some(original) => self.deliveries.get(&delivery.handle, original).is_some_and(Row::is_untouched),
            None => !self.has_delivery(&delivery.handle, delivery.event_id, delivery.subscription_id),
        }
    }

    fn has_delivery(&self, handle: &Handle, event_id: EventId, subscription_id: SubscriptionId) -> bool {
        let mut all = self.deliveries.of(handle).map(|row| &row.delivery);
        all.any(|known| known.event_id == event_id && known.subscription_id == subscription_id)
    }

    /// Writes an append that was checked.
    pub(super) fn write(&mut self, append: Append) {
        for event in append.events {
            self.events.insert((event.handle.clone(), event.id), event);
        }
        for delivery in append.deliveries {
            if let Some(original) = delivery.replay_of {
                self.deliveries.change(&delivery.handle, original, |row| row.replayed_by = Some(delivery.id));
            }
            self.deliveries.add(delivery, BIRTH_TOKEN);
        }
        if let Some(job) = append.job {
            self.replays.insert((job.handle.clone(), job.id), job);
        }
        if let Some(entry) = append.subscription {
            let account = self.accounts.entry(entry.subscription.handle.clone()).or_default();
            account.put(entry);
        }
        for beside in &append.beside {
            self.write_beside(beside);
        }
        self.note(append.context);
    }
}
