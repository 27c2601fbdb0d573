//! Rows and the values that they hold.

use std::sync::Arc;

use angarium_domain::delivery::{Delivery, OrderingKey, State};
use angarium_domain::event::{Event, OccurredAt, Origin};
use angarium_domain::handle::Handle;
use angarium_domain::ids::{Id, Kind};
use angarium_domain::payload::Payload;
use angarium_domain::subscription::EndpointUrl;
use angarium_domain::time::Timestamp;
use angarium_domain::trace_context::TraceContext;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::{Fault, Tried};
use crate::event_log::BIRTH_TOKEN;
use crate::history::Logged;
use crate::statements;

/// The numbers in the column `state`; this one is scheduled, behind an older one of its ordering key.
pub(super) const WAITING: i64 = -1;
/// Scheduled, and nothing before it.
pub(super) const SCHEDULED: i64 = 0;
pub(super) const IN_FLIGHT: i64 = 1;
pub(super) const DELIVERED: i64 = 2;
pub(super) const CANCELLED: i64 = 3;
/// Dead, and neither replayed nor discarded.
pub(super) const DEAD_LETTER: i64 = 4;
/// Dead, and replayed or discarded.
pub(super) const DEAD_AND_DONE: i64 = 5;

/// A state as its three columns.
pub(super) struct StateColumns {
    pub(super) state: i64,
    pub(super) at: i64,
    pub(super) cause: Option<&'static str>,
}

impl From<State> for StateColumns {
    fn from(state: State) -> StateColumns {
        let (state, at, cause) = match state {
            State::Scheduled { due_at } => (SCHEDULED, due_at, None),
            State::InFlight { lease_until } => (IN_FLIGHT, lease_until, None),
            State::Delivered { at } => (DELIVERED, at, None),
            State::Cancelled { at } => (CANCELLED, at, None),
            State::Dead { at, cause } => (DEAD_LETTER, at, Some(cause.as_str())),
        };
        StateColumns { state, at: at.as_millis(), cause }
    }
}

pub(super) fn insert_event(db: &Connection, event: &Event, unreferenced: bool) -> Tried<()> {
    db.prepare_cached(statements::INSERT_EVENT)?.execute(params![
        event.handle.as_str(),
        event.id.as_bytes(),
        event.event_type.as_str(),
        event.occurred_at.as_str(),
        event.accepted_at.as_millis(),
        origin_text(event.origin),
        event.ordering_key.as_deref(),
        &event.payload.as_bytes()[..],
        event.trace.as_deref().map(TraceContext::to_bytes),
        unreferenced,
    ])?;
    Ok(())
}

pub(super) fn insert_delivery(db: &Connection, delivery: &Delivery) -> Tried<()> {
    let StateColumns { state, at, cause } = delivery.state.into();
    let last_place = match &delivery.ordering_key {
        Some(key) => last_place(db, delivery, key)?,
        None => None,
    };
    let state = if last_place.is_some() { WAITING } else { state };
    let ordering_key = delivery.ordering_key.as_ref().map(OrderingKey::as_str);
    db.prepare_cached(statements::INSERT_DELIVERY)?.execute(params![
        delivery.handle.as_str(),
        delivery.id.as_bytes(),
        delivery.event_id.as_bytes(),
        delivery.event_type.as_str(),
        origin_text(delivery.origin),
        delivery.subscription_id.as_bytes(),
        ordering_key.is_some(),
        delivery.replay_of.as_ref().map(Id::as_bytes),
        delivery.endpoint_override.as_ref().map(EndpointUrl::as_str),
        state,
        at,
        cause,
        delivery.attempts_made,
        delivery.interruptions,
        delivery.last_outcome.map(|outcome| json_text(&outcome)),
        delivery.discarded_at.map(Timestamp::as_millis),
        BIRTH_TOKEN as i64,
        None::<&[u8]>,
        ordering_key,
        ordering_key.map(|_| last_place.unwrap_or(0) + 1),
        delivery.replay_id.as_ref().map(Id::as_bytes),
    ])?;
    Ok(())
}

/// The place of the last unfinished delivery with a key in the lane of a new one.
fn last_place(db: &Connection, new: &Delivery, key: &OrderingKey) -> Tried<Option<i64>> {
    let queue = params![new.handle.as_str(), new.subscription_id.as_bytes(), key.as_str()];
    Ok(db.prepare_cached(statements::LAST_PLACE)?.query_row(queue, |row| row.get(0)).optional()?)
}

pub(super) fn event(row: &Row<'_>) -> Tried<Arc<Event>> {
    Ok(Arc::new(Event {
        handle: handle(row, 0)?,
        id: id(row, 1)?,
        event_type: parsed(row, 2)?,
        occurred_at: OccurredAt::from_stored(row.get(3)?),
        accepted_at: time(row, 4)?,
        origin: word(row, 5)?,
        ordering_key: row.get::<_, Option<String>>(6)?.map(Into::into),
        payload: Payload::from_stored(Bytes::copy_from_slice(row.get_ref(7)?.as_bytes()?)),
        trace: row.get_ref(8)?.as_bytes_or_null()?.map(trace).transpose()?,
    }))
}

/// A delivery with what the store alone knows about it.
pub(super) fn delivery(row: &Row<'_>) -> Tried<Logged> {
    let last_outcome = row.get_ref(14)?.as_str_or_null()?;
    let delivery = Delivery {
        handle: handle(row, 0)?,
        id: id(row, 1)?,
        event_id: id(row, 2)?,
        event_type: parsed(row, 3)?,
        origin: word(row, 4)?,
        subscription_id: id(row, 5)?,
        ordering_key: row.get::<_, Option<String>>(18)?.map(OrderingKey::from_stored),
        replay_of: row.get::<_, Option<[u8; 16]>>(7)?.map(Id::from_bytes),
        replay_id: row.get::<_, Option<[u8; 16]>>(20)?.map(Id::from_bytes),
        endpoint_override: row.get_ref(8)?.as_str_or_null()?.map(EndpointUrl::vetted),
        state: state(row)?,
        attempts_made: row.get(12)?,
        interruptions: row.get(13)?,
        last_outcome: last_outcome.map(|text| from_json(text.as_bytes())).transpose()?,
        discarded_at: row.get::<_, Option<i64>>(15)?.map(Timestamp::from_millis),
    };
    let replayed_by = row.get::<_, Option<[u8; 16]>>(17)?.map(Id::from_bytes);
    let waits = row.get::<_, i64>(9)? == WAITING;
    Ok(Logged { delivery, replayed_by, waits })
}

fn trace(bytes: &[u8]) -> Tried<Arc<TraceContext>> {
    let context = TraceContext::from_bytes(bytes);
    context.map(Arc::new).ok_or_else(|| Fault::corrupt("a trace context", "it is too short"))
}

fn state(row: &Row<'_>) -> Tried<State> {
    let at = time(row, 10)?;
    match row.get(9)? {
        SCHEDULED | WAITING => Ok(State::Scheduled { due_at: at }),
        IN_FLIGHT => Ok(State::InFlight { lease_until: at }),
        DELIVERED => Ok(State::Delivered { at }),
        CANCELLED => Ok(State::Cancelled { at }),
        DEAD_LETTER | DEAD_AND_DONE => Ok(State::Dead { at, cause: word(row, 11)? }),
        unknown => Err(Fault::Corrupt(format!("a delivery is in state {unknown}"))),
    }
}

pub(super) fn handle(row: &Row<'_>, column: usize) -> Tried<Handle> {
    parsed(row, column)
}

pub(super) fn id<K: Kind>(row: &Row<'_>, column: usize) -> Tried<Id<K>> {
    Ok(Id::from_bytes(row.get(column)?))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Tried<Timestamp> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(row: &Row<'_>, column: usize) -> Tried<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error| Fault::corrupt("a name", error))
}

/// One of a fixed set of words.
fn word<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Tried<T> {
    let text: String = row.get(column)?;
    serde_json::from_value(text.into()).map_err(|error| Fault::corrupt("a word", error))
}

pub(super) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what we store has no maps with keys that are not text")
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    json_text(value).into_bytes()
}

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Tried<T> {
    serde_json::from_slice(bytes).map_err(|error| Fault::corrupt("a record", error))
}

pub(super) fn origin_text(origin: Origin) -> &'static str {
    match origin {
        Origin::Live => "live",
        Origin::Test => "test",
        Origin::System => "system",
        Origin::Sandbox => "sandbox",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_is_read_back_from_its_word() {
        for origin in [Origin::Live, Origin::Test, Origin::System, Origin::Sandbox] {
            assert_eq!(serde_json::from_value::<Origin>(origin_text(origin).into()).ok(), Some(origin));
        }
    }
}
