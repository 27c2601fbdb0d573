//! Dead letters: what was given up, until somebody replays or discards it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::Receiver;
use crate::world::World;

/// Lets one delivery die of a 404 and answers it.
async fn one_dead_letter(owner: &Client, receiver: &Receiver) -> Value {
    owner.subscribe(receiver, "/hook", &["order.paid"]).await;
    receiver.answer(404);
    owner.publish("order.paid").await;
    let mut dead = owner.deliveries_when("?status=dead", 1).await;
    receiver.answer(200);
    dead.remove(0)
}

fn path_of(delivery: &Value) -> String {
    format!("/dead-letters/{}", delivery["deliveryId"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_refused_delivery_is_a_dead_letter_with_its_reason() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let dead = one_dead_letter(&owner, &receiver).await;
    assert_eq!((dead["reason"].as_str(), dead["lastStatus"].as_u64()), (Some("terminal_status"), Some(404)));
    assert!(dead["finishedAt"].is_string() && dead["nextAttemptAt"].is_null(), "{dead}");
    let listed = owner.get("/dead-letters?eventType=order.paid").await.items();
    assert_eq!(listed, std::slice::from_ref(&dead));
    let one = owner.get(&path_of(&dead)).await.expect(StatusCode::OK).json();
    assert_eq!(one["attemptLog"][0]["class"], "terminal");
}

#[tokio::test]
async fn a_death_is_told_to_whoever_subscribed_to_it() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (owner, watcher) = (world.owner(), Receiver::start().await);
    owner.subscribe(&watcher, "/watch", &["webhook.delivery.*"]).await;
    let dead = one_dead_letter(&owner, &receiver).await;
    let told = watcher.received(1).await.remove(0).json();
    assert_eq!(told["type"], "webhook.delivery.terminal_failure");
    assert_eq!(
        (&told["payload"]["deliveryId"], &told["payload"]["lastStatus"]),
        (&dead["deliveryId"], &json!(404))
    );
    owner.expect_described("webhook.delivery.terminal_failure").await;
}

#[tokio::test]
async fn a_discarded_dead_letter_is_off_the_list_and_stays_in_the_log() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let dead = one_dead_letter(&owner, &receiver).await;
    owner.delete(&path_of(&dead)).await.expect(StatusCode::NO_CONTENT);
    owner.delete(&path_of(&dead)).await.expect_problem(404, "not_found");
    owner.get(&path_of(&dead)).await.expect_problem(404, "not_found");
    assert!(owner.get("/dead-letters").await.items().is_empty());
    let logged = owner.deliveries("?eventType=order.paid").await;
    assert!(logged[0]["discardedAt"].is_string(), "{logged:?}");
}

#[tokio::test]
async fn a_replayed_dead_letter_is_off_the_list_and_points_at_its_replay() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let dead = one_dead_letter(&owner, &receiver).await;
    let id = dead["deliveryId"].as_str().expect("an id");
    let replayed = owner.post(&format!("/deliveries/{id}/replay"), &json!({})).await;
    replayed.expect(StatusCode::ACCEPTED);
    owner.deliveries_when("?status=delivered&eventType=order.paid", 1).await;
    assert!(owner.get("/dead-letters").await.items().is_empty());
    let original = owner.get(&format!("/deliveries/{id}")).await.json();
    assert_eq!(original["replayedBy"], replayed.text_of("deliveryId").as_str());
}

#[tokio::test]
async fn what_was_delivered_is_no_dead_letter() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["*"]).await;
    owner.publish("a").await;
    let delivered = owner.deliveries_when("?status=delivered", 1).await.remove(0);
    owner.get(&path_of(&delivered)).await.expect_problem(404, "not_found");
    owner.delete(&path_of(&delivered)).await.expect_problem(404, "not_found");
}
