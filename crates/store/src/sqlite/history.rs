//! The delivery log, in `SQLite`.

use angarium_domain::attempt::AttemptRecord;
use angarium_domain::delivery::Delivery;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::conditions::Conditions;
use super::context::SealedContext;
use super::fault::Tried;
use super::row;
use crate::error::StoreError;
use crate::history::{History, LogFilter, Logged};
use crate::page::{Page, PageRequest};
use crate::statements;
use crate::write::{Context, Written};

#[async_trait]
impl History for SqliteStore {
    async fn delivery(&self, handle: &Handle, id: DeliveryId) -> Result<Option<Logged>, StoreError> {
        let handle = handle.clone();
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::DELIVERY)?;
            let mut rows =
                statement.query_and_then(params![handle.as_str(), id.as_bytes()], row::delivery)?;
            rows.next().transpose()
        })
        .await
    }

    async fn deliveries(
        &self,
        handle: &Handle,
        filter: LogFilter,
        page: PageRequest,
    ) -> Result<Page<Logged>, StoreError> {
        let page_of = |mut query: Conditions| {
            if let Some(before) = page.before {
                query = query.and("id <", before.to_vec());
            }
            query.first("id DESC", page.limit + 1)
        };
        let query = page_of(Conditions::of_deliveries(statements::SELECT_DELIVERIES, handle, &filter));
        let waiting = Conditions::of_waiting(statements::SELECT_DELIVERIES, handle, &filter).map(page_of);
        let items = self.read(move |db| {
            let mut items = query.query(db, row::delivery)?;
            if let Some(waiting) = waiting {
                items.extend(waiting.query(db, row::delivery)?);
                items.sort_unstable_by_key(|logged| std::cmp::Reverse(logged.delivery.id));
                items.truncate(page.limit as usize + 1);
            }
            Ok(items)
        });
        Ok(Page::cut(items.await?, page.limit, |logged: &Logged| *logged.delivery.id.as_bytes()))
    }

    async fn attempts(&self, handle: &Handle, id: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        let handle = handle.clone();
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::ATTEMPTS)?;
            let record = |row: &Row<'_>| row::from_json(row.get_ref(0)?.as_bytes()?);
            statement.query_and_then(params![handle.as_str(), id.as_bytes()], record)?.collect()
        })
        .await
    }

    async fn count_replayable(&self, handle: &Handle, filter: LogFilter) -> Result<u64, StoreError> {
        let query = Conditions::of_deliveries(statements::SELECT_COUNT, handle, &filter).replayable();
        let count = self.read(move |db| query.query(db, |row| Ok(row.get::<_, i64>(0)?))).await?;
        Ok(count.first().map_or(0, |count| *count as u64))
    }

    async fn replayable(
        &self,
        handle: &Handle,
        filter: LogFilter,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut query =
            Conditions::of_deliveries(statements::SELECT_DELIVERIES, handle, &filter).replayable();
        if let Some(after) = after {
            query = query.and("id >", after.as_bytes().to_vec());
        }
        let query = query.first("id", limit);
        self.read(move |db| query.query(db, |row| Ok(row::delivery(row)?.delivery))).await
    }

    async fn discard(
        &self,
        handle: &Handle,
        id: DeliveryId,
        at: Timestamp,
        context: Context,
    ) -> Result<Written<bool>, StoreError> {
        let handle = handle.clone();
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| discard(db, &handle, id, at, context)).await
    }

    async fn last_triggered(
        &self,
        handle: &Handle,
        subscriptions: Vec<SubscriptionId>,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let handle = handle.clone();
        self.read(move |db| {
            let newest = |id: SubscriptionId| newest(db, &handle, id);
            subscriptions.into_iter().map(|id| Ok(newest(id)?.map(|newest| newest.made_at()))).collect()
        })
        .await
    }
}

fn discard(
    db: &Connection,
    handle: &Handle,
    id: DeliveryId,
    at: Timestamp,
    context: &SealedContext,
) -> Tried<bool> {
    let key = params![at.as_millis(), handle.as_str(), id.as_bytes()];
    let discarded = db.prepare_cached(statements::DISCARD)?.execute(key)? > 0;
    if discarded {
        context.note(db)?;
    }
    Ok(discarded)
}

/// The newest delivery of a subscription.
fn newest(db: &Connection, handle: &Handle, subscription: SubscriptionId) -> Tried<Option<DeliveryId>> {
    let mut statement = db.prepare_cached(statements::NEWEST)?;
    let key = params![subscription.as_bytes(), handle.as_str()];
    let mut rows = statement.query_and_then(key, |row| row::id(row, 0))?;
    rows.next().transpose()
}
