//! What an owner says of mails (contract 5).

pub(super) mod docs;

use angarium_domain::account::Zone;
use angarium_domain::event_type::EventPattern;
use angarium_domain::notices::{
    ALERT_INTERVAL_SECONDS, ALERT_INTERVAL_SECONDS_DEFAULT, Notices, QUIET_HOURS_MAX, QuietHours,
};
use angarium_engine::{Emails, NoticeSettings};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, json};
use crate::api::form::Form;
use crate::api::patterns::patterns;
use crate::api::request::{Read, Write};
use crate::openapi::words;
use crate::problem::Problem;

/// What is said of mails at a handle.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationSettings)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationSettingsView {
    /// The domain that mails come from; null where the service sends none.
    #[schema(example = "example.com")]
    sender_domain: Option<String>,
    /// Whether mails can be sent.
    #[schema(value_type = words::SenderStatus)]
    sender_domain_status: &'static str,
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
    let wanted = wanted(write.form()?)?;
    let (caller, once) = write.into_parts(|settings: &NoticeSettings| {
        json(StatusCode::OK, &NotificationSettingsView::of(settings))
    });
    carried_out(async move { emails.put_notice_settings(caller, wanted, once).await }).await
}

/// The whole of it: what is left out is as if it had never been set.
fn wanted(mut form: Form<'_>) -> Result<(Notices, Vec<EventPattern>), Problem> {
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
    form.finish(Some((notices, inbox)))
}

/// A list of patterns that may be empty, or left out.
fn patterns_or_none(form: &mut Form<'_>, field: &'static str) -> Vec<EventPattern> {
    let list = form.raw(field).filter(|list| list.get() != "[]");
    list.and_then(|list| patterns(form, field, list)).unwrap_or_default()
}

impl NotificationSettingsView {
    fn of(settings: &NoticeSettings) -> NotificationSettingsView {
        let NoticeSettings { notices, inbox, account, owner_default, sender_domain } = settings;
        NotificationSettingsView {
            sender_domain: sender_domain.as_deref().map(str::to_owned),
            sender_domain_status: if sender_domain.is_some() { "configured" } else { "unset" },
            notification_email: owner_default.email.as_ref().map(ToString::to_string),
            critical_event_types: notices.critical_event_types.clone(),
            inbox_event_types: inbox.clone(),
            alert_interval_seconds: notices.alert_interval_seconds,
            time_zone: notices.time_zone.clone().unwrap_or_else(|| account.time_zone.clone()),
            quiet_hours: notices.quiet_hours.clone(),
        }
    }
}
