//! The events that Angarium publishes about itself.

use std::sync::Arc;

use angarium_domain::alert::{Alert, Failure};
use angarium_domain::auto_disable::{AutoDisable, Outage};
use angarium_domain::chain::{Recorded, SessionId};
use angarium_domain::context::Source;
use angarium_domain::delivery::{DeathCause, Delivery, Settlement};
use angarium_domain::event::{Event, Origin};
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::EventId;
use angarium_domain::inbox::{Item, Reader};
use angarium_domain::outcome::Outcome;
use angarium_domain::payload::Payload;
use angarium_domain::recipient;
use angarium_domain::report::{Report, Untold};
use angarium_domain::standing::DisableCause;
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::{State, VoiceNote};
use serde_json::{Value, json};

use crate::{Caller, Decided};

/// Published once for each delivery that we gave up on (contract 3.4).
pub(crate) const TERMINAL_FAILURE: &str = "webhook.delivery.terminal_failure";
/// Published when an owner is told of failures.
pub(crate) const OWNER_ALERT: &str = "email.owner_alert";
/// Published at the handle of whoever runs the service, when they are told of reports.
pub(crate) const REPORTS: &str = recipient::REPORTS;
/// Published when a receiver says that it is gone.
const GONE: &str = "webhook.subscription.gone";
/// Published when half of the time has passed after which a subscription is switched off.
const FAILING: &str = "webhook.subscription.failing";
/// Published when a subscription is switched off.
const DISABLED: &str = "webhook.subscription.disabled";
/// Published when a sync of a source of the context store succeeded.
const SYNCED: &str = "context_store.synced";
/// Published when a sync of a source of the context store was given up.
const SYNC_FAILED: &str = "context_store.failed";

/// Published when a reader reads an item for the first time (contract 6).
const ITEM_READ: &str = "inbox.item.read";
/// Published when a reader reads everything at once.
const ITEMS_READ: &str = "inbox.items.read";

/// A reader has read an item, and had not before.
pub(crate) fn item_read(id: EventId, item: &Item, reader: &Reader, now: Timestamp) -> Arc<Event> {
    let payload = json!({ "itemId": item.id, "type": item.item_type, "reader": reader, "readAt": now });
    event(id, &item.handle, ITEM_READ, &payload, now)
}

/// A reader has read whatever was unread and not newer than a time.
pub(crate) fn items_read(id: EventId, handle: &Handle, reader: &Reader, read: &ReadAll) -> Arc<Event> {
    let ReadAll { up_to, items, at } = *read;
    let payload = json!({ "items": items, "upTo": up_to, "reader": reader, "readAt": at });
    event(id, handle, ITEMS_READ, &payload, at)
}

/// What somebody who read everything at once has read.
#[derive(Clone, Copy)]
pub(crate) struct ReadAll {
    pub(crate) up_to: Timestamp,
    pub(crate) items: u64,
    pub(crate) at: Timestamp,
}

/// Published for each signal, where the handle publishes signals.
const SIGNAL_RECEIVED: &str = "chain.signal.received";
/// Published for each decision that a rule made, where the handle publishes decisions.
const DECISION_RESOLVED: &str = "chain.decision.resolved";

/// A signal came to a session.
pub(crate) fn signal_received(
    id: EventId,
    caller: &Caller,
    session_id: &SessionId,
    recorded: &Recorded,
    now: Timestamp,
) -> Arc<Event> {
    let Recorded { sequence, at, signal } = recorded;
    let payload = json!({
        "sessionId": session_id,
        "sequence": sequence,
        "signalKey": signal.key,
        "signalValue": signal.value,
        "confidence": signal.confidence,
        "source": signal.source,
        "metadata": signal.metadata,
        "receivedAt": at,
    });
    of_session(id, caller, session_id, SIGNAL_RECEIVED, &payload, now)
}

/// A rule decided about a session.
pub(crate) fn decision_resolved(
    id: EventId,
    caller: &Caller,
    session_id: &SessionId,
    decided: &Decided,
) -> Arc<Event> {
    let matched = decided.matched.iter();
    let payload = json!({
        "decisionId": decided.decision_id,
        "sessionId": session_id,
        "trigger": decided.trigger,
        "ruleId": decided.rule_id,
        "decision": decided.decision,
        "matchedSignals": matched.map(|it| json!({ "sequence": it.sequence, "signalKey": it.key })).collect::<Value>(),
        "resolvedAt": decided.resolved_at,
    });
    of_session(id, caller, session_id, DECISION_RESOLVED, &payload, decided.resolved_at)
}

/// What happens in a session stays in order where a subscription asks for it.
fn of_session(
    id: EventId,
    caller: &Caller,
    session_id: &SessionId,
    event_type: &str,
    payload: &Value,
    now: Timestamp,
) -> Arc<Event> {
    Arc::new(Event {
        id,
        handle: caller.handle.clone(),
        event_type: event_type.parse().expect("a valid event type"),
        occurred_at: now.into(),
        accepted_at: now,
        origin: Origin::System,
        ordering_key: Some(session_id.as_str().into()),
        payload: Payload::of_our_own(payload),
        trace: caller.trace.clone(),
    })
}
/// Published when the file of a voice note is what it was declared to be.
const VOICE_NOTE_READY: &str = "voice_note.ready";
/// Published when it is not.
const VOICE_NOTE_FAILED: &str = "voice_note.failed";

/// What is told of a death.
pub(crate) fn failure(
    delivery: &Delivery,
    settlement: &Settlement,
    reason: DeathCause,
    subscription: &Subscription,
    failed_at: Timestamp,
) -> Failure {
    Failure {
        subscription_id: delivery.subscription_id,
        endpoint_host: subscription.endpoint_url.host().to_owned(),
        delivery_id: delivery.id,
        event_id: delivery.event_id,
        event_type: delivery.event_type.clone(),
        attempts: settlement.attempts_made + delivery.interruptions,
        last_status: settlement.outcome.and_then(Outcome::status),
        reason,
        failed_at,
    }
}

/// The event that follows from a death. None if the delivery that died was of this very type: a
/// failure to tell of failures must not tell of itself.
pub(crate) fn terminal_failure(id: EventId, handle: &Handle, failure: &Failure) -> Option<Arc<Event>> {
    let tells_of_another = failure.event_type.as_str() != TERMINAL_FAILURE;
    tells_of_another.then(|| event(id, handle, TERMINAL_FAILURE, &json!(failure), failure.failed_at))
}

/// Whether the owner is told of a delivery of this type that was given up: not of one that was to tell
/// them so.
pub(crate) fn is_worth_an_alert(event_type: &EventType) -> bool {
    event_type.as_str() != OWNER_ALERT
}

/// The event by which an owner is told.
pub(crate) fn owner_alert(id: EventId, alert: &Alert, now: Timestamp) -> Arc<Event> {
    event(id, &alert.handle, OWNER_ALERT, &alert.payload(), now)
}

/// The event by which whoever runs the service is told of reports. The latest may have been removed since.
pub(crate) fn reports(
    id: EventId,
    to: &Handle,
    untold: &Untold,
    latest: Option<&Report>,
    now: Timestamp,
) -> Arc<Event> {
    let latest = latest.map(|report| {
        json!({
            "reportId": report.id,
            "handle": report.handle,
            "summary": report.summary,
            "createdAt": report.created_at,
        })
    });
    let payload = json!({
        "kind": untold.sort.kind,
        "ofStrangers": untold.sort.of_strangers,
        "count": untold.gathered,
        "since": untold.first_at,
        "latest": latest,
    });
    event(id, to, REPORTS, &payload, now)
}

/// The attempt that tells something about its subscription.
pub(crate) struct Sign<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) subscription: &'a Subscription,
    pub(crate) now: Timestamp,
}

impl Sign<'_> {
    /// The receiver says that it is gone. None if it was told of one of our own events: two
    /// subscriptions that come and go would otherwise tell each other of it for ever.
    pub(crate) fn gone(&self, id: EventId) -> Option<Arc<Event>> {
        let heard_of_us = self.delivery.origin == Origin::System;
        (!heard_of_us).then(|| self.event(id, GONE, json!({})))
    }

    /// The subscription is to be switched off unless something happens: half of the time after the warning that
    /// is noted, and not after this moment, which may be a millisecond later.
    pub(crate) fn failing(
        &self,
        id: EventId,
        outage: Outage,
        wish: AutoDisable,
        outcome: Outcome,
    ) -> Arc<Event> {
        self.event(
            id,
            FAILING,
            json!({
                "failingSince": outage.since,
                "disablesAt": wish.ends_at(outage),
                "lastStatus": outcome.status(),
                "lastOutcome": outcome.to_string(),
            }),
        )
    }

    /// The subscription is switched off. That ends by a human's hand only, so it can be told of
    /// always: it happens once.
    pub(crate) fn disabled(&self, id: EventId, cause: DisableCause, outage: Option<Outage>) -> Arc<Event> {
        let since = outage.map(|outage| outage.since);
        self.event(id, DISABLED, json!({ "reason": cause, "failingSince": since }))
    }

    fn event(&self, id: EventId, event_type: &str, mut payload: Value) -> Arc<Event> {
        payload["subscriptionId"] = json!(self.subscription.id);
        payload["endpointHost"] = json!(self.subscription.endpoint_url.host());
        payload["deliveryId"] = json!(self.delivery.id);
        payload["eventId"] = json!(self.delivery.event_id);
        payload["at"] = json!(self.now);
        event(id, &self.delivery.handle, event_type, &payload, self.now)
    }
}

/// A sync has succeeded; `changed`, if searches see something else than before.
pub(crate) fn synced(id: EventId, source: &Source, changed: bool, now: Timestamp) -> Arc<Event> {
    let content = &source.content;
    let payload = json!({
        "sourceId": source.id,
        "name": source.name,
        "status": source.status(),
        "changed": changed,
        "documents": content.documents,
        "chunks": content.chunks,
        "skipped": content.skipped,
        "syncedAt": source.synced_at,
    });
    event(id, &source.handle, SYNCED, &payload, now)
}

/// A sync was given up. What was searchable before stays so, which the status says.
pub(crate) fn sync_failed(id: EventId, source: &Source, now: Timestamp) -> Arc<Event> {
    let failure = source.failure.as_ref();
    let payload = json!({
        "sourceId": source.id,
        "name": source.name,
        "status": source.status(),
        "reason": failure.map(|failure| failure.reason),
        "message": failure.map(|failure| failure.message.as_str()),
        "failedAt": failure.map(|failure| failure.at),
    });
    event(id, &source.handle, SYNC_FAILED, &payload, now)
}

/// What became of the file of a voice note.
pub(crate) fn voice_note(id: EventId, note: &VoiceNote, now: Timestamp) -> Arc<Event> {
    let mut payload = json!({
        "voiceNoteId": note.id,
        "contentType": note.declared.audio_type,
        "sizeBytes": note.declared.size_bytes,
        "fileName": note.declared.file_name,
        "createdBy": note.created_by,
        "createdAt": note.created_at,
        "at": now,
    });
    let event_type = match &note.state {
        State::Ready { measured, .. } => {
            payload["durationMs"] = json!(measured.duration_ms);
            payload["sha256"] = json!(measured.sha256);
            VOICE_NOTE_READY
        }
        State::Failed { reason, .. } => {
            payload["reason"] = json!(reason);
            VOICE_NOTE_FAILED
        }
        State::PendingUpload { .. } | State::Processing { .. } | State::Expired { .. } => {
            unreachable!("only what was listened to is told of")
        }
    };
    event(id, &note.handle, event_type, &payload, now)
}

fn event(id: EventId, handle: &Handle, event_type: &str, payload: &Value, now: Timestamp) -> Arc<Event> {
    Arc::new(Event {
        id,
        handle: handle.clone(),
        event_type: event_type.parse().expect("a valid event type"),
        occurred_at: now.into(),
        accepted_at: now,
        origin: Origin::System,
        ordering_key: None,
        payload: Payload::of_our_own(payload),
        trace: None,
    })
}

#[cfg(test)]
mod tests {
    use angarium_domain::catalog::built_in;

    #[test]
    fn whatever_we_publish_about_ourselves_is_in_every_catalogue() {
        let constants = include_str!("notices.rs")
            .lines()
            .filter(|line| line.trim_start_matches("pub(crate) ").starts_with("const "));
        let names: Vec<_> = constants.filter_map(|line| line.split('"').nth(1)).collect();
        assert!(names.len() >= 7, "{names:?}");
        for name in names {
            assert!(built_in(&name.parse().expect("a type")).is_some(), "{name}");
        }
    }
}
