//! Webhooks: what the engine calls subscriptions (contract 3).

pub(in crate::api) mod docs;

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
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, found, json, next_cursor, nothing};
use crate::api::form::Form;
use crate::api::request::{PathId, Read, Write};
use crate::api::v2::webhook_form::{new_subscription, patch_of};
use crate::openapi::words;
use crate::problem::Problem;

/// Where one subscriber receives, and which events it wants.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookView {
    #[schema(value_type = words::SubscriptionId)]
    subscription_id: SubscriptionId,
    #[schema(value_type = words::Handle)]
    handle: Handle,
    #[schema(example = "https://hooks.example.com/orders")]
    endpoint_url: String,
    #[schema(value_type = Vec<words::EventPattern>)]
    event_types: Vec<EventPattern>,
    #[schema(value_type = Option<words::Filter>, example = json!(null))]
    filter: Option<Filter>,
    #[schema(value_type = words::WebhookStatus)]
    status: Standing,
    /// When the receiver said that it is gone; until it accepts something again.
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    gone_at: Option<Timestamp>,
    /// When it was switched off, because its owner asked for that.
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    disabled_at: Option<Timestamp>,
    #[schema(value_type = Option<words::DisableCause>, example = json!(null))]
    disabled_reason: Option<DisableCause>,
    /// Since when its receiver has done nothing but fail; watched where `autoDisable` is set.
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    failing_since: Option<Timestamp>,
    #[schema(example = "The warehouse")]
    description: Option<String>,
    #[schema(value_type = words::SigningProfile)]
    signing_profile: SigningProfile,
    #[schema(value_type = words::PayloadFormat)]
    payload_format: PayloadFormat,
    #[schema(value_type = words::RetryPolicy)]
    retry_policy: RetryPolicy,
    #[schema(value_type = words::CustomHeaders)]
    headers: CustomHeaders,
    rate_limit_per_second: Option<u32>,
    max_concurrency: Option<u32>,
    #[schema(example = 10)]
    timeout_seconds: u32,
    ordered: bool,
    #[schema(value_type = Option<words::AutoDisable>)]
    auto_disable: Option<AutoDisable>,
    /// Null where the receiver is not asked.
    #[schema(value_type = Option<words::Verification>, example = json!(null))]
    verification: Option<Verification>,
    #[schema(example = "k3Jw")]
    secret_hint: String,
    /// Where deliveries are signed with a key pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    public_key: Option<String>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = words::Time)]
    updated_at: Timestamp,
    #[schema(value_type = Option<words::Time>)]
    last_triggered_at: Option<Timestamp>,
    /// In the answers to creation and rotation, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: Option<String>,
}

/// A page of webhooks, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhooks)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhooksView {
    webhooks: Vec<WebhookView>,
    /// Where the next page begins; null at the end.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// What the check of a webhook's receiver found.
#[derive(Serialize, ToSchema)]
#[schema(as = Checked)]
#[serde(rename_all = "camelCase")]
struct CheckedView<'a> {
    #[schema(value_type = words::SubscriptionId)]
    subscription_id: SubscriptionId,
    #[schema(value_type = words::WebhookStatus)]
    status: Standing,
    /// Whether this check passed.
    #[schema(example = true)]
    verified: bool,
    #[schema(value_type = Option<words::VerificationMethod>)]
    method: Option<Method>,
    #[schema(value_type = Option<words::Time>)]
    at: Option<Timestamp>,
    /// Why it did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Consent, required = false)]
    consent: Option<&'a Consent>,
}

/// A test on its way. It proves that the webhook exists and the dispatch was accepted, nothing more.
#[derive(Serialize, ToSchema)]
#[schema(as = Tested)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
struct TestedView<'a> {
    #[schema(value_type = words::EventId)]
    event_id: EventId,
    #[schema(value_type = words::DeliveryId)]
    delivery_id: DeliveryId,
    #[schema(value_type = words::RequestId)]
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

pub(in crate::api) fn overlap(mut form: Form<'_>) -> Result<Duration, Problem> {
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
    pub(super) fn for_reader(described: &Described, read: &Read) -> WebhookView {
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
