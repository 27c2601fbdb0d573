//! Replays: delivering many past events again, at a bounded rate (contract 3.5).

pub(super) mod docs;

use angarium_domain::delivery::Status;
use angarium_domain::event_type::EventType;
use angarium_domain::ids::{EventId, ReplayId, ReplayKind, SubscriptionId};
use angarium_domain::replay::{DeliveryFilter, Finished, JobStatus, ReplayJob, Target};
use angarium_domain::time::Timestamp;
use angarium_engine::{NewReplay, ReplayJobs};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, found, items, json};
use crate::api::form::Form;
use crate::api::request::{PathId, Read, Write};
use crate::openapi::words;
use crate::problem::Problem;
use crate::state::Sources;

/// The rates that a caller may name, in deliveries a second.
const RATE_PER_SECOND: std::ops::RangeInclusive<u32> = 1..=1_000;
/// The rate when the caller names none: gentle to a receiver that has just recovered.
const RATE_DEFAULT: u32 = 50;

/// A replay that has begun, or the count of what it would deliver.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayStarted)]
#[serde(rename_all = "camelCase")]
struct CreatedView<'a> {
    /// None if it was only counted.
    #[schema(value_type = Option<words::ReplayId>)]
    replay_id: Option<ReplayId>,
    #[schema(example = 12)]
    matched: u64,
    dry_run: bool,
    #[schema(value_type = words::RequestId)]
    request_id: &'a str,
}

/// A replay of many deliveries, and how far it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Replay)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplayView {
    #[schema(value_type = words::ReplayId)]
    replay_id: ReplayId,
    #[schema(value_type = words::ReplayStatus)]
    status: JobStatus,
    filter: FilterView,
    missing: bool,
    #[schema(value_type = words::ReplayTarget)]
    to: Target,
    #[schema(example = 50)]
    rate_per_second: u32,
    #[schema(example = 12)]
    matched: u64,
    #[schema(example = 11)]
    replayed: u64,
    skipped: u64,
    /// What is still to be looked at, while it runs.
    #[schema(example = 0)]
    remaining: u64,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    /// When the rest is made at this rate, while it runs.
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    expected_end_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>)]
    finished_at: Option<Timestamp>,
}

/// The filter as it is used, with what was not said.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayedFilter)]
#[serde(rename_all = "camelCase")]
struct FilterView {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<words::DeliveryStatus>, required = false)]
    status: Vec<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::SubscriptionId, required = false)]
    subscription_id: Option<SubscriptionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::EventId, required = false)]
    event_id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::EventType, required = false)]
    event_type: Option<EventType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Time, required = false)]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Time, required = false)]
    until: Option<Timestamp>,
}

pub(super) async fn create(State(replays): State<ReplayJobs>, write: Write) -> Result<Response, Problem> {
    let (new, dry_run) = new_replay(write.form()?)?;
    let request_id = write.request_id();
    if dry_run {
        let matched = replays.dry_run(&write.caller.handle, new).await?;
        let view = CreatedView { replay_id: None, matched, dry_run, request_id: &request_id };
        return Ok((StatusCode::ACCEPTED, Json(view)).into_response());
    }
    let (caller, once) = write.into_parts(move |job: &ReplayJob| {
        let (replay_id, matched) = (Some(job.id), job.matched);
        json(StatusCode::ACCEPTED, &CreatedView { replay_id, matched, dry_run, request_id: &request_id })
    });
    carried_out(async move { replays.create(caller, new, once).await }).await.map(IntoResponse::into_response)
}

pub(super) async fn list(
    State(replays): State<ReplayJobs>,
    State(sources): State<Sources>,
    read: Read,
) -> Result<Json<Items<ReplayView>>, Problem> {
    let list = format!("{} replays", read.handle);
    let page = replays.list(&read.handle, read.query().page(&list)?).await?;
    let now = sources.clock.now();
    Ok(items(page, &list, |job| ReplayView::at(now, job)))
}

pub(super) async fn get(
    State(replays): State<ReplayJobs>,
    State(sources): State<Sources>,
    PathId(id): PathId<ReplayKind>,
    read: Read,
) -> Result<Json<ReplayView>, Problem> {
    let job = replays.get(&read.handle, id).await?;
    found(job.map(|job| ReplayView::at(sources.clock.now(), job)))
}

pub(super) async fn cancel(
    State(replays): State<ReplayJobs>,
    State(sources): State<Sources>,
    PathId(id): PathId<ReplayKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let now = sources.clock.now();
    let (caller, once) =
        write.into_parts(move |job: &ReplayJob| json(StatusCode::OK, &ReplayView::at(now, job.clone())));
    carried_out(async move { replays.cancel(caller, id, once).await }).await
}

fn new_replay(mut form: Form<'_>) -> Result<(NewReplay, bool), Problem> {
    // Named even when it is empty: a body that was forgotten must not replay everything.
    let missing = form.optional("missing").unwrap_or_default();
    let filter = if missing { missed(&mut form) } else { filter(&mut form) };
    let to = form.optional("to").unwrap_or_default();
    if missing && to == Target::Original {
        form.fault("to", "what was missed has no original: to is current, or left out");
    }
    let rate = form.optional("ratePerSecond").unwrap_or(RATE_DEFAULT);
    let rate_per_second = form.within("ratePerSecond", RATE_PER_SECOND, Some(rate)).unwrap_or(RATE_DEFAULT);
    let dry_run = form.optional("dryRun").unwrap_or_default();
    form.finish(filter.map(|filter| (NewReplay { filter, missing, to, rate_per_second }, dry_run)))
}

fn filter(form: &mut Form<'_>) -> Option<DeliveryFilter> {
    let mut fields = form.object("filter")?;
    let finished = finished(&mut fields);
    let filter = DeliveryFilter {
        subscription_id: fields.optional("subscriptionId"),
        event_id: fields.optional("eventId"),
        event_type: fields.optional("eventType"),
        status: finished.condition(),
        since: fields.optional("since"),
        until: fields.optional("until"),
    };
    form.close("filter", fields);
    Some(filter)
}

/// What one subscription missed: it and the time must be named, and there is no delivery yet that
/// could have a state.
fn missed(form: &mut Form<'_>) -> Option<DeliveryFilter> {
    let mut fields = form.object("filter")?;
    let filter = DeliveryFilter {
        subscription_id: fields.required("subscriptionId"),
        event_type: fields.optional("eventType"),
        since: fields.required("since"),
        until: fields.optional("until"),
        ..DeliveryFilter::default()
    };
    form.close("filter", fields);
    Some(filter)
}

/// One word or a list of them; the dead letters if there is none.
fn finished(fields: &mut Form<'_>) -> Finished {
    let Some(value) = fields.raw("status") else { return Finished::default() };
    let statuses = if value.get().starts_with('[') {
        fields.read::<Vec<Status>>("status", value)
    } else {
        fields.read::<Status>("status", value).map(|status| vec![status])
    };
    let finished = statuses.map(|statuses| Finished::of(&statuses)).transpose();
    finished
        .unwrap_or_else(|error| {
            fields.fault("status", error.to_string());
            None
        })
        .unwrap_or_default()
}

impl FilterView {
    fn of(filter: DeliveryFilter, missing: bool) -> FilterView {
        let DeliveryFilter { subscription_id, event_id, event_type, status, since, until } = filter;
        let status = if missing { Vec::new() } else { Finished::words(status) };
        FilterView { status, subscription_id, event_id, event_type, since, until }
    }
}

impl ReplayView {
    fn at(now: Timestamp, job: ReplayJob) -> ReplayView {
        ReplayView {
            replay_id: job.id,
            status: job.status,
            remaining: job.remaining(),
            expected_end_at: job.expected_end(now),
            filter: FilterView::of(job.filter, job.missing),
            missing: job.missing,
            to: job.to,
            rate_per_second: job.rate_per_second,
            matched: job.matched,
            replayed: job.replayed,
            skipped: job.skipped,
            created_at: job.created_at,
            finished_at: job.finished_at,
        }
    }
}
