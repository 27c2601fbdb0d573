//! What the routes of event types say of themselves.

use angarium_domain::catalog::DESCRIPTION_CHARS_MAX;

use crate::api::v2::event_types::{EventTypeView, EventTypesView};
use crate::openapi::Operation;
use crate::openapi::document_schema as openapi_document;
use crate::openapi::schema::{flag, object, text_of, word};
use crate::openapi::words::{EventType, PayloadSchema};

pub(in crate::api::v2) fn put() -> Operation {
    let fields = object()
        .optional("description", text_of(0..=DESCRIPTION_CHARS_MAX))
        .optional("critical", flag().or(false).about("Whether somebody must hear of it."))
        .optional("deprecated", flag().or(false))
        .optional("schema", word::<PayloadSchema>());
    Operation::new("putEventType", "Describe an event type, or replace what is said of it")
        .about("From then on its payloads must fit its `schema`, if it has one.")
        .of::<EventType>("type")
        .optional_body("EventTypeDescription", fields)
        .answer::<EventTypeView>(200, "Replaced.")
        .showing("schema")
        .showing_as("hasSchema", true)
        .showing("createdAt")
        .showing("updatedAt")
        .answer::<EventTypeView>(201, "New.")
        .showing("schema")
        .showing_as("hasSchema", true)
        .showing("createdAt")
        .showing("updatedAt")
        .conflict("the type is built in, or the catalogue holds as many types as it may")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listEventTypes", "List the catalogue of event types")
        .about("With those that are built in, by name, without schemas.")
        .answer::<EventTypesView>(200, "All of them.")
        .showing("createdAt")
        .showing("updatedAt")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getEventType", "Get one event type with its schema")
        .of::<EventType>("type")
        .answer::<EventTypeView>(200, "The event type.")
        .showing("schema")
        .showing_as("hasSchema", true)
        .showing("createdAt")
        .showing("updatedAt")
}

pub(in crate::api::v2) fn delete() -> Operation {
    Operation::new("deleteEventType", "Take an event type out of the catalogue")
        .about("Publishing and subscribing to it go on, without a schema.")
        .of::<EventType>("type")
        .nothing("Taken out.")
        .conflict("the type is built in")
}

pub(in crate::api::v2) fn openapi() -> Operation {
    Operation::new("getEventsDocument", "Describe the handle's events to those who receive them")
        .under("event types")
        .about(
            "An OpenAPI 3.1 document without paths: each type of the catalogue is a webhook with its schema, so that \
             receivers and their tests can be generated. `event` stands for types that the catalogue does not know.",
        )
        .answer_in(200, "application/json", openapi_document(), "OpenAPI 3.1.")
}
