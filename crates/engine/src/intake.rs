//! Accepting events: from a validated request to the first commit.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::account::Closed;
use angarium_domain::catalog::{Catalog, Mismatch};
use angarium_domain::event::{Event, OccurredAt, Origin};
use angarium_domain::event_type::EventType;
use angarium_domain::fan_out::Candidate;
use angarium_domain::handle::Handle;
use angarium_domain::ids::EventId;
use angarium_domain::payload::Payload;
use angarium_store::StoreError;
use angarium_store::directory::Snapshot;
use angarium_store::event_log::Append;
use angarium_store::write::{Context, Written};

use crate::ids::new_id;
use crate::metrics::Metrics;
use crate::once::{Answer, Once, RepeatError, Reply};
use crate::planner::Plan;
use crate::traces::{Span, Traces};
use crate::{Caller, Desk};

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

/// What was made of one event of a batch: one whose payload does not fit its schema keeps no other back.
pub type Verdict = Result<Accepted, Mismatch>;

/// Why nothing was accepted. Publishing again under the same key is safe.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The payload does not fit the schema of its event type.
    #[error("the payload does not fit the schema of its event type")]
    Mismatch(Mismatch),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
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

/// What one payload that does not fit means for those beside it.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    OfAll,
    OfEach,
}

/// The door for events.
#[derive(Clone)]
pub struct Intake {
    desk: Desk,
    metrics: Arc<Metrics>,
    traces: Traces,
}

impl Intake {
    pub(crate) fn new(desk: Desk, metrics: Arc<Metrics>, traces: Traces) -> Intake {
        Intake { desk, metrics, traces }
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
        let only = move |verdicts: &Vec<Verdict>| match verdicts.first() {
            Some(Ok(accepted)) => answer(accepted),
            _ => unreachable!("one event, which is refused before it is answered"),
        };
        let once = Once { key, answer: Box::new(only) };
        match self.accept(&caller, vec![event], &once, Refusal::OfAll).await {
            // The schema may be another today; the answer of then stands.
            Err(AcceptError::Mismatch(mismatch)) => self
                .desk
                .repeats
                .earlier::<AcceptError>(once.key.as_ref())
                .await?
                .ok_or(AcceptError::Mismatch(mismatch)),
            decided => decided,
        }
    }

    /// Accepts many events in one commit: all that fit the schemas of their types, or none.
    pub async fn publish_batch(
        &self,
        caller: Caller,
        events: Vec<NewEvent>,
        once: Once<Vec<Verdict>>,
    ) -> Result<Reply, AcceptError> {
        self.accept(&caller, events, &once, Refusal::OfEach).await
    }

    async fn accept(
        &self,
        caller: &Caller,
        events: Vec<NewEvent>,
        once: &Once<Vec<Verdict>>,
        refusal: Refusal,
    ) -> Result<Reply, AcceptError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        let events = self.make(caller, events);
        let span = self.traces.append(caller.trace.as_ref());
        let decided = self.append_until_decided(&caller.handle, &events, once, refusal).await;
        if let Some(span) = span {
            describe(span, caller, &events, &decided);
        }
        decided
    }

    async fn append_until_decided(
        &self,
        handle: &Handle,
        events: &[Arc<Event>],
        once: &Once<Vec<Verdict>>,
        refusal: Refusal,
    ) -> Result<Reply, AcceptError> {
        let mut decisions = self.desk.decisions(handle);
        while let Some(snapshot) = decisions.next().await? {
            match self.append(handle, &snapshot, events, once, refusal).await {
                Err(AcceptError::Store(StoreError::Conflict)) => {}
                decided => return decided,
            }
        }
        Err(AcceptError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    fn make(&self, caller: &Caller, events: Vec<NewEvent>) -> Vec<Arc<Event>> {
        let now = self.desk.clock.now();
        let event = |new: NewEvent| Event {
            id: new_id(&*self.desk.ids, now),
            handle: caller.handle.clone(),
            event_type: new.event_type,
            occurred_at: new.occurred_at.unwrap_or_else(|| now.into()),
            accepted_at: now,
            origin: Origin::of_published(caller.mode),
            ordering_key: new.ordering_key,
            payload: new.payload,
            trace: caller.trace.clone(),
        };
        events.into_iter().map(|new| Arc::new(event(new))).collect()
    }

    async fn append(
        &self,
        handle: &Handle,
        snapshot: &Snapshot,
        events: &[Arc<Event>],
        once: &Once<Vec<Verdict>>,
        refusal: Refusal,
    ) -> Result<Reply, AcceptError> {
        snapshot.account.admits_writes()?;
        let catalog = self.desk.catalogs.of(handle, snapshot).await?;
        let mut plan = self.desk.planner.plan();
        let mut fitting = Vec::with_capacity(events.len());
        let mut verdicts = Vec::with_capacity(events.len());
        for event in events {
            match (self.judge(catalog.as_deref(), &mut plan, snapshot, event), refusal) {
                (Err(mismatch), Refusal::OfAll) => return Err(AcceptError::Mismatch(mismatch)),
                (verdict, _) => {
                    fitting.extend(verdict.is_ok().then(|| event.clone()));
                    verdicts.push(verdict);
                }
            }
        }
        let (answer, idempotency) = once.answer_to(&verdicts, self.desk.clock.now());
        let accepted = fitting.len();
        let append = Append {
            decided_upon: vec![(handle.clone(), snapshot.version)],
            events: fitting,
            deliveries: plan.deliveries(),
            // Publishing is not counted, and leaves no line in the audit log.
            context: Context { idempotency, ..Context::default() },
            ..Append::default()
        };
        let written = self.desk.store.append(append).await?;
        self.conclude(written, plan, accepted, answer, once).await
    }

    /// Plans the deliveries of an event, if its payload fits. Parses it once at most.
    fn judge(
        &self,
        catalog: Option<&Catalog>,
        plan: &mut Plan,
        snapshot: &Snapshot,
        event: &Arc<Event>,
    ) -> Verdict {
        let candidate = Candidate::new(event);
        if let Some(catalog) = catalog {
            catalog.judge(&event.event_type, || candidate.payload())?;
        }
        let deliveries = self.desk.planner.fan_out_candidate(plan, snapshot, event, &candidate);
        Ok(Accepted { event_id: event.id, deliveries })
    }

    async fn conclude(
        &self,
        written: Written<()>,
        plan: Plan,
        events: usize,
        answer: Answer,
        once: &Once<Vec<Verdict>>,
    ) -> Result<Reply, AcceptError> {
        if let Written::Done(()) = written {
            self.metrics.accepted(events, plan.deliveries_count());
            self.desk.planner.announce(plan).await;
        }
        Ok(once.reply(written, answer)?)
    }
}

fn describe(mut span: Span, caller: &Caller, events: &[Arc<Event>], decided: &Result<Reply, AcceptError>) {
    span.set("angarium.handle", caller.handle.to_string());
    span.set("angarium.events", events.len() as i64);
    if let [event] = events {
        span.set("angarium.event.id", event.id.to_string());
        span.set("angarium.event.type", event.event_type.to_string());
    }
    match decided {
        Ok(reply) => span.set("angarium.replayed", reply.replayed),
        Err(AcceptError::Repeat(_)) => span.fail("repeat"),
        Err(AcceptError::Mismatch(_)) => span.fail("mismatch"),
        Err(AcceptError::Closed(_)) => span.fail("closed"),
        Err(AcceptError::Overloaded { .. }) => span.fail("overloaded"),
        Err(AcceptError::Store(_)) => span.fail("store"),
    }
}
