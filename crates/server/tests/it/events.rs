//! Publishing events and reading them.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use http::StatusCode;
use serde_json::json;

use crate::receiver::Receiver;
use crate::world::{World, id_of};

#[tokio::test]
async fn a_published_event_arrives_signed_and_byte_for_byte() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["order.*"]).await;
    let payload = r#"{ "total": 1.50, "b":1,"a":[ 1e2 ],"b":2 }"#;
    let body = format!(r#"{{"type":"order.paid","occurredAt":"2026-02-25T12:00:00Z","payload":{payload}}}"#);
    let published = owner.send(http::Method::POST, "/events", body).await;
    let event_id = published.expect(StatusCode::ACCEPTED).text_of("eventId");
    assert_eq!(published.json()["deliveries"], 1);
    assert_eq!(Some(published.text_of("requestId").as_str()), published.header("x-request-id"));

    let arrival = receiver.received(1).await.remove(0);
    assert_eq!(arrival.path, "/hook");
    let expected = format!(
        r#"{{"id":"{event_id}","type":"order.paid","handle":"acme","occurredAt":"2026-02-25T12:00:00Z","payload":{payload}}}"#
    );
    assert_eq!(arrival.body, expected.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, webhook["secret"].as_str().expect("a secret").as_bytes());
    let signature = format!("sha256={}", HEXLOWER.encode(hmac::sign(&key, &arrival.body).as_ref()));
    assert_eq!(arrival.header("x-arjun-signature"), signature);
    assert_eq!(
        (arrival.header("x-arjun-event-type"), arrival.header("x-arjun-attempt")),
        ("order.paid", "1")
    );
    assert_eq!(arrival.header("webhook-id"), event_id);
}

#[tokio::test]
async fn an_event_shows_what_became_of_each_delivery() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let event_id = owner.publish("order.paid").await;
    owner.deliveries_when("?status=delivered", 1).await;

    let event = owner.get(&format!("/events/{event_id}")).await.expect(StatusCode::OK).json();
    assert_eq!((event["type"].as_str(), event["origin"].as_str()), (Some("order.paid"), Some("live")));
    assert_eq!(event["payload"], json!({ "n": 1 }));
    assert_eq!(event["deliveries"][0]["subscriptionId"], id_of(&webhook).as_str());
    assert_eq!(event["deliveries"][0]["status"], "delivered");
    let listed = owner.get("/events?type=order.paid").await.items();
    assert_eq!(listed[0]["eventId"], event_id.as_str());
    assert!(owner.get("/events?type=order.sent").await.items().is_empty());
}

#[tokio::test]
async fn an_event_that_nobody_wants_is_recorded_too() {
    let world = World::start().await;
    let answer = world.owner().post("/events", &json!({ "type": "a.b", "payload": {} })).await;
    assert_eq!(answer.expect(StatusCode::ACCEPTED).json()["deliveries"], 0);
    let event = world.owner().get(&format!("/events/{}", answer.text_of("eventId"))).await;
    assert_eq!(event.expect(StatusCode::OK).json()["deliveries"], json!([]));
}

#[tokio::test]
async fn an_event_that_is_not_valid_is_refused_with_the_field_at_fault() {
    let owner = World::start().await;
    let owner = owner.owner();
    let deep = format!("{}{}", "{\"a\":".repeat(65), "1") + &"}".repeat(65);
    for (body, code) in [
        ("", "invalid_payload"),
        ("nonsense", "invalid_payload"),
        ("[]", "invalid_payload"),
        ("{\"type\":\"a\",\"payload\":{\"n\":NaN}}", "invalid_payload"),
        (r#"{"type":"a"}"#, "invalid_payload"),
        (r#"{"type":"a","payload":[]}"#, "invalid_payload"),
        (r#"{"type":"a","payload":"x"}"#, "invalid_payload"),
        (r#"{"type":"a","payload":null}"#, "invalid_payload"),
        (&format!(r#"{{"type":"a","payload":{deep}}}"#), "invalid_payload"),
        (r#"{"type":"a","payload":{"a":"\ud800"}}"#, "invalid_payload"),
        (r#"{"payload":{}}"#, "invalid_type"),
        (r#"{"type":"a b","payload":{}}"#, "invalid_type"),
        (r#"{"type":"../a","payload":{}}"#, "invalid_type"),
        (r#"{"type":7,"payload":{}}"#, "invalid_type"),
        (r#"{"type":"a","payload":{},"occurredAt":"yesterday"}"#, "invalid_occurredAt"),
        (r#"{"type":"a","payload":{},"orderingKey":""}"#, "invalid_orderingKey"),
        (r#"{"type":"a","payload":{},"color":1}"#, "invalid_color"),
        (r#"{"payload":{},"color":1}"#, "validation_error"),
    ] {
        let answer = owner.send(http::Method::POST, "/events", body.to_owned()).await;
        answer.expect_problem(400, code);
    }
    assert!(owner.get("/events").await.items().is_empty());
}

#[tokio::test]
async fn a_payload_beyond_the_limit_is_refused_by_its_size() {
    let world = World::with(|settings| settings.limits.payload_bytes_max = 1024).await;
    let payload = |bytes: usize| json!({ "type": "a", "payload": { "x": "y".repeat(bytes - 8) } });
    world.owner().post("/events", &payload(1024)).await.expect(StatusCode::ACCEPTED);
    world.owner().post("/events", &payload(1025)).await.expect_problem(413, "payload_too_large");
}
