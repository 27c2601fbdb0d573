//! Reports: what users, operators and strangers tell whoever runs the service.

pub(super) mod docs;

use std::net::IpAddr;

use angarium_domain::handle::Handle;
use angarium_domain::ids::{ReportId, ReportKind};
use angarium_domain::report::{
    ARTIFACT_CHARS_MAX, About, Closing, DETAILS_CHARS_MAX, Evidence, Kind, NOTE_CHARS_MAX, Report, Reporter,
    STRANGERS_ARTIFACT_CHARS_MAX, STRANGERS_DETAILS_CHARS_MAX, SUMMARY_CHARS_MAX, Status, WORD_CHARS_MAX,
    is_plain,
};
use angarium_domain::time::Timestamp;
use angarium_engine::{NewReport, Once, RepeatKey, ReportPatch, Support};
use angarium_store::reports::ReportFilter;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, Request, State};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, found, items, json, nothing};
use crate::api::dialect::Dialect;
use crate::api::form::Form;
use crate::api::request::{AdminRead, AdminWrite, PathId};
use crate::auth::{CallerAddress, Reporting};
use crate::idempotency::repeat_key;
use crate::limits::Limits;
use crate::openapi::words;
use crate::peer::{Peer, network_of};
use crate::problem::Problem;
use crate::request_id::RequestId;

/// What the fields of a form are that is about something of the service.
type Fields = (Option<String>, Option<String>, About);

/// That a report was taken.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportTaken)]
#[serde(rename_all = "camelCase")]
pub(super) struct TakenView {
    #[schema(value_type = words::ReportId)]
    report_id: ReportId,
}

/// A report.
#[derive(Serialize, ToSchema)]
#[schema(as = Report)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportView {
    #[schema(value_type = words::ReportId)]
    report_id: ReportId,
    #[schema(value_type = words::ReportKind)]
    kind: Kind,
    /// Whose it is, where its reporter showed a credential for the handle.
    #[schema(value_type = Option<words::Handle>)]
    handle: Option<Handle>,
    /// A token's id or a JWT's subject; null for somebody without a credential.
    #[schema(example = "jwt:alice")]
    actor: Option<String>,
    #[schema(value_type = Option<String>, example = "192.0.2.1")]
    ip: Option<IpAddr>,
    #[schema(value_type = words::RequestId)]
    request_id: String,
    summary: String,
    details: String,
    #[schema(value_type = words::ReportAbout)]
    about: About,
    /// What the log says about the webhook and the event that were named, where they were looked up.
    #[schema(value_type = Option<words::ReportEvidence>)]
    evidence: Option<Evidence>,
    #[schema(value_type = words::ReportStatus)]
    status: Status,
    /// Who closed it, when, and what came of it; null while it is open.
    #[schema(value_type = Option<words::ReportClosing>)]
    closing: Option<Closing>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
}

/// How much somebody may say, in characters.
#[derive(Clone, Copy)]
struct Sizes {
    details: usize,
    artifact: usize,
}

impl Sizes {
    const OF_KNOWN: Sizes = Sizes { details: DETAILS_CHARS_MAX, artifact: ARTIFACT_CHARS_MAX };
    const OF_STRANGERS: Sizes =
        Sizes { details: STRANGERS_DETAILS_CHARS_MAX, artifact: STRANGERS_ARTIFACT_CHARS_MAX };
}

/// A report as it is sent by anybody.
pub(super) struct Sent {
    reporting: Reporting,
    ip: Option<IpAddr>,
    request_id: String,
    body: Bytes,
    key: Option<RepeatKey>,
}

pub(super) async fn support(State(support): State<Support>, sent: Sent) -> Result<Answered, Problem> {
    let (summary, details, about, seen_in) = sent.judged(Form::parse(&sent.body)?)?;
    let (reporter, once) = sent.into_parts();
    let new = NewReport { kind: Kind::Support, reporter, seen_in, summary, details, about };
    carried_out(async move { support.report(new, once).await }).await
}

pub(super) async fn content(State(support): State<Support>, sent: Sent) -> Result<Answered, Problem> {
    let mut form = Form::parse(&sent.body)?;
    let sizes = Sizes::OF_STRANGERS;
    let (summary, details) = (line(&mut form, "summary"), text(&mut form, "details", sizes.details));
    let about = About {
        handle: word(&mut form, "handle"),
        url: short(&mut form, "url", sizes.artifact),
        contact: word(&mut form, "contact"),
        ..About::default()
    };
    let (summary, details) = form.finish(summary.zip(details))?;
    let (reporter, once) = sent.into_parts();
    let new = NewReport { kind: Kind::Content, reporter, seen_in: None, summary, details, about };
    carried_out(async move { support.report(new, once).await }).await
}

pub(super) async fn escalate(State(support): State<Support>, write: AdminWrite) -> Result<Answered, Problem> {
    let mut form = write.form()?;
    let (summary, details, about) = fields(&mut form, Sizes::OF_KNOWN);
    let about = About { report_id: form.parsed("reportId"), ..about };
    let seen_in: Option<Handle> = about.handle.as_ref().and_then(|text| handle_in(&mut form, text));
    let (summary, details) = form.finish(summary.zip(details))?;
    let (reporter, once) = write.into_report(taken);
    let new = NewReport { kind: Kind::Escalation, reporter, seen_in, summary, details, about };
    carried_out(async move { support.report(new, once).await }).await
}

pub(super) async fn list(
    State(support): State<Support>,
    read: AdminRead,
) -> Result<Json<Items<ReportView>>, Problem> {
    let mut query = read.query();
    let filter = ReportFilter { kind: query.optional("kind"), status: query.optional("status") };
    let list = format!("reports {filter:?}");
    let page = support.list(filter, query.page(&list)?).await?;
    Ok(items(page, &list, ReportView::of))
}

pub(super) async fn get(
    State(support): State<Support>,
    PathId(id): PathId<ReportKind>,
) -> Result<Json<ReportView>, Problem> {
    found(support.get(id).await?.map(ReportView::of))
}

pub(super) async fn patch(
    State(support): State<Support>,
    PathId(id): PathId<ReportKind>,
    write: AdminWrite,
) -> Result<Answered, Problem> {
    let mut form = write.form()?;
    let (status, note) = (form.required("status"), short(&mut form, "note", NOTE_CHARS_MAX));
    if note.is_some() && status == Some(Status::Open) {
        form.fault("note", "note is for a report that is closed");
    }
    let status: Status = form.finish(status)?;
    let (by, once) =
        write.into_report(|report: &Report| json(StatusCode::OK, &ReportView::of(report.clone())));
    carried_out(async move { support.set_status(id, ReportPatch { status, note }, by, once).await }).await
}

pub(super) async fn delete(
    State(support): State<Support>,
    PathId(id): PathId<ReportKind>,
    write: AdminWrite,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (by, once) = write.into_report(|()| nothing());
    carried_out(async move { support.remove(id, by, once).await }).await
}

impl Sent {
    /// Reads the form of a support report, and says where what it names is looked up.
    fn judged(&self, mut form: Form<'_>) -> Result<(String, String, About, Option<Handle>), Problem> {
        let sizes = match self.reporting {
            Reporting::Stranger => Sizes::OF_STRANGERS,
            Reporting::Known(_) => Sizes::OF_KNOWN,
        };
        let (summary, details, about) = fields(&mut form, sizes);
        let seen_in = match &self.reporting {
            Reporting::Stranger => None,
            Reporting::Known(known) => match &about.handle {
                Some(text) => handle_in(&mut form, text).filter(|handle| {
                    let is_theirs = known.knows(handle);
                    if !is_theirs {
                        form.fault("handle", "handle names nothing that this credential is for");
                    }
                    is_theirs
                }),
                None => known.handle().cloned(),
            },
        };
        let named = about.subscription_id.is_some() || about.event_id.is_some();
        let is_stranger = matches!(self.reporting, Reporting::Stranger);
        if named && seen_in.is_none() && !is_stranger && !form.is_at_fault("handle") {
            form.fault("handle", "handle is needed to look up what the report names");
        }
        let (summary, details) = form.finish(summary.zip(details))?;
        Ok((summary, details, about, seen_in))
    }

    fn into_parts(self) -> (Reporter, Once<Report>) {
        let actor = match self.reporting {
            Reporting::Stranger => None,
            Reporting::Known(known) => Some(known.actor()),
        };
        let reporter = Reporter { actor, ip: self.ip, request_id: self.request_id };
        (reporter, Once { key: self.key, answer: Box::new(taken) })
    }
}

impl<S> FromRequest<S> for Sent
where
    S: Send + Sync,
    Limits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Sent, Problem> {
        let (parts, body) = request.into_parts();
        let body = Limits::from_ref(state).of_strangers().read(&parts.headers, body).await?;
        let reporting = parts.extensions.get::<Reporting>().cloned().unwrap_or(Reporting::Stranger);
        let CallerAddress(address) = *parts.extensions.get().expect("the route table puts a guard here");
        let ip = address.or_else(|| parts.extensions.get::<Peer>().map(|peer| peer.0));
        // Keys of strangers are their network's: nobody sees what somebody else was answered, unless a proxy
        // names nobody.
        let owner = match (&reporting, address) {
            (Reporting::Known(known), _) => format!("reports of {}", known.actor()),
            (Reporting::Stranger, Some(ip)) => format!("reports from {}", network_of(ip)),
            (Reporting::Stranger, None) => "reports from somewhere".to_owned(),
        };
        let header =
            parts.extensions.get::<Dialect>().expect("observe runs before every handler").idempotency_key();
        let key = repeat_key(&header, &parts.headers, &owner, &parts.method, parts.uri.path(), &body)?;
        let request_id = parts.extensions.get::<RequestId>().expect("observe runs before every handler");
        Ok(Sent { reporting, ip, request_id: request_id.as_str().to_owned(), body, key })
    }
}

fn taken(report: &Report) -> angarium_engine::Answer {
    json(StatusCode::CREATED, &TakenView { report_id: report.id })
}

/// The fields that support reports and escalations have in common.
fn fields(form: &mut Form<'_>, sizes: Sizes) -> Fields {
    let (summary, details) = (line(form, "summary"), text(form, "details", sizes.details));
    let about = About {
        handle: word(form, "handle"),
        session_id: word(form, "sessionId"),
        subscription_id: word(form, "subscriptionId"),
        event_id: word(form, "eventId"),
        request_id: word(form, "requestId"),
        repro_artifact: short(form, "reproArtifact", sizes.artifact),
        ..About::default()
    };
    (summary, details, about)
}

fn handle_in(form: &mut Form<'_>, text: &str) -> Option<Handle> {
    text.parse()
        .map_err(|error: angarium_domain::handle::InvalidHandle| form.fault("handle", error.to_string()))
        .ok()
}

fn line(form: &mut Form<'_>, field: &'static str) -> Option<String> {
    let line = required(form, field, SUMMARY_CHARS_MAX);
    if line.as_ref().is_some_and(|line| line.chars().any(char::is_control)) {
        form.fault(field, format!("{field} is one line without control characters"));
    }
    line
}

fn text(form: &mut Form<'_>, field: &'static str, chars_max: usize) -> Option<String> {
    required(form, field, chars_max)
}

fn required(form: &mut Form<'_>, field: &'static str, chars_max: usize) -> Option<String> {
    let text: Option<String> = form.required(field);
    if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        form.fault(field, format!("{field} is empty"));
    }
    bounded(form, field, chars_max, text)
}

fn word(form: &mut Form<'_>, field: &'static str) -> Option<String> {
    short(form, field, WORD_CHARS_MAX)
}

fn short(form: &mut Form<'_>, field: &'static str, chars_max: usize) -> Option<String> {
    let text = form.optional(field);
    bounded(form, field, chars_max, text)
}

fn bounded(
    form: &mut Form<'_>,
    field: &'static str,
    chars_max: usize,
    text: Option<String>,
) -> Option<String> {
    if let Some(chars) = text.as_ref().map(|text| text.chars().count()).filter(|chars| *chars > chars_max) {
        form.fault(field, format!("{field} is {chars} characters, the limit is {chars_max}"));
    } else if text.as_ref().is_some_and(|text| !is_plain(text)) {
        form.fault(field, format!("{field} holds a control character that is no break between lines"));
    }
    text
}

impl ReportView {
    fn of(report: Report) -> ReportView {
        let status = report.status();
        let Report { id, kind, handle, reporter, summary, details, about, evidence, closing, created_at } =
            report;
        let Reporter { actor, ip, request_id } = reporter;
        ReportView {
            report_id: id,
            kind,
            handle,
            actor,
            ip,
            request_id,
            summary,
            details,
            about,
            evidence,
            status,
            closing,
            created_at,
        }
    }
}
