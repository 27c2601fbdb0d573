//! Events: publishing them, and what became of them (contract 2).

pub(in crate::api) mod docs;

use std::borrow::Cow;

use angarium_domain::catalog::built_in;
use angarium_domain::event::{OccurredAt, Origin};
use angarium_domain::event_type::EventType;
use angarium_domain::ids::{EventId, EventKind};
use angarium_domain::payload::{InvalidPayload, Payload};
use angarium_domain::time::Timestamp;
use angarium_engine::{Accepted, Answer, EventLife, Events, Intake, NewEvent, Verdict};
use angarium_store::event_log::EventFilter;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, found, items, json};
use crate::api::form::Form;
use crate::api::request::{PathId, Read, Write};
use crate::api::v2::deliveries::DeliveryView;
use crate::limits::Limits;
use crate::openapi::words;
use crate::problem::{Detail, Problem};

/// The longest ordering key.
const ORDERING_KEY_BYTES_MAX: usize = 128;

/// An event on stable storage, with one delivery for each webhook that it matched.
#[derive(Serialize, ToSchema)]
#[schema(as = Accepted)]
#[serde(rename_all = "camelCase")]
struct AcceptedView<'a> {
    #[schema(value_type = words::EventId)]
    event_id: EventId,
    deliveries: usize,
    #[schema(value_type = words::RequestId)]
    request_id: &'a str,
}

/// What came of each event of a batch, in the order of the batch.
#[derive(Serialize, ToSchema)]
#[schema(as = Batch)]
#[serde(rename_all = "camelCase")]
struct BatchView<'a> {
    events: Vec<ItemView<'a>>,
    #[schema(value_type = words::RequestId)]
    request_id: &'a str,
}

/// An event that was accepted, or what is wrong with it.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchItem)]
#[serde(untagged)]
enum ItemView<'a> {
    #[serde(rename_all = "camelCase")]
    Accepted {
        #[schema(value_type = words::EventId)]
        event_id: EventId,
        deliveries: usize,
    },
    Refused {
        error: &'a str,
        message: &'a str,
        details: &'a [Detail],
    },
}

/// An accepted event, and the state of each of its deliveries.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventView {
    #[schema(value_type = words::EventId)]
    event_id: EventId,
    #[schema(value_type = words::Handle)]
    handle: String,
    #[schema(value_type = words::EventType)]
    r#type: EventType,
    #[schema(value_type = words::Time)]
    occurred_at: String,
    #[schema(value_type = words::Time)]
    accepted_at: Timestamp,
    #[schema(value_type = words::Origin)]
    origin: Origin,
    #[schema(example = "order-42")]
    ordering_key: Option<Box<str>>,
    /// Of one event; a list of a hundred would be too much to send and to hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Payload, required = false)]
    payload: Option<Box<RawValue>>,
    deliveries: Vec<DeliveryView>,
}

pub(super) async fn publish(
    State(intake): State<Intake>,
    State(limits): State<Limits>,
    write: Write,
) -> Result<Answered, Problem> {
    let event = new_event(write.form()?, &limits)?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |accepted: &Accepted| {
        let Accepted { event_id, deliveries, .. } = *accepted;
        json(StatusCode::ACCEPTED, &AcceptedView { event_id, deliveries, request_id: &request_id })
    });
    carried_out(async move { intake.publish(caller, event, once).await }).await
}

pub(super) async fn publish_batch(
    State(intake): State<Intake>,
    State(limits): State<Limits>,
    write: Write,
) -> Result<Response, Problem> {
    let read = new_events(write.form()?, &limits)?;
    let request_id = write.request_id();
    let (events, refused): (Vec<NewEvent>, Vec<Option<Problem>>) = split(read);
    let (caller, once) = write.into_parts(move |verdicts: &Vec<Verdict>| -> Answer {
        json(StatusCode::ACCEPTED, &BatchView::of(&woven(&refused, verdicts), &request_id))
    });
    carried_out(async move { intake.publish_batch(caller, events, once).await })
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn list(
    State(events): State<Events>,
    read: Read,
) -> Result<Json<Items<EventView>>, Problem> {
    let mut query = read.query();
    let filter = EventFilter {
        event_type: query.optional("type"),
        origin: None,
        since: query.optional("since"),
        until: query.optional("until"),
    };
    let list = list_name(&read, &filter);
    let page = events.list(&read.handle, filter, query.page(&list)?).await?;
    Ok(items(page, &list, EventView::of))
}

pub(super) async fn get(
    State(events): State<Events>,
    PathId(id): PathId<EventKind>,
    read: Read,
) -> Result<Json<EventView>, Problem> {
    found(events.get(&read.handle, id).await?.map(EventView::with_payload))
}

fn list_name(read: &Read, filter: &EventFilter) -> String {
    format!("{} events {:?} {:?} {:?}", read.handle, filter.event_type, filter.since, filter.until)
}

pub(in crate::api) fn new_event(mut form: Form<'_>, limits: &Limits) -> Result<NewEvent, Problem> {
    let event_type: Option<EventType> = form.required("type");
    if let Some(known) = event_type.as_ref().and_then(built_in) {
        let name = known.event_type;
        form.fault(
            "type",
            format!("{name} is built in and published by Angarium alone; choose another name"),
        );
    }
    let payload = form.raw("payload").or_else(|| form.missing("payload"));
    let occurred_at: Option<OccurredAt> = form.parsed("occurredAt");
    let ordering_key = ordering_key(&mut form);
    let (event_type, payload) = form.finish(event_type.zip(payload))?;
    let payload =
        Payload::from_json(payload, limits.payload_bytes_max).map_err(|error| payload_problem(&error))?;
    Ok(NewEvent { event_type, payload, occurred_at, ordering_key })
}

fn ordering_key(form: &mut Form<'_>) -> Option<Box<str>> {
    let key: Cow<'_, str> = form.optional("orderingKey")?;
    let bytes = key.len();
    if !(1..=ORDERING_KEY_BYTES_MAX).contains(&bytes) {
        let limits = format!("the limits are 1 and {ORDERING_KEY_BYTES_MAX}");
        form.fault("orderingKey", format!("orderingKey is {bytes} bytes, {limits}"));
    }
    if key.chars().any(char::is_control) {
        form.fault("orderingKey", "orderingKey holds a control character");
    }
    Some(key.into())
}

pub(super) fn payload_problem(error: &InvalidPayload) -> Problem {
    match error {
        InvalidPayload::TooLarge { .. } => Problem::too_large(error.to_string()),
        InvalidPayload::NotAnObject | InvalidPayload::TooDeep | InvalidPayload::LoneSurrogate => {
            Problem::invalid_field("payload", error.to_string())
        }
    }
}

/// Each event of a batch by itself: one that is not valid does not keep the others back.
fn new_events(mut form: Form<'_>, limits: &Limits) -> Result<Vec<Result<NewEvent, Problem>>, Problem> {
    let events: Option<Vec<&RawValue>> = form.required("events");
    let most = limits.batch_events_max;
    if let Some(count) = events.as_ref().map(Vec::len).filter(|count| *count == 0 || *count > most) {
        form.fault("events", format!("events holds {count} events, the limits are 1 and {most}"));
    }
    let events = form.finish(events)?;
    Ok(events.into_iter().map(|event| new_event(Form::of_text(event.get())?, limits)).collect())
}

/// The valid events, and for each place of the batch what was wrong with it.
fn split(read: Vec<Result<NewEvent, Problem>>) -> (Vec<NewEvent>, Vec<Option<Problem>>) {
    let mut events = Vec::with_capacity(read.len());
    let refused = read.into_iter().map(|result| result.map(|event| events.push(event)).err()).collect();
    (events, refused)
}

impl ItemView<'_> {
    fn of(accepted: &Accepted) -> ItemView<'static> {
        ItemView::Accepted { event_id: accepted.event_id, deliveries: accepted.deliveries }
    }

    fn refused(problem: &Problem) -> ItemView<'_> {
        ItemView::Refused { error: &problem.code, message: &problem.message, details: &problem.details }
    }
}

impl<'a> BatchView<'a> {
    fn of(results: &'a [Result<Accepted, Problem>], request_id: &'a str) -> BatchView<'a> {
        let events = results.iter().map(|result| match result {
            Ok(accepted) => ItemView::of(accepted),
            Err(problem) => ItemView::refused(problem),
        });
        BatchView { events: events.collect(), request_id }
    }
}

/// For each place of a batch what came of it, where some were refused before the others were judged.
fn woven(refused: &[Option<Problem>], verdicts: &[Verdict]) -> Vec<Result<Accepted, Problem>> {
    let mut verdicts = verdicts.iter();
    let mut judged = || {
        let verdict = verdicts.next().expect("one for each that was not refused");
        verdict.as_ref().copied().map_err(Problem::from)
    };
    let place = |problem: &Option<Problem>| problem.clone().map_or_else(&mut judged, Err);
    refused.iter().map(place).collect()
}

impl EventView {
    fn of(life: EventLife) -> EventView {
        let EventLife { event, deliveries } = life;
        EventView {
            event_id: event.id,
            handle: event.handle.to_string(),
            r#type: event.event_type.clone(),
            occurred_at: event.occurred_at.to_string(),
            accepted_at: event.accepted_at,
            origin: event.origin,
            ordering_key: event.ordering_key.clone(),
            payload: None,
            deliveries: deliveries.into_iter().map(DeliveryView::from).collect(),
        }
    }

    fn with_payload(life: EventLife) -> EventView {
        let payload = life.event.payload.as_str().to_owned();
        let payload = RawValue::from_string(payload).expect("it was JSON when it was accepted");
        EventView { payload: Some(payload), ..EventView::of(life) }
    }
}
