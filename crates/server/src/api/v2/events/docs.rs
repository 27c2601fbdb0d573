//! What the routes of events say of themselves.

use crate::api::v2::events::{AcceptedView, BatchView, EventView, ORDERING_KEY_BYTES_MAX};
use crate::openapi::Operation;
use crate::openapi::schema::{Object, list as list_of, object, text_of, word};
use crate::openapi::words::{EventId, EventType, Payload, Time};
use crate::settings::BATCH_EVENTS_LIMIT_MAX;

pub(in crate::api::v2) fn publish() -> Operation {
    Operation::new("publishEvent", "Publish an event")
        .about("The answer means that the event and its deliveries are on stable storage.")
        .body("NewEvent", new_event())
        .answer::<AcceptedView>(202, "Accepted. An event that matches no webhook is recorded too.")
}

pub(in crate::api::v2) fn publish_batch() -> Operation {
    let events = list_of(new_event().schema(), 1..=BATCH_EVENTS_LIMIT_MAX);
    let events = events.about("At most 1,000, unless the operator set another limit.");
    Operation::new("publishEvents", "Publish many events")
        .about("Each is accepted or refused by itself; those accepted are stored in one commit.")
        .body("NewEvents", object().required("events", events))
        .answer::<BatchView>(202, "What came of each, in order.")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listEvents", "List events")
        .filter("type", word::<EventType>(), "Events of exactly this type.")
        .filter("since", word::<Time>(), "Accepted at this time or later.")
        .filter("until", word::<Time>(), "Accepted before this time.")
        .page_of::<EventView>("A page of them, without their payloads.")
        .showing("finishedAt")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getEvent", "Show an event")
        .of::<EventId>("eventId")
        .answer::<EventView>(200, "The event with its payload, and the state of each of its deliveries.")
        .showing("payload")
        .showing("finishedAt")
}

/// The fields of an event, which every API takes alike.
pub(in crate::api) fn new_event() -> Object {
    let ordering_key =
        text_of(1..=ORDERING_KEY_BYTES_MAX).about("What must stay in order; counted in bytes.");
    object()
        .required("type", word::<EventType>())
        .required("payload", word::<Payload>())
        .optional("occurredAt", word::<Time>().about("When it happened; the time of acceptance if left out."))
        .optional("orderingKey", ordering_key)
}
