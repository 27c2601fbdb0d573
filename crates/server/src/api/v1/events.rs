//! Publishing events (contract 2).

use angarium_domain::ids::EventId;
use angarium_engine::{Accepted, Intake};
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use super::envelope::answer;
use crate::api::answer::{Answered, carried_out};
use crate::api::request::Write;
use crate::api::v2::events::new_event;
use crate::limits::Limits;
use crate::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AcceptedView<'a> {
    event_id: EventId,
    deliveries: usize,
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
