//! Events that become items: the inbox as a channel.

use angarium_domain::subscription::Status;
use angarium_store::memory::MemoryStore;
use http::StatusCode;
use serde_json::{Value, json};

use crate::mail_notices::edit;
use crate::receiver::Receiver;
use crate::restart::on_disk;
use crate::stream::Hearing;
use crate::world::{World, eventually};

/// Lets events of these patterns become items of acme's inbox, and answers the settings.
async fn subscribe(world: &World, patterns: &[&str]) -> Value {
    let wanted = json!({ "inboxEventTypes": patterns });
    world.owner().put("/notification-settings", &wanted).await.expect(StatusCode::OK).json()
}

async fn items_when(client: &crate::client::Client, count: usize) -> Vec<Value> {
    eventually(|| async {
        let items = client.inbox("").await["items"].as_array().expect("items").clone();
        (items.len() >= count).then_some(items)
    })
    .await
}

#[tokio::test]
async fn an_event_becomes_an_item_by_a_delivery_of_its_own() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let described = json!({ "description": "An order has left the warehouse" });
    owner.put("/event-types/order.shipped", &described).await.expect(StatusCode::CREATED);
    owner.subscribe(&receiver, "/", &["order.*"]).await;
    subscribe(&world, &["order.shipped", "order.shipped"]).await;
    let mut hearing = Hearing::at(&owner, "/mobile/inbox/stream", None).await;
    hearing.told().await;
    let event = owner.publish("order.shipped").await;
    owner.publish("order.paid").await;
    let (name, heard) = hearing.told().await;
    assert_eq!((name.as_str(), &heard["item"]["title"]), ("item", &json!("Order shipped")));

    let items = items_when(&owner, 1).await;
    assert_eq!(items.len(), 1);
    assert_eq!((&items[0]["type"], &items[0]["data"]), (&json!("order.shipped"), &json!({ "n": 1 })));
    assert_eq!(items[0]["body"], "An order has left the warehouse");
    receiver.received(2).await;
    let deliveries = owner.deliveries_when(&format!("?eventId={event}&status=delivered"), 2).await;
    let digits = |id: &Value| id.as_str().expect("an id").split_once('_').expect("a prefix").1.to_owned();
    let of_inbox: Vec<_> =
        deliveries.iter().filter(|d| digits(&d["deliveryId"]) == digits(&items[0]["itemId"])).collect();
    let id = of_inbox[0]["deliveryId"].as_str().expect("an id");
    let delivery = owner.get(&format!("/deliveries/{id}")).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&delivery["lastStatus"], delivery["attemptLog"].as_array().map(Vec::len)),
        (&Value::Null, Some(1))
    );
    // It is no webhook, to nobody.
    assert_eq!(owner.get("/webhooks").await.json()["webhooks"].as_array().map(Vec::len), Some(1));
    let subscription = delivery["subscriptionId"].as_str().expect("an id");
    owner.get(&format!("/webhooks/{subscription}")).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_large_payload_is_left_out_of_its_item() {
    let world = World::start().await;
    let owner = world.owner();
    subscribe(&world, &["*"]).await;
    let event = json!({ "type": "a.large_one", "payload": { "x": "y".repeat(5_000) } });
    owner.post("/events", &event).await.expect(StatusCode::ACCEPTED);
    let items = items_when(&owner, 1).await;
    assert_eq!((&items[0]["title"], &items[0]["data"]), (&json!("A large one"), &Value::Null));
    assert!(items[0]["body"].as_str().is_some_and(|body| body.contains("too large")), "{items:?}");
}

#[tokio::test]
async fn reading_an_item_makes_no_other_item() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/", &["inbox.*"]).await;
    subscribe(&world, &["*"]).await;
    owner.publish("order.paid").await;
    let items = items_when(&owner, 1).await;
    owner.mark(items[0]["itemId"].as_str().expect("an id"), "read").await.expect(StatusCode::OK);
    receiver.received(1).await;
    owner.publish("order.paid").await;
    let items = items_when(&owner, 2).await;
    assert!(items.iter().all(|item| item["type"] == "order.paid"), "{items:?}");
}

#[tokio::test]
async fn what_becomes_an_item_is_said_anew_or_not_at_all() {
    let world = World::start().await;
    let owner = world.owner();
    let said = subscribe(&world, &["a", "b.*", "a"]).await;
    assert_eq!(said["inboxEventTypes"], json!(["a", "b.*"]));
    assert_eq!(owner.get("/notification-settings").await.json(), said);
    assert_eq!(subscribe(&world, &["c"]).await["inboxEventTypes"], json!(["c"]));
    owner.publish("a").await;
    owner.publish("c").await;
    assert_eq!(items_when(&owner, 1).await[0]["type"], "c");
    assert_eq!(subscribe(&world, &[]).await["inboxEventTypes"], json!([]));
    assert_eq!(subscribe(&world, &[]).await["inboxEventTypes"], json!([]));
    let event = owner.publish("c").await;
    assert!(owner.deliveries(&format!("?eventId={event}")).await.is_empty());
    let acts = owner.get("/audit?action=notifications.changed").await.items();
    assert_eq!(acts.len(), 4);
    let refused = owner.put("/notification-settings", &json!({ "inboxEventTypes": ["not a type"] })).await;
    refused.expect_problem(400, "invalid_inboxEventTypes");
    assert_eq!(owner.inbox("").await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_waits_to_become_an_item_is_cancelled_by_settings_that_do_not_ask_for_it() {
    let store = MemoryStore::new();
    let world = World::on(&store).await;
    subscribe(&world, &["order.*"]).await;
    world.service.stop().await;
    // Nobody can pause an inbox: this lets a delivery to it wait for as long as the test wants.
    edit(&store, |entry| entry.subscription.status = Status::Paused).await;
    let world = World::on(&store).await;
    let owner = world.owner();
    let event = owner.publish("order.paid").await;
    let stands = |status: &str| format!("?eventId={event}&status={status}");
    owner.deliveries_when(&stands("held"), 1).await;
    // A replacement that asks for something else lets it wait on.
    subscribe(&world, &["payment.*"]).await;
    assert_eq!(owner.deliveries(&stands("held")).await.len(), 1);

    let left_out = json!({ "alertIntervalSeconds": 600 });
    let said = owner.put("/notification-settings", &left_out).await.expect(StatusCode::OK).json();
    assert_eq!(said["inboxEventTypes"], json!([]));
    let cancelled = owner.deliveries_when(&stands("cancelled"), 1).await;
    assert_eq!(cancelled[0]["attempts"], 0);
    let later = owner.publish("payment.failed").await;
    assert!(owner.deliveries(&format!("?eventId={later}")).await.is_empty());
    assert_eq!(owner.inbox("").await["items"], json!([]));
}

#[tokio::test]
async fn a_hundred_patterns_are_taken_and_one_more_is_refused() {
    let owner = World::start().await.owner();
    let patterns = |count: usize| (0..count).map(|n| format!("order.n{n}")).collect::<Vec<_>>();
    let put = async |count: usize| {
        let wanted = json!({ "inboxEventTypes": patterns(count) });
        owner.put("/notification-settings", &wanted).await
    };
    let taken = put(100).await.expect(StatusCode::OK).json();
    assert_eq!(taken["inboxEventTypes"], json!(patterns(100)));
    let refused = put(101).await;
    refused.expect_problem(400, "invalid_inboxEventTypes");
    assert!(refused.text.contains("holds 101 patterns"), "{}", refused.text);
    assert_eq!(owner.get("/notification-settings").await.json(), taken);
}

#[tokio::test]
async fn every_event_is_an_item_once_whatever_restarts_in_between() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = on_disk(folder.path());
    let start = async || {
        let service = angarium_server::service::Service::start(&settings).await;
        World { service: service.expect("a running service") }
    };
    let world = start().await;
    subscribe(&world, &["order.*"]).await;
    for _ in 0..30 {
        world.owner().publish("order.paid").await;
    }
    // Some of them may not have been attempted yet.
    world.service.stop().await;
    let world = start().await;
    let owner = world.owner();
    for _ in 0..5 {
        owner.publish("order.paid").await;
    }
    owner.deliveries_when("?status=delivered&limit=100", 35).await;
    let inbox = owner.inbox("?limit=100").await;
    assert_eq!(inbox["items"].as_array().map(Vec::len), Some(35));
    assert_eq!(inbox["unreadCount"], 35);
    world.service.stop().await;
}
