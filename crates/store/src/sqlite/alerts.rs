//! What owners are still to be told of, in `SQLite`.

use angarium_domain::alert::{Alert, Failure, Told};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::fault::{Fault, Tried};
use super::row::{self, from_json, json};
use crate::alerts::Alerts;
use crate::error::StoreError;
use crate::statements;

#[async_trait]
impl Alerts for SqliteStore {
    async fn due_alerts(&self, now: Timestamp, limit: u32) -> Result<Vec<Alert>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::DUE_ALERTS)?;
            statement.query_and_then(params![now.as_millis(), limit], alert)?.collect()
        })
        .await
    }

    async fn next_alert(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(statements::NEXT_ALERT)?;
            let next: Option<i64> = statement.query_row([], |row| row.get(0))?;
            Ok(next.map(Timestamp::from_millis))
        })
        .await
    }

    async fn forget_alerts(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(move |db| {
            let key = params![now.as_millis(), limit];
            Ok(db.prepare_cached(statements::FORGET_ALERTS)?.execute(key)? as u64)
        })
        .await
    }
}

pub(super) fn note_failure(db: &Connection, handle: &Handle, failure: &Failure) -> Tried<()> {
    let alert = match find(db, handle, failure.subscription_id)? {
        Some(alert) => alert.and(failure.clone()),
        None => Alert::of(handle.clone(), failure.clone()),
    };
    put(db, &alert)
}

pub(super) fn check_told(db: &Connection, told: &Told) -> Tried<()> {
    let alert = find(db, &told.handle, told.subscription_id)?;
    let untold = alert.is_some_and(|alert| alert.due_at == told.due_at);
    if untold { Ok(()) } else { Err(Fault::Refused(StoreError::Conflict)) }
}

pub(super) fn note_told(db: &Connection, told: &Told) -> Tried<()> {
    match find(db, &told.handle, told.subscription_id)? {
        Some(alert) => put(db, &alert.after(told)),
        None => Ok(()),
    }
}

fn find(db: &Connection, handle: &Handle, id: SubscriptionId) -> Tried<Option<Alert>> {
    let mut statement = db.prepare_cached(statements::ALERT)?;
    let mut rows = statement.query_and_then(params![handle.as_str(), id.as_bytes()], alert)?;
    rows.next().transpose()
}

fn put(db: &Connection, alert: &Alert) -> Tried<()> {
    db.prepare_cached(statements::PUT_ALERT)?.execute(params![
        alert.handle.as_str(),
        alert.last.subscription_id.as_bytes(),
        alert.due_at.as_millis(),
        alert.gathered,
        alert.since.as_millis(),
        json(&alert.last),
    ])?;
    Ok(())
}

fn alert(row: &Row<'_>) -> Tried<Alert> {
    Ok(Alert {
        handle: row::handle(row, 0)?,
        due_at: row::time(row, 1)?,
        gathered: row.get(2)?,
        since: row::time(row, 3)?,
        last: from_json(row.get_ref(4)?.as_blob()?)?,
    })
}
