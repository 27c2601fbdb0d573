//! Subscriptions by e-mail (contract 5).

pub(super) mod docs;

use angarium_domain::event_type::EventPattern;
use angarium_domain::ids::{DeliveryId, EmailSubscriptionId, EmailSubscriptionKind, EventId};
use angarium_domain::mail_address::MailAddress;
use angarium_domain::recipient::{Consent, QUESTION_KEPT, Standing};
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_engine::{Emails, MailTested, NewEmailSubscription};
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, json, nothing};
use crate::api::form::Form;
use crate::api::patterns::patterns;
use crate::api::request::{PathId, Write};
use crate::openapi::words;
use crate::problem::Problem;

/// Somebody who is told by mail.
#[derive(Serialize, ToSchema)]
#[schema(as = EmailSubscription)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmailSubscriptionView {
    #[schema(value_type = words::EmailSubscriptionId)]
    subscription_id: EmailSubscriptionId,
    #[schema(value_type = words::Email)]
    email: String,
    #[schema(value_type = Vec<words::EventPattern>)]
    event_types: Vec<EventPattern>,
    #[schema(value_type = words::EmailStatus)]
    status: Standing,
    /// What to do about the status; null where all is well.
    #[schema(example = "ask whoever reads this mailbox to follow the link in the mail and to confirm")]
    remedy: Option<&'static str>,
    /// Until when the question in the mail may be answered; null once it is.
    #[schema(value_type = Option<words::Time>)]
    confirm_until: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    confirmed_at: Option<Timestamp>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = words::Time)]
    updated_at: Timestamp,
}

/// A test mail that is on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = TestedEmail)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestedEmailView<'a> {
    /// Names the mail: what stands before the `@` in its `Message-ID`, and its delivery.
    #[schema(value_type = words::DeliveryId)]
    message_id: DeliveryId,
    #[schema(value_type = words::EventId)]
    event_id: EventId,
    /// The delivery says what became of it.
    #[schema(value_type = words::DeliveryStatus)]
    status: &'static str,
    #[schema(value_type = words::RequestId)]
    request_id: &'a str,
}

pub(super) async fn create(State(emails): State<Emails>, write: Write) -> Result<Answered, Problem> {
    let new = new_email_subscription(write.form()?)?;
    let (caller, once) = write.into_parts(|(subscription, now): &(Subscription, Timestamp)| {
        json(StatusCode::CREATED, &EmailSubscriptionView::of(subscription, *now))
    });
    carried_out(async move { emails.subscribe(caller, new, once).await }).await
}

pub(super) async fn delete(
    State(emails): State<Emails>,
    PathId(id): PathId<EmailSubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|()| nothing());
    carried_out(async move { emails.remove(caller, id.of_kind(), once).await }).await
}

pub(super) async fn test(
    State(emails): State<Emails>,
    PathId(id): PathId<EmailSubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |made| tested(made, &request_id));
    carried_out(async move { emails.test(caller, id.of_kind(), once).await }).await
}

pub(super) async fn lift_suppression(
    State(emails): State<Emails>,
    PathId(id): PathId<EmailSubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|(subscription, now): &(Subscription, Timestamp)| {
        json(StatusCode::OK, &EmailSubscriptionView::of(subscription, *now))
    });
    carried_out(async move { emails.lift_suppression(caller, id.of_kind(), once).await }).await
}

/// The answer to a test, of whomever.
pub(super) fn tested(made: &MailTested, request_id: &str) -> angarium_engine::Answer {
    let MailTested { event_id, delivery_id } = *made;
    let view = TestedEmailView { message_id: delivery_id, event_id, status: "pending", request_id };
    json(StatusCode::ACCEPTED, &view)
}

fn new_email_subscription(mut form: Form<'_>) -> Result<NewEmailSubscription, Problem> {
    let email: Option<String> = form.required("email");
    let email = email.and_then(|text| {
        text.parse::<MailAddress>().map_err(|error| form.fault("email", error.to_string())).ok()
    });
    let event_types = form.raw("eventTypes").or_else(|| form.missing("eventTypes"));
    let event_types = event_types.and_then(|list| patterns(&mut form, "eventTypes", list));
    let new = email.zip(event_types);
    form.finish(new.map(|(email, event_types)| NewEmailSubscription { email, event_types }))
}

impl EmailSubscriptionView {
    pub(super) fn of(subscription: &Subscription, now: Timestamp) -> EmailSubscriptionView {
        let recipient = subscription.recipient.as_ref();
        let (confirm_until, confirmed_at) = match recipient.map(|recipient| &recipient.consent) {
            Some(Consent::Asked { at, .. }) => (Some(*at + QUESTION_KEPT), None),
            Some(Consent::Given { at, .. }) => (None, Some(*at)),
            Some(Consent::Appointed { .. } | Consent::Withdrawn { .. }) | None => (None, None),
        };
        EmailSubscriptionView {
            subscription_id: subscription.id.of_kind(),
            email: subscription.endpoint_url.mail_address().unwrap_or_default().to_owned(),
            event_types: subscription.event_types.clone(),
            status: recipient.map_or(Standing::Unsubscribed, |recipient| recipient.standing()),
            remedy: recipient.and_then(|recipient| recipient.remedy(now)),
            confirm_until,
            confirmed_at,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
        }
    }
}
