//! What happens to deliveries, told while it happens, to whoever listens.
//!
//! A hint and not a record: the delivery log is the record. Each handle that
//! somebody listens to has a ring of the last happenings; a listener reads it
//! at its own pace, and one that falls behind is told to look at the log. Where
//! nobody listens, an attempt costs one look at a number.

mod ring;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use angarium_domain::delivery::{DeathCause, Delivery, Settlement, State};
use angarium_domain::event::Origin;
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::outcome::Outcome;
use angarium_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use ring::Ring;

pub use ring::Place;

/// The most listeners of one handle.
pub const LISTENERS_PER_HANDLE_MAX: usize = 20;
/// The most listeners in all: each is a connection and a task.
pub const LISTENERS_MAX: usize = 200;
/// How long a handle is still told of after its last listener has gone, so that one whose
/// connection broke misses nothing.
const LINGER: Duration = Duration::from_mins(1);

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It was attempted, and the result was dropped: somebody else has the delivery.
    Attempted,
    /// The receiver has it.
    Delivered,
    /// It is attempted again later.
    Retrying,
    /// It was given up.
    Dead,
    /// Its subscription is gone.
    Cancelled,
}

/// One happening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// What became of it.
    pub fate: Fate,
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// Of which event.
    pub event_id: EventId,
    /// The dotted name of the event's kind.
    pub event_type: EventType,
    /// To which subscription.
    pub subscription_id: SubscriptionId,
    /// Whether it is live traffic.
    pub origin: Origin,
    /// The number of the attempt that was made, from 1; none if it was settled without one.
    pub attempt: Option<u32>,
    /// What the attempt came to.
    pub outcome: Option<Outcome>,
    /// How long the attempt took.
    pub took: Option<Duration>,
    /// Why it was given up.
    pub reason: Option<DeathCause>,
    /// When the next attempt may start.
    pub next_attempt_at: Option<Timestamp>,
}

/// Which happenings a listener wants: those for which all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Of one subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// Of one event type.
    pub event_type: Option<EventType>,
    /// Of one kind.
    pub fate: Option<Fate>,
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Something happened.
    Happening(Place, Arc<Happening>),
    /// There is a gap before this place: look at the delivery log for what was missed.
    Gap(Place),
    /// Nothing to tell for as long as the listener was ready to wait; the place to go on from.
    Nothing(Place),
}

/// There are as many listeners as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {limit} listeners {whose}, which is the limit")]
pub struct TooManyListeners {
    pub(crate) limit: usize,
    pub(crate) whose: &'static str,
}

/// Tells listeners. A clone tells the same ones.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    stopped: CancellationToken,
}

#[derive(Default)]
struct Shared {
    /// How many handles have a ring: what an attempt looks at before anything else.
    rings: AtomicUsize,
    /// Shared, because every settlement may write and every listener reads; each holds it for
    /// one short step.
    handles: Mutex<HashMap<Handle, Told>>,
}

/// A handle that somebody listens to, or did until a moment ago.
struct Told {
    ring: Ring,
    listeners: usize,
    /// When the last listener went.
    left_at: Timestamp,
    /// The number of the next happening: what listeners wait on.
    next: watch::Sender<u64>,
}

/// Somebody who listens to one handle, until it is dropped.
pub struct Listener {
    live: Live,
    handle: Handle,
    wish: Wish,
    place: Place,
    /// Whether what was missed is still to be told.
    gap: bool,
    next: watch::Receiver<u64>,
}

impl Live {
    pub(crate) fn new(clock: Arc<dyn Clock>, stopped: CancellationToken) -> Live {
        Live { shared: Arc::default(), clock, stopped }
    }

    /// Begins to listen: from now on, or from after a place that an earlier listener of the handle
    /// reached. If that is too long ago, the first thing heard is a gap.
    pub fn listen(
        &self,
        handle: &Handle,
        wish: Wish,
        after: Option<Place>,
    ) -> Result<Listener, TooManyListeners> {
        let now = self.clock.now();
        let mut handles = self.handles();
        let all: usize = handles.values().map(|told| told.listeners).sum();
        if all >= LISTENERS_MAX {
            return Err(TooManyListeners { limit: LISTENERS_MAX, whose: "in all" });
        }
        let told = handles.entry(handle.clone()).or_insert_with(|| Told::new(now));
        if told.listeners >= LISTENERS_PER_HANDLE_MAX {
            return Err(TooManyListeners { limit: LISTENERS_PER_HANDLE_MAX, whose: "of this handle" });
        }
        told.listeners += 1;
        let place = after.filter(|place| told.ring.reaches(*place));
        let listener = Listener {
            live: self.clone(),
            handle: handle.clone(),
            wish,
            gap: after.is_some() && place.is_none(),
            place: place.unwrap_or_else(|| told.ring.end()),
            next: told.next.subscribe(),
        };
        self.count(&handles);
        Ok(listener)
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.handles().values().map(|told| told.listeners).sum()
    }

    /// Tells of a settlement that is on stable storage.
    pub(crate) fn settled(&self, delivery: &Delivery, settlement: &Settlement, took: Option<Duration>) {
        if self.nobody_listens() {
            return;
        }
        let (fate, reason, next_attempt_at) = match settlement.next {
            State::Delivered { .. } => (Fate::Delivered, None, None),
            State::Dead { cause, .. } => (Fate::Dead, Some(cause), None),
            State::Cancelled { .. } => (Fate::Cancelled, None, None),
            State::Scheduled { due_at } => (Fate::Retrying, None, Some(due_at)),
            // No settlement leaves a delivery in flight.
            State::InFlight { .. } => return,
        };
        let outcome = settlement.outcome.filter(|_| took.is_some());
        self.tell(delivery, |happening| Happening {
            fate,
            outcome,
            took,
            attempt: took.map(|_| delivery.next_attempt()),
            reason,
            next_attempt_at,
            ..happening
        });
    }

    /// Tells of an attempt whose delivery somebody else has by now.
    pub(crate) fn attempted(&self, delivery: &Delivery, outcome: Outcome, took: Duration) {
        if self.nobody_listens() {
            return;
        }
        self.tell(delivery, |happening| Happening {
            attempt: Some(delivery.next_attempt()),
            outcome: Some(outcome),
            took: Some(took),
            ..happening
        });
    }

    fn tell(&self, delivery: &Delivery, what: impl FnOnce(Happening) -> Happening) {
        let now = self.clock.now();
        let mut handles = self.handles();
        handles.retain(|_, told| !told.is_forgotten(now));
        if let Some(told) = handles.get_mut(&delivery.handle) {
            let happening = Happening {
                at: now,
                fate: Fate::Attempted,
                delivery_id: delivery.id,
                event_id: delivery.event_id,
                event_type: delivery.event_type.clone(),
                subscription_id: delivery.subscription_id,
                origin: delivery.origin,
                attempt: None,
                outcome: None,
                took: None,
                reason: None,
                next_attempt_at: None,
            };
            let next = told.ring.push(Arc::new(what(happening)));
            told.next.send_replace(next);
        }
        self.count(&handles);
    }

    fn nobody_listens(&self) -> bool {
        self.shared.rings.load(Ordering::Relaxed) == 0
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<Handle, Told>> {
        self.shared.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, handles: &HashMap<Handle, Told>) {
        self.shared.rings.store(handles.len(), Ordering::Relaxed);
    }
}

impl Told {
    fn new(now: Timestamp) -> Told {
        Told { ring: Ring::new(now), listeners: 0, left_at: now, next: watch::Sender::new(0) }
    }

    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.listeners == 0 && now.since(self.left_at) >= LINGER
    }
}

impl Listener {
    /// How far it has heard.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The next thing to tell, for as long as `patience`. None when the process is on its way out.
    ///
    /// Nothing is lost when this is dropped before it answers.
    pub async fn next(&mut self, patience: Duration) -> Option<Heard> {
        let stopped = self.live.stopped.clone();
        let patience = tokio::time::sleep(patience);
        tokio::pin!(patience);
        loop {
            if stopped.is_cancelled() {
                return None;
            }
            if let Some(heard) = self.look() {
                return Some(heard);
            }
            let reached = self.place.number();
            tokio::select! {
                biased;
                () = stopped.cancelled() => return None,
                waited = self.next.wait_for(|next| *next > reached) => drop(waited.ok()?),
                () = &mut patience => return Some(Heard::Nothing(self.place)),
            }
        }
    }

    /// The next thing that is there and wanted.
    fn look(&mut self) -> Option<Heard> {
        let handles = self.live.handles();
        let ring = &handles.get(&self.handle).expect("a handle with listeners is not forgotten").ring;
        if std::mem::take(&mut self.gap) {
            return Some(Heard::Gap(self.place));
        }
        if !ring.reaches(self.place) {
            self.place = ring.end();
            return Some(Heard::Gap(self.place));
        }
        while let Some((place, happening)) = ring.after(self.place) {
            self.place = place;
            if self.wish.is_for(&happening) {
                return Some(Heard::Happening(place, happening));
            }
        }
        None
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let now = self.live.clock.now();
        if let Some(told) = self.live.handles().get_mut(&self.handle) {
            told.listeners -= 1;
            told.left_at = now;
        }
    }
}

impl Wish {
    fn is_for(&self, happening: &Happening) -> bool {
        self.subscription_id.is_none_or(|id| id == happening.subscription_id)
            && self.event_type.as_ref().is_none_or(|wanted| *wanted == happening.event_type)
            && self.fate.is_none_or(|fate| fate == happening.fate)
    }
}

impl Fate {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Attempted => "attempted",
            Fate::Delivered => "delivered",
            Fate::Retrying => "retrying",
            Fate::Dead => "dead",
            Fate::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests;
