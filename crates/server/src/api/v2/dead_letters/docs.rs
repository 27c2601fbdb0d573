//! What the routes of dead letters say of themselves.

use crate::api::v2::deliveries::docs::filtered;
use crate::api::v2::deliveries::{DeliveryLifeView, DeliveryView};
use crate::openapi::Operation;
use crate::openapi::words::DeliveryId;

pub(in crate::api::v2) fn list() -> Operation {
    filtered(Operation::new("listDeadLetters", "List dead letters"))
        .about("Deliveries that were given up, until somebody replays or discards them.")
        .page_of::<DeliveryView>("A page of them.")
        .showing("finishedAt")
        .showing_as("status", "dead")
        .showing_as("reason", "attempts_exhausted")
        .showing_as("attempts", 5)
        .showing_as("lastStatus", 500)
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getDeadLetter", "Show a dead letter")
        .of::<DeliveryId>("deliveryId")
        .answer::<DeliveryLifeView>(200, "The delivery with every attempt.")
}

pub(in crate::api::v2) fn discard() -> Operation {
    Operation::new("discardDeadLetter", "Discard a dead letter")
        .about("It leaves the list; the delivery log keeps it.")
        .of::<DeliveryId>("deliveryId")
        .nothing("Discarded.")
}
