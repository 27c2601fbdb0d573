//! Accepting events: from a validated request to the first commit.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::event::{Event, OccurredAt, Origin};
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::EventId;
use angarium_domain::payload::Payload;
use angarium_store::StoreError;
use angarium_store::event_log::Append;
use angarium_store::write::{Context, Written};

use crate::ids::new_id;
use crate::metrics::Metrics;
use crate::once::{Answer, Once, RepeatError, Reply};
use crate::planner::Plan;
use crate::{Caller, DECISIONS_MAX, Desk};

/// An event as it is published; nothing in it is unvalidated.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The dotted name of its kind.
    pub event_type: EventType,
    /// The publisher's bytes.
    pub payload: Payload,
    /// When it happened; now, if the publisher does not say.
    pub occurred_at: Option<OccurredAt>,
    /// What must stay in order.
    pub ordering_key: Option<Box<str>>,
}

/// What was made of a published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub event_id: EventId,
    /// How many subscriptions wanted it.
    pub deliveries: usize,
}

/// Why nothing was accepted. Publishing again under the same key is safe.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// There is too much to do already.
    #[error("too much is waiting to be written; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The door for events.
#[derive(Clone)]
pub struct Intake {
    desk: Desk,
    metrics: Arc<Metrics>,
}

impl Intake {
    pub(crate) fn new(desk: Desk, metrics: Arc<Metrics>) -> Intake {
        Intake { desk, metrics }
    }

    /// Accepts one event. When this returns, the event and a delivery for each subscription that
    /// wants it are on stable storage.
    pub async fn publish(
        &self,
        caller: Caller,
        event: NewEvent,
        once: Once<Accepted>,
    ) -> Result<Reply, AcceptError> {
        let Once { key, answer } = once;
        let only = move |accepted: &Vec<Accepted>| answer(accepted.first().expect("one event, one result"));
        self.publish_batch(caller, vec![event], Once { key, answer: Box::new(only) }).await
    }

    /// Accepts many events in one commit: all of them, or none.
    pub async fn publish_batch(
        &self,
        caller: Caller,
        events: Vec<NewEvent>,
        once: Once<Vec<Accepted>>,
    ) -> Result<Reply, AcceptError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        let events = self.make(&caller.handle, events);
        for _ in 0..DECISIONS_MAX {
            match self.append(&caller.handle, &events, &once).await {
                Err(AcceptError::Store(StoreError::Conflict)) => {
                    self.desk.snapshots.refresh(&caller.handle).await?;
                }
                decided => return decided,
            }
        }
        Err(AcceptError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    fn make(&self, handle: &Handle, events: Vec<NewEvent>) -> Vec<Arc<Event>> {
        let now = self.desk.clock.now();
        let event = |new: NewEvent| Event {
            id: new_id(&*self.desk.ids, now),
            handle: handle.clone(),
            event_type: new.event_type,
            occurred_at: new.occurred_at.unwrap_or_else(|| now.into()),
            accepted_at: now,
            origin: Origin::Live,
            ordering_key: new.ordering_key,
            payload: new.payload,
        };
        events.into_iter().map(|new| Arc::new(event(new))).collect()
    }

    async fn append(
        &self,
        handle: &Handle,
        events: &[Arc<Event>],
        once: &Once<Vec<Accepted>>,
    ) -> Result<Reply, AcceptError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let mut plan = self.desk.planner.plan();
        let accepted: Vec<Accepted> = events
            .iter()
            .map(|event| Accepted {
                event_id: event.id,
                deliveries: self.desk.planner.fan_out(&mut plan, &snapshot, event),
            })
            .collect();
        let (answer, idempotency) = once.answer_to(&accepted, self.desk.clock.now());
        let append = Append {
            decided_upon: vec![(handle.clone(), snapshot.version)],
            events: events.to_vec(),
            deliveries: plan.deliveries(),
            context: Context { idempotency, audit: None },
            ..Append::default()
        };
        let written = self.desk.store.append(append).await?;
        self.conclude(written, plan, accepted.len(), answer, once).await
    }

    async fn conclude(
        &self,
        written: Written<()>,
        plan: Plan,
        events: usize,
        answer: Answer,
        once: &Once<Vec<Accepted>>,
    ) -> Result<Reply, AcceptError> {
        if let Written::Done(()) = written {
            self.metrics.accepted(events, plan.deliveries_count());
            self.desk.planner.announce(plan).await;
        }
        Ok(once.reply(written, answer)?)
    }
}
