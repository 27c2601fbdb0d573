//! The queue of deliveries, in `SQLite`.

use std::sync::Arc;

use angarium_domain::attempt::AttemptRecord;
use angarium_domain::delivery::{Delivery, Settlement, State};
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::ids::DeliveryId;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::SqliteStore;
use super::context::SealedContext;
use super::event_log::{Effect, event};
use super::fault::{Fault, Tried};
use super::row::{self, SCHEDULED, StateColumns, WAITING, json, json_text};
use crate::delivery_queue::{
    ClaimedLane, DeliveryQueue, Held, LaneClaim, LaneHead, Lease, Leased, Settle, Unreadable,
};
use crate::error::StoreError;
use crate::history::Logged;
use crate::interruption::interrupt;
use crate::statements;

#[async_trait]
impl DeliveryQueue for SqliteStore {
    async fn lanes(&self) -> Result<Vec<LaneHead>, StoreError> {
        self.read(lanes).await
    }

    async fn claim(
        &self,
        lanes: Vec<LaneClaim>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<ClaimedLane>, StoreError> {
        self.write(move |db| lanes.iter().map(|lane| claim(db, lane, now, until)).collect()).await
    }

    async fn settle(&self, settle: Settle) -> Result<Option<Timestamp>, StoreError> {
        let settling = Settling::of(settle, self);
        self.write(move |db| settling.write(db)).await
    }

    async fn release(&self, leases: Vec<(Lease, Timestamp)>) -> Result<(), StoreError> {
        self.write(move |db| {
            let mut statement = db.prepare_cached(statements::RELEASE)?;
            for (lease, due_at) in &leases {
                let Lease { handle, delivery_id, token, .. } = lease;
                let key = params![due_at.as_millis(), handle.as_str(), delivery_id.as_bytes(), *token as i64];
                statement.execute(key)?;
            }
            Ok(())
        })
        .await
    }

    async fn take_back(&self, held: Held, now: Timestamp) -> Result<u64, StoreError> {
        let void_at = match held {
            Held::ByAnyone => i64::MAX,
            Held::Until(time) => time.as_millis(),
        };
        self.write(move |db| {
            let held = read(db, statements::IN_FLIGHT, [void_at])?;
            let count = held.len() as u64;
            held.into_iter().try_for_each(|held| held.take_back(db, now))?;
            Ok(count)
        })
        .await
    }
}

/// A [`Settle`] as it goes to disk.
struct Settling {
    lease: Lease,
    settlement: Settlement,
    outcome: Option<String>,
    attempt: Option<Attempt>,
    follow_up: Option<(Effect, SealedContext)>,
}

impl Settling {
    fn of(settle: Settle, store: &SqliteStore) -> Settling {
        let Settle { lease, settlement, record, follow_up } = settle;
        Settling {
            outcome: settlement.outcome.map(|outcome| json_text(&outcome)),
            attempt: record.map(|record| Attempt::of(lease.delivery_id, &record)),
            follow_up: follow_up.map(|append| Effect::of(append, store)),
            lease,
            settlement,
        }
    }

    fn write(&self, db: &Connection) -> Tried<Option<Timestamp>> {
        let follow_up = self.checked_follow_up(db)?;
        self.end_lease(db)?;
        if let Some(attempt) = &self.attempt {
            attempt.insert(db)?;
        }
        let is_over = self.lease.in_order && self.settlement.next.is_final();
        let next_due_at = if is_over { bring_up_next(db, &self.lease)? } else { None };
        if let Some((effect, context)) = follow_up {
            effect.write(db, context)?;
        }
        Ok(next_due_at)
    }

    /// What follows, unless it was seen before: then it is in the log already, and the settlement
    /// is not. Looks before anything is written.
    fn checked_follow_up(&self, db: &Connection) -> Tried<Option<&(Effect, SealedContext)>> {
        let Some((effect, context)) = &self.follow_up else { return Ok(None) };
        require_lease(db, &self.lease)?;
        if context.seen(db)?.is_some() {
            return Ok(None);
        }
        effect.check(db)?;
        Ok(self.follow_up.as_ref())
    }

    fn end_lease(&self, db: &Connection) -> Tried<()> {
        let StateColumns { state, at, cause } = self.settlement.next.into();
        let settled = db.prepare_cached(statements::SETTLE)?.execute(params![
            state,
            at,
            cause,
            self.settlement.attempts_made,
            self.outcome,
            self.lease.handle.as_str(),
            self.lease.delivery_id.as_bytes(),
            self.lease.token as i64,
        ])?;
        if settled == 0 { Err(Fault::Refused(StoreError::LeaseLost)) } else { Ok(()) }
    }
}

/// An attempt's row.
struct Attempt {
    delivery_id: DeliveryId,
    number: u32,
    record: Vec<u8>,
}

impl Attempt {
    fn of(delivery_id: DeliveryId, record: &AttemptRecord) -> Attempt {
        Attempt { delivery_id, number: record.number, record: json(record) }
    }

    fn insert(&self, db: &Connection) -> Tried<()> {
        let row = params![self.delivery_id.as_bytes(), self.number, self.record];
        db.prepare_cached(statements::INSERT_ATTEMPT)?.execute(row)?;
        Ok(())
    }
}

/// One search for each lane: from the last of one to the first of the next.
fn lanes(db: &Connection) -> Tried<Vec<LaneHead>> {
    let mut statement = db.prepare_cached(statements::NEXT_LANE)?;
    let mut lanes: Vec<LaneHead> = Vec::new();
    loop {
        let (handle, subscription) = lanes
            .last()
            .map_or(("", [].as_slice()), |lane| (lane.handle.as_str(), lane.subscription_id.as_bytes()));
        let mut rows = statement.query(params![handle, subscription])?;
        let Some(row) = rows.next()? else { break };
        let lane = LaneHead {
            handle: row::handle(row, 0)?,
            subscription_id: row::id(row, 1)?,
            next_due_at: row::time(row, 2)?,
        };
        drop(rows);
        lanes.push(lane);
    }
    Ok(lanes)
}

fn claim(db: &Connection, lane: &LaneClaim, now: Timestamp, until: Timestamp) -> Tried<ClaimedLane> {
    let LaneClaim { handle, subscription_id, limit } = lane;
    let key = params![handle.as_str(), subscription_id.as_bytes(), now.as_millis(), limit];
    let due = read(db, statements::DUE, key)?;
    let mut claimed = ClaimedLane {
        subscription_id: *subscription_id,
        leased: vec![],
        unreadable: vec![],
        next_due_at: None,
    };
    for Read { stub, row } in due {
        let lease = stub.lease(db, handle, until)?;
        match row.and_then(|row| with_event(db, row)) {
            Ok((delivery, event)) => claimed.leased.push(leased(lease, delivery, event)),
            Err(fault) => {
                let reason = fault.of_a_value()?;
                claimed.unreadable.push(Unreadable { lease, attempts_made: stub.attempts_made, reason });
            }
        }
    }
    claimed.next_due_at = next_due(db, lane)?;
    Ok(claimed)
}

fn next_due(db: &Connection, lane: &LaneClaim) -> Tried<Option<Timestamp>> {
    let mut statement = db.prepare_cached(statements::NEXT_DUE)?;
    let key = params![lane.handle.as_str(), lane.subscription_id.as_bytes()];
    let next_due_at: Option<i64> = statement.query_row(key, |row| row.get(0)).optional()?;
    Ok(next_due_at.map(Timestamp::from_millis))
}

fn with_event(db: &Connection, row: Logged) -> Tried<(Delivery, Arc<Event>)> {
    let delivery = row.delivery;
    let event = event(db, &delivery.handle, delivery.event_id)?
        .ok_or_else(|| Fault::Corrupt(format!("{} has no event", delivery.id)))?;
    Ok((delivery, event))
}

fn leased(lease: Lease, delivery: Delivery, event: Arc<Event>) -> Leased {
    let state = State::InFlight { lease_until: lease.until };
    Leased { lease, delivery: Delivery { state, ..delivery }, event }
}

/// Lets the delivery that waited behind one that has just ended be claimed, and answers when it is due.
fn bring_up_next(db: &Connection, ended: &Lease) -> Tried<Option<Timestamp>> {
    let handle = ended.handle.as_str();
    let mut queue = db.prepare_cached(statements::QUEUE)?;
    let (subscription, key): ([u8; 16], Option<String>) = queue
        .query_row(params![handle, ended.delivery_id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut first = db.prepare_cached(statements::FIRST_IN_ORDER)?;
    let mut rows = first.query(params![handle, subscription, key])?;
    let Some(row) = rows.next()?.filter(|row| row.get(1) == Ok(WAITING)) else { return Ok(None) };
    let id: [u8; 16] = row.get(0)?;
    let due_at = row::time(row, 2)?;
    drop(rows);
    db.prepare_cached(statements::BRING_UP)?.execute(params![handle, id])?;
    Ok(Some(due_at))
}

fn require_lease(db: &Connection, lease: &Lease) -> Tried<()> {
    let key = params![lease.handle.as_str(), lease.delivery_id.as_bytes(), lease.token as i64];
    let holds = db.prepare_cached(statements::HOLDS)?.exists(key)?;
    if holds { Ok(()) } else { Err(Fault::Refused(StoreError::LeaseLost)) }
}

fn take_back(db: &Connection, mut delivery: Delivery, now: Timestamp) -> Tried<()> {
    let record = interrupt(&mut delivery, now);
    let StateColumns { state, at, .. } = delivery.state.into();
    db.prepare_cached(statements::TAKE_BACK)?.execute(params![
        state,
        at,
        delivery.interruptions,
        delivery.last_outcome.map(|outcome| json_text(&outcome)),
        delivery.handle.as_str(),
        delivery.id.as_bytes(),
    ])?;
    Attempt::of(delivery.id, &record).insert(db)
}

/// Reads them all before anything is written: a search must not meet its own changes.
fn read(db: &Connection, sql: &str, key: impl Params) -> Tried<Vec<Read>> {
    let mut statement = db.prepare_cached(sql)?;
    statement.query_and_then(key, |row| Ok(Read { stub: Stub::of(row)?, row: row::delivery(row) }))?.collect()
}

/// A delivery as it is stored, which may make no sense.
struct Read {
    stub: Stub,
    row: Tried<Logged>,
}

impl Read {
    fn take_back(self, db: &Connection, now: Timestamp) -> Tried<()> {
        match self.row {
            Ok(row) => take_back(db, row.delivery, now),
            Err(fault) => {
                let reason = fault.of_a_value()?;
                tracing::error!(delivery = %self.stub.id, reason, "a delivery in flight cannot be read");
                let key = params![SCHEDULED, now.as_millis(), self.stub.handle, self.stub.id.as_bytes()];
                db.prepare_cached(statements::TAKE_BACK_UNREAD)?.execute(key)?;
                Ok(())
            }
        }
    }
}

/// What is needed of a delivery to lease it and to end it.
struct Stub {
    handle: String,
    id: DeliveryId,
    token: u64,
    attempts_made: u32,
    in_order: bool,
}

impl Stub {
    fn of(row: &Row<'_>) -> Tried<Stub> {
        Ok(Stub {
            handle: row.get(0)?,
            id: row::id(row, 1)?,
            attempts_made: row.get(12)?,
            token: row.get::<_, i64>(16)? as u64,
            in_order: row.get::<_, Option<String>>(18)?.is_some(),
        })
    }

    fn lease(&self, db: &Connection, handle: &Handle, until: Timestamp) -> Tried<Lease> {
        let token = self.token + 1;
        let key = params![until.as_millis(), token as i64, self.handle, self.id.as_bytes()];
        db.prepare_cached(statements::LEASE)?.execute(key)?;
        Ok(Lease { handle: handle.clone(), delivery_id: self.id, token, until, in_order: self.in_order })
    }
}
