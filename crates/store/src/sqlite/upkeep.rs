//! Looking after the store, in `SQLite`.

use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, EventId, ReportId};
use angarium_domain::retention::Cutoffs;
use angarium_domain::statistics::Grain;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::chains::{forget_cooldowns, forget_signals};
use super::fault::{Fault, Tried};
use super::inboxes::forget_items;
use super::row::{self, CANCELLED, DEAD_AND_DONE, DEAD_LETTER, DELIVERED, IN_FLIGHT, SCHEDULED, WAITING};
use super::statistics::seconds;
use crate::delivery_queue::DeliveryQueue;
use crate::error::StoreError;
use crate::statements;
use crate::upkeep::{Census, Forgotten, Upkeep};

#[async_trait]
impl Upkeep for SqliteStore {
    async fn forget(&self, cutoffs: Cutoffs, limit: u32) -> Result<Forgotten, StoreError> {
        self.write(move |db| {
            let (items, marks) = forget_items(db, cutoffs, limit)?;
            Ok(Forgotten {
                deliveries: forget_deliveries(db, cutoffs, limit)?,
                events: forget_events(db, cutoffs, limit)?,
                keys: forget_keys(db, cutoffs, limit)?,
                replays: forget_replays(db, cutoffs, limit)?,
                tallies: forget_tallies(db, cutoffs, limit)?,
                items,
                marks,
                signals: forget_signals(db, cutoffs, limit)?,
                cooldowns: forget_cooldowns(db, cutoffs, limit)?,
                voice_notes: forget_voice_notes(db, cutoffs, limit)?,
                reports: forget_reports(db, cutoffs, limit)?,
            })
        })
        .await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.write(|db| {
            db.prepare_cached(statements::PUT_META)?.execute(params!["probe", b""])?;
            Ok(())
        })
        .await
    }

    async fn backlog(&self, limit: u32) -> Result<u64, StoreError> {
        self.read(move |db| {
            let count: i64 = db.prepare_cached(statements::BACKLOG)?.query_row([limit], |row| row.get(0))?;
            Ok(count as u64)
        })
        .await
    }

    async fn oldest_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lanes().await?.into_iter().map(|lane| lane.next_due_at).min())
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.read(census).await
    }
}

fn forget_deliveries(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let Cutoffs { finished_before, dead_before, .. } = cutoffs;
    let kinds = [
        (DELIVERED, finished_before),
        (CANCELLED, finished_before),
        (DEAD_AND_DONE, finished_before),
        (DEAD_LETTER, dead_before),
    ];
    let mut forgotten = 0;
    for (state, before) in kinds {
        for (handle, id, event_id) in finished(db, state, before, limit - forgotten)? {
            forget_delivery(db, &handle, id, event_id)?;
            forgotten += 1;
        }
    }
    Ok(forgotten.into())
}

fn finished(
    db: &Connection,
    state: i64,
    before: Timestamp,
    limit: u32,
) -> Tried<Vec<(Handle, DeliveryId, EventId)>> {
    let mut statement = db.prepare_cached(statements::FINISHED)?;
    let rows = statement.query_and_then(params![state, before.as_millis(), limit], |row| {
        Ok((row::handle(row, 0)?, row::id(row, 1)?, row::id(row, 2)?))
    })?;
    rows.collect()
}

fn forget_delivery(db: &Connection, handle: &Handle, id: DeliveryId, event_id: EventId) -> Tried<()> {
    db.prepare_cached(statements::FORGET_ATTEMPTS)?.execute([id.as_bytes()])?;
    db.prepare_cached(statements::FORGET_DELIVERY)?.execute(params![handle.as_str(), id.as_bytes()])?;
    db.prepare_cached(statements::UNREFER_TO_EVENT)?
        .execute(params![handle.as_str(), event_id.as_bytes()])?;
    Ok(())
}

fn forget_events(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let floor = EventId::floor(cutoffs.finished_before);
    Ok(db.prepare_cached(statements::FORGET_EVENTS)?.execute(params![floor.as_bytes(), limit])? as u64)
}

fn forget_keys(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let ended_by = cutoffs.keys_ended_by.as_millis();
    Ok(db.prepare_cached(statements::FORGET_KEYS)?.execute(params![ended_by, limit])? as u64)
}

fn forget_replays(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let ended_before = cutoffs.finished_before.as_millis();
    Ok(db.prepare_cached(statements::FORGET_REPLAYS)?.execute(params![ended_before, limit])? as u64)
}

fn forget_reports(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let kinds = [
        (statements::FORGET_REPORTS, cutoffs.reports_before),
        (statements::FORGET_STRANGERS_REPORTS, cutoffs.strangers_reports_before),
    ];
    let mut forgotten = 0;
    for (statement, before) in kinds {
        let left = i64::from(limit) - forgotten as i64;
        let floor = ReportId::floor(before);
        let old = params![floor.as_bytes(), left];
        forgotten += db.prepare_cached(statement)?.execute(old)? as u64;
    }
    Ok(forgotten)
}

fn forget_voice_notes(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let ended_before = cutoffs.finished_before.as_millis();
    Ok(db.prepare_cached(statements::FORGET_VOICE_NOTES)?.execute(params![ended_before, limit])? as u64)
}

fn forget_tallies(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let mut forgotten = 0;
    for grain in Grain::ALL {
        // Spans begin with a second: one that began before the cutoff began before its next second.
        let before = cutoffs.tallies_before(grain).as_millis().div_euclid(1000)
            + i64::from(cutoffs.tallies_before(grain).as_millis().rem_euclid(1000) > 0);
        let left = i64::from(limit) - forgotten as i64;
        let old = params![seconds(grain), before, left];
        forgotten += db.prepare_cached(statements::FORGET_TALLIES)?.execute(old)? as u64;
    }
    Ok(forgotten)
}

fn census(db: &Connection) -> Tried<Census> {
    let events: i64 = db.query_row(statements::COUNT_EVENTS, [], |row| row.get(0))?;
    let mut census = Census { events: events as u64, ..Census::default() };
    let mut statement = db.prepare_cached(statements::COUNT_DELIVERIES)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let count: i64 = row.get(1)?;
        *match row.get(0)? {
            SCHEDULED | WAITING => &mut census.scheduled,
            IN_FLIGHT => &mut census.in_flight,
            DELIVERED => &mut census.delivered,
            CANCELLED => &mut census.cancelled,
            DEAD_LETTER | DEAD_AND_DONE => &mut census.dead,
            unknown => return Err(Fault::Corrupt(format!("a delivery is in state {unknown}"))),
        } += count as u64;
    }
    Ok(census)
}
