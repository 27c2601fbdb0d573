//! `angarium deliveries`: the delivery log, and the whole life of one delivery.

mod page;

use angarium_domain::delivery::Status;
use angarium_domain::ids::DeliveryId;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use clap::Args;

use crate::cli::answers::{Delivery, DeliveryLife, word};
use crate::cli::client::ConnectionArgs;
use crate::cli::filter::{FilterArgs, parameters};
use crate::cli::span::in_words;
use crate::cli::table::{Table, show};

pub(crate) use page::page;

/// Show deliveries, newest first; with an id, all that is known about one
#[derive(Debug, Args)]
pub(crate) struct DeliveriesArgs {
    /// Which delivery: dlv_…; a list of them if not given
    #[arg(conflicts_with_all = ["status", "subscription", "event", "event_type", "since", "until", "limit"])]
    delivery_id: Option<DeliveryId>,
    /// pending, `in_flight`, retrying, delivered, dead, cancelled or held
    #[arg(long, value_name = "STATUS", value_parser = word::<Status>)]
    status: Option<Status>,
    #[command(flatten)]
    filter: FilterArgs,
    /// The most lines
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub(crate) async fn run(args: DeliveriesArgs) -> anyhow::Result<()> {
    let client = args.connection.client()?;
    let now = SystemClock.now();
    if let Some(id) = args.delivery_id {
        let life: DeliveryLife = client.get(&format!("/deliveries/{id}")).await?;
        show(&page(&life, now));
        return Ok(());
    }
    let filter = args.filter.conditions(args.status, now);
    let deliveries = client.list("/deliveries", &parameters(&filter), args.limit).await?;
    show(&listed(&deliveries, now));
    Ok(())
}

/// The lines of a list.
pub(crate) fn listed(deliveries: &[Delivery], now: Timestamp) -> String {
    if deliveries.is_empty() {
        return "no delivery matches\n".to_owned();
    }
    let mut table = Table::with_headings(&[
        "MADE",
        "DELIVERY",
        "TYPE",
        "SUBSCRIPTION",
        "STATUS",
        "TRIES",
        "LAST",
        "THEN",
    ]);
    for delivery in deliveries {
        table.row([
            delivery.created_at.to_string(),
            delivery.delivery_id.to_string(),
            delivery.event_type.to_string(),
            delivery.subscription_id.to_string(),
            delivery.status.as_str().to_owned(),
            delivery.attempts.to_string(),
            delivery.last_answer().unwrap_or_else(|| "-".to_owned()),
            what_then(delivery, now),
        ]);
    }
    table.text()
}

/// What follows, or what it ended with.
fn what_then(delivery: &Delivery, now: Timestamp) -> String {
    match (delivery.reason, delivery.next_attempt_at) {
        (Some(reason), _) => reason.as_str().to_owned(),
        (None, Some(at)) if at > now => format!("in {}", in_words(at.since(now))),
        (None, Some(_)) => "due".to_owned(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_what_comes_next_and_what_it_ended_with() {
        let noon: Timestamp = "2026-02-25T12:00:00Z".parse().expect("a time");
        let delivery = |status, more: serde_json::Value| -> Delivery {
            let mut fields = serde_json::json!({
                "deliveryId": DeliveryId::from_bytes([1; 16]), "eventId": "evt_01040g2081040g2081040g2081",
                "eventType": "order.paid", "subscriptionId": "sub_01040g2081040g2081040g2081", "status": status,
                "origin": "live", "attempts": 1, "createdAt": noon, "lastStatus": 503,
            });
            fields.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            serde_json::from_value(fields).expect("a delivery")
        };
        let deliveries = [
            delivery("retrying", serde_json::json!({ "nextAttemptAt": "2026-02-25T12:00:05Z" })),
            delivery("dead", serde_json::json!({ "reason": "terminal_status", "lastStatus": 404 })),
            delivery(
                "pending",
                serde_json::json!({ "nextAttemptAt": noon, "lastStatus": null, "attempts": 0 }),
            ),
        ];
        let expected = "\
MADE                  DELIVERY                        TYPE        SUBSCRIPTION                    STATUS    TRIES  LAST  THEN
2026-02-25T12:00:00Z  dlv_01040g2081040g2081040g2081  order.paid  sub_01040g2081040g2081040g2081  retrying  1      503   in 5 s
2026-02-25T12:00:00Z  dlv_01040g2081040g2081040g2081  order.paid  sub_01040g2081040g2081040g2081  dead      1      404   terminal_status
2026-02-25T12:00:00Z  dlv_01040g2081040g2081040g2081  order.paid  sub_01040g2081040g2081040g2081  pending   0      -     due
";
        assert_eq!(listed(&deliveries, noon), expected);
        assert_eq!(listed(&[], noon), "no delivery matches\n");
    }
}
