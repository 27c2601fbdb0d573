//! What follows from an attempt beside its settlement, for the same commit: the end of the delivery
//! and the standing of its subscription, and the events that tell of them.

use std::sync::Arc;

use angarium_domain::audit::Difference;
use angarium_domain::auto_disable::Turn;
use angarium_domain::delivery::{DeathCause, Delivery, Settlement, State};
use angarium_domain::event::Event;
use angarium_domain::inbox::Item;
use angarium_domain::outcome::Outcome;
use angarium_domain::recipient;
use angarium_domain::standing::{Aftermath, Mark};
use angarium_domain::subscription::{ChannelKind, EndpointUrl, Subscription};
use angarium_domain::time::Timestamp;
use angarium_store::delivery_queue::Leased;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::event_log::{Append, Beside};
use angarium_store::write::{AuditEntry, Context};

use crate::emails;
use crate::ids::{IdSource, new_id};
use crate::notices::{self, Sign};
use crate::planner::{Plan, Planner};
use crate::snapshots::find;

/// Who did it, in the audit log.
pub(crate) const ACTOR: &str = "angarium";

/// A settled attempt, or a delivery that was settled without one.
#[derive(Clone, Copy)]
pub(crate) struct Settled<'a> {
    pub(crate) leased: &'a Leased,
    /// The subscription as it was when the attempt began.
    pub(crate) entry: &'a Entry,
    pub(crate) settlement: Settlement,
    /// None if no attempt was made.
    pub(crate) outcome: Option<Outcome>,
    /// What it means for the subscription's outage.
    pub(crate) turn: Turn,
    /// What was delivered, if that is written here.
    pub(crate) stored: Option<&'a Arc<Item>>,
}

impl Settled<'_> {
    /// Whether there may be more to write than the settlement. Asked of every attempt.
    pub(crate) fn has_follow_up(&self) -> bool {
        self.settlement.is_a_death() || !self.aftermath(self.entry).is_nothing()
    }

    /// What is written where nothing else follows: decided upon nothing, since nothing changes by it.
    pub(crate) fn stored_alone(&self) -> Option<Append> {
        self.stored.map(|_| Append { beside: self.beside(), ..Append::default() })
    }

    fn beside(&self) -> Vec<Beside> {
        self.stored.map(|item| Beside::Item(item.clone())).into_iter().collect()
    }

    /// What it means for the subscription as it is in `entry`.
    fn aftermath(&self, entry: &Entry) -> Aftermath {
        let judge = |outcome| Aftermath::of(&entry.subscription, self.address(), outcome, self.turn);
        self.outcome.map(judge).unwrap_or_default()
    }

    /// Where the attempt went.
    fn address(&self) -> &EndpointUrl {
        address(self.leased, self.entry)
    }
}

/// Where an attempt goes.
pub(crate) fn address<'a>(leased: &'a Leased, entry: &'a Entry) -> &'a EndpointUrl {
    leased.delivery.endpoint_override.as_ref().unwrap_or(&entry.subscription.endpoint_url)
}

/// What is written with a settlement.
pub(crate) struct FollowUp {
    events: Vec<Arc<Event>>,
    pub(crate) plan: Plan,
    /// The subscription, if it stands otherwise now.
    pub(crate) changed: Option<Arc<Entry>>,
    /// What is said of that.
    pub(crate) audit: Option<AuditEntry>,
    beside: Vec<Beside>,
}

/// What is needed to decide.
pub(crate) struct Decider<'a> {
    pub(crate) planner: &'a Planner,
    pub(crate) ids: &'a dyn IdSource,
    pub(crate) now: Timestamp,
}

impl Decider<'_> {
    /// Decides upon the handle as it is in `snapshot`.
    pub(crate) fn decide(&self, snapshot: &Snapshot, settled: Settled<'_>) -> FollowUp {
        let mut follow_up = FollowUp {
            events: Vec::new(),
            plan: self.planner.plan(),
            changed: None,
            audit: None,
            beside: settled.beside(),
        };
        let current = find(snapshot, settled.leased.delivery.subscription_id);
        let aftermath = current.map(|entry| settled.aftermath(entry)).unwrap_or_default();
        let after = match current.filter(|_| aftermath.changes()) {
            Some(entry) => {
                let changed = Arc::new(changed(entry, aftermath, self.now));
                follow_up.changed = Some(changed.clone());
                if let Some(mark) = aftermath.mailbox {
                    self.tell_of_a_mailbox(snapshot, &changed.subscription, mark, &mut follow_up);
                }
                follow_up.audit = Some(audit(aftermath, &settled.leased.delivery, self.now));
                &with(snapshot, &changed)
            }
            None => snapshot,
        };
        if let Some(entry) = current {
            self.tell_of_the_subscription(after, entry, aftermath, settled, &mut follow_up);
        }
        if let State::Dead { at, cause } = settled.settlement.next {
            self.tell_of_a_death(after, settled, cause, at, &mut follow_up);
        }
        follow_up
    }

    /// Who reads the owner's default address can be told of everything by mail but of its end, and nobody
    /// by mail that no mails go out.
    fn tell_of_a_mailbox(
        &self,
        before: &Snapshot,
        subscription: &Subscription,
        mark: recipient::Mark,
        follow_up: &mut FollowUp,
    ) {
        let item = match mark {
            recipient::Mark::Accepted => None,
            recipient::Mark::Stale => emails::stale(before),
            recipient::Mark::Bounced(_)
            | recipient::Mark::Complained
            | recipient::Mark::Listed
            | recipient::Mark::Refused(_) => emails::lost(subscription),
        };
        if matches!(mark, recipient::Mark::Bounced(_) | recipient::Mark::Complained) {
            follow_up.beside.extend(emails::suppression(subscription));
        }
        if let Some(item) = item {
            let item = item.made(&subscription.handle, new_id(self.ids, self.now), self.now);
            follow_up.beside.push(Beside::Item(Arc::new(item)));
        }
    }

    fn tell_of_the_subscription(
        &self,
        after: &Snapshot,
        entry: &Entry,
        aftermath: Aftermath,
        settled: Settled<'_>,
        follow_up: &mut FollowUp,
    ) {
        let subscription = &entry.subscription;
        let sign = Sign { delivery: &settled.leased.delivery, subscription, now: self.now };
        let mut tell = |event: Arc<Event>| {
            self.planner.fan_out_to(&mut follow_up.plan, after, &event, |to| to.id != subscription.id);
            follow_up.events.push(event);
        };
        let id = || new_id(self.ids, self.now);
        if aftermath.mark == Some(Mark::Set)
            && let Some(event) = sign.gone(id())
        {
            tell(event);
        }
        let warning = aftermath.warning.zip(subscription.auto_disable).zip(settled.outcome);
        if let Some(((outage, wish), outcome)) = warning {
            tell(sign.failing(id(), outage, wish, outcome));
        }
        if let Some((cause, outage)) = aftermath.disabled {
            tell(sign.disabled(id(), cause, outage));
        }
    }

    fn tell_of_a_death(
        &self,
        after: &Snapshot,
        settled: Settled<'_>,
        cause: DeathCause,
        at: Timestamp,
        follow_up: &mut FollowUp,
    ) {
        let Settled { leased, entry, settlement, .. } = settled;
        let delivery = &leased.delivery;
        let failure = notices::failure(delivery, &settlement, cause, &entry.subscription, at);
        let event = notices::terminal_failure(new_id(self.ids, at), &delivery.handle, &failure);
        if let Some(event) = event {
            // People are told by alerts, which gather: one mail for each failure would be a storm.
            let programs = |to: &Subscription| to.channel() != ChannelKind::Email;
            self.planner.fan_out_to(&mut follow_up.plan, after, &event, programs);
            follow_up.events.push(event);
        }
        if notices::is_worth_an_alert(&delivery.event_type) {
            let (handle, failure) = (delivery.handle.clone(), Box::new(failure));
            follow_up.beside.push(Beside::Failed { handle, failure });
        }
    }
}

impl FollowUp {
    /// Whether there is something new in the handle's inbox.
    pub(crate) fn is_in_the_inbox(&self) -> bool {
        self.beside.iter().any(|beside| matches!(beside, Beside::Item(_)))
    }

    /// What to write, decided upon a handle's version. None if there is nothing.
    pub(crate) fn append(&self, snapshot: &Snapshot, settled: Settled<'_>) -> Option<Append> {
        if self.events.is_empty() && self.changed.is_none() && self.beside.is_empty() {
            return None;
        }
        Some(Append {
            decided_upon: vec![(settled.leased.lease.handle.clone(), snapshot.version)],
            events: self.events.clone(),
            deliveries: self.plan.deliveries(),
            subscription: self.changed.clone(),
            beside: self.beside.clone(),
            context: Context { audit: self.audit.clone(), ..Context::default() },
            ..Append::default()
        })
    }
}

fn changed(entry: &Entry, aftermath: Aftermath, now: Timestamp) -> Entry {
    let mut entry = entry.clone();
    aftermath.apply(&mut entry.subscription, now);
    entry
}

/// A handle with another state of one of its subscriptions.
fn with(snapshot: &Snapshot, changed: &Arc<Entry>) -> Snapshot {
    let mut snapshot = snapshot.clone();
    for entry in &mut snapshot.subscriptions {
        if entry.subscription.id == changed.subscription.id {
            *entry = changed.clone();
        }
    }
    snapshot
}

/// The line in the audit log: of what was asked by nobody, the delivery says why.
fn audit(aftermath: Aftermath, delivery: &Delivery, now: Timestamp) -> AuditEntry {
    let action = match (aftermath.disabled, aftermath.mailbox, aftermath.mark) {
        (Some(_), _, _) => "subscription.disabled",
        (
            None,
            Some(recipient::Mark::Bounced(_) | recipient::Mark::Complained | recipient::Mark::Listed),
            _,
        ) => "subscription.suppressed",
        (None, Some(recipient::Mark::Refused(_) | recipient::Mark::Stale), _) => "subscription.degraded",
        (None, Some(recipient::Mark::Accepted), _) | (None, None, Some(Mark::Cleared)) => "subscription.back",
        (None, None, Some(Mark::Set) | None) => "subscription.gone",
    };
    AuditEntry {
        at: now,
        handle: delivery.handle.clone(),
        actor: ACTOR.to_owned(),
        action: action.into(),
        object: delivery.subscription_id.to_string(),
        request_id: delivery.id.to_string(),
        ip: None,
        difference: Difference::default(),
    }
}
