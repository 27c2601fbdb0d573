//! The delivery log: what was tried, what came back, and trying again on request.

use http::StatusCode;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::world::{World, id_of};

#[tokio::test]
async fn a_delivery_shows_every_attempt_with_its_reason_and_advice() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["order.paid"]).await;
    receiver.answer(503);
    owner.publish("order.paid").await;
    receiver.received(1).await;
    receiver.answer(200);
    let delivery = owner.deliveries_when("?status=delivered", 1).await.remove(0);
    assert_eq!((delivery["lastStatus"].as_u64(), &delivery["reason"]), (Some(200), &Value::Null));

    let path = format!("/deliveries/{}", delivery["deliveryId"].as_str().expect("an id"));
    let life = owner.get(&path).await.expect(StatusCode::OK).json();
    let attempts = life["attemptLog"].as_array().expect("attempts");
    assert_eq!(life["attempts"].as_u64(), Some(attempts.len() as u64));
    let first = &attempts[0];
    assert_eq!((first["number"].as_u64(), first["status"].as_u64()), (Some(1), Some(503)));
    assert_eq!((first["class"].as_str(), first["delay"]["scheduledMs"].as_u64()), (Some("retry"), Some(50)));
    assert!(first["why"].as_str().is_some_and(|why| why.contains("503")), "{first}");
    assert!(first["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{first}");
    assert!(first["durationMs"].as_f64().is_some_and(|took| took > 0.0), "{first}");
    assert!(first["timing"]["firstByteMs"].is_number(), "{first}");
    assert!(
        first["remoteAddress"].as_str().is_some_and(|address| address.starts_with("127.0.0.1")),
        "{first}"
    );
    let last = attempts.last().expect("a last one");
    assert_eq!((last["class"].as_str(), &last["advice"]), (Some("delivered"), &Value::Null));
}

#[tokio::test]
async fn the_log_is_filtered_by_every_parameter() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/one", &["a"]).await;
    owner.subscribe(&receiver, "/two", &["a", "b"]).await;
    let event_id = owner.publish("a").await;
    owner.publish("b").await;
    owner.deliveries_when("?status=delivered", 3).await;
    for (query, count) in [
        (format!("?subscriptionId={}", id_of(&webhook)), 1),
        (format!("?eventId={event_id}"), 2),
        ("?eventType=b".to_owned(), 1),
        ("?status=dead".to_owned(), 0),
        ("?status=pending".to_owned(), 0),
        ("?since=2020-01-01T00:00:00Z".to_owned(), 3),
        ("?until=2020-01-01T00:00:00Z".to_owned(), 0),
        (format!("?eventId={event_id}&subscriptionId={}", id_of(&webhook)), 1),
    ] {
        assert_eq!(owner.deliveries(&query).await.len(), count, "{query}");
    }
    for (query, code) in [
        ("?status=lost", "invalid_status"),
        ("?eventId=x", "invalid_eventId"),
        ("?since=x", "invalid_since"),
        ("?subscriptionId=evt_1", "invalid_subscriptionId"),
        ("?colour=red", "invalid_colour"),
        ("?since=x&limit=0", "validation_error"),
    ] {
        owner.get(&format!("/deliveries{query}")).await.expect_problem(400, code);
    }
}

#[tokio::test]
async fn a_finished_delivery_is_replayed_under_the_same_event_id() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/old", &["*"]).await;
    let event_id = owner.publish("a").await;
    let original = owner.deliveries_when("?status=delivered", 1).await.remove(0);
    let path = format!("/webhooks/{}", id_of(&webhook));
    owner.patch(&path, &json!({ "endpointUrl": receiver.url("/new") })).await.expect(StatusCode::OK);

    let replay = format!("/deliveries/{}/replay", original["deliveryId"].as_str().expect("an id"));
    let replayed = owner.post(&replay, &json!({ "to": "original" })).await;
    replayed.expect(StatusCode::ACCEPTED);
    assert_eq!(
        (replayed.text_of("eventId"), &replayed.json()["replayOf"]),
        (event_id.clone(), &original["deliveryId"])
    );
    receiver.received(2).await;
    owner.send(http::Method::POST, &replay, "").await.expect(StatusCode::ACCEPTED);
    let arrivals = receiver.received(3).await;
    assert_eq!(arrivals.iter().map(|a| a.path.as_str()).collect::<Vec<_>>(), ["/old", "/old", "/new"]);
    assert!(arrivals.iter().all(|arrival| arrival.header("webhook-id") == event_id));
    assert!(arrivals.iter().all(|arrival| arrival.header("x-arjun-attempt") == "1"));
    owner.post(&replay, &json!({ "to": "elsewhere" })).await.expect_problem(400, "invalid_to");
}

#[tokio::test]
async fn what_is_still_on_its_way_or_has_nowhere_to_go_is_not_replayed() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let path = format!("/webhooks/{}", id_of(&webhook));
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    owner.publish("a").await;
    let held = owner.deliveries_when("?status=held", 1).await.remove(0);
    let replay = format!("/deliveries/{}/replay", held["deliveryId"].as_str().expect("an id"));
    owner.post(&replay, &json!({})).await.expect_problem(409, "conflict");
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    owner.post(&replay, &json!({})).await.expect_problem(409, "conflict");
}
