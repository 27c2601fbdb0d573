//! The events that Angarium publishes about itself.

use std::sync::Arc;

use angarium_domain::delivery::{DeathCause, Delivery, Settlement};
use angarium_domain::event::{Event, Origin};
use angarium_domain::ids::EventId;
use angarium_domain::payload::Payload;
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use serde_json::json;

/// Published once for each delivery that we gave up on (contract 3.4).
const TERMINAL_FAILURE: &str = "webhook.delivery.terminal_failure";

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
        "lastStatus": settlement.outcome.and_then(angarium_domain::outcome::Outcome::status),
        "reason": cause.as_str(),
        "failedAt": now,
    });
    Some(Arc::new(Event {
        id,
        handle: delivery.handle.clone(),
        event_type: TERMINAL_FAILURE.parse().expect("a valid event type"),
        occurred_at: now.into(),
        accepted_at: now,
        origin: Origin::System,
        ordering_key: None,
        payload: Payload::of_our_own(&payload),
    }))
}
