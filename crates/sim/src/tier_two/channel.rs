//! A channel that ends at simulated receivers, and writes down what they see.

use std::sync::Arc;
use std::time::Duration;

use angarium_channels::{Channel, RefusedAddress, Request};
use angarium_domain::attempt::{Exchange, Timing};
use angarium_domain::ids::{EventId, SubscriptionId};
use angarium_domain::outcome::{Failure, Outcome};
use angarium_domain::subscription::EndpointUrl;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_verify::header_in;
use async_trait::async_trait;

use super::Lie;
use super::stage::Stage;
use crate::evidence::{End, Seen, Send};
use crate::receivers::Reaction;

const HOST: &str = "https://receivers.example/";

/// The address of a receiver; the version tells old addresses from new ones.
pub(super) fn url_of(receiver: usize, version: usize) -> String {
    format!("{HOST}{receiver}/v{version}")
}

fn receiver_at(url: &str) -> Option<usize> {
    url.strip_prefix(HOST)?.split('/').next()?.parse().ok()
}

pub(super) struct SimChannel {
    pub(super) stage: Stage,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Channel for SimChannel {
    async fn check_address(&self, url: &str) -> Result<EndpointUrl, RefusedAddress> {
        Ok(EndpointUrl::vetted(url))
    }

    async fn send(&self, request: Request, deadline: Duration) -> Exchange {
        self.stage.alive().await;
        let endpoint = request.url.without_query().to_owned();
        let (number, reaction) = self.arrive(request, deadline);
        let under_way = UnderWay { channel: self, number };
        tokio::time::sleep(reaction.after).await;
        self.stage.alive().await;
        drop(under_way);
        let outcome = self.leave(number, reaction.outcome);
        let timing = Timing { total_us: reaction.after.as_micros() as u64, ..Timing::default() };
        Exchange { outcome, timing, detail: None, ..Exchange::failed(Failure::InternalError, &endpoint, "") }
    }

    /// Nobody in these worlds asks receivers for their consent.
    async fn ask(&self, request: Request, _deadline: Duration) -> Exchange {
        let endpoint = request.url.without_query();
        Exchange::failed(Failure::InternalError, endpoint, "these receivers answer no questions")
    }

    fn origin(&self) -> &'static str {
        "sender.example"
    }
}

/// A request whose sender may hang up.
struct UnderWay<'a> {
    channel: &'a SimChannel,
    number: usize,
}

impl Drop for UnderWay<'_> {
    /// The end of the process is noted by whoever ends it; everything else that ends a request early
    /// is a drain.
    fn drop(&mut self) {
        if !self.channel.stage.is_dead() {
            let at = self.channel.clock.now();
            self.channel.stage.ledgers().sends[self.number].1.end = End::CutShort { at };
        }
    }
}

impl SimChannel {
    /// A receiver sees the request, and makes up its mind.
    fn arrive(&self, request: Request, deadline: Duration) -> (usize, Reaction) {
        let now = self.clock.now();
        let url = request.url.as_str().to_owned();
        let receiver = receiver_at(&url).expect("every address is one of ours");
        let mut ledgers = self.stage.ledgers();
        let url = if ledgers.lie == Some(Lie::KeepAddress) { url_of(receiver, 0) } else { url };
        let behaviour = ledgers.receivers[receiver].behaviour;
        let reaction = behaviour.react(&mut ledgers.chance, now, deadline);
        let send = as_seen(ledgers.life, request, url, now, ledgers.lie);
        let attempt = send.attempt.unwrap_or_default();
        ledgers
            .story
            .tell(now, format_args!("{} reached receiver {receiver}, attempt {attempt}", send.event_id));
        if ledgers.lie == Some(Lie::SendTwice) {
            ledgers.sends.push((receiver, send.clone()));
        }
        ledgers.sends.push((receiver, send));
        (ledgers.sends.len() - 1, reaction)
    }

    fn leave(&self, number: usize, outcome: Outcome) -> Outcome {
        let now = self.clock.now();
        let mut ledgers = self.stage.ledgers();
        let event = ledgers.sends[number].1.event_id;
        ledgers.story.tell(now, format_args!("{event} answered {outcome}"));
        ledgers.sends[number].1.end = End::Answered { at: now, outcome };
        match (ledgers.lie, outcome) {
            (Some(Lie::Mistell), Outcome::Answered { status: 500.., .. }) => {
                Outcome::Answered { status: 200, retry_after_seconds: None }
            }
            _ => outcome,
        }
    }
}

fn as_seen(life: u32, request: Request, url: String, now: Timestamp, told_wrong: Option<Lie>) -> Send {
    let body = if told_wrong == Some(Lie::ChangeBody) { b"{}".to_vec() } else { request.body.to_vec() };
    let contents = Seen { url, headers: request.headers, body };
    let event_id: Option<EventId> =
        header_in(&contents.headers, "webhook-id").and_then(|text| text.parse().ok());
    let attempt = header_in(&contents.headers, "x-arjun-attempt").and_then(|text| text.parse().ok());
    Send {
        life,
        // Known when all is told: the address says which receiver, and its owner which lane.
        lane: SubscriptionId::from_bytes([0; 16]),
        event_id: event_id.expect("every request names its event"),
        attempt,
        started_at: now,
        end: End::Killed { at: Timestamp::MAX },
        request: Some(contents),
    }
}
