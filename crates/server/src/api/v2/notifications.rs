//! Notifications: who is told of what, in one answer (contract 5).

pub(super) mod docs;

use angarium_domain::subscription::SUBSCRIPTIONS_PER_HANDLE_MAX;
use angarium_engine::{Emails, EventTypes, OwnerDefault, Recipients, Subscriptions};
use angarium_store::page::PageRequest;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::request::Read;
use crate::api::v2::email_subscriptions::EmailSubscriptionView;
use crate::api::v2::event_types::{EventTypeView, everything};
use crate::api::v2::owner_default_email::OwnerDefaultEmailView;
use crate::api::v2::webhooks::WebhookView;
use crate::problem::Problem;

/// Who is told of what.
#[derive(Serialize, ToSchema)]
#[schema(as = Notifications)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationsView {
    webhooks: Vec<WebhookView>,
    email_subscriptions: Vec<EmailSubscriptionView>,
    owner_default_email: OwnerDefaultEmailView,
    event_catalog: Vec<EventTypeView>,
}

pub(super) async fn get(
    State(subscriptions): State<Subscriptions>,
    State(event_types): State<EventTypes>,
    State(emails): State<Emails>,
    read: Read,
) -> Result<Json<NotificationsView>, Problem> {
    let all = PageRequest { before: None, limit: SUBSCRIPTIONS_PER_HANDLE_MAX as u32 };
    let page = subscriptions.list(&read.handle, all).await?;
    let catalog = event_types.catalog(&read.handle).await?;
    let Recipients { subscribers, owner_default, now } = emails.recipients(&read.handle).await?;
    Ok(Json(NotificationsView {
        webhooks: page.items.iter().map(|described| WebhookView::for_reader(described, &read)).collect(),
        email_subscriptions: subscribers.iter().map(|one| EmailSubscriptionView::of(one, now)).collect(),
        owner_default_email: OwnerDefaultEmailView::of(&OwnerDefault::of(owner_default.as_ref())),
        event_catalog: everything(&catalog),
    }))
}
