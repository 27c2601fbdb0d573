//! Filters: trying one before a webhook has it.

pub(super) mod docs;

use angarium_domain::filter::Filter;
use angarium_domain::payload::Payload;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::form::Form;
use crate::api::request::Write;
use crate::api::v2::events::payload_problem;
use crate::api::v2::webhook_form::filter_of;
use crate::limits::Limits;
use crate::problem::Problem;

/// Whether a filter wants a payload.
#[derive(Serialize, ToSchema)]
#[schema(as = FilterChecked)]
pub(super) struct CheckedView {
    matches: bool,
}

/// Changes nothing: it is a POST because a payload does not fit into an address.
pub(super) async fn check(State(limits): State<Limits>, write: Write) -> Result<Json<CheckedView>, Problem> {
    let (filter, payload) = trial(write.form()?, &limits)?;
    Ok(Json(CheckedView { matches: filter.matches(&payload.to_value()) }))
}

fn trial(mut form: Form<'_>, limits: &Limits) -> Result<(Filter, Payload), Problem> {
    let filter = form.raw("filter").or_else(|| form.missing("filter"));
    let filter = filter.and_then(|written| filter_of(&mut form, written));
    let payload = form.raw("payload").or_else(|| form.missing("payload"));
    let (filter, payload) = form.finish(filter.zip(payload))?;
    let payload =
        Payload::from_json(payload, limits.payload_bytes_max).map_err(|error| payload_problem(&error))?;
    Ok((filter, payload))
}
