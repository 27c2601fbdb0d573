//! Owners are told of deliveries that were given up.

use std::sync::Arc;
use std::time::Duration;

use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_server::service::Service;
use angarium_store::memory::MemoryStore;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::clock::HandClock;
use crate::credentials::SECRET;
use crate::emails::hand_mails_to;
use crate::mail_server::{MailServer, Manners};
use crate::receiver::Receiver;
use crate::world::{World, eventually, settings};

async fn told(world: &World, to: &str, times: u32) {
    let line = format!("angarium_owner_alerts_total{{to=\"{to}\"}} {times}");
    eventually(|| async {
        let figures = world.nobody().get("/metrics").await.text;
        figures.lines().any(|found| found == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn failures_of_one_subscription_gather_after_the_first() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (owner, other) = (world.owner(), world.person("other", "OWNER"));
    receiver.answer(404);
    owner.subscribe(&receiver, "/one", &["a"]).await;
    owner.subscribe(&receiver, "/two", &["b"]).await;
    owner.publish("a").await;
    owner.deliveries_when("?status=dead", 1).await;
    told(&world, "inbox", 1).await;

    owner.publish("a").await;
    owner.publish("a").await;
    owner.deliveries_when("?status=dead&eventType=a", 3).await;
    owner.publish("b").await;
    owner.deliveries_when("?status=dead&eventType=b", 1).await;
    told(&world, "inbox", 2).await;
    let items = owner.inbox("").await["items"].as_array().expect("items").clone();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["title"], "A delivery to 127.0.0.1 given up");
    assert_eq!(
        (&items[0]["type"], &items[0]["data"]["eventType"]),
        (&json!("email.owner_alert"), &json!("b"))
    );

    other.subscribe(&receiver, "/other", &["*"]).await;
    other.publish("a").await;
    told(&world, "inbox", 3).await;
}

async fn items(client: &Client) -> Vec<Value> {
    client.inbox("").await["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn whoever_asks_for_failures_in_the_inbox_finds_them_there_with_their_count_beside_the_mail() {
    let (store, began_at) = (MemoryStore::new(), SystemClock.now());
    let (server, receiver) = (MailServer::start(Manners::default()).await, Receiver::start().await);
    receiver.answer(404);
    let start = async |after: Duration| {
        let mut settings = settings();
        hand_mails_to(&server, &mut settings);
        let (on, secret) = (Arc::new(store.clone()), SECRET.to_owned().into());
        let clock = Arc::new(HandClock::at(began_at + after));
        let service = Service::start_by(clock, on, &settings, Some(&secret)).await;
        World { service: service.expect("a running service") }
    };
    let world = start(Duration::ZERO).await;
    let owner = world.owner();
    let named = json!({ "email": "owner@example.com" });
    owner.put("/notifications/owner-default-email", &named).await.expect(StatusCode::OK);
    server.arrived_when(1).await;
    owner.subscribe(&receiver, "/one", &["a"]).await;
    owner.subscribe(&receiver, "/two", &["b"]).await;
    owner.publish("a").await;
    // What is told by mail is no item for those who did not ask.
    server.arrived_when(2).await;
    assert!(items(&owner).await.is_empty());

    let wanted = json!({ "inboxEventTypes": ["webhook.delivery.terminal_failure"] });
    owner.put("/notification-settings", &wanted).await.expect(StatusCode::OK);
    owner.publish("b").await;
    server.arrived_when(3).await;
    let first = items(&owner).await;
    assert_eq!(
        (first.len(), &first[0]["type"], &first[0]["title"], &first[0]["data"]["count"]),
        (1, &json!("email.owner_alert"), &json!("A delivery to 127.0.0.1 given up"), &json!(1))
    );
    assert!(!first[0]["body"].as_str().expect("a body").contains("No e-mail address"), "{first:?}");
    for _ in 0..2 {
        owner.publish("b").await;
    }
    owner.deliveries_when("?status=dead&eventType=b", 3).await;
    world.service.stop().await;

    // What gathered is told in the first round after its interval.
    let world = start(Duration::from_mins(15)).await;
    let mails = server.arrived_when(4).await;
    assert!(mails.iter().all(|mail| mail.to == "owner@example.com"), "{mails:?}");
    let both = items(&world.owner()).await;
    assert_eq!(
        (both.len(), &both[0]["type"], &both[0]["title"], &both[0]["data"]["count"]),
        (2, &json!("email.owner_alert"), &json!("2 deliveries to 127.0.0.1 given up"), &json!(2))
    );
}
