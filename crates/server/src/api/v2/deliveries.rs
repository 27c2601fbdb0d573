//! Deliveries: the log, one delivery with its attempts, replaying one (contract 3.5).

pub(super) mod docs;

use angarium_domain::advice::{advice, explain};
use angarium_domain::attempt::{AttemptRecord, Timing};
use angarium_domain::delivery::{DeathCause, Delivery, State as DeliveryState, Status};
use angarium_domain::event::Origin;
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, DeliveryKind, EventId, ReplayId, SubscriptionId};
use angarium_domain::outcome::{Class, Failure, Outcome, RetryOn};
use angarium_domain::replay::DeliveryFilter;
use angarium_domain::retry::Delay;
use angarium_domain::time::Timestamp;
use angarium_engine::{Deliveries, DeliveryLife, Replayed, Shown};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, found, items, json};
use crate::api::query::Query;
use crate::api::request::{PathId, Read, Write};
use crate::openapi::words;
use crate::problem::Problem;

/// One event on its way to one webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryView {
    #[schema(value_type = words::DeliveryId)]
    delivery_id: DeliveryId,
    #[schema(value_type = words::Handle)]
    handle: Handle,
    #[schema(value_type = words::EventId)]
    event_id: EventId,
    #[schema(value_type = words::EventType)]
    event_type: EventType,
    #[schema(value_type = words::SubscriptionId)]
    subscription_id: SubscriptionId,
    #[schema(value_type = words::DeliveryStatus)]
    status: Status,
    #[schema(value_type = words::Origin)]
    origin: Origin,
    /// How many were made, those included that a restart of ours cut short.
    attempts: u32,
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<words::Time>)]
    finished_at: Option<Timestamp>,
    #[schema(example = 200)]
    last_status: Option<u16>,
    #[schema(value_type = Option<words::Failure>, example = json!(null))]
    last_error: Option<Failure>,
    #[schema(value_type = Option<words::DeathCause>, example = json!(null))]
    reason: Option<DeathCause>,
    #[schema(value_type = Option<words::DeliveryId>, example = json!(null))]
    replay_of: Option<DeliveryId>,
    /// The replay job that made it.
    #[schema(value_type = Option<words::ReplayId>, example = json!(null))]
    replay_id: Option<ReplayId>,
    #[schema(value_type = Option<words::DeliveryId>, example = json!(null))]
    replayed_by: Option<DeliveryId>,
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    discarded_at: Option<Timestamp>,
}

/// A delivery with all that is known about it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryLife)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryLifeView {
    #[serde(flatten)]
    delivery: DeliveryView,
    attempt_log: Vec<AttemptView>,
}

/// One attempt, and what it came to.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
#[serde(rename_all = "camelCase")]
struct AttemptView {
    number: u32,
    #[schema(value_type = words::Time)]
    started_at: Timestamp,
    #[schema(example = 41.7)]
    duration_ms: f64,
    timing: TimingView,
    #[schema(example = "hooks.example.com/orders")]
    endpoint: String,
    #[schema(example = "203.0.113.7:443")]
    remote_address: Option<String>,
    #[schema(example = 200)]
    status: Option<u16>,
    #[schema(value_type = Option<words::Failure>, example = json!(null))]
    error: Option<Failure>,
    #[schema(example = json!(null))]
    error_detail: Option<String>,
    #[schema(example = json!([["content-type", "text/plain"]]))]
    response_headers: Vec<(String, String)>,
    #[schema(example = "thanks")]
    response_body: String,
    response_truncated: bool,
    #[schema(value_type = words::AttemptClass)]
    class: Class,
    #[schema(example = "the receiver answered 200")]
    why: String,
    #[schema(example = json!(null))]
    advice: Option<&'static str>,
    #[schema(value_type = Option<words::Delay>, example = json!(null))]
    delay: Option<Delay>,
}

/// Where the time of an attempt went. A part that did not happen is null: a reused connection has
/// no name lookup, no connect and no handshake.
#[derive(Serialize, ToSchema)]
#[schema(as = Timing)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire, with their unit")]
struct TimingView {
    #[schema(example = 3.2)]
    dns_ms: Option<f64>,
    #[schema(example = 9.8)]
    connect_ms: Option<f64>,
    #[schema(example = 14.1)]
    tls_ms: Option<f64>,
    #[schema(example = 12.5)]
    first_byte_ms: Option<f64>,
}

/// A replay on its way: a new delivery of an old event.
#[derive(Serialize, ToSchema)]
#[schema(as = Replayed)]
#[serde(rename_all = "camelCase")]
struct ReplayedView<'a> {
    #[schema(value_type = words::DeliveryId)]
    delivery_id: DeliveryId,
    #[schema(value_type = words::EventId)]
    event_id: EventId,
    #[schema(value_type = words::DeliveryId)]
    replay_of: DeliveryId,
    #[schema(value_type = words::RequestId)]
    request_id: &'a str,
}

pub(super) async fn list(
    State(deliveries): State<Deliveries>,
    read: Read,
) -> Result<Json<Items<DeliveryView>>, Problem> {
    list_of(&deliveries, &read, false).await
}

pub(super) async fn get(
    State(deliveries): State<Deliveries>,
    PathId(id): PathId<DeliveryKind>,
    read: Read,
) -> Result<Json<DeliveryLifeView>, Problem> {
    found(deliveries.get(&read.handle, id).await?.map(DeliveryLifeView::from))
}

pub(super) async fn replay(
    State(deliveries): State<Deliveries>,
    PathId(id): PathId<DeliveryKind>,
    write: Write,
) -> Result<Answered, Problem> {
    let mut form = write.form_or_empty()?;
    let to = form.optional("to").unwrap_or_default();
    let to = form.finish(Some(to))?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |replayed: &Replayed| {
        let Replayed { delivery_id, event_id, replay_of } = *replayed;
        json(
            StatusCode::ACCEPTED,
            &ReplayedView { delivery_id, event_id, replay_of, request_id: &request_id },
        )
    });
    carried_out(async move { deliveries.replay(caller, id, to, once).await }).await
}

/// One page of the log, or of its dead letters.
pub(super) async fn list_of(
    deliveries: &Deliveries,
    read: &Read,
    dead_letters: bool,
) -> Result<Json<Items<DeliveryView>>, Problem> {
    let mut query = read.query();
    let filter = filter_of(&mut query);
    let name = if dead_letters { "dead-letters" } else { "deliveries" };
    let conditions = serde_json::to_string(&filter).expect("a filter is JSON");
    let list = format!("{} {name} {conditions}", read.handle);
    let page = deliveries.list(&read.handle, filter, dead_letters, query.page(&list)?).await?;
    Ok(items(page, &list, DeliveryView::from))
}

fn filter_of(query: &mut Query<'_>) -> DeliveryFilter {
    DeliveryFilter {
        subscription_id: query.optional("subscriptionId"),
        event_id: query.optional("eventId"),
        event_type: query.optional("eventType"),
        status: query.optional("status"),
        since: query.optional("since"),
        until: query.optional("until"),
    }
}

impl From<Shown> for DeliveryView {
    fn from(shown: Shown) -> DeliveryView {
        let delivery = shown.logged.delivery;
        let (finished_at, reason) = end_of(&delivery);
        let (last_status, last_error) = parts_of(delivery.last_outcome);
        DeliveryView {
            delivery_id: delivery.id,
            event_id: delivery.event_id,
            subscription_id: delivery.subscription_id,
            status: shown.status,
            origin: delivery.origin,
            attempts: delivery.attempts_made + delivery.interruptions,
            next_attempt_at: shown.next_attempt_at,
            created_at: delivery.id.made_at(),
            finished_at,
            last_status,
            last_error,
            reason,
            replay_of: delivery.replay_of,
            replay_id: delivery.replay_id,
            replayed_by: shown.logged.replayed_by,
            discarded_at: delivery.discarded_at,
            handle: delivery.handle,
            event_type: delivery.event_type,
        }
    }
}

/// When and why a delivery ended, if it did.
pub(in crate::api) fn end_of(delivery: &Delivery) -> (Option<Timestamp>, Option<DeathCause>) {
    match delivery.state {
        DeliveryState::Scheduled { .. } | DeliveryState::InFlight { .. } => (None, None),
        DeliveryState::Delivered { at } | DeliveryState::Cancelled { at } => (Some(at), None),
        DeliveryState::Dead { at, cause } => (Some(at), Some(cause)),
    }
}

/// The status or the failure that an outcome came to.
pub(in crate::api) fn parts_of(outcome: Option<Outcome>) -> (Option<u16>, Option<Failure>) {
    match outcome {
        None | Some(Outcome::Stored) => (None, None),
        Some(Outcome::Answered { status: code, .. } | Outcome::Replied { code, .. }) => (Some(code), None),
        Some(Outcome::Failed { failure }) => (None, Some(failure)),
    }
}

impl From<DeliveryLife> for DeliveryLifeView {
    fn from(life: DeliveryLife) -> DeliveryLifeView {
        // Of a subscription that is gone only the recorded class is left to explain.
        let retry_on =
            life.subscription.map(|subscription| subscription.retry_policy.retry_on()).unwrap_or_default();
        let attempt_log =
            life.attempts.into_iter().map(|attempt| AttemptView::of(attempt, retry_on)).collect();
        DeliveryLifeView { delivery: life.shown.into(), attempt_log }
    }
}

impl AttemptView {
    fn of(record: AttemptRecord, retry_on: RetryOn) -> AttemptView {
        let exchange = record.exchange;
        let (status, error) = parts_of(Some(exchange.outcome));
        AttemptView {
            number: record.number,
            started_at: record.started_at,
            duration_ms: millis(exchange.timing.total_us),
            timing: exchange.timing.into(),
            endpoint: exchange.endpoint,
            remote_address: exchange.remote_address,
            status,
            error,
            error_detail: exchange.detail,
            response_headers: exchange.response_headers,
            response_body: exchange.response_body,
            response_truncated: exchange.response_truncated,
            class: record.class,
            why: explain(&exchange.outcome, record.class, retry_on),
            advice: advice(&exchange.outcome),
            delay: record.delay,
        }
    }
}

impl From<Timing> for TimingView {
    fn from(timing: Timing) -> TimingView {
        TimingView {
            dns_ms: timing.dns_us.map(millis),
            connect_ms: timing.connect_us.map(millis),
            tls_ms: timing.tls_us.map(millis),
            first_byte_ms: timing.first_byte_us.map(millis),
        }
    }
}

pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
