//! The four receivers of a demo, and what they have seen.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use angarium_domain::ids::{EventId, SubscriptionId};
use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::memory::{Memory, Remembered};
use crate::cli::sink::{Behaviour, RunningSink, Sink, SinkSettings};

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Healthy,
    Flaky,
    Broken,
    Slow,
}

/// One receiver that listens.
pub(super) struct Receiver {
    pub(super) kind: Kind,
    pub(super) sink: RunningSink,
}

/// What the receivers have accepted, read from them bit by bit.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How often a subscription's receiver said yes to an event.
    accepted: HashMap<(SubscriptionId, EventId), u64>,
    /// The last request that was read of each.
    read: HashMap<SubscriptionId, u64>,
    /// Requests that were forgotten before they were read.
    pub(super) missed: u64,
}

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::Healthy, Kind::Flaky, Kind::Broken, Kind::Slow];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Healthy => "healthy",
            Kind::Flaky => "flaky",
            Kind::Broken => "broken",
            Kind::Slow => "slow",
        }
    }

    /// What it does, in words.
    pub(super) fn manner(self) -> &'static str {
        match self {
            Kind::Healthy => "200 at once",
            Kind::Flaky => "503 twice for each event, then 200",
            Kind::Broken => "404",
            Kind::Slow => "200 after 3 s",
        }
    }

    /// What it wants. The healthy one also gets what the service tells of its failures.
    pub(super) fn event_types(self) -> &'static [&'static str] {
        match self {
            Kind::Healthy => &["*"],
            Kind::Flaky => &["order.fulfilled"],
            Kind::Broken => &["campaign.sent"],
            Kind::Slow => &["campaign.*"],
        }
    }

    fn behaviour(self) -> Behaviour {
        let healthy = Behaviour::default();
        match self {
            Kind::Healthy => healthy,
            Kind::Flaky => Behaviour { fail_first: 2, fail_status: 503, ..healthy },
            Kind::Broken => Behaviour { status: 404, ..healthy },
            Kind::Slow => Behaviour { delay: Duration::from_secs(3), ..healthy },
        }
    }
}

/// Starts all receivers, each where it was the last time if that is possible.
pub(super) async fn start(memory: &Memory) -> anyhow::Result<Vec<Receiver>> {
    let mut receivers = Vec::new();
    for kind in Kind::ALL {
        let remembered = memory.receiver(kind);
        let free: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let address = remembered.map_or(free, |receiver| receiver.address);
        let at = |listen| SinkSettings { listen, behaviour: kind.behaviour(), ..SinkSettings::default() };
        let sink = match Sink::start(at(address)).await {
            // Somebody else has its port now.
            Err(_) if address != free => Sink::start(at(free)).await,
            started => started,
        };
        let sink = sink.context("a receiver cannot listen")?;
        if let Some(Remembered { secret, .. }) = remembered {
            sink.trust(secret).context("a remembered secret cannot be used")?;
        }
        receivers.push(Receiver { kind, sink });
    }
    Ok(receivers)
}

impl Receiver {
    /// Where its subscription points.
    pub(super) fn endpoint(&self) -> String {
        format!("{}/{}", self.sink.url(), self.kind.name())
    }
}

impl Seen {
    /// Reads what a receiver has got since the last time.
    pub(super) fn read(&mut self, subscription: SubscriptionId, sink: &RunningSink) {
        let last = self.read.entry(subscription).or_default();
        for record in sink.requests().iter().filter(|record| record.n > *last).collect::<Vec<_>>() {
            self.missed += record.n - *last - 1;
            *last = record.n;
            let event = record.message.header("webhook-id").and_then(|id| id.parse().ok());
            if let (Some(event), Some(200..300)) = (event, record.status) {
                *self.accepted.entry((subscription, event)).or_default() += 1;
            }
        }
    }

    /// Whether the receiver of a subscription said yes to an event.
    pub(super) fn has(&self, subscription: SubscriptionId, event: EventId) -> bool {
        self.accepted.contains_key(&(subscription, event))
    }

    /// How often a receiver said yes to an event that it had accepted before.
    pub(super) fn duplicates(&self) -> u64 {
        self.accepted.values().map(|times| times - 1).sum()
    }

    /// Notes an acceptance by hand.
    #[cfg(test)]
    pub(super) fn note(&mut self, subscription: SubscriptionId, event: EventId) {
        *self.accepted.entry((subscription, event)).or_default() += 1;
    }
}
