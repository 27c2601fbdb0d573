//! Dead letters: deliveries that we gave up on, over all webhooks.

pub(super) mod docs;

use angarium_domain::ids::{DeliveryId, DeliveryKind, EventId};
use angarium_domain::replay::{DeliveryFilter, Target};
use angarium_engine::{Deliveries, Replayed};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::deliveries::DeliveryView;
use super::envelope::{Success, answer, success};
use crate::api::answer::{Answered, carried_out, next_cursor};
use crate::api::request::{PathId, Read, Write};
use crate::openapi::words;
use crate::problem::Problem;

/// A page of dead letters, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetters)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLettersView {
    dead_letters: Vec<DeliveryView>,
    /// Where the next page begins; null at the end.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// A new delivery on its way.
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
) -> Result<Json<Success<DeadLettersView>>, Problem> {
    let list = format!("{} v1 dead letters", read.handle);
    let page = read.query().page(&list)?;
    let page = deliveries.list(&read.handle, DeliveryFilter::default(), true, page).await?;
    let next_cursor = next_cursor(&page, &list);
    let dead_letters = page.items.into_iter().map(DeliveryView::from).collect();
    Ok(success(DeadLettersView { dead_letters, next_cursor }))
}

pub(super) async fn replay(
    State(deliveries): State<Deliveries>,
    PathId(id): PathId<DeliveryKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |replayed: &Replayed| {
        let Replayed { delivery_id, event_id, replay_of } = *replayed;
        let view = ReplayedView { delivery_id, event_id, replay_of, request_id: &request_id };
        answer(StatusCode::ACCEPTED, view)
    });
    carried_out(async move { deliveries.replay(caller, id, Target::Current, once).await }).await
}
