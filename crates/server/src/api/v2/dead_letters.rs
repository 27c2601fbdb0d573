//! Dead letters: deliveries that we gave up on, until somebody replays or discards them (contract 3.5).

pub(super) mod docs;

use angarium_domain::delivery::Status;
use angarium_domain::ids::DeliveryKind;
use angarium_engine::{Deliveries, DeliveryLife};
use axum::Json;
use axum::extract::State;

use crate::api::answer::{Answered, Items, carried_out, found, nothing};
use crate::api::request::{PathId, Read, Write};
use crate::api::v2::deliveries::{DeliveryLifeView, DeliveryView, list_of};
use crate::problem::Problem;

pub(super) async fn list(
    State(deliveries): State<Deliveries>,
    read: Read,
) -> Result<Json<Items<DeliveryView>>, Problem> {
    list_of(&deliveries, &read, true).await
}

pub(super) async fn get(
    State(deliveries): State<Deliveries>,
    PathId(id): PathId<DeliveryKind>,
    read: Read,
) -> Result<Json<DeliveryLifeView>, Problem> {
    let life = deliveries.get(&read.handle, id).await?;
    found(life.filter(is_dead_letter).map(DeliveryLifeView::from))
}

pub(super) async fn discard(
    State(deliveries): State<Deliveries>,
    PathId(id): PathId<DeliveryKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|()| nothing());
    carried_out(async move { deliveries.discard(caller, id, once).await }).await
}

/// Whether the list would show it.
fn is_dead_letter(life: &DeliveryLife) -> bool {
    let logged = &life.shown.logged;
    life.shown.status == Status::Dead
        && logged.replayed_by.is_none()
        && logged.delivery.discarded_at.is_none()
}
