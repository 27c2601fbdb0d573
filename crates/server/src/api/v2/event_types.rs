//! The catalogue of event types.

pub(super) mod docs;

use angarium_domain::catalog::{BUILT_IN, BuiltIn, Catalog, DESCRIPTION_CHARS_MAX, Entry, Schema, built_in};
use angarium_domain::event_type::EventType;
use angarium_domain::time::Timestamp;
use angarium_engine::{Answer, EventTypePut, EventTypes, NewEventType};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, found, json, nothing};
use crate::api::form::Form;
use crate::api::request::{PathEventType, Read, Write};
use crate::openapi::{events_of_handle, words};
use crate::problem::Problem;

/// What is said of an event type.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = EventTypeEntry)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "these are the words on the wire")]
pub(super) struct EventTypeView {
    #[schema(value_type = words::EventType)]
    r#type: String,
    #[schema(example = "An order has left the warehouse")]
    description: Option<String>,
    critical: bool,
    deprecated: bool,
    built_in: bool,
    has_schema: bool,
    /// Of one type; a list of five hundred would be too much to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::PayloadSchema, required = false)]
    schema: Option<Schema>,
    /// Null for those that are built in.
    #[schema(value_type = Option<words::Time>)]
    created_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>)]
    updated_at: Option<Timestamp>,
}

/// The catalogue of event types, in one page.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypes)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypesView {
    event_types: Vec<EventTypeView>,
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

pub(super) async fn put(
    State(event_types): State<EventTypes>,
    PathEventType(name): PathEventType,
    write: Write,
) -> Result<Answered, Problem> {
    let event_type = name.parse().map_err(|error| invalid_type(&error))?;
    let new = new_event_type(write.form_or_empty()?, event_type)?;
    let (caller, once) = write.into_parts(as_it_is_now);
    carried_out(async move { event_types.put(caller, new, once).await }).await
}

pub(super) async fn list(
    State(event_types): State<EventTypes>,
    read: Read,
) -> Result<Json<EventTypesView>, Problem> {
    let catalog = event_types.catalog(&read.handle).await?;
    Ok(Json(EventTypesView { event_types: everything(&catalog), next_cursor: None }))
}

pub(super) async fn get(
    State(event_types): State<EventTypes>,
    PathEventType(name): PathEventType,
    read: Read,
) -> Result<Json<EventTypeView>, Problem> {
    let name: EventType = name.parse().map_err(|_| Problem::not_found())?;
    let catalog = event_types.catalog(&read.handle).await?;
    let own = || catalog.get(&name).map(|entry| EventTypeView::with_schema(entry));
    found(built_in(&name).map(EventTypeView::of_built_in).or_else(own))
}

pub(super) async fn openapi(
    State(event_types): State<EventTypes>,
    read: Read,
) -> Result<Json<Value>, Problem> {
    let catalog = event_types.catalog(&read.handle).await?;
    Ok(Json(events_of_handle(&read.handle, &catalog)))
}

pub(super) async fn delete(
    State(event_types): State<EventTypes>,
    PathEventType(name): PathEventType,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let name: EventType = name.parse().map_err(|_| Problem::not_found())?;
    let (caller, once) = write.into_parts(|()| nothing());
    carried_out(async move { event_types.remove(caller, name, once).await }).await
}

/// Every type of a handle with those that are built in, by name, without schemas. At most five
/// hundred and those, so that it is one page.
pub(super) fn everything(catalog: &Catalog) -> Vec<EventTypeView> {
    let mut views: Vec<_> = catalog.entries().map(|entry| EventTypeView::of(entry)).collect();
    views.extend(BUILT_IN.iter().map(EventTypeView::of_built_in));
    views.sort_by(|one, other| one.r#type.cmp(&other.r#type));
    views
}

fn invalid_type(error: &impl ToString) -> Problem {
    Problem::invalid_field("type", error.to_string())
}

fn new_event_type(mut form: Form<'_>, event_type: EventType) -> Result<NewEventType, Problem> {
    let description: Option<String> = form.optional("description");
    if let Some(chars) = description.as_ref().map(|text| text.chars().count())
        && chars > DESCRIPTION_CHARS_MAX
    {
        form.fault(
            "description",
            format!("description is {chars} characters, the limit is {DESCRIPTION_CHARS_MAX}"),
        );
    }
    let schema = form.raw("schema");
    let new = NewEventType {
        event_type,
        description,
        critical: form.optional("critical").unwrap_or_default(),
        deprecated: form.optional("deprecated").unwrap_or_default(),
        schema: schema.and_then(|written| schema_of(&mut form, written)),
    };
    form.finish(Some(new))
}

/// A schema, with the place of its fault if it is not one.
fn schema_of(form: &mut Form<'_>, written: &RawValue) -> Option<Schema> {
    Schema::from_json(written)
        .map_err(|error| {
            let place: String = error.pointer.chars().take(200).collect();
            form.fault(format!("schema{place}"), error.fault.to_string());
        })
        .ok()
}

fn as_it_is_now(put: &EventTypePut) -> Answer {
    let status = if put.created { StatusCode::CREATED } else { StatusCode::OK };
    json(status, &EventTypeView::with_schema(&put.entry))
}

impl EventTypeView {
    fn of(entry: &Entry) -> EventTypeView {
        EventTypeView {
            r#type: entry.event_type.to_string(),
            description: entry.description.clone(),
            critical: entry.critical,
            deprecated: entry.deprecated,
            built_in: false,
            has_schema: entry.schema.is_some(),
            schema: None,
            created_at: Some(entry.created_at),
            updated_at: Some(entry.updated_at),
        }
    }

    fn with_schema(entry: &Entry) -> EventTypeView {
        EventTypeView { schema: entry.schema.clone(), ..EventTypeView::of(entry) }
    }

    fn of_built_in(known: &BuiltIn) -> EventTypeView {
        EventTypeView {
            r#type: known.event_type.to_owned(),
            description: Some(known.description.to_owned()),
            critical: known.critical,
            deprecated: false,
            built_in: true,
            has_schema: false,
            schema: None,
            created_at: None,
            updated_at: None,
        }
    }
}
