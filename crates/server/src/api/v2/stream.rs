//! What happens to deliveries, while it happens: server-sent events.

pub(super) mod docs;

use std::time::Duration;

use angarium_domain::delivery::DeathCause;
use angarium_domain::event::Origin;
use angarium_domain::event_type::EventType;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::outcome::Failure;
use angarium_domain::time::Timestamp;
use angarium_engine::live::{Fate, Happening, Heard, Listener, Live, Place, Wish};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::Event;
use http::HeaderMap;
use serde::Serialize;

use super::deliveries::{millis, parts_of};
use super::telling::{Reason, Source, last_place, tell};
use crate::api::query::Query;
use crate::api::request::Read;
use crate::auth::Standing;
use crate::problem::Problem;

/// How long a client shall wait before it connects again.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HappeningView<'a> {
    at: Timestamp,
    delivery_id: DeliveryId,
    event_id: EventId,
    event_type: &'a EventType,
    subscription_id: SubscriptionId,
    status: Fate,
    origin: Origin,
    /// The number of the attempt; none if it came to this without one.
    attempt: Option<u32>,
    duration_ms: Option<f64>,
    last_status: Option<u16>,
    last_error: Option<Failure>,
    reason: Option<DeathCause>,
    next_attempt_at: Option<Timestamp>,
}

pub(super) async fn stream(
    State(live): State<Live>,
    standing: Standing,
    headers: HeaderMap,
    read: Read,
) -> Result<impl IntoResponse, Problem> {
    let mut query = read.query();
    let wish = wish_of(&mut query);
    query.finish()?;
    // What is no place of ours is one that is long gone.
    let place = last_place(&headers).map(|text| text.parse().unwrap_or_else(|_| Place::long_gone()));
    Ok(tell(live.listen(&read.handle, wish, place)?, standing, RETRY))
}

fn wish_of(query: &mut Query<'_>) -> Wish {
    Wish {
        subscription_id: query.optional("subscriptionId"),
        event_type: query.optional("eventType"),
        fate: query.optional("status"),
    }
}

impl Source for Listener {
    type Heard = Heard;

    fn place(&self) -> Option<String> {
        Some(Listener::place(self).to_string())
    }

    async fn next(&mut self, patience: Duration) -> Option<Heard> {
        Listener::next(self, patience).await
    }

    fn event(&self, heard: &Heard) -> Option<Result<Event, axum::Error>> {
        event_of(heard)
    }
}

fn event_of(heard: &Heard) -> Option<Result<Event, axum::Error>> {
    match heard {
        Heard::Happening(place, happening) => Some(
            Event::default()
                .event(format!("delivery.{}", happening.fate.as_str()))
                .id(place.to_string())
                .json_data(HappeningView::of(happening)),
        ),
        Heard::Gap(place) => Some(
            Event::default()
                .event("resync")
                .id(place.to_string())
                .json_data(Reason { reason: "events were missed; the delivery log has them" }),
        ),
        Heard::Nothing(_) => None,
    }
}

impl HappeningView<'_> {
    fn of(happening: &Happening) -> HappeningView<'_> {
        let (last_status, last_error) = parts_of(happening.outcome);
        HappeningView {
            at: happening.at,
            delivery_id: happening.delivery_id,
            event_id: happening.event_id,
            event_type: &happening.event_type,
            subscription_id: happening.subscription_id,
            status: happening.fate,
            origin: happening.origin,
            attempt: happening.attempt,
            duration_ms: happening.took.map(|took| millis(took.as_micros() as u64)),
            last_status,
            last_error,
            reason: happening.reason,
            next_attempt_at: happening.next_attempt_at,
        }
    }
}
