//! The delivery log of one webhook.

pub(super) mod docs;

use angarium_domain::delivery::{DeathCause, Status};
use angarium_domain::event::Origin;
use angarium_domain::event_type::EventType;
use angarium_domain::ids::{DeliveryId, EventId};
use angarium_domain::outcome::Failure;
use angarium_domain::replay::DeliveryFilter;
use angarium_engine::{Deliveries, Shown, Subscriptions};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Millis, Success, success};
use super::ids::{WebhookId, WebhookKind};
use crate::api::answer::next_cursor;
use crate::api::request::{PathId, Read};
use crate::api::v2::deliveries::{end_of, parts_of};
use crate::openapi::words;
use crate::problem::Problem;

/// One event on its way to one webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryView {
    #[schema(value_type = words::DeliveryId)]
    id: DeliveryId,
    #[schema(value_type = words::WebhookId)]
    webhook_id: WebhookId,
    #[schema(value_type = words::EventId)]
    event_id: EventId,
    #[schema(value_type = words::EventType)]
    event: EventType,
    #[schema(value_type = words::DeliveryStatus)]
    status: Status,
    #[schema(value_type = words::Origin)]
    origin: Origin,
    /// How many were made, those included that a restart of ours cut short.
    attempts: u32,
    #[schema(value_type = Option<words::TimeInMillis>, example = json!(null))]
    next_attempt_at: Option<Millis>,
    #[schema(value_type = words::TimeInMillis)]
    created_at: Millis,
    #[schema(value_type = Option<words::TimeInMillis>)]
    finished_at: Option<Millis>,
    #[schema(example = 200)]
    last_status: Option<u16>,
    #[schema(value_type = Option<words::Failure>, example = json!(null))]
    last_error: Option<Failure>,
    #[schema(value_type = Option<words::DeathCause>, example = json!(null))]
    reason: Option<DeathCause>,
    #[schema(value_type = Option<words::DeliveryId>, example = json!(null))]
    replay_of: Option<DeliveryId>,
    #[schema(value_type = Option<words::DeliveryId>, example = json!(null))]
    replayed_by: Option<DeliveryId>,
}

/// A page of deliveries, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Deliveries)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveriesView {
    deliveries: Vec<DeliveryView>,
    /// Where the next page begins; null at the end.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(subscriptions): State<Subscriptions>,
    State(deliveries): State<Deliveries>,
    PathId(id): PathId<WebhookKind>,
    read: Read,
) -> Result<Json<Success<DeliveriesView>>, Problem> {
    let webhook = subscriptions.get(&read.handle, id.of_kind()).await?.ok_or_else(Problem::not_found)?;
    let mut query = read.query();
    let filter = DeliveryFilter {
        subscription_id: Some(webhook.subscription.id),
        status: query.optional("status"),
        ..DeliveryFilter::default()
    };
    let list = format!("{} v1 deliveries {id} {:?}", read.handle, filter.status);
    let page = deliveries.list(&read.handle, filter, false, query.page(&list)?).await?;
    let next_cursor = next_cursor(&page, &list);
    let deliveries = page.items.into_iter().map(DeliveryView::from).collect();
    Ok(success(DeliveriesView { deliveries, next_cursor }))
}

impl From<Shown> for DeliveryView {
    fn from(shown: Shown) -> DeliveryView {
        let delivery = shown.logged.delivery;
        let (finished_at, reason) = end_of(&delivery);
        let (last_status, last_error) = parts_of(delivery.last_outcome);
        DeliveryView {
            id: delivery.id,
            webhook_id: delivery.subscription_id.of_kind(),
            event_id: delivery.event_id,
            status: shown.status,
            origin: delivery.origin,
            attempts: delivery.attempts_made + delivery.interruptions,
            next_attempt_at: shown.next_attempt_at.map(Millis),
            created_at: Millis(delivery.id.made_at()),
            finished_at: finished_at.map(Millis),
            last_status,
            last_error,
            reason,
            replay_of: delivery.replay_of,
            replayed_by: shown.logged.replayed_by,
            event: delivery.event_type,
        }
    }
}
