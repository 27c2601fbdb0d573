//! What the routes of deliveries say of themselves.

use angarium_domain::replay::Target;

use crate::api::v2::deliveries::{DeliveryLifeView, DeliveryView, ReplayedView};
use crate::openapi::Operation;
use crate::openapi::schema::{object, word};
use crate::openapi::words::{
    DeliveryId, DeliveryStatus, EventId, EventType, ReplayTarget, SubscriptionId, Time,
};

pub(in crate::api::v2) fn list() -> Operation {
    filtered(Operation::new("listDeliveries", "List deliveries"))
        .page_of::<DeliveryView>("A page of them.")
        .showing("finishedAt")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getDelivery", "Show a delivery")
        .of::<DeliveryId>("deliveryId")
        .answer::<DeliveryLifeView>(
            200,
            "The delivery with every attempt, its timing, its answer and advice.",
        )
        .showing("finishedAt")
}

pub(in crate::api::v2) fn replay() -> Operation {
    let to = word::<ReplayTarget>().or(Target::default());
    Operation::new("replayDelivery", "Deliver an event again")
        .about("A new delivery of the same event, with attempts from 1, linked by `replayOf`.")
        .of::<DeliveryId>("deliveryId")
        .optional_body("DeliveryReplay", object().optional("to", to))
        .answer::<ReplayedView>(202, "Accepted for dispatch.")
        .conflict("the delivery is not finished, was cancelled, or its webhook was deleted")
}

/// The conditions that the log and the dead letters can be asked under.
pub(in crate::api::v2) fn filtered(operation: Operation) -> Operation {
    operation
        .filter("subscriptionId", word::<SubscriptionId>(), "Deliveries to this webhook.")
        .filter("eventId", word::<EventId>(), "Deliveries of this event.")
        .filter("eventType", word::<EventType>(), "Deliveries of events of exactly this type.")
        .filter("status", word::<DeliveryStatus>(), "Deliveries in this state.")
        .filter("since", word::<Time>(), "Made at this time or later.")
        .filter("until", word::<Time>(), "Made before this time.")
}
