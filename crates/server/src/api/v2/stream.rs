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
use axum::response::sse::{Event, Sse};
use axum::response::{AppendHeaders, IntoResponse};
use futures_util::Stream;
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use tokio::time::Instant;

use super::deliveries::{millis, parts_of};
use crate::api::query::Query;
use crate::api::request::Read;
use crate::auth::Standing;
use crate::problem::Problem;

/// A line at least this often, so that whoever stands between knows that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A credential that has ended or was revoked ends its stream after this time.
const JUDGE_AGAIN: Duration = Duration::from_secs(2);
/// How long a client shall wait before it connects again.
const RETRY: Duration = Duration::from_secs(2);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies are asked not to collect events before they pass them on.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

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

/// A stream that goes on.
struct Telling {
    listener: Listener,
    standing: Standing,
    judged_at: Instant,
    spoke_at: Instant,
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
    let listener = live.listen(&read.handle, wish, last_place(&headers))?;
    let now = Instant::now();
    let telling = Telling { listener, standing, judged_at: now, spoke_at: now };
    Ok((AppendHeaders([NO_BUFFERING]), Sse::new(events(telling))))
}

fn wish_of(query: &mut Query<'_>) -> Wish {
    Wish {
        subscription_id: query.optional("subscriptionId"),
        event_type: query.optional("eventType"),
        fate: query.optional("status"),
    }
}

/// Where an earlier stream ended. What is no place of ours is one that is long gone.
fn last_place(headers: &HeaderMap) -> Option<Place> {
    let text = headers.get(LAST_EVENT_ID)?.to_str().unwrap_or_default();
    Some(text.parse().unwrap_or_else(|_| Place::long_gone()))
}

fn events(telling: Telling) -> impl Stream<Item = Result<Event, axum::Error>> {
    // The first line goes out at once: whoever reads it has not missed what comes after.
    let first = Event::default().comment("listening").retry(RETRY).id(telling.listener.place().to_string());
    let told = unfold(Some(telling), |telling| async {
        let mut telling = telling?;
        match telling.next().await {
            Ok(event) => Some((event, Some(telling))),
            Err(reason) => Some((Event::default().event("end").json_data(Reason { reason }), None)),
        }
    });
    futures_util::StreamExt::chain(futures_util::stream::iter([Ok(first)]), told)
}

#[derive(Serialize)]
struct Reason {
    reason: &'static str,
}

impl Telling {
    /// The next event, or why there is none any more.
    async fn next(&mut self) -> Result<Result<Event, axum::Error>, &'static str> {
        loop {
            if self.judged_at.elapsed() >= JUDGE_AGAIN {
                if !self.standing.holds().await {
                    return Err("the credential is no longer good");
                }
                self.judged_at = Instant::now();
            }
            let heard = self.listener.next(JUDGE_AGAIN).await.ok_or("the service is stopping")?;
            if let Heard::Nothing(_) = heard
                && self.spoke_at.elapsed() < HEARTBEAT
            {
                continue;
            }
            self.spoke_at = Instant::now();
            return Ok(event_of(&heard));
        }
    }
}

fn event_of(heard: &Heard) -> Result<Event, axum::Error> {
    match heard {
        Heard::Happening(place, happening) => Event::default()
            .event(format!("delivery.{}", happening.fate.as_str()))
            .id(place.to_string())
            .json_data(HappeningView::of(happening)),
        Heard::Gap(place) => Event::default()
            .event("resync")
            .id(place.to_string())
            .json_data(Reason { reason: "events were missed; the delivery log has them" }),
        // The place goes along, so that whoever filters does not fall behind by it.
        Heard::Nothing(place) => Ok(Event::default().comment("heartbeat").id(place.to_string())),
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
