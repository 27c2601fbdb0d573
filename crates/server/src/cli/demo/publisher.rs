//! Orders and campaigns of a shop that sells ghararts, one event after the other.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::cli::answers::Accepted;
use crate::cli::client::Client;

/// An event that was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    pub(super) event_type: &'static str,
    pub(super) accepted: Accepted,
}

/// Publishes events through the API.
pub(super) struct Publisher {
    client: Client,
    events: u64,
    rate: Option<u32>,
}

impl Publisher {
    /// A publisher of so many events, so many a second.
    pub(super) fn new(client: Client, events: u64, rate: Option<u32>) -> Publisher {
        Publisher { client, events, rate }
    }

    /// Publishes until all are accepted or `stop` is called, and tells of each.
    pub(super) async fn run(self, told: Sender<Published>, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut pace = self.rate.map(|rate| interval(Duration::from_secs(1) / rate));
        if let Some(pace) = &mut pace {
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        for number in 0..self.events {
            if let Some(pace) = &mut pace {
                stop.run_until_cancelled(pace.tick()).await;
            }
            if stop.is_cancelled() {
                break;
            }
            let published = self.publish(number).await?;
            told.send(published).await.context("nobody listens any more")?;
        }
        Ok(())
    }

    async fn publish(&self, number: u64) -> anyhow::Result<Published> {
        let (event_type, payload) = event(number);
        let accepted =
            self.client.post("/events", &json!({ "type": event_type, "payload": payload })).await?;
        Ok(Published { event_type, accepted })
    }
}

/// The events, in turn.
fn event(number: u64) -> (&'static str, Value) {
    let order = format!("ord_{:05}", number / 4);
    let campaign = format!("cmp_{:05}", number / 4);
    match number % 4 {
        0 => ("order.created", json!({ "orderId": order, "total": "49.90", "currency": "EUR", "items": 2 })),
        1 => (
            "campaign.sent",
            json!({ "campaignId": campaign, "audience": "returning customers", "recipients": 1_200 }),
        ),
        2 => ("order.fulfilled", json!({ "orderId": order, "carrier": "post", "parcels": 1 })),
        _ => ("campaign.opened", json!({ "campaignId": campaign, "opens": 87 })),
    }
}
