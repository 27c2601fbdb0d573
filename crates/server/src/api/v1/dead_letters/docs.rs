//! What the routes of dead letters say of themselves.

use crate::api::v1::dead_letters::{DeadLettersView, ReplayedView};
use crate::api::v1::envelope::around;
use crate::openapi::Operation;
use crate::openapi::words::DeliveryId;

pub(in crate::api::v1) fn list() -> Operation {
    Operation::new("listDeadLetters", "List dead letters")
        .about("Deliveries to any webhook that were given up, until somebody replays or discards them.")
        .paged()
        .answer_around::<DeadLettersView>(around, 200, "A page of them, newest first.")
        .showing("finishedAt")
        .showing_as("status", "dead")
        .showing_as("reason", "attempts_exhausted")
        .showing_as("attempts", 8)
        .showing_as("lastStatus", 500)
}

pub(in crate::api::v1) fn replay() -> Operation {
    Operation::new("replayDeadLetter", "Deliver an event again")
        .about("A new delivery of the same event, with attempts from 1, linked by `replayOf`.")
        .of::<DeliveryId>("deliveryId")
        .answer_around::<ReplayedView>(around, 202, "Accepted for dispatch.")
        .problem(403, "live_key_required", "a test key sends nothing, so it replays nothing")
        .conflict("the delivery is not finished, was cancelled, or its webhook was deleted")
}
