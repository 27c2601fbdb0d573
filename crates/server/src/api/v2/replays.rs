//! Replays: delivering many past events again, at a bounded rate (contract 3.5).

pub(super) mod docs;

use angarium_domain::ids::{ReplayId, ReplayKind};
use angarium_domain::replay::{DeliveryFilter, JobStatus, ReplayJob, Target};
use angarium_domain::time::Timestamp;
use angarium_engine::{NewReplay, ReplayJobs};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, found, json};
use crate::api::form::Form;
use crate::api::request::{PathId, Read, Write};
use crate::openapi::words;
use crate::problem::Problem;

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
    #[schema(value_type = words::DeliveryFilter)]
    filter: DeliveryFilter,
    #[schema(value_type = words::ReplayTarget)]
    to: Target,
    #[schema(example = 50)]
    rate_per_second: u32,
    #[schema(example = 12)]
    matched: u64,
    #[schema(example = 11)]
    replayed: u64,
    skipped: u64,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<words::Time>)]
    finished_at: Option<Timestamp>,
}

pub(super) async fn create(State(replays): State<ReplayJobs>, write: Write) -> Result<Response, Problem> {
    let (new, dry_run) = new_replay(write.form()?)?;
    let request_id = write.request_id();
    if dry_run {
        let matched = replays.dry_run(&write.caller.handle, new.filter).await?;
        let view = CreatedView { replay_id: None, matched, dry_run, request_id: &request_id };
        return Ok((StatusCode::ACCEPTED, Json(view)).into_response());
    }
    let (caller, once) = write.into_parts(move |job: &ReplayJob| {
        let (replay_id, matched) = (Some(job.id), job.matched);
        json(StatusCode::ACCEPTED, &CreatedView { replay_id, matched, dry_run, request_id: &request_id })
    });
    carried_out(async move { replays.create(caller, new, once).await }).await.map(IntoResponse::into_response)
}

pub(super) async fn get(
    State(replays): State<ReplayJobs>,
    PathId(id): PathId<ReplayKind>,
    read: Read,
) -> Result<Json<ReplayView>, Problem> {
    found(replays.get(&read.handle, id).await?.map(ReplayView::from))
}

pub(super) async fn cancel(
    State(replays): State<ReplayJobs>,
    PathId(id): PathId<ReplayKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) =
        write.into_parts(|job: &ReplayJob| json(StatusCode::OK, &ReplayView::from(job.clone())));
    carried_out(async move { replays.cancel(caller, id, once).await }).await
}

fn new_replay(mut form: Form<'_>) -> Result<(NewReplay, bool), Problem> {
    // Named even when it is empty: a body that was forgotten must not replay everything.
    let filter = form.required("filter");
    let to = form.optional("to").unwrap_or_default();
    let rate = form.optional("ratePerSecond").unwrap_or(RATE_DEFAULT);
    let rate_per_second = form.within("ratePerSecond", RATE_PER_SECOND, Some(rate)).unwrap_or(RATE_DEFAULT);
    let dry_run = form.optional("dryRun").unwrap_or_default();
    form.finish(filter.map(|filter| (NewReplay { filter, to, rate_per_second }, dry_run)))
}

impl From<ReplayJob> for ReplayView {
    fn from(job: ReplayJob) -> ReplayView {
        ReplayView {
            replay_id: job.id,
            status: job.status,
            filter: job.filter,
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
