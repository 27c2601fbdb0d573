//! Webhooks, as this API shows subscriptions (contract 4).

pub(super) mod docs;

use angarium_domain::event_type::EventPattern;
use angarium_domain::ids::{DeliveryId, EventId};
use angarium_domain::subscription::{SUBSCRIPTIONS_PER_HANDLE_MAX, Subscription};
use angarium_domain::time::Timestamp;
use angarium_engine::{Answer, Described, SubscriptionError, Subscriptions, Tested, WithSecret};
use angarium_store::page::LIMIT_DEFAULT;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Millis, Success, answer, success};
use super::ids::{WebhookId, WebhookKind};
use super::webhook_form::{new_subscription, patch_of};
use crate::api::answer::{Answered, carried_out, next_cursor};
use crate::api::request::{PathId, Read, Write};
use crate::api::v2::webhooks::overlap;
use crate::openapi::words;
use crate::problem::Problem;

// Whoever asks without a word about pages, as this API's callers always have, gets all there are.
const _: () = assert!(SUBSCRIPTIONS_PER_HANDLE_MAX <= LIMIT_DEFAULT as usize);

/// Where one subscriber receives, and which events it wants.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookView {
    #[schema(value_type = words::WebhookId)]
    id: WebhookId,
    /// The owner's word for it; the host of its address where it has none.
    #[schema(example = "The warehouse")]
    name: String,
    #[schema(example = "https://hooks.example.com/orders")]
    url: String,
    #[schema(value_type = Vec<words::EventPattern>)]
    events: Vec<EventPattern>,
    /// Whether deliveries are attempted; otherwise they are held.
    #[schema(example = true)]
    active: bool,
    #[schema(value_type = words::TimeInMillis)]
    created_at: Millis,
    #[schema(value_type = Option<words::TimeInMillis>)]
    last_triggered_at: Option<Millis>,
    /// In the answers to creation and rotation, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: Option<String>,
}

/// A page of webhooks, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhooks)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhooksView {
    webhooks: Vec<WebhookView>,
    /// Where the next page begins; null at the end.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// A test on its way. It proves that the webhook exists and the dispatch was accepted, nothing more.
#[derive(Serialize, ToSchema)]
#[schema(as = Tested)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
struct TestedView<'a> {
    #[schema(value_type = words::EventId)]
    event_id: EventId,
    #[schema(value_type = words::DeliveryId)]
    delivery_id: DeliveryId,
    #[schema(value_type = words::RequestId)]
    request_id: &'a str,
}

/// That it was deleted.
#[derive(Serialize, ToSchema)]
#[schema(as = Deleted)]
struct DeletedView {
    #[schema(example = true)]
    deleted: bool,
}

/// A refusal of the engine's, told in the words of this API.
struct Refusal(SubscriptionError);

pub(super) async fn list(
    State(subscriptions): State<Subscriptions>,
    read: Read,
) -> Result<Json<Success<WebhooksView>>, Problem> {
    let list = format!("{} v1 webhooks", read.handle);
    let page = subscriptions.list(&read.handle, read.query().page(&list)?).await?;
    let next_cursor = next_cursor(&page, &list);
    Ok(success(WebhooksView { webhooks: page.items.iter().map(WebhookView::of).collect(), next_cursor }))
}

pub(super) async fn create(
    State(subscriptions): State<Subscriptions>,
    write: Write,
) -> Result<Answered, Problem> {
    let new = new_subscription(write.form()?)?;
    let (caller, once) = write.into_parts(|made| with_secret(StatusCode::CREATED, made));
    carried_out(async move { subscriptions.create(caller, new, once).await.map_err(Refusal) }).await
}

pub(super) async fn get(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<WebhookKind>,
    read: Read,
) -> Result<Json<Success<WebhookView>>, Problem> {
    let described = subscriptions.get(&read.handle, id.of_kind()).await?;
    described.as_ref().map(|described| success(WebhookView::of(described))).ok_or_else(Problem::not_found)
}

pub(super) async fn patch(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<WebhookKind>,
    write: Write,
) -> Result<Answered, Problem> {
    let patch = patch_of(write.form()?)?;
    let (caller, once) =
        write.into_parts(|described: &Described| answer(StatusCode::OK, WebhookView::of(described)));
    carried_out(async move { subscriptions.patch(caller, id.of_kind(), patch, once).await.map_err(Refusal) })
        .await
}

pub(super) async fn delete(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<WebhookKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|()| answer(StatusCode::OK, DeletedView { deleted: true }));
    carried_out(async move { subscriptions.delete(caller, id.of_kind(), once).await }).await
}

pub(super) async fn test(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<WebhookKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |tested: &Tested| {
        let Tested { event_id, delivery_id } = *tested;
        answer(StatusCode::ACCEPTED, TestedView { event_id, delivery_id, request_id: &request_id })
    });
    carried_out(async move { subscriptions.test(caller, id.of_kind(), once).await }).await
}

pub(super) async fn rotate(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<WebhookKind>,
    write: Write,
) -> Result<Answered, Problem> {
    let overlap = overlap(write.form_or_empty()?)?;
    let (caller, once) = write.into_parts(|made| with_secret(StatusCode::OK, made));
    carried_out(async move { subscriptions.rotate(caller, id.of_kind(), overlap, once).await }).await
}

fn with_secret(status: StatusCode, made: &WithSecret) -> Answer {
    let view = WebhookView::new(&made.subscription, made.last_triggered_at);
    answer(status, WebhookView { secret: Some(made.secret.clone()), ..view })
}

impl WebhookView {
    fn of(described: &Described) -> WebhookView {
        WebhookView::new(&described.subscription, described.last_triggered_at)
    }

    fn new(subscription: &Subscription, last_triggered_at: Option<Timestamp>) -> WebhookView {
        let host = || subscription.endpoint_url.host().to_owned();
        WebhookView {
            id: subscription.id.of_kind(),
            name: subscription.description.clone().unwrap_or_else(host),
            url: subscription.endpoint_url.as_str().to_owned(),
            events: subscription.event_types.clone(),
            active: !subscription.holds(),
            created_at: Millis(subscription.created_at),
            last_triggered_at: last_triggered_at.map(Millis),
            secret: None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(Refusal(error): Refusal) -> Problem {
        match error {
            SubscriptionError::RefusedAddress(refused) => Problem::invalid_field("url", refused.reason),
            other => other.into(),
        }
    }
}
