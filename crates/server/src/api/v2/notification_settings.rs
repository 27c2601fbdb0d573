//! What an owner says of mails (contract 5).

pub(super) mod docs;

use angarium_domain::account::Zone;
use angarium_domain::event_type::EventPattern;
use angarium_domain::notices::{
    ALERT_INTERVAL_SECONDS, ALERT_INTERVAL_SECONDS_DEFAULT, Notices, QUIET_HOURS_MAX, QuietHours,
};
use angarium_domain::sender_domain::Record;
use angarium_domain::time::Timestamp;
use angarium_engine::{Emails, NoticeSettings, SentBack};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, json};
use crate::api::form::Form;
use crate::api::patterns::patterns;
use crate::api::request::{Read, Write};
use crate::openapi::words;
use crate::problem::Problem;

/// How a sender's domain may stand.
const SENDER_STATUSES: [&str; 5] = ["unset", "pending", "verified", "failed", "temporarily_failed"];

/// What a caller wants, and what they send back of what others say.
type Wanted = ((Notices, Vec<EventPattern>), Vec<SentBack>);

/// What is said of mails at a handle.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationSettings)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationSettingsView {
    /// The domain that mails come from; null where the service sends none.
    #[schema(example = "example.com")]
    sender_domain: Option<String>,
    /// What the DNS says of it, as it was found when it was looked at last.
    #[schema(value_type = words::SenderStatus)]
    sender_domain_status: &'static str,
    /// When the DNS was looked at last; null before the first look, which follows the start of the service.
    #[schema(value_type = Option<words::Time>)]
    sender_domain_checked_at: Option<Timestamp>,
    /// The DNS records that the domain should have, and what was found.
    #[schema(value_type = Vec<words::SenderRecord>)]
    sender_domain_records: Vec<Record>,
    /// The owner's default address; it has a route of its own.
    #[schema(value_type = Option<words::Email>)]
    notification_email: Option<String>,
    /// Types that are told at any hour, beside those that the catalogue calls critical.
    #[schema(value_type = Vec<words::EventPattern>)]
    critical_event_types: Vec<EventPattern>,
    /// Types whose events become items of the inbox.
    #[schema(value_type = Vec<words::EventPattern>)]
    inbox_event_types: Vec<EventPattern>,
    #[schema(example = 900)]
    alert_interval_seconds: u32,
    /// Where quiet hours are meant.
    #[schema(value_type = words::TimeZone)]
    time_zone: Zone,
    #[schema(value_type = Vec<words::QuietHours>)]
    quiet_hours: Vec<QuietHours>,
}

pub(super) async fn get(
    State(emails): State<Emails>,
    read: Read,
) -> Result<Json<NotificationSettingsView>, Problem> {
    Ok(Json(NotificationSettingsView::of(&emails.notice_settings(&read.handle).await?)))
}

pub(super) async fn put(State(emails): State<Emails>, write: Write) -> Result<Answered, Problem> {
    let (wanted, sent_back) = wanted(write.form()?)?;
    let (caller, once) = write.into_parts(|settings: &NoticeSettings| {
        json(StatusCode::OK, &NotificationSettingsView::of(settings))
    });
    carried_out(async move { emails.put_notice_settings(caller, wanted, &sent_back, once).await }).await
}

/// The whole of it: what is left out is as if it had never been set.
fn wanted(mut form: Form<'_>) -> Result<Wanted, Problem> {
    let sent_back = sent_back(&mut form);
    let critical = patterns_or_none(&mut form, "criticalEventTypes");
    let inbox = patterns_or_none(&mut form, "inboxEventTypes");
    let interval = form.optional("alertIntervalSeconds");
    let interval = form.within("alertIntervalSeconds", ALERT_INTERVAL_SECONDS, interval);
    let time_zone = form.parsed("timeZone");
    let quiet_hours: Vec<QuietHours> = form.optional("quietHours").unwrap_or_default();
    if quiet_hours.len() > QUIET_HOURS_MAX {
        let count = quiet_hours.len();
        form.fault("quietHours", format!("quietHours holds {count} ranges, the limit is {QUIET_HOURS_MAX}"));
    }
    if let Some(place) = quiet_hours.iter().position(|hours| hours.days.is_empty()) {
        form.fault(
            format!("quietHours[{place}].days"),
            "days is empty; name the days on which the hours begin",
        );
    }
    let notices = Notices {
        critical_event_types: critical,
        alert_interval_seconds: interval.unwrap_or(ALERT_INTERVAL_SECONDS_DEFAULT),
        time_zone,
        quiet_hours,
    };
    form.finish(Some(((notices, inbox), sent_back)))
}

/// What the answer holds and others say, so that it may be sent back: what people set must be as it is. What was
/// looked up may be otherwise by now, and is not compared.
fn sent_back(form: &mut Form<'_>) -> Vec<SentBack> {
    if let Some(status) = form.optional::<String>("senderDomainStatus")
        && !SENDER_STATUSES.contains(&status.as_str())
    {
        let words = SENDER_STATUSES.join(", ");
        form.fault(
            "senderDomainStatus",
            format!("senderDomainStatus is {status:?}, and may be one of {words}"),
        );
    }
    form.parsed::<Timestamp>("senderDomainCheckedAt");
    form.optional::<Vec<Map<String, Value>>>("senderDomainRecords");
    let domain = form.nullable("senderDomain").map(SentBack::SenderDomain);
    let email = form.nullable("notificationEmail").map(SentBack::NotificationEmail);
    domain.into_iter().chain(email).collect()
}

/// A list of patterns that may be empty, or left out.
fn patterns_or_none(form: &mut Form<'_>, field: &'static str) -> Vec<EventPattern> {
    let list = form.raw(field).filter(|list| list.get() != "[]");
    list.and_then(|list| patterns(form, field, list)).unwrap_or_default()
}

impl NotificationSettingsView {
    fn of(settings: &NoticeSettings) -> NotificationSettingsView {
        let NoticeSettings { notices, inbox, account, owner_default, sender_domain } = settings;
        let seen = sender_domain.as_deref();
        NotificationSettingsView {
            sender_domain: seen.map(|seen| seen.report.domain.clone()),
            sender_domain_status: seen.map_or("unset", |seen| seen.report.state.as_str()),
            sender_domain_checked_at: seen.and_then(|seen| seen.at),
            sender_domain_records: seen.map(|seen| seen.report.records.clone()).unwrap_or_default(),
            notification_email: owner_default.email.as_ref().map(ToString::to_string),
            critical_event_types: notices.critical_event_types.clone(),
            inbox_event_types: inbox.clone(),
            alert_interval_seconds: notices.alert_interval_seconds,
            time_zone: notices.time_zone.clone().unwrap_or_else(|| account.time_zone.clone()),
            quiet_hours: notices.quiet_hours.clone(),
        }
    }
}
