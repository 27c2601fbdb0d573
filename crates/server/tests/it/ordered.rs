//! Ordered subscriptions: what waits for what, and what becomes of a long backlog.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::{Arrival, Receiver};
use crate::world::{World, id_of};

/// A subscription that stays in order, and repeats every 600 ms what is refused.
async fn subscribe_in_order(owner: &Client, receiver: &Receiver) -> Value {
    let retry_policy = json!({ "delaysSeconds": vec![60; 10] });
    let body = json!({ "endpointUrl": receiver.url("/hook"), "eventTypes": ["a"], "ordered": true,
        "retryPolicy": retry_policy });
    owner.subscribe_with(&body).await
}

async fn publish(owner: &Client, key: Option<&str>, name: &str) {
    let mut event = json!({ "type": "a", "payload": { "name": name } });
    if let Some(key) = key {
        event["orderingKey"] = key.into();
    }
    owner.post("/events", &event).await.expect(StatusCode::ACCEPTED);
}

fn names(arrivals: &[Arrival]) -> Vec<String> {
    let name = |arrival: &Arrival| arrival.json()["payload"]["name"].as_str().expect("a name").to_owned();
    arrivals.iter().map(name).collect()
}

#[tokio::test]
async fn a_key_waits_behind_its_failing_head_and_other_keys_pass_by() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    subscribe_in_order(&owner, &receiver).await;
    receiver.refuse(Some("stuck-1"));
    for (key, name) in [
        (Some("s"), "stuck-1"),
        (Some("s"), "stuck-2"),
        (Some("f"), "free-1"),
        (None, "keyless-1"),
        (Some("f"), "free-2"),
        (None, "keyless-2"),
        (Some("s"), "stuck-3"),
    ] {
        publish(&owner, key, name).await;
    }
    owner.deliveries_when("?status=delivered", 4).await;
    for waiting in owner.deliveries_when("?status=pending", 2).await {
        assert_eq!((&waiting["attempts"], &waiting["nextAttemptAt"]), (&json!(0), &Value::Null));
    }
    receiver.refuse(None);
    owner.deliveries_when("?status=delivered", 7).await;

    let names = names(&receiver.received(8).await);
    let of = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).collect::<Vec<_>>();
    assert_eq!(of("free"), ["free-1", "free-2"]);
    assert_eq!(of("keyless"), ["keyless-1", "keyless-2"]);
    let stuck = of("stuck");
    assert_eq!(stuck[stuck.len() - 2..], ["stuck-2", "stuck-3"]);
    assert!(stuck[..stuck.len() - 2].iter().all(|name| *name == "stuck-1"), "{stuck:?}");
}

#[tokio::test]
async fn a_head_that_is_given_up_lets_the_next_one_go_and_its_replay_comes_last() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    subscribe_in_order(&owner, &receiver).await;
    receiver.answer(404);
    publish(&owner, Some("k"), "first").await;
    let dead = owner.deliveries_when("?status=dead", 1).await.remove(0);
    receiver.answer(204);
    receiver.refuse(Some("second"));
    publish(&owner, Some("k"), "second").await;
    publish(&owner, Some("k"), "third").await;
    receiver.received(2).await;
    let replay = format!("/deliveries/{}/replay", dead["deliveryId"].as_str().expect("an id"));
    owner.post(&replay, &json!({})).await.expect(StatusCode::ACCEPTED);
    receiver.refuse(None);
    owner.deliveries_when("?status=delivered", 3).await;
    let mut names = names(&receiver.received(4).await);
    names.dedup();
    assert_eq!(names, ["first", "second", "third", "first"]);
}

#[tokio::test]
async fn a_backlog_of_a_removed_subscription_is_cancelled_to_the_last_and_nothing_of_it_is_sent() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = subscribe_in_order(&owner, &receiver).await;
    let path = format!("/webhooks/{}", id_of(&webhook));
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    let events: Vec<_> =
        (0..100).map(|n| json!({ "type": "a", "payload": {}, "orderingKey": (n % 7).to_string() })).collect();
    for _ in 0..15 {
        owner.post("/events/batch", &json!({ "events": events })).await.expect(StatusCode::ACCEPTED);
    }
    assert_eq!(owner.deliveries("?status=held&limit=1").await.len(), 1);
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    owner.deliveries_when("?status=pending", 0).await;
    assert_eq!(owner.deliveries("?status=cancelled&limit=1").await.len(), 1);
    assert_eq!(receiver.count(), 0);
}
