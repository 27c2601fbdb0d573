//! What goes out by the v1 API: signed deliveries, dead letters, and what a test key does not send.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::{Arrival, Receiver};
use crate::world::{World, eventually};

async fn webhook(organization: &Client, receiver: &Receiver, more: Value) -> Value {
    let mut body = json!({ "name": "x", "url": receiver.url("/hook"), "events": ["*"] });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    organization.post("/webhooks", &body).await.data(201)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Verifies as a receiver does that knows the secret and this API's documentation.
#[track_caller]
fn verify(arrival: &Arrival, secret: &str) {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [arrival.header("x-event-timestamp").as_bytes(), b".", &arrival.body].concat();
    let tag = data_encoding::HEXLOWER.decode(arrival.header("x-event-signature").as_bytes()).expect("hex");
    aws_lc_rs::hmac::verify(&key, &signed, &tag).expect("it is signed with the secret");
}

#[tokio::test]
async fn a_delivery_is_signed_and_shaped_as_this_api_says() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let organization = world.organization().await;
    let made = webhook(&organization, &receiver, json!({})).await;
    let event =
        json!({ "type": "order.paid", "payload": { "n": 1 }, "occurredAt": "2026-02-25T12:00:00.250Z" });
    let accepted = organization.post("/events", &event).await;
    assert_eq!(text(&accepted.data(202)["requestId"]), accepted.header("x-request-id").expect("an id"));
    assert_eq!(accepted.data(202)["deliveries"], 1);

    let arrival = receiver.received(1).await.remove(0);
    let id = text(&accepted.data(202)["eventId"]);
    let expected = format!(
        r#"{{"id":"{id}","type":"order.paid","timestamp":"2026-02-25T12:00:00.250Z","data":{{"n":1}}}}"#
    );
    assert_eq!(arrival.body, expected);
    assert_eq!((arrival.header("x-event-id"), arrival.header("x-event-type")), (id.as_str(), "order.paid"));
    verify(&arrival, &text(&made["secret"]));

    let path = format!("/webhooks/{}/deliveries?status=delivered", text(&made["id"]));
    let delivered = eventually(|| async {
        organization.get(&path).await.data(200)["deliveries"].as_array().expect("a list").first().cloned()
    })
    .await;
    assert_eq!((&delivered["webhookId"], &delivered["eventId"]), (&made["id"], &json!(id)));
    assert_eq!((&delivered["event"], &delivered["attempts"]), (&json!("order.paid"), &json!(1)));
    assert_eq!((&delivered["origin"], &delivered["lastStatus"]), (&json!("live"), &json!(204)));
    let seen = organization.get("/webhooks").await.data(200);
    assert!(seen["webhooks"][0]["lastTriggeredAt"].is_string(), "{seen}");
}

#[tokio::test]
async fn a_secret_of_ones_own_is_taken_as_it_stands() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let organization = world.organization().await;
    let own = "correct-horse-battery-staple";
    let made = webhook(&organization, &receiver, json!({ "secret": own })).await;
    assert_eq!(made["secret"], own);
    let path = format!("/webhooks/{}", text(&made["id"]));
    organization.post(&format!("{path}/test"), &json!({})).await.data(202);
    let arrival = receiver.received(1).await.remove(0);
    verify(&arrival, own);

    let rotated = organization.post(&format!("{path}/rotate-secret"), &json!({ "overlapSeconds": 0 })).await;
    let fresh = text(&rotated.data(200)["secret"]);
    assert!(fresh.starts_with("whsec_") && !organization.get(&path).await.text.contains(&fresh));
    organization.post(&format!("{path}/test"), &json!({})).await.data(202);
    verify(&receiver.received(2).await[1], &fresh);
    let long = json!({ "overlapSeconds": 604_801 });
    let refused = organization.post(&format!("{path}/rotate-secret"), &long).await;
    assert_eq!(refused.expect_refusal(400, "BAD_REQUEST").fields_at_fault(), ["overlapSeconds"]);
}

#[tokio::test]
async fn a_dead_letter_is_listed_and_replayed() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let organization = world.organization().await;
    let made = webhook(&organization, &receiver, json!({ "events": ["order.*"] })).await;
    // The policy of this API repeats every answer; one that gives up at once makes the test short.
    let v2 = format!("/webhooks/{}", text(&made["id"]).replace("wh_", "sub_"));
    world.owner().patch(&v2, &json!({ "retryPolicy": "fast" })).await.expect(StatusCode::OK);
    receiver.answer(404);
    for n in 0..2 {
        organization.post("/events", &json!({ "type": "order.paid", "payload": { "n": n } })).await.data(202);
    }
    world.owner().deliveries_when("?status=dead", 2).await;

    let first = organization.get("/webhooks/dead-letters?limit=1").await.data(200);
    let cursor = text(&first["nextCursor"]);
    let second = organization.get(&format!("/webhooks/dead-letters?limit=1&cursor={cursor}")).await.data(200);
    assert_eq!(second["nextCursor"], Value::Null);
    let dead = &first["deadLetters"][0];
    assert_eq!((&dead["status"], &dead["reason"]), (&json!("dead"), &json!("terminal_status")));
    assert_ne!(dead["id"], second["deadLetters"][0]["id"]);
    let elsewhere = format!("/webhooks/{}/deliveries?cursor={cursor}", text(&made["id"]));
    organization.get(&elsewhere).await.expect_refusal(400, "BAD_REQUEST");

    receiver.answer(200);
    let replayed = organization
        .post(&format!("/webhooks/dead-letters/{}/replay", text(&dead["id"])), &json!({}))
        .await
        .data(202);
    assert_eq!((&replayed["replayOf"], &replayed["eventId"]), (&dead["id"], &dead["eventId"]));
    receiver.received(3).await;
    let left = organization.get("/webhooks/dead-letters").await.data(200);
    assert_eq!(left["deadLetters"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_is_not_finished_is_not_replayed() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let organization = world.organization().await;
    let made = webhook(&organization, &receiver, json!({})).await;
    let path = format!("/webhooks/{}", text(&made["id"]));
    organization.patch(&path, &json!({ "active": false })).await.data(200);
    organization.post("/events", &json!({ "type": "a", "payload": {} })).await.data(202);
    let held = organization.get(&format!("{path}/deliveries")).await.data(200);
    let replay = format!("/webhooks/dead-letters/{}/replay", text(&held["deliveries"][0]["id"]));
    organization.post(&replay, &json!({})).await.expect_refusal(409, "CONFLICT");
}

#[tokio::test]
async fn what_a_test_key_publishes_is_recorded_and_matched_and_never_sent() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let live = world.organization().await;
    let made = webhook(&live, &receiver, json!({})).await;
    let path = format!("/webhooks/{}", text(&made["id"]));
    let sandbox = world.key_holder("acme", "test", &["webhooks:manage", "events:manage"]).await;

    let published =
        sandbox.post("/events", &json!({ "type": "order.paid", "payload": { "n": 1 } })).await.data(202);
    assert_eq!(published["deliveries"], 1);
    let tested = sandbox.post(&format!("{path}/test"), &json!({})).await.data(202);
    let log = sandbox.get(&format!("{path}/deliveries")).await.data(200)["deliveries"].clone();
    assert_eq!(log.as_array().map(Vec::len), Some(2));
    assert_eq!(log[0]["id"], tested["deliveryId"]);
    for delivery in log.as_array().expect("a list") {
        assert_eq!((&delivery["status"], &delivery["origin"]), (&json!("cancelled"), &json!("sandbox")));
        assert_eq!((&delivery["attempts"], &delivery["nextAttemptAt"]), (&json!(0), &Value::Null));
        assert!(delivery["finishedAt"].is_string(), "{delivery}");
        let replay = format!("/webhooks/dead-letters/{}/replay", text(&delivery["id"]));
        live.post(&replay, &json!({})).await.expect_refusal(409, "CONFLICT");
        sandbox.post(&replay, &json!({})).await.expect_refusal(403, "FORBIDDEN");
    }
    let event = world.owner().get(&format!("/events/{}", text(&published["eventId"]))).await.json();
    assert_eq!(
        (&event["origin"], &event["deliveries"][0]["status"]),
        (&json!("sandbox"), &json!("cancelled"))
    );

    // Whatever was to be sent before it has been sent when the live one behind it arrives.
    live.post("/events", &json!({ "type": "order.live", "payload": {} })).await.data(202);
    world.owner().deliveries_when("?status=delivered", 1).await;
    let arrivals = receiver.received(1).await;
    assert_eq!((arrivals.len(), arrivals[0].header("x-event-type")), (1, "order.live"));
}

#[tokio::test]
async fn a_test_key_manages_webhooks_as_a_live_one_does() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let sandbox = world.key_holder("acme", "test", &["webhooks:manage"]).await;
    let made = webhook(&sandbox, &receiver, json!({})).await;
    let live = world.organization().await;
    assert_eq!(live.get("/webhooks").await.data(200)["webhooks"][0]["id"], made["id"]);
    live.post("/events", &json!({ "type": "a", "payload": {} })).await.data(202);
    receiver.received(1).await;
}

/// Replays and figures are routes of v2, which names the same webhook in its own words.
#[tokio::test]
async fn a_webhook_of_this_api_gets_what_it_missed_and_is_told_in_figures() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (organization, owner) = (world.organization().await, world.owner());
    let sandbox = world.key_holder("acme", "test", &["events:manage"]).await;
    let event = |n: u32| json!({ "type": "order.paid", "payload": { "n": n } });
    organization.post("/events", &event(1)).await.data(202);
    sandbox.post("/events", &event(2)).await.data(202);
    let made = webhook(&organization, &receiver, json!({})).await;
    let id = text(&made["id"]).replace("wh_", "sub_");

    let filter = json!({ "subscriptionId": id, "since": "2020-01-01T00:00:00Z" });
    let job = owner.post("/replays", &json!({ "filter": filter, "missing": true })).await;
    assert_eq!(job.expect(StatusCode::ACCEPTED).json()["matched"], 1);
    let arrival = receiver.received(1).await.remove(0);
    assert_eq!(arrival.json()["data"], json!({ "n": 1 }));
    verify(&arrival, &text(&made["secret"]));
    let figures = eventually(|| async {
        let figures =
            owner.get(&format!("/webhooks/{id}/stats?window=1h")).await.expect(StatusCode::OK).json();
        (figures["attempts"] == 1).then_some(figures)
    })
    .await;
    assert_eq!((&figures["delivered"], &figures["answers"]), (&json!(1), &json!({ "2xx": 1 })));
    assert_eq!((&figures["successRate"], &figures["backlog"]["scheduled"]), (&json!(1.0), &json!(0)));
}
