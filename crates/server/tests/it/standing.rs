//! How a webhook stands: gone, switched off because its owner asked for it, and back again.

use std::time::Duration;

use angarium_domain::auto_disable::Outage;
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_store::Directory;
use angarium_store::memory::MemoryStore;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of};

fn path_of(webhook: &Value) -> String {
    format!("/webhooks/{}", id_of(webhook))
}

/// Waits until a webhook stands like this, and answers it.
async fn standing(owner: &Client, path: &str, status: &str) -> Value {
    eventually(|| async {
        let webhook = owner.get(path).await.json();
        (webhook["status"] == status).then_some(webhook)
    })
    .await
}

/// A webhook for everything that is told about webhooks, and its receiver.
async fn watcher(owner: &Client) -> Receiver {
    let receiver = Receiver::start().await;
    owner.subscribe(&receiver, "/watch", &["webhook.subscription.*"]).await;
    receiver
}

#[tokio::test]
async fn a_410_marks_a_webhook_as_gone_and_tells_the_others_once() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let watcher = watcher(&owner).await;
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    assert_eq!((&webhook["status"], &webhook["goneAt"]), (&json!("active"), &Value::Null));
    receiver.answer(410);
    let event_id = owner.publish("order.paid").await;
    let gone = standing(&owner, &path_of(&webhook), "gone").await;
    assert!(gone["goneAt"].is_string(), "{gone}");
    let told = watcher.received(1).await.remove(0).json();
    assert_eq!(told["type"], "webhook.subscription.gone");
    let payload = &told["payload"];
    assert_eq!(
        (&payload["subscriptionId"], &payload["eventId"]),
        (&webhook["subscriptionId"], &json!(event_id))
    );
    assert_eq!(payload["endpointHost"], "127.0.0.1");
    assert!(payload["at"].is_string() && payload["deliveryId"].is_string(), "{payload}");

    // Deliveries still go out, and the second 410 is no news.
    owner.publish("order.paid").await;
    owner.deliveries_when("?eventType=order.paid&status=dead", 2).await;
    assert_eq!(owner.get("/events?type=webhook.subscription.gone").await.items().len(), 1);
    let told_to = owner.deliveries("?eventType=webhook.subscription.gone").await;
    assert_eq!(told_to.len(), 1, "the gone one is not told of itself");
    owner.expect_described("webhook.subscription.gone").await;
    assert_ne!(told_to[0]["subscriptionId"], webhook["subscriptionId"]);
}

#[tokio::test]
async fn a_success_resume_or_a_new_address_ends_the_mark() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let path = path_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    let gone = async || {
        receiver.answer(410);
        owner.publish("a").await;
        standing(&owner, &path, "gone").await
    };
    gone().await;
    receiver.answer(204);
    owner.publish("a").await;
    assert_eq!(standing(&owner, &path, "active").await["goneAt"], Value::Null);

    gone().await;
    let resumed = owner.post(&format!("{path}/resume"), &json!({})).await.expect(StatusCode::OK).json();
    assert_eq!((&resumed["status"], &resumed["goneAt"]), (&json!("active"), &Value::Null));

    gone().await;
    let same = owner.patch(&path, &json!({ "endpointUrl": receiver.url("/hook") })).await;
    assert_eq!(same.expect(StatusCode::OK).text_of("status"), "gone");
    let moved = owner.patch(&path, &json!({ "endpointUrl": receiver.url("/new") })).await;
    assert_eq!(moved.expect(StatusCode::OK).text_of("status"), "active");
}

#[tokio::test]
async fn two_that_are_told_of_each_other_and_are_both_gone_do_not_go_on_for_ever() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    receiver.answer(410);
    let webhooks = [
        owner.subscribe(&receiver, "/a", &["*"]).await,
        owner.subscribe(&receiver, "/b", &["webhook.*"]).await,
    ];
    owner.publish("order.paid").await;
    for webhook in &webhooks {
        standing(&owner, &path_of(webhook), "gone").await;
    }
    eventually(|| async {
        let unfinished = owner.deliveries("").await.into_iter().any(|delivery| delivery["status"] != "dead");
        (!unfinished).then_some(())
    })
    .await;
    // The second one is gone by what it answered to a notice of ours, of which nothing is told.
    assert_eq!(owner.get("/events?type=webhook.subscription.gone").await.items().len(), 1);
}

#[tokio::test]
async fn whoever_asked_for_it_is_switched_off_by_a_410_and_loses_nothing() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let watcher = watcher(&owner).await;
    let wish = json!({ "endpointUrl": receiver.url("/hook"), "eventTypes": ["a"], "autoDisable": true });
    let webhook = owner.subscribe_with(&wish).await;
    assert_eq!(webhook["autoDisable"], json!({ "afterHours": 120 }));
    let path = path_of(&webhook);
    receiver.answer(410);
    owner.publish("a").await;
    let off = standing(&owner, &path, "disabled").await;
    assert_eq!(off["disabledReason"], "gone");
    assert!(off["disabledAt"].is_string() && off["goneAt"].is_string(), "{off}");
    let mut told: Vec<_> = watcher.received(2).await.iter().map(|a| a.json()["type"].clone()).collect();
    told.sort_by_key(Value::to_string);
    assert_eq!(told, ["webhook.subscription.disabled", "webhook.subscription.gone"]);

    receiver.answer(200);
    let count = receiver.count();
    let held = owner.publish("a").await;
    assert_eq!(owner.deliveries_when("?status=held", 1).await[0]["eventId"], json!(held));
    assert_eq!(receiver.count(), count);
    let resumed = owner.post(&format!("{path}/resume"), &json!({})).await.expect(StatusCode::OK).json();
    assert_eq!((&resumed["status"], &resumed["disabledAt"]), (&json!("active"), &Value::Null));
    let arrival = receiver.received(count + 1).await.remove(count);
    assert_eq!(arrival.header("webhook-id"), held);
}

/// The outage that is noted of the one webhook of `acme` that has any.
async fn outage(store: &MemoryStore) -> Option<Outage> {
    store.outages().await.expect("it reads").first().map(|(_, _, outage)| *outage)
}

#[tokio::test]
async fn an_outage_is_counted_over_restarts_warns_and_then_switches_off() {
    let (store, receiver) = (MemoryStore::new(), Receiver::start().await);
    let world = World::on(&store).await;
    let watched = watcher(&world.owner()).await;
    let wish = json!({
        "endpointUrl": receiver.url("/hook"), "eventTypes": ["a"], "autoDisable": { "afterHours": 10 },
        "retryPolicy": { "delaysSeconds": [], "retryOn": "any_failure" },
    });
    let webhook = world.owner().subscribe_with(&wish).await;
    let (path, id): (_, SubscriptionId) = (path_of(&webhook), id_of(&webhook).parse().expect("an id"));
    receiver.answer(500);
    world.owner().publish("a").await;
    let begun = eventually(|| outage(&store)).await;
    assert_eq!(begun.warned_at, None);
    assert_eq!(world.owner().get(&path).await.json()["failingSince"], json!(begun.since));
    world.service.stop().await;

    // As if this had been six hours ago: the owner is told, once.
    let ago = |hours| SystemClock.now().saturating_sub(Duration::from_hours(hours));
    let acme: Handle = "acme".parse().expect("a handle");
    let since = ago(6);
    store.note_outage(&acme, id, Some(Outage { since, warned_at: None })).await.expect("it writes");
    let world = World::on(&store).await;
    assert_eq!(world.owner().get(&path).await.json()["failingSince"], json!(since));
    for _ in 0..2 {
        world.owner().publish("a").await;
    }
    world.owner().deliveries_when("?eventType=a&status=dead", 3).await;
    let warning = watched.received(1).await.remove(0).json();
    assert_eq!(warning["type"], "webhook.subscription.failing");
    assert_eq!(warning["payload"]["failingSince"], json!(since));
    assert_eq!(warning["payload"]["lastStatus"], 500);
    assert_eq!(world.owner().get("/events?type=webhook.subscription.failing").await.items().len(), 1);
    assert_eq!(world.owner().get(&path).await.text_of("status"), "active");
    let warned = eventually(|| async { outage(&store).await.filter(|o| o.warned_at.is_some()) }).await;
    let ends: Timestamp = warning["payload"]["disablesAt"].as_str().expect("a time").parse().expect("a time");
    assert_eq!(ends, warned.warned_at.expect("it was told") + Duration::from_hours(5));
    world.service.stop().await;

    // And as if the warning were five hours old.
    let over = Outage { since: ago(11), warned_at: Some(ago(5)) };
    store.note_outage(&acme, id, Some(over)).await.expect("it writes");
    let world = World::on(&store).await;
    world.owner().publish("a").await;
    let off = standing(&world.owner(), &path, "disabled").await;
    assert_eq!((&off["disabledReason"], &off["goneAt"]), (&json!("failing"), &Value::Null));
    let told = watched.received(2).await.remove(1).json();
    assert_eq!(
        (&told["type"], &told["payload"]["reason"]),
        (&json!("webhook.subscription.disabled"), &json!("failing"))
    );
    assert_eq!(told["payload"]["failingSince"], json!(over.since));
    for event_type in ["webhook.subscription.failing", "webhook.subscription.disabled"] {
        world.owner().expect_described(event_type).await;
    }
    eventually(|| async { outage(&store).await.is_none().then_some(()) }).await;
}

#[tokio::test]
async fn a_success_ends_an_outage_and_so_does_its_owner() {
    let (store, receiver) = (MemoryStore::new(), Receiver::start().await);
    let world = World::on(&store).await;
    let owner = world.owner();
    let wish = json!({
        "endpointUrl": receiver.url("/hook"), "eventTypes": ["a"], "autoDisable": { "afterHours": 1 },
        "retryPolicy": { "delaysSeconds": [], "retryOn": "any_failure" },
    });
    let path = path_of(&owner.subscribe_with(&wish).await);
    let fail = async || {
        receiver.answer(503);
        owner.publish("a").await;
        eventually(|| outage(&store)).await
    };
    let ended = || eventually(|| async { outage(&store).await.is_none().then_some(()) });
    fail().await;
    receiver.answer(200);
    owner.publish("a").await;
    ended().await;
    assert_eq!(owner.get(&path).await.json()["failingSince"], Value::Null);

    fail().await;
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    ended().await;
    owner.post(&format!("{path}/resume"), &json!({})).await.expect(StatusCode::OK);

    fail().await;
    owner.patch(&path, &json!({ "endpointUrl": receiver.url("/new") })).await.expect(StatusCode::OK);
    ended().await;

    fail().await;
    let never = owner.patch(&path, &json!({ "autoDisable": false })).await.expect(StatusCode::OK).json();
    assert_eq!(never["autoDisable"], Value::Null);
    ended().await;
}

#[tokio::test]
async fn nobody_is_counted_or_switched_off_who_did_not_ask() {
    let (store, receiver) = (MemoryStore::new(), Receiver::start().await);
    let world = World::on(&store).await;
    let owner = world.owner();
    let path = path_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    receiver.answer(404);
    owner.publish("a").await;
    owner.deliveries_when("?eventType=a&status=dead", 1).await;
    assert_eq!(outage(&store).await, None);
    let webhook = owner.get(&path).await.json();
    assert_eq!((&webhook["status"], &webhook["autoDisable"]), (&json!("active"), &Value::Null));
}
