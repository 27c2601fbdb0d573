//! The log of accepted events, in `SQLite`.

use std::collections::HashSet;
use std::sync::Arc;

use angarium_domain::delivery::Delivery;
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::{Record, Scope};
use angarium_domain::ids::EventId;
use angarium_domain::replay::ReplayJob;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::beside;
use super::conditions::Conditions;
use super::context::{SealedContext, remembered};
use super::directory::SealedEntry;
use super::fault::{Fault, Tried};
use super::replays::{move_replay, replay_runs};
use super::row;
use crate::error::StoreError;
use crate::event_log::{Append, Beside, EventFilter, EventLog, Lane, Span, Undelivered};
use crate::page::{Page, PageRequest};
use crate::statements;
use crate::write::Written;

/// An [`Append`] without its context, which is sealed apart.
pub(super) struct Effect {
    decided_upon: Vec<(Handle, u64)>,
    events: Vec<Arc<Event>>,
    deliveries: Vec<Delivery>,
    /// Where in `deliveries` those are whose events are in the log already.
    of_older_events: Vec<usize>,
    /// For each event, whether no delivery points at it.
    unreferenced: Vec<bool>,
    job: Option<ReplayJob>,
    subscription: Option<SealedEntry>,
    beside: Vec<Beside>,
}

#[async_trait]
impl EventLog for SqliteStore {
    async fn append(&self, append: Append) -> Result<Written<()>, StoreError> {
        let (effect, context) = Effect::of(append, self);
        self.write_once(context, move |db, context| {
            effect.check(db)?;
            effect.write(db, context)
        })
        .await
    }

    async fn event(&self, handle: &Handle, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        let handle = handle.clone();
        self.read(move |db| event(db, &handle, id)).await
    }

    async fn events(
        &self,
        handle: &Handle,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<Arc<Event>>, StoreError> {
        let mut query = Conditions::of(statements::SELECT_EVENTS, handle).events(&filter);
        if let Some(before) = page.before {
            query = query.and("id <", before.to_vec());
        }
        let query = query.first("id DESC", page.limit + 1);
        let items = self.read(move |db| query.query(db, row::event)).await?;
        Ok(Page::cut(items, page.limit, |event| *event.id.as_bytes()))
    }

    async fn undelivered(&self, to: &Lane, span: Span, limit: u32) -> Result<Undelivered, StoreError> {
        let to = to.clone();
        self.read(move |db| undelivered(db, &to, span, limit)).await
    }

    async fn seen(&self, scope: &Scope, now: Timestamp) -> Result<Option<Record>, StoreError> {
        let scope = scope.clone();
        let record = self.read(move |db| remembered(db, &scope, now)).await?;
        Ok(record.map(|record| record.open(self.key())).transpose()?)
    }
}

impl Effect {
    pub(super) fn of(append: Append, store: &SqliteStore) -> (Effect, SealedContext) {
        let Append { decided_upon, events, deliveries, job, subscription, beside, context } = append;
        // Told apart here, so that the one thread that writes need not.
        let new: HashSet<EventId> = events.iter().map(|event| event.id).collect();
        let wanted: HashSet<EventId> = deliveries.iter().map(|delivery| delivery.event_id).collect();
        let of_older_events =
            (0..deliveries.len()).filter(|at| !new.contains(&deliveries[*at].event_id)).collect();
        let unreferenced = events.iter().map(|event| !wanted.contains(&event.id)).collect();
        let subscription = subscription.map(|entry| SealedEntry::of(&entry, store.key()));
        let effect = Effect {
            decided_upon,
            events,
            deliveries,
            of_older_events,
            unreferenced,
            job,
            subscription,
            beside,
        };
        (effect, SealedContext::new(context, store.key()))
    }

    /// Whether what it was decided upon still holds. Ids that are taken are found by writing.
    pub(super) fn check(&self, db: &Connection) -> Tried<()> {
        for (handle, decided_upon) in &self.decided_upon {
            require(version(db, handle)? == *decided_upon)?;
        }
        if let Some(job) = &self.job {
            require(replay_runs(db, job)?)?;
            for delivery in &self.deliveries {
                require(is_first(db, delivery)?)?;
            }
        }
        self.beside.iter().try_for_each(|beside| beside::check(db, beside))?;
        for delivery in self.of_older_events() {
            let mut exists = db.prepare_cached(statements::EVENT_EXISTS)?;
            require(exists.exists(params![delivery.handle.as_str(), delivery.event_id.as_bytes()])?)?;
        }
        Ok(())
    }

    /// Writes it all, after the check.
    pub(super) fn write(&self, db: &Connection, context: &SealedContext) -> Tried<()> {
        for (event, unreferenced) in self.events.iter().zip(&self.unreferenced) {
            row::insert_event(db, event, *unreferenced)?;
        }
        for delivery in &self.deliveries {
            row::insert_delivery(db, delivery)?;
            if let Some(original) = delivery.replay_of {
                db.prepare_cached(statements::MARK_REPLAYED)?.execute(params![
                    delivery.id.as_bytes(),
                    delivery.handle.as_str(),
                    original.as_bytes()
                ])?;
            }
        }
        for delivery in self.of_older_events() {
            db.prepare_cached(statements::REFER_TO_EVENT)?
                .execute(params![delivery.handle.as_str(), delivery.event_id.as_bytes()])?;
        }
        if let Some(job) = &self.job {
            move_replay(db, job)?;
        }
        if let Some(entry) = &self.subscription {
            entry.write_next(db)?;
        }
        self.beside.iter().try_for_each(|beside| beside::write(db, beside))?;
        context.note(db)
    }

    /// The deliveries whose events are not new.
    fn of_older_events(&self) -> impl Iterator<Item = &Delivery> {
        self.of_older_events.iter().map(|at| &self.deliveries[*at])
    }
}

/// Whether a job comes first with this delivery: nobody has replayed or discarded its original, or
/// nobody has delivered its event.
fn is_first(db: &Connection, delivery: &Delivery) -> Tried<bool> {
    let Delivery { handle, event_id, subscription_id, replay_of, .. } = delivery;
    if let Some(original) = replay_of {
        let mut untouched = db.prepare_cached(statements::UNTOUCHED)?;
        return Ok(untouched.exists(params![handle.as_str(), original.as_bytes()])?);
    }
    let mut delivered = db.prepare_cached(statements::DELIVERED_TO)?;
    Ok(!delivered.exists(params![event_id.as_bytes(), handle.as_str(), subscription_id.as_bytes()])?)
}

fn undelivered(db: &Connection, to: &Lane, span: Span, limit: u32) -> Tried<Undelivered> {
    let Span { since, until, after } = span;
    // No event has the floor of its millisecond as its id.
    let after = after.unwrap_or(EventId::floor(since)).max(EventId::floor(since));
    let mut statement = db.prepare_cached(statements::UNDELIVERED)?;
    let mut rows = statement.query(params![
        to.subscription_id.as_bytes(),
        to.handle.as_str(),
        after.as_bytes(),
        EventId::floor(until).as_bytes(),
        limit,
    ])?;
    let mut found = Undelivered::default();
    while let Some(row) = rows.next()? {
        found.last = Some(row::id(row, 1)?);
        if !row.get("delivered")? {
            found.events.push(row::event(row)?);
        }
    }
    Ok(found)
}

pub(super) fn require(holds: bool) -> Tried<()> {
    if holds { Ok(()) } else { Err(Fault::Refused(StoreError::Conflict)) }
}

/// The version of a handle. 0: nothing was ever written about it.
pub(super) fn version(db: &Connection, handle: &Handle) -> Tried<u64> {
    let mut statement = db.prepare_cached(statements::VERSION)?;
    let version: Option<i64> = statement.query_row([handle.as_str()], |row| row.get(0)).optional()?;
    Ok(version.unwrap_or(0) as u64)
}

pub(super) fn event(db: &Connection, handle: &Handle, id: EventId) -> Tried<Option<Arc<Event>>> {
    let mut statement = db.prepare_cached(statements::EVENT)?;
    let mut rows = statement.query_and_then(params![handle.as_str(), id.as_bytes()], row::event)?;
    rows.next().transpose()
}
