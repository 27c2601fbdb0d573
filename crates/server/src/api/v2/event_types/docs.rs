//! What the routes of event types say of themselves.

use crate::openapi::Operation;

pub(in crate::api::v2) fn put() -> Operation {
    Operation::new("putEventType", "Describe an event type, or replace what is said of it")
        .about("From then on its payloads must fit its `schema`, if it has one.")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listEventTypes", "List the catalogue of event types")
        .about("With those that are built in, by name, without schemas.")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getEventType", "Get one event type with its schema")
}

pub(in crate::api::v2) fn delete() -> Operation {
    Operation::new("deleteEventType", "Take an event type out of the catalogue")
        .about("Publishing and subscribing to it go on, without a schema.")
}
