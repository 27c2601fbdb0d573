//! Webhooks: what the engine calls subscriptions (contract 3).

use std::time::Duration;

use angarium_domain::auto_disable::AutoDisable;
use angarium_domain::event::PayloadFormat;
use angarium_domain::event_type::EventPattern;
use angarium_domain::filter::Filter;
use angarium_domain::handle::Handle;
use angarium_domain::headers::CustomHeaders;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId, SubscriptionKind};
use angarium_domain::retry::RetryPolicy;
use angarium_domain::secret::{OVERLAP_DEFAULT, OVERLAP_MAX};
use angarium_domain::signature::SigningProfile;
use angarium_domain::standing::{DisableCause, Standing};
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_domain::verification::{Consent, Method, Verification};
use angarium_engine::{Answer, Described, Subscriptions, Tested, WithSecret};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use crate::api::answer::{Answered, carried_out, found, json, next_cursor, nothing};
use crate::api::form::Form;
use crate::api::request::{PathId, Read, Write};
use crate::api::v2::webhook_form::{new_subscription, patch_of};
use crate::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookView {
    subscription_id: SubscriptionId,
    handle: Handle,
    endpoint_url: String,
    event_types: Vec<EventPattern>,
    filter: Option<Filter>,
    status: Standing,
    gone_at: Option<Timestamp>,
    disabled_at: Option<Timestamp>,
    disabled_reason: Option<DisableCause>,
    failing_since: Option<Timestamp>,
    description: Option<String>,
    signing_profile: SigningProfile,
    payload_format: PayloadFormat,
    retry_policy: RetryPolicy,
    headers: CustomHeaders,
    rate_limit_per_second: Option<u32>,
    max_concurrency: Option<u32>,
    timeout_seconds: u32,
    ordered: bool,
    auto_disable: Option<AutoDisable>,
    /// Null where the receiver is not asked.
    verification: Option<Verification>,
    secret_hint: String,
    /// Where deliveries are signed with a key pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    last_triggered_at: Option<Timestamp>,
    /// In the answers to creation and rotation, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhooksView {
    webhooks: Vec<WebhookView>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckedView<'a> {
    subscription_id: SubscriptionId,
    status: Standing,
    /// Whether this check passed.
    verified: bool,
    method: Option<Method>,
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<&'a Consent>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
struct TestedView<'a> {
    event_id: EventId,
    delivery_id: DeliveryId,
    request_id: &'a str,
}

pub(super) async fn create(
    State(subscriptions): State<Subscriptions>,
    write: Write,
) -> Result<Answered, Problem> {
    let new = new_subscription(write.form()?)?;
    let (caller, once) = write.into_parts(|made| with_secret(StatusCode::CREATED, made));
    carried_out(async move { subscriptions.create(caller, new, once).await }).await
}

pub(super) async fn list(
    State(subscriptions): State<Subscriptions>,
    read: Read,
) -> Result<Json<WebhooksView>, Problem> {
    let list = format!("{} webhooks", read.handle);
    let page = subscriptions.list(&read.handle, read.query().page(&list)?).await?;
    let next_cursor = next_cursor(&page, &list);
    let webhooks = page.items.iter().map(|described| WebhookView::for_reader(described, &read)).collect();
    Ok(Json(WebhooksView { webhooks, next_cursor }))
}

pub(super) async fn get(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    read: Read,
) -> Result<Json<WebhookView>, Problem> {
    let described = subscriptions.get(&read.handle, id).await?;
    found(described.as_ref().map(|described| WebhookView::for_reader(described, &read)))
}

pub(super) async fn patch(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    let patch = patch_of(write.form()?)?;
    let (caller, once) = write.into_parts(as_it_is_now);
    carried_out(async move { subscriptions.patch(caller, id, patch, once).await }).await
}

pub(super) async fn delete(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|()| nothing());
    carried_out(async move { subscriptions.delete(caller, id, once).await }).await
}

pub(super) async fn test(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |tested: &Tested| {
        let Tested { event_id, delivery_id } = *tested;
        json(StatusCode::ACCEPTED, &TestedView { event_id, delivery_id, request_id: &request_id })
    });
    carried_out(async move { subscriptions.test(caller, id, once).await }).await
}

pub(super) async fn verify(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(as_checked);
    carried_out(async move { subscriptions.verify(caller, id, once).await }).await
}

pub(super) async fn rotate(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    let overlap = overlap(write.form_or_empty()?)?;
    let (caller, once) = write.into_parts(|made| with_secret(StatusCode::OK, made));
    carried_out(async move { subscriptions.rotate(caller, id, overlap, once).await }).await
}

pub(super) async fn pause(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(as_it_is_now);
    carried_out(async move { subscriptions.pause(caller, id, once).await }).await
}

pub(super) async fn resume(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(as_it_is_now);
    carried_out(async move { subscriptions.resume(caller, id, once).await }).await
}

fn overlap(mut form: Form<'_>) -> Result<Duration, Problem> {
    let seconds = form.optional("overlapSeconds").unwrap_or(OVERLAP_DEFAULT.as_secs() as u32);
    let seconds = form.within("overlapSeconds", 0..=OVERLAP_MAX.as_secs() as u32, Some(seconds));
    form.finish(seconds.map(|seconds| Duration::from_secs(seconds.into())))
}

fn with_secret(status: StatusCode, made: &WithSecret) -> Answer {
    let view = WebhookView::new(&made.subscription, made.last_triggered_at);
    let public_key = made.subscription.signing_profile.is_asymmetric().then(|| made.secret.clone());
    json(status, &WebhookView { secret: Some(made.secret.clone()), public_key, ..view })
}

fn as_it_is_now(described: &Described) -> Answer {
    json(StatusCode::OK, &WebhookView::of(described))
}

/// What a check found. Null of `method` and `at`: the owner changed the webhook meanwhile.
fn as_checked(described: &Described) -> Answer {
    let subscription = &described.subscription;
    let verification = subscription.verification.as_ref();
    let view = CheckedView {
        subscription_id: subscription.id,
        status: subscription.standing(),
        verified: verification.is_some_and(Verification::last_check_passed),
        method: verification.map(|verification| verification.method),
        at: verification.and_then(|verification| verification.checked_at),
        reason: verification.and_then(|verification| verification.reason.as_deref()),
        consent: verification.and_then(|verification| verification.consent.as_ref()),
    };
    json(StatusCode::OK, &view)
}

impl WebhookView {
    /// What the subscriber's server takes us by, in headers or in the address, is for those who may
    /// set it.
    fn for_reader(described: &Described, read: &Read) -> WebhookView {
        let view = WebhookView::of(described);
        if read.sees_credentials {
            return view;
        }
        let subscription = &described.subscription;
        let masked = subscription.headers.iter().map(|(name, _)| (name.to_owned(), "***".to_owned()));
        WebhookView {
            endpoint_url: subscription.endpoint_url.without_query().to_owned(),
            headers: CustomHeaders::new(masked).expect("names that were taken, and a value that is"),
            ..view
        }
    }

    fn of(described: &Described) -> WebhookView {
        let view = WebhookView::new(&described.subscription, described.last_triggered_at);
        let public_key = described.public_key.map(|key| key.to_string());
        WebhookView { failing_since: described.failing_since, public_key, ..view }
    }

    fn new(subscription: &Subscription, last_triggered_at: Option<Timestamp>) -> WebhookView {
        let standing = subscription.standing();
        let subscription = subscription.clone();
        WebhookView {
            subscription_id: subscription.id,
            handle: subscription.handle,
            endpoint_url: subscription.endpoint_url.as_str().to_owned(),
            event_types: subscription.event_types,
            filter: subscription.filter,
            status: standing,
            gone_at: subscription.gone_at,
            disabled_at: subscription.disabled.map(|disabled| disabled.at),
            disabled_reason: subscription.disabled.map(|disabled| disabled.cause),
            failing_since: None,
            description: subscription.description,
            signing_profile: subscription.signing_profile,
            payload_format: subscription.payload_format,
            retry_policy: subscription.retry_policy,
            headers: subscription.headers,
            rate_limit_per_second: subscription.rate_limit_per_second,
            max_concurrency: subscription.max_concurrency,
            timeout_seconds: subscription.timeout_seconds,
            ordered: subscription.ordered,
            auto_disable: subscription.auto_disable,
            verification: subscription.verification,
            secret_hint: subscription.secret_hint,
            public_key: None,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
            last_triggered_at,
            secret: None,
        }
    }
}
