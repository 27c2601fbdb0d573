//! Owners are told of deliveries that were given up.

use serde_json::json;

use crate::receiver::Receiver;
use crate::world::{World, eventually};

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
