//! The delivery log, in memory.

use angarium_domain::attempt::AttemptRecord;
use angarium_domain::delivery::{Delivery, Status};
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::replay::replayable;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::MemoryStore;
use super::deliveries::Row;
use crate::error::StoreError;
use crate::history::{History, LogFilter, Logged};
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

#[async_trait]
impl History for MemoryStore {
    async fn delivery(&self, handle: &Handle, id: DeliveryId) -> Result<Option<Logged>, StoreError> {
        Ok(self.lock().deliveries.get(handle, id).map(Row::logged))
    }

    async fn deliveries(
        &self,
        handle: &Handle,
        filter: LogFilter,
        page: PageRequest,
    ) -> Result<Page<Logged>, StoreError> {
        let contents = self.lock();
        let before = |row: &&Row| page.before.is_none_or(|before| *row.delivery.id.as_bytes() < before);
        let older = contents.deliveries.of(handle).rev().filter(before);
        let matching = older.filter(|row| matches(&filter, row)).take(page.limit as usize + 1);
        let items = matching.map(Row::logged).collect();
        Ok(Page::cut(items, page.limit, |logged: &Logged| *logged.delivery.id.as_bytes()))
    }

    async fn attempts(&self, handle: &Handle, id: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        Ok(self.lock().attempts.get(&(handle.clone(), id)).cloned().unwrap_or_default())
    }

    async fn count_replayable(&self, handle: &Handle, filter: LogFilter) -> Result<u64, StoreError> {
        let contents = self.lock();
        let matching =
            contents.deliveries.of(handle).filter(|row| may_be_replayed(row) && matches(&filter, row));
        Ok(matching.count() as u64)
    }

    async fn replayable(
        &self,
        handle: &Handle,
        filter: LogFilter,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let contents = self.lock();
        let newer =
            contents.deliveries.of(handle).filter(|row| after.is_none_or(|after| row.delivery.id > after));
        let matching = newer.filter(|row| may_be_replayed(row) && matches(&filter, row));
        Ok(matching.take(limit as usize).map(|row| row.delivery.clone()).collect())
    }

    async fn discard(
        &self,
        handle: &Handle,
        id: DeliveryId,
        at: Timestamp,
        context: Context,
    ) -> Result<Written<bool>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        if !contents.deliveries.get(handle, id).is_some_and(Row::is_dead_letter) {
            return Ok(Written::Done(false));
        }
        contents.deliveries.change(handle, id, |row| row.delivery.discarded_at = Some(at));
        contents.note(context);
        Ok(Written::Done(true))
    }

    async fn last_triggered(
        &self,
        handle: &Handle,
        subscriptions: Vec<SubscriptionId>,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let contents = self.lock();
        let newest = |subscription: SubscriptionId| {
            let mut newer = contents.deliveries.of(handle).rev();
            newer
                .find(|row| row.delivery.subscription_id == subscription)
                .map(|row| row.delivery.id.made_at())
        };
        Ok(subscriptions.into_iter().map(newest).collect())
    }
}

fn may_be_replayed(row: &Row) -> bool {
    replayable(&row.delivery).is_ok() && row.is_untouched()
}

fn matches(filter: &LogFilter, row: &Row) -> bool {
    let Row { delivery, .. } = row;
    let wanted = &filter.conditions;
    let paused = filter.paused.contains(&delivery.subscription_id);
    wanted.subscription_id.is_none_or(|id| id == delivery.subscription_id)
        && wanted.event_id.is_none_or(|id| id == delivery.event_id)
        && wanted.event_type.as_ref().is_none_or(|wanted| *wanted == delivery.event_type)
        && wanted.status.is_none_or(|status| status == Status::of(delivery, paused))
        && wanted.since.is_none_or(|since| delivery.id.made_at() >= since)
        && wanted.until.is_none_or(|until| delivery.id.made_at() < until)
        && (!filter.dead_letters || row.is_dead_letter())
}
