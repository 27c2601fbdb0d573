//! The conditions that choose deliveries, as flags.

use angarium_domain::delivery::Status;
use angarium_domain::event_type::EventType;
use angarium_domain::ids::{EventId, SubscriptionId};
use angarium_domain::replay::DeliveryFilter;
use angarium_domain::time::Timestamp;
use clap::Args;
use serde_json::Value;

use crate::cli::span::{Moment, moment};

/// Which deliveries: those for which all of these hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct FilterArgs {
    /// Of one subscription: sub_…
    #[arg(long, value_name = "ID")]
    subscription: Option<SubscriptionId>,
    /// Of one event: evt_…
    #[arg(long, value_name = "ID")]
    event: Option<EventId>,
    /// Of one event type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<EventType>,
    /// Made at this time or later: 15m, 1h, 7d ago, or a time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Moment>,
    /// Made before this time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Moment>,
}

impl FilterArgs {
    /// The conditions, with spans counted back from `now`.
    pub(crate) fn conditions(&self, status: Option<Status>, now: Timestamp) -> DeliveryFilter {
        DeliveryFilter {
            subscription_id: self.subscription,
            event_id: self.event,
            event_type: self.event_type.clone(),
            status,
            since: self.since.map(|since| since.before(now)),
            until: self.until.map(|until| until.before(now)),
        }
    }
}

/// Conditions as parameters of an address.
pub(crate) fn parameters(filter: &DeliveryFilter) -> Vec<(&'static str, String)> {
    let conditions = serde_json::to_value(filter).expect("a filter is JSON");
    let names = ["subscriptionId", "eventId", "eventType", "status", "since", "until"];
    names
        .into_iter()
        .filter_map(|name| Some((name, conditions.get(name).and_then(Value::as_str)?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_becomes_a_parameter() {
        let filter = DeliveryFilter {
            subscription_id: Some(SubscriptionId::from_bytes([1; 16])),
            event_id: Some(EventId::from_bytes([1; 16])),
            event_type: Some("order.paid".parse().expect("a type")),
            status: Some(Status::InFlight),
            since: Some(Timestamp::from_seconds(0)),
            until: Some(Timestamp::from_seconds(1)),
        };
        let conditions = serde_json::to_value(&filter).expect("JSON");
        assert_eq!(parameters(&filter).len(), conditions.as_object().expect("an object").len());
        assert!(parameters(&filter).contains(&("status", "in_flight".to_owned())));
        assert_eq!(parameters(&DeliveryFilter::default()), []);
    }
}
