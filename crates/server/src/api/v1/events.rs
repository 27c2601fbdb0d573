//! Publishing events (contract 2).

pub(super) mod docs;

use angarium_domain::ids::EventId;
use angarium_engine::{Accepted, Intake};
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::answer;
use crate::api::answer::{Answered, carried_out};
use crate::api::request::Write;
use crate::api::v2::events::new_event;
use crate::limits::Limits;
use crate::openapi::words;
use crate::problem::Problem;

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

pub(super) async fn publish(
    State(intake): State<Intake>,
    State(limits): State<Limits>,
    write: Write,
) -> Result<Answered, Problem> {
    let event = new_event(write.form()?, &limits)?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |accepted: &Accepted| {
        let Accepted { event_id, deliveries } = *accepted;
        answer(StatusCode::ACCEPTED, AcceptedView { event_id, deliveries, request_id: &request_id })
    });
    carried_out(async move { intake.publish(caller, event, once).await }).await
}
