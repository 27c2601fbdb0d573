//! Server-sent events that go on until their credential is no longer good or the service stops.

use std::future::Future;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{AppendHeaders, IntoResponse};
use futures_util::Stream;
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use tokio::time::Instant;

use crate::auth::Standing;

/// A line at least this often, so that whoever stands between knows that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A credential that has ended or was revoked ends its stream after this time.
const JUDGE_AGAIN: Duration = Duration::from_secs(2);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies are asked not to collect events before they pass them on.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Something that a stream tells of.
pub(super) trait Source: Send + 'static {
    /// What it may say.
    type Heard: Send;

    /// The place to go on from for whoever has heard all that was told so far. None where no place would
    /// be true.
    fn place(&self) -> Option<String>;

    /// The next thing to tell, or silence after `patience`. None when the service stops.
    fn next(&mut self, patience: Duration) -> impl Future<Output = Option<Self::Heard>> + Send;

    /// What it is on the wire. None for silence.
    fn event(&self, heard: &Self::Heard) -> Option<Result<Event, axum::Error>>;
}

/// Why something is said, or nothing more.
#[derive(Serialize)]
pub(super) struct Reason {
    pub(super) reason: &'static str,
}

/// A stream that goes on.
struct Telling<S> {
    source: S,
    standing: Standing,
    judged_at: Instant,
    spoke_at: Instant,
}

/// The place that an earlier stream reached.
pub(super) fn last_place(headers: &HeaderMap) -> Option<&str> {
    Some(headers.get(LAST_EVENT_ID)?.to_str().unwrap_or_default())
}

/// The answer that tells of a source. Clients are asked to wait for `retry` before they connect again.
pub(super) fn tell<S: Source>(source: S, standing: Standing, retry: Duration) -> impl IntoResponse {
    let now = Instant::now();
    let telling = Telling { source, standing, judged_at: now, spoke_at: now };
    (AppendHeaders([NO_BUFFERING]), Sse::new(events(telling, retry)))
}

fn events<S: Source>(telling: Telling<S>, retry: Duration) -> impl Stream<Item = Result<Event, axum::Error>> {
    // The first line goes out at once: whoever reads it has not missed what comes after.
    let first = placed(Event::default().comment("listening").retry(retry), &telling.source);
    let told = unfold(Some(telling), |telling| async {
        let mut telling = telling?;
        match telling.next().await {
            Ok(event) => Some((event, Some(telling))),
            Err(reason) => Some((Event::default().event("end").json_data(Reason { reason }), None)),
        }
    });
    futures_util::StreamExt::chain(futures_util::stream::iter([Ok(first)]), told)
}

fn placed(event: Event, source: &impl Source) -> Event {
    match source.place() {
        Some(place) => event.id(place),
        None => event,
    }
}

impl<S: Source> Telling<S> {
    /// The next event, or why there is none any more.
    async fn next(&mut self) -> Result<Result<Event, axum::Error>, &'static str> {
        loop {
            if self.judged_at.elapsed() >= JUDGE_AGAIN {
                if !self.standing.holds().await {
                    return Err("the credential is no longer good");
                }
                self.judged_at = Instant::now();
            }
            let heard = self.source.next(JUDGE_AGAIN).await.ok_or("the service is stopping")?;
            let event = self.source.event(&heard);
            if event.is_none() && self.spoke_at.elapsed() < HEARTBEAT {
                continue;
            }
            self.spoke_at = Instant::now();
            // The place goes along, so that whoever filters does not fall behind by it.
            let heartbeat = || Ok(placed(Event::default().comment("heartbeat"), &self.source));
            return Ok(event.unwrap_or_else(heartbeat));
        }
    }
}
