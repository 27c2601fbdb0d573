//! Dead letters: deliveries that we gave up on, over all webhooks.

use angarium_domain::ids::{DeliveryId, DeliveryKind, EventId};
use angarium_domain::replay::{DeliveryFilter, Target};
use angarium_engine::{Deliveries, Replayed};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use super::deliveries::DeliveryView;
use super::envelope::{Success, answer, success};
use crate::api::answer::{Answered, carried_out, next_cursor};
use crate::api::request::{PathId, Read, Write};
use crate::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLettersView {
    dead_letters: Vec<DeliveryView>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplayedView<'a> {
    delivery_id: DeliveryId,
    event_id: EventId,
    replay_of: DeliveryId,
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
