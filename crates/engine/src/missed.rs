//! What a subscription missed: looking for it in the log, a bounded part at a time.

use std::sync::Arc;

use angarium_domain::event::Event;
use angarium_domain::ids::EventId;
use angarium_domain::replay::{ReplayJob, is_missed, missed_since};
use angarium_domain::retention::Retention;
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_store::event_log::{Lane, Span, Undelivered};
use angarium_store::{Store, StoreError};

/// Events looked at in one read: bounds what it holds in memory.
const LOOK_MAX: u32 = 200;
/// Reads in one look for a batch; a job that finds little moves on with the next batch.
const LOOKS_MAX: usize = 50;

/// What was found in a part of the log.
#[derive(Default)]
pub(crate) struct Found {
    /// Missed by the subscription, from old to new.
    pub(crate) events: Vec<Arc<Event>>,
    /// The last event looked at.
    pub(crate) looked_at: Option<EventId>,
    /// Whether there is nothing behind it.
    pub(crate) is_end: bool,
}

/// Looks for up to `wanted` events that a subscription missed, from where the job stands.
pub(crate) async fn look(
    store: &dyn Store,
    job: &ReplayJob,
    to: &Subscription,
    retention: Retention,
    now: Timestamp,
    wanted: usize,
) -> Result<Found, StoreError> {
    let lane = Lane { handle: job.handle.clone(), subscription_id: to.id };
    let since = missed_since(job.filter.since.unwrap_or_default(), retention.cutoffs(now));
    // Whatever is accepted after the job was made has met the subscription.
    let until = job.filter.until.map_or(job.created_at, |until| until.min(job.created_at));
    let mut found = Found { looked_at: job.looked_at, ..Found::default() };
    for _ in 0..LOOKS_MAX {
        let span = Span { since, until, after: found.looked_at };
        let Undelivered { events, last } = store.undelivered(&lane, span, LOOK_MAX).await?;
        let Some(last) = last else {
            found.is_end = true;
            break;
        };
        let missed = events.into_iter().filter(|event| is_missed(event, to, &job.filter));
        found.events.extend(missed.take(wanted - found.events.len()));
        if found.events.len() == wanted {
            found.looked_at = found.events.last().map(|event| event.id);
            break;
        }
        found.looked_at = Some(last);
    }
    Ok(found)
}

/// How many events a job would deliver. Reads all that it would look at, a part at a time.
pub(crate) async fn count(
    store: &dyn Store,
    job: &ReplayJob,
    to: &Subscription,
    retention: Retention,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut at = job.clone();
    let mut missed = 0;
    loop {
        let found = look(store, &at, to, retention, now, LOOK_MAX as usize).await?;
        missed += found.events.len() as u64;
        if found.is_end {
            return Ok(missed);
        }
        at.looked_at = found.looked_at;
    }
}
