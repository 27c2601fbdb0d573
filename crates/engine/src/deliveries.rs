//! The delivery log: reading it, replaying from it, discarding dead letters.

use std::time::Duration;

use angarium_domain::access::Mode;
use angarium_domain::account::Closed;
use angarium_domain::attempt::AttemptRecord;
use angarium_domain::audit::changed;
use angarium_domain::delivery::{self, Delivery, State};
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::Record;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::replay::{DeliveryFilter, NotReplayable, Target, repeatable, replayable};
use angarium_domain::subscription::{EndpointUrl, Subscription};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::Snapshot;
use angarium_store::event_log::Append;
use angarium_store::history::{LogFilter, Logged};
use angarium_store::page::{Page, PageRequest};
use angarium_store::write::{AuditEntry, Context, Written};
use serde_json::json;

use crate::once::{Once, RepeatError, Reply};
use crate::planner::Again;
use crate::{Caller, Desk, snapshots};

/// A delivery in the words of the wire.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The delivery.
    pub logged: Logged,
    /// Its state in one word.
    pub status: delivery::Status,
    /// When its next attempt may start, if that is a matter of time: none while its subscription is
    /// paused, or while an older delivery of its ordering key is unfinished.
    pub next_attempt_at: Option<Timestamp>,
}

/// The whole life of a delivery.
pub struct DeliveryLife {
    /// The delivery.
    pub shown: Shown,
    /// Every attempt, by number.
    pub attempts: Vec<AttemptRecord>,
    /// Its subscription, unless that was deleted.
    pub subscription: Option<Subscription>,
}

/// What a replay made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// The new delivery.
    pub delivery_id: DeliveryId,
    /// The event, which keeps its id.
    pub event_id: EventId,
    /// The delivery that it repeats.
    pub replay_of: DeliveryId,
}

/// Why a delivery was not replayed or discarded.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The handle has no such delivery, or it is no dead letter.
    #[error("there is no such delivery")]
    NotFound,
    /// It is not finished, or was cancelled.
    #[error(transparent)]
    NotReplayable(#[from] NotReplayable),
    /// Its subscription was deleted.
    #[error("the subscription of this delivery was deleted")]
    SubscriptionGone,
    /// The caller's credential is for trying things out, and a replay is sent for real.
    #[error("a test key sends nothing, and so replays nothing")]
    TestMode,
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
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

/// The delivery log of all handles.
#[derive(Clone)]
pub struct Deliveries {
    desk: Desk,
}

impl Deliveries {
    pub(crate) fn new(desk: Desk) -> Deliveries {
        Deliveries { desk }
    }

    /// A handle's deliveries, newest first; only its dead letters if asked for.
    pub async fn list(
        &self,
        handle: &Handle,
        filter: DeliveryFilter,
        dead_letters: bool,
        page: PageRequest,
    ) -> Result<Page<Shown>, StoreError> {
        list(&self.desk, handle, filter, dead_letters, page).await
    }

    /// The whole life of one delivery.
    pub async fn get(&self, handle: &Handle, id: DeliveryId) -> Result<Option<DeliveryLife>, StoreError> {
        let Some(logged) = self.desk.store.delivery(handle, id).await? else { return Ok(None) };
        let attempts = self.desk.store.attempts(handle, id).await?;
        let snapshot = self.desk.snapshots.get(handle).await?;
        let entry = snapshots::find(&snapshot, logged.delivery.subscription_id);
        let subscription = entry.map(|entry| entry.subscription.clone());
        Ok(Some(DeliveryLife { shown: show(logged, &paused_in(&snapshot)), attempts, subscription }))
    }

    /// Takes a dead letter off the list.
    pub async fn discard(
        &self,
        caller: Caller,
        id: DeliveryId,
        once: Once<()>,
    ) -> Result<Reply, DeliveryError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<DeliveryError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let now = self.desk.clock.now();
        let (answer, idempotency) = once.answer_to(&(), now);
        let audit = caller.audit(now, "dead_letter.discarded", id.to_string());
        let context = caller.context(idempotency, Some(audit));
        match self.desk.store.discard(&caller.handle, id, now, context).await? {
            Written::Done(false) => Err(DeliveryError::NotFound),
            written => Ok(once.reply(written, answer)?),
        }
    }

    /// Delivers the event of a finished delivery again.
    pub async fn replay(
        &self,
        caller: Caller,
        id: DeliveryId,
        to: Target,
        once: Once<Replayed>,
    ) -> Result<Reply, DeliveryError> {
        if caller.mode == Mode::Test {
            return Err(DeliveryError::TestMode);
        }
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<DeliveryError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            match self.try_replay(&caller, &snapshot, id, to, &once).await {
                Err(DeliveryError::Store(StoreError::Conflict)) => {}
                decided => return decided,
            }
        }
        Err(DeliveryError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    async fn try_replay(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        id: DeliveryId,
        to: Target,
        once: &Once<Replayed>,
    ) -> Result<Reply, DeliveryError> {
        let handle = &caller.handle;
        let logged = self.desk.store.delivery(handle, id).await?.ok_or(DeliveryError::NotFound)?;
        replayable(&logged.delivery)?;
        let event =
            self.desk.store.event(handle, logged.delivery.event_id).await?.ok_or(DeliveryError::NotFound)?;
        snapshot.account.admits_writes()?;
        let entry = snapshots::find(snapshot, logged.delivery.subscription_id)
            .ok_or(DeliveryError::SubscriptionGone)?;
        let now = self.desk.clock.now();
        let mut plan = self.desk.planner.plan();
        let again = repetition(&logged.delivery, &entry.subscription, to);
        repeatable(&event.event_type, &entry.subscription, again.endpoint_override.as_ref())?;
        let account = &snapshot.account;
        let delivery_id = self.desk.planner.add(&mut plan, account, &entry.subscription, &event, again, now);
        let (answer, idempotency) =
            once.answer_to(&Replayed { delivery_id, event_id: event.id, replay_of: id }, now);
        let told = changed(None, Some(&json!({ "deliveryId": delivery_id, "to": to })));
        let audit = caller.audit_of(now, "delivery.replayed", id.to_string(), told);
        let append = Append {
            decided_upon: vec![(handle.clone(), snapshot.version)],
            deliveries: plan.deliveries(),
            context: caller.context(idempotency, Some(audit)),
            ..Append::default()
        };
        let written = self.desk.store.append(append).await?;
        if let Written::Done(()) = written {
            self.desk.planner.announce(plan).await;
        }
        Ok(once.reply(written, answer)?)
    }
}

/// What a replay of `original` adds to its new delivery.
pub(crate) fn repetition(original: &Delivery, subscription: &Subscription, to: Target) -> Again {
    let endpoint_override = match to {
        Target::Current => None,
        Target::Original => Some(original_endpoint(original, subscription)),
    };
    Again { replay_of: Some(original.id), endpoint_override, ..Again::default() }
}

fn original_endpoint(original: &Delivery, subscription: &Subscription) -> EndpointUrl {
    let then = || subscription.endpoint_at(original.id.made_at()).clone();
    original.endpoint_override.clone().unwrap_or_else(then)
}

pub(crate) async fn list(
    desk: &Desk,
    handle: &Handle,
    conditions: DeliveryFilter,
    dead_letters: bool,
    page: PageRequest,
) -> Result<Page<Shown>, StoreError> {
    let snapshot = desk.snapshots.get(handle).await?;
    let paused = paused_in(&snapshot);
    let filter = LogFilter { conditions, dead_letters, paused: paused.clone() };
    Ok(desk.store.deliveries(handle, filter, page).await?.map(|logged| show(logged, &paused)))
}

/// The handle's subscriptions that hold their deliveries: what makes `held` of `pending`.
pub(crate) fn paused_in(snapshot: &Snapshot) -> Vec<SubscriptionId> {
    let all = snapshot.account.holds_deliveries();
    let paused = snapshot.subscriptions.iter().filter(|entry| all || entry.subscription.holds());
    paused.map(|entry| entry.subscription.id).collect()
}

fn show(logged: Logged, paused: &[SubscriptionId]) -> Shown {
    let status = delivery::Status::of(&logged.delivery, paused.contains(&logged.delivery.subscription_id));
    let next_attempt_at = match logged.delivery.state {
        State::Scheduled { due_at } if status != delivery::Status::Held && !logged.waits => Some(due_at),
        _ => None,
    };
    Shown { logged, status, next_attempt_at }
}

impl Caller {
    /// What goes with a write of theirs.
    pub(crate) fn context(&self, idempotency: Option<Record>, audit: Option<AuditEntry>) -> Context {
        Context { idempotency, audit, draw: self.draw.clone() }
    }
}
