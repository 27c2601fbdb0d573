//! Notifications: who is told of what, in one answer (contract 5).

pub(super) mod docs;

use angarium_domain::subscription::SUBSCRIPTIONS_PER_HANDLE_MAX;
use angarium_engine::{EventTypes, Subscriptions};
use angarium_store::page::PageRequest;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::request::Read;
use crate::api::v2::event_types::{EventTypeView, everything};
use crate::api::v2::webhooks::WebhookView;
use crate::openapi::words;
use crate::problem::Problem;

/// Who is told of what.
#[derive(Serialize, ToSchema)]
#[schema(as = Notifications)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationsView {
    webhooks: Vec<WebhookView>,
    /// Nobody can subscribe by e-mail yet.
    #[schema(value_type = Vec<words::Fields>, example = json!([]))]
    email_subscriptions: [(); 0],
    owner_default_email: OwnerDefaultEmail,
    event_catalog: Vec<EventTypeView>,
}

/// The address that is told when nobody else is.
#[derive(Serialize, ToSchema)]
struct OwnerDefaultEmail {
    #[schema(example = json!(null))]
    email: Option<&'static str>,
    #[schema(example = "unset")]
    status: &'static str,
}

pub(super) async fn get(
    State(subscriptions): State<Subscriptions>,
    State(event_types): State<EventTypes>,
    read: Read,
) -> Result<Json<NotificationsView>, Problem> {
    let all = PageRequest { before: None, limit: SUBSCRIPTIONS_PER_HANDLE_MAX as u32 };
    let page = subscriptions.list(&read.handle, all).await?;
    let catalog = event_types.catalog(&read.handle).await?;
    Ok(Json(NotificationsView {
        webhooks: page.items.iter().map(|described| WebhookView::for_reader(described, &read)).collect(),
        email_subscriptions: [],
        owner_default_email: OwnerDefaultEmail { email: None, status: "unset" },
        event_catalog: everything(&catalog),
    }))
}
