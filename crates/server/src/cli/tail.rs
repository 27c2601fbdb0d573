//! `angarium tail`: what happens to deliveries, line by line, while it happens.

use std::time::Duration;

use angarium_domain::delivery::DeathCause;
use angarium_domain::event_type::EventType;
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::outcome::Failure;
use angarium_domain::time::Timestamp;
use angarium_engine::live::Fate;
use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use sse_stream::Sse;

use crate::cli::answers::word;
use crate::cli::client::{ClientError, ConnectionArgs};
use crate::cli::span::in_words;
use crate::cli::table::{harmless, show};

/// The wait before a broken stream is taken up again; it doubles up to the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Watch deliveries while they are attempted, settled and given up; ends with Ctrl-C
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Of one subscription: sub_…
    #[arg(long, value_name = "ID")]
    subscription: Option<SubscriptionId>,
    /// Of one event type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<EventType>,
    /// delivered, retrying, dead, cancelled or attempted
    #[arg(long, value_name = "STATUS", value_parser = word::<Fate>)]
    status: Option<Fate>,
    /// One JSON object a line, as the service sends it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// An event of the stream, as far as people read it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    at: Timestamp,
    delivery_id: DeliveryId,
    event_type: EventType,
    subscription_id: SubscriptionId,
    status: Fate,
    attempt: Option<u32>,
    duration_ms: Option<f64>,
    last_status: Option<u16>,
    last_error: Option<Failure>,
    reason: Option<DeathCause>,
    next_attempt_at: Option<Timestamp>,
}

/// Runs the command.
pub(crate) async fn run(args: TailArgs) -> anyhow::Result<()> {
    let client = args.connection.client()?;
    let path = args.path();
    let mut place = None;
    let (mut wait, longest) = AGAIN;
    loop {
        match client.events(&path, place.as_deref()).await {
            Ok(mut events) => {
                while let Some(event) = events.next().await {
                    wait = AGAIN.0;
                    place = event.id.clone().or(place);
                    tell(&event, args.json)?;
                }
            }
            // What was wrong with the request is wrong the next time, too.
            Err(error) if !is_passing(&error) => return Err(error.into()),
            Err(error) => eprintln!("angarium: {error}; trying again in {}", in_words(wait)),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
}

fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Refused(refusal) => refusal.is_passing(AGAIN.1),
        ClientError::Address { .. } | ClientError::Token | ClientError::Strange { .. } => false,
    }
}

impl TailArgs {
    fn path(&self) -> String {
        let texts = [
            ("subscriptionId", self.subscription.map(|id| id.to_string())),
            ("eventType", self.event_type.as_ref().map(ToString::to_string)),
            ("status", self.status.map(|fate| fate.as_str().to_owned())),
        ];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(texts.into_iter().filter_map(|(name, text)| Some((name, text?))));
        format!("/deliveries/stream?{}", query.finish())
    }
}

fn tell(event: &Sse, json: bool) -> anyhow::Result<()> {
    let (Some(kind), Some(data)) = (event.event.as_deref(), event.data.as_deref()) else { return Ok(()) };
    if !kind.starts_with("delivery.") {
        let said: Value = serde_json::from_str(data).unwrap_or_default();
        let reason = said["reason"].as_str().unwrap_or(kind);
        eprintln!("angarium: {}", harmless(reason));
    } else if json {
        show(&format!("{data}\n"));
    } else {
        let line: Line = serde_json::from_str(data).with_context(|| format!("{data:?} is not an event"))?;
        show(&line.text());
    }
    Ok(())
}

impl Line {
    fn text(&self) -> String {
        let came_to = match (self.last_status, self.last_error) {
            (Some(status), _) => status.to_string(),
            (None, Some(failure)) => failure.as_str().to_owned(),
            (None, None) => "-".to_owned(),
        };
        let attempt = self.attempt.map_or_else(|| "-".to_owned(), |attempt| format!("#{attempt}"));
        let took = self.duration_ms.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.0} ms"));
        let then = match (self.reason, self.next_attempt_at) {
            (Some(reason), _) => reason.as_str().to_owned(),
            (None, Some(at)) => format!("again in {}", in_words(at.since(self.at))),
            (None, None) => String::new(),
        };
        let line = format!(
            "{}  {:<9}  {attempt:<4} {came_to:<12} {took:<9} {}  {}  {}  {then}",
            self.at,
            self.status.as_str(),
            self.event_type,
            self.delivery_id,
            self.subscription_id,
        );
        harmless(line.trim_end()) + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_happened_and_what_comes_next() {
        let line = |more: &str| -> Line {
            let json = format!(
                r#"{{"at":"2026-02-25T12:00:00Z","deliveryId":"dlv_01040g2081040g2081040g2081",
                "eventId":"evt_01040g2081040g2081040g2081","eventType":"order.paid",
                "subscriptionId":"sub_01040g2081040g2081040g2081","origin":"live",{more}}}"#
            );
            serde_json::from_str(&json).expect("an event")
        };
        let retrying = line(
            r#""status":"retrying","attempt":2,"durationMs":12.34,"lastStatus":503,"nextAttemptAt":"2026-02-25T12:00:10Z""#,
        );
        assert_eq!(
            retrying.text(),
            "2026-02-25T12:00:00Z  retrying   #2   503          12 ms     order.paid  \
             dlv_01040g2081040g2081040g2081  sub_01040g2081040g2081040g2081  again in 10 s\n"
        );
        let cancelled = line(r#""status":"cancelled""#);
        assert_eq!(
            cancelled.text(),
            "2026-02-25T12:00:00Z  cancelled  -    -            -         order.paid  \
             dlv_01040g2081040g2081040g2081  sub_01040g2081040g2081040g2081\n"
        );
    }
}
