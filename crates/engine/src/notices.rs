//! The events that Angarium publishes about itself.

use std::sync::Arc;

use angarium_domain::auto_disable::{AutoDisable, Outage};
use angarium_domain::delivery::{DeathCause, Delivery, Settlement};
use angarium_domain::event::{Event, Origin};
use angarium_domain::ids::EventId;
use angarium_domain::outcome::Outcome;
use angarium_domain::payload::Payload;
use angarium_domain::standing::DisableCause;
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use serde_json::{Value, json};

/// Published once for each delivery that we gave up on (contract 3.4).
const TERMINAL_FAILURE: &str = "webhook.delivery.terminal_failure";
/// Published when a receiver says that it is gone.
const GONE: &str = "webhook.subscription.gone";
/// Published when half of the time has passed after which a subscription is switched off.
const FAILING: &str = "webhook.subscription.failing";
/// Published when a subscription is switched off.
const DISABLED: &str = "webhook.subscription.disabled";

/// The event that follows from a death. None if the delivery that died was of this very type: a
/// failure to tell of failures must not tell of itself.
pub(crate) fn terminal_failure(
    id: EventId,
    delivery: &Delivery,
    settlement: &Settlement,
    cause: DeathCause,
    subscription: &Subscription,
    now: Timestamp,
) -> Option<Arc<Event>> {
    if delivery.event_type.as_str() == TERMINAL_FAILURE {
        return None;
    }
    let payload = json!({
        "subscriptionId": delivery.subscription_id,
        "deliveryId": delivery.id,
        "eventId": delivery.event_id,
        "eventType": delivery.event_type,
        "endpointHost": subscription.endpoint_url.host(),
        "attempts": settlement.attempts_made + delivery.interruptions,
        "lastStatus": settlement.outcome.and_then(Outcome::status),
        "reason": cause.as_str(),
        "failedAt": now,
    });
    Some(event(id, delivery, TERMINAL_FAILURE, &payload, now))
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
        event(id, self.delivery, event_type, &payload, self.now)
    }
}

fn event(id: EventId, delivery: &Delivery, event_type: &str, payload: &Value, now: Timestamp) -> Arc<Event> {
    Arc::new(Event {
        id,
        handle: delivery.handle.clone(),
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
        let constants = include_str!("notices.rs").lines().filter(|line| line.starts_with("const "));
        let names: Vec<_> = constants.filter_map(|line| line.split('"').nth(1)).collect();
        assert!(names.len() >= 4, "{names:?}");
        for name in names {
            assert!(built_in(&name.parse().expect("a type")).is_some(), "{name}");
        }
    }
}
