//! Handles: made, changed, suspended and removed by platform admins.

pub(super) mod docs;

use angarium_domain::account::{Account, Presence, REASON_CHARS_MAX, Suspension, Zone};
use angarium_domain::handle::Handle;
use angarium_domain::quota::Plan;
use angarium_domain::time::Timestamp;
use angarium_engine::{HandleLife, HandlePatch, Handles, NewHandle};
use angarium_store::accounts::Known;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, items_by_name, json};
use crate::api::form::Form;
use crate::api::query::cursor_after;
use crate::api::request::{AdminRead, AdminWrite, PathHandle};
use crate::openapi::words;
use crate::problem::Problem;

/// What a suspended handle's people are told when nobody gave a reason.
const NO_REASON: &str = "suspended by the operator";

#[derive(Serialize, ToSchema)]
#[schema(as = HandleAccount)]
#[serde(rename_all = "camelCase")]
pub(super) struct HandleView {
    #[schema(value_type = words::Handle)]
    handle: Handle,
    status: Status,
    #[schema(value_type = words::Plan)]
    plan: Plan,
    #[schema(value_type = words::TimeZone)]
    time_zone: Zone,
    declared: bool,
    #[schema(value_type = Option<words::Time>)]
    created_at: Option<Timestamp>,
    suspension: Option<SuspensionView>,
    version: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HandleLife)]
#[serde(rename_all = "camelCase")]
pub(super) struct LifeView {
    #[serde(flatten)]
    handle: HandleView,
    counts: Counts,
    limits: LimitsView,
    usage: Usage,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HandleStatus)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Suspended,
    Deleting,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Suspension)]
struct SuspensionView {
    reason: String,
    #[schema(value_type = words::Time)]
    since: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HandleCounts)]
#[serde(rename_all = "camelCase")]
struct Counts {
    webhooks: usize,
    tokens: usize,
    api_keys: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HandleLimits)]
#[serde(rename_all = "camelCase")]
struct LimitsView {
    writes_per_day: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HandleUsage)]
#[serde(rename_all = "camelCase")]
struct Usage {
    writes_today: u32,
    #[schema(value_type = words::Day)]
    writes_day: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HandleLeaving)]
#[serde(rename_all = "camelCase")]
pub(super) struct LeavingView {
    #[serde(flatten)]
    handle: HandleView,
    #[schema(value_type = words::RequestId)]
    request_id: String,
}

pub(super) async fn create(State(handles): State<Handles>, write: AdminWrite) -> Result<Answered, Problem> {
    let (handle, new) = new_handle(write.form()?)?;
    let (caller, once) =
        write.into_parts(handle, |made: &Known| json(StatusCode::CREATED, &HandleView::of(made)));
    carried_out(async move { handles.create(caller, new, once).await }).await
}

pub(super) async fn list(
    State(handles): State<Handles>,
    read: AdminRead,
) -> Result<Json<Items<HandleView>>, Problem> {
    let (after, limit) = read.query().page_of_handles()?;
    // One more than asked for, to know whether there are more.
    let mut known = handles.list(after, limit + 1).await?;
    let more = known.len() > limit as usize;
    known.truncate(limit as usize);
    let next = known.last().filter(|_| more).map(|last| cursor_after(&last.handle));
    Ok(items_by_name(known.iter().map(HandleView::of).collect(), next))
}

pub(super) async fn get(
    State(handles): State<Handles>,
    PathHandle(handle): PathHandle,
) -> Result<Json<LifeView>, Problem> {
    let life = handles.get(&handle).await?.ok_or_else(Problem::no_such_handle)?;
    Ok(Json(LifeView::of(&life)))
}

pub(super) async fn patch(
    State(handles): State<Handles>,
    PathHandle(handle): PathHandle,
    write: AdminWrite,
) -> Result<Answered, Problem> {
    let patch = handle_patch(write.form()?)?;
    let (caller, once) = write.into_parts(handle, |made: &Known| json(StatusCode::OK, &HandleView::of(made)));
    carried_out(async move { handles.patch(caller, patch, once).await }).await
}

pub(super) async fn delete(
    State(handles): State<Handles>,
    PathHandle(handle): PathHandle,
    write: AdminWrite,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(handle, move |left: &Known| {
        let leaving = LeavingView { handle: HandleView::of(left), request_id: request_id.clone() };
        json(StatusCode::ACCEPTED, &leaving)
    });
    carried_out(async move { handles.delete(caller, once).await }).await
}

fn new_handle(mut form: Form<'_>) -> Result<(Handle, NewHandle), Problem> {
    let handle = form.parsed("handle");
    if handle.is_none() && !form.is_at_fault("handle") {
        form.missing::<()>("handle");
    }
    let plan = form.optional("plan").unwrap_or_default();
    let time_zone = form.parsed("timeZone").unwrap_or_default();
    form.finish(handle.map(|handle| (handle, NewHandle { plan, time_zone })))
}

fn handle_patch(mut form: Form<'_>) -> Result<HandlePatch, Problem> {
    let plan = form.optional("plan");
    let time_zone = form.parsed("timeZone");
    let suspended: Option<bool> = form.optional("suspended");
    let reason: Option<String> = form.optional("reason");
    if let Some(reason) = &reason {
        let chars = reason.chars().count();
        if chars == 0 || chars > REASON_CHARS_MAX {
            form.fault(
                "reason",
                format!("reason is {chars} characters, the limits are 1 and {REASON_CHARS_MAX}"),
            );
        }
        if suspended != Some(true) {
            form.fault("reason", "reason belongs to suspended: true");
        }
    }
    let suspension =
        suspended.map(|suspended| suspended.then(|| reason.unwrap_or_else(|| NO_REASON.to_owned())));
    form.finish(Some(HandlePatch { plan, time_zone, suspension }))
}

impl HandleView {
    fn of(known: &Known) -> HandleView {
        let Known { handle, version, account } = known;
        let created_at = match account.presence {
            Presence::Declared { at } => Some(at),
            Presence::Undeclared | Presence::Leaving { .. } | Presence::Gone { .. } => None,
        };
        HandleView {
            handle: handle.clone(),
            status: Status::of(account),
            plan: account.plan,
            time_zone: account.time_zone.clone(),
            declared: created_at.is_some(),
            created_at,
            suspension: account.suspension.as_ref().map(SuspensionView::of),
            version: *version,
        }
    }
}

impl LifeView {
    fn of(life: &HandleLife) -> LifeView {
        LifeView {
            counts: Counts { webhooks: life.subscriptions, tokens: life.tokens, api_keys: life.api_keys },
            limits: LimitsView { writes_per_day: life.known.account.plan.writes_per_day() },
            usage: Usage { writes_today: life.writes_today, writes_day: life.day.to_string() },
            handle: HandleView::of(&life.known),
        }
    }
}

impl Status {
    fn of(account: &Account) -> Status {
        match account {
            account if account.is_removed() => Status::Deleting,
            Account { suspension: Some(_), .. } => Status::Suspended,
            Account { .. } => Status::Active,
        }
    }
}

impl SuspensionView {
    fn of(suspension: &Suspension) -> SuspensionView {
        SuspensionView { reason: suspension.reason.clone(), since: suspension.at }
    }
}
