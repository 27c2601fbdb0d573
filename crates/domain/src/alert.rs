//! What the owner of a handle is told of deliveries that were given up (contract 3.4): of each
//! subscription the first at once, and what gathers in an interval after it together, with its count.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::delivery::DeathCause;
use crate::event_type::EventType;
use crate::handle::Handle;
use crate::ids::{DeliveryId, EventId, SubscriptionId};
use crate::time::Timestamp;

/// How long a subscription's failures gather where the owner named no other interval.
pub const INTERVAL_DEFAULT: Duration = Duration::from_mins(15);

/// One delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Which subscription it was for.
    pub subscription_id: SubscriptionId,
    /// The host that it went to.
    pub endpoint_host: String,
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// Of which event.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// How often it was attempted.
    pub attempts: u32,
    /// The status of the last answer, if there was one.
    pub last_status: Option<u16>,
    /// Why it was given up.
    pub reason: DeathCause,
    /// When it was given up.
    pub failed_at: Timestamp,
}

/// The failures of one subscription that its owner is to be told of, and when that may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Whose subscription it is.
    pub handle: Handle,
    /// Failures that the owner was not told of.
    pub gathered: u32,
    /// When the first of them was, or the last one of all if the owner was told of all.
    pub since: Timestamp,
    /// The newest failure.
    pub last: Failure,
    /// The owner may be told at this time or later.
    pub due_at: Timestamp,
}

/// That an owner was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whose subscription it was about.
    pub handle: Handle,
    /// Which subscription.
    pub subscription_id: SubscriptionId,
    /// When that was due: a second telling of the same is refused by it.
    pub due_at: Timestamp,
    /// Of how many failures.
    pub count: u32,
    /// When the owner may be told again.
    pub next_due_at: Timestamp,
}

impl Alert {
    /// The first failure of a subscription: to be told at once.
    pub fn of(handle: Handle, failure: Failure) -> Alert {
        let at = failure.failed_at;
        Alert { handle, gathered: 1, since: at, last: failure, due_at: at }
    }

    /// With one failure more, which waits with the others.
    #[must_use]
    pub fn and(self, failure: Failure) -> Alert {
        let since = if self.gathered == 0 { failure.failed_at } else { self.since };
        Alert { gathered: self.gathered.saturating_add(1), since, last: failure, ..self }
    }

    /// What is written when the owner is told of all of it at `now`.
    pub fn told(&self, now: Timestamp, interval: Duration) -> Told {
        Told {
            handle: self.handle.clone(),
            subscription_id: self.last.subscription_id,
            due_at: self.due_at,
            count: self.gathered,
            next_due_at: now + interval,
        }
    }

    /// What is left of it then. Failures that came after it was looked at stay.
    #[must_use]
    pub fn after(self, told: &Told) -> Alert {
        let gathered = self.gathered.saturating_sub(told.count);
        Alert { gathered, since: self.last.failed_at, due_at: told.next_due_at, ..self }
    }

    /// The payload of the event that tells of it.
    pub fn payload(&self) -> Value {
        let Failure {
            subscription_id,
            endpoint_host,
            delivery_id,
            event_id,
            event_type,
            attempts,
            last_status,
            reason,
            failed_at,
        } = &self.last;
        json!({
            "subscriptionId": subscription_id,
            "endpointHost": endpoint_host,
            "count": self.gathered,
            "since": self.since,
            "deliveryId": delivery_id,
            "eventId": event_id,
            "eventType": event_type,
            "attempts": attempts,
            "lastStatus": last_status,
            "reason": reason,
            "failedAt": failed_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);

    fn failure(n: u8, failed_at: Timestamp) -> Failure {
        Failure {
            subscription_id: SubscriptionId::from_bytes([1; 16]),
            endpoint_host: "hooks.example.com".to_owned(),
            delivery_id: DeliveryId::from_bytes([n; 16]),
            event_id: EventId::from_bytes([n; 16]),
            event_type: "order.paid".parse().expect("a type"),
            attempts: 5,
            last_status: Some(500),
            reason: DeathCause::AttemptsExhausted,
            failed_at,
        }
    }

    fn minutes(n: u64) -> Duration {
        Duration::from_mins(n)
    }

    #[test]
    fn the_first_is_told_at_once_and_the_others_of_its_interval_together() {
        let handle: Handle = "acme".parse().expect("a handle");
        let first = Alert::of(handle, failure(1, NOON));
        assert_eq!((first.gathered, first.due_at), (1, NOON));

        let told = first.told(NOON, minutes(15));
        let waiting =
            first.after(&told).and(failure(2, NOON + minutes(3))).and(failure(3, NOON + minutes(9)));
        assert_eq!((waiting.gathered, waiting.due_at), (2, NOON + minutes(15)));
        let payload = waiting.payload();
        assert_eq!((payload["count"].as_u64(), &payload["lastStatus"]), (Some(2), &json!(500)));
        assert_eq!(payload["since"], json!(NOON + minutes(3)));
        assert_eq!(payload["deliveryId"], json!(DeliveryId::from_bytes([3; 16])));
    }

    #[test]
    fn a_failure_that_comes_while_its_owner_is_told_waits_for_the_next_time() {
        let alert = Alert::of("acme".parse().expect("a handle"), failure(1, NOON));
        let told = alert.told(NOON, minutes(15));
        let later = alert.and(failure(2, NOON + minutes(1))).after(&told);
        assert_eq!((later.gathered, later.due_at), (1, NOON + minutes(15)));
    }
}
