//! Owners are told of deliveries that were given up.

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
    told(&world, "nobody", 1).await;

    owner.publish("a").await;
    owner.publish("a").await;
    owner.deliveries_when("?status=dead&eventType=a", 3).await;
    owner.publish("b").await;
    owner.deliveries_when("?status=dead&eventType=b", 1).await;
    told(&world, "nobody", 2).await;

    other.subscribe(&receiver, "/other", &["*"]).await;
    other.publish("a").await;
    told(&world, "nobody", 3).await;
}
