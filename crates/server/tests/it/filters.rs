//! Filters: which payloads a webhook gets, and trying a filter before it has one.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::Receiver;
use crate::world::{World, id_of};

const MANUAL: &str = include_str!("../../../../docs/filters.md");

async fn publish(owner: &Client, payload: &Value) -> Value {
    let answer = owner.post("/events", &json!({ "type": "order.paid", "payload": payload })).await;
    answer.expect(StatusCode::ACCEPTED).json()["deliveries"].clone()
}

#[tokio::test]
async fn a_webhook_gets_the_payloads_that_its_filter_wants() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let filter = json!({ "total": { "gte": 100 }, "lines": { "any": { "sku": { "prefix": "A" } } } });
    let wish = json!({ "endpointUrl": receiver.url("/big"), "eventTypes": ["order.*"], "filter": filter });
    let webhook = owner.subscribe_with(&wish).await;
    assert_eq!(webhook["filter"], filter);
    owner.subscribe(&receiver, "/all", &["order.*"]).await;

    let wanted = json!({ "total": 100.0, "lines": [{ "sku": "B1" }, { "sku": "A7" }] });
    assert_eq!(publish(&owner, &wanted).await, 2);
    assert_eq!(publish(&owner, &json!({ "total": 99, "lines": [{ "sku": "A7" }] })).await, 1);
    assert_eq!(publish(&owner, &json!({ "lines": "A7" })).await, 1);
    let mut paths: Vec<_> = receiver.received(4).await.into_iter().map(|arrival| arrival.path).collect();
    paths.sort();
    assert_eq!(paths, ["/all", "/all", "/all", "/big"]);

    let path = format!("/webhooks/{}", id_of(&webhook));
    assert_eq!(owner.get(&path).await.json()["filter"], filter);
    assert_eq!(owner.get("/webhooks").await.json()["webhooks"][1]["filter"], filter);
}

#[tokio::test]
async fn a_batch_is_filtered_event_by_event() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let wish =
        json!({ "endpointUrl": receiver.url("/hook"), "eventTypes": ["a"], "filter": { "n": { "gt": 1 } } });
    owner.subscribe_with(&wish).await;
    let events: Vec<_> = (0..4).map(|n| json!({ "type": "a", "payload": { "n": n } })).collect();
    let answer = owner.post("/events/batch", &json!({ "events": events })).await;
    let answers = answer.expect(StatusCode::ACCEPTED).json();
    let deliveries: Vec<_> = answers["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| event["deliveries"].clone())
        .collect();
    assert_eq!(deliveries, [0, 0, 1, 1]);
}

#[tokio::test]
async fn a_patch_sets_a_filter_and_null_clears_it() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let path = format!("/webhooks/{}", id_of(&owner.subscribe(&receiver, "/hook", &["*"]).await));
    assert_eq!(publish(&owner, &json!({ "n": 1 })).await, 1);
    let set = owner.patch(&path, &json!({ "filter": { "n": { "in": [2, 3] } } })).await;
    assert_eq!(set.expect(StatusCode::OK).json()["filter"], json!({ "n": { "in": [2, 3] } }));
    assert_eq!(publish(&owner, &json!({ "n": 1 })).await, 0);
    owner.patch(&path, &json!({ "description": "the filter stays" })).await.expect(StatusCode::OK);
    assert_eq!(publish(&owner, &json!({ "n": 1 })).await, 0);
    assert_eq!(publish(&owner, &json!({ "n": 2 })).await, 1);
    let cleared = owner.patch(&path, &json!({ "filter": null })).await;
    assert_eq!(cleared.expect(StatusCode::OK).json()["filter"], Value::Null);
    assert_eq!(publish(&owner, &json!({ "n": 1 })).await, 1);
}

#[tokio::test]
async fn a_fault_in_a_filter_is_named_by_its_place() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let wish =
        |filter: Value| json!({ "endpointUrl": receiver.url("/"), "eventTypes": ["*"], "filter": filter });
    let bad = json!({ "all": [{ "a": 1 }, { "total": { "gte": null } }] });
    let refused = owner.post("/webhooks", &wish(bad.clone())).await;
    refused.expect_problem(400, "invalid_filter");
    assert_eq!(refused.fields_at_fault(), ["filter.all[1].total.gte"]);
    let path = format!("/webhooks/{}", id_of(&owner.subscribe(&receiver, "/", &["*"]).await));
    owner.patch(&path, &json!({ "filter": bad })).await.expect_problem(400, "invalid_filter");
    let long = owner.post("/webhooks", &wish(json!({ "a": "x".repeat(5000) }))).await;
    long.expect_problem(400, "invalid_filter");
    assert!(long.text_of("message").contains("5008 bytes, the limit is 4096"), "{}", long.text);
}

#[tokio::test]
async fn a_test_goes_out_whatever_the_filter_says() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let wish = json!({ "endpointUrl": receiver.url("/"), "eventTypes": ["a"], "filter": { "never": 1 } });
    let webhook = owner.subscribe_with(&wish).await;
    owner.post(&format!("/webhooks/{}/test", id_of(&webhook)), &json!({})).await.expect(StatusCode::ACCEPTED);
    assert_eq!(receiver.received(1).await[0].header("x-arjun-event-type"), "webhook.test");
}

#[tokio::test]
async fn our_own_events_are_filtered_like_others() {
    let (world, failing, watching) = (World::start().await, Receiver::start().await, Receiver::start().await);
    let owner = world.owner();
    failing.answer(404);
    owner.subscribe(&failing, "/hook", &["order.*"]).await;
    for (path, status) in [("/gone", 410), ("/missing", 404)] {
        owner
            .subscribe_with(&json!({
                "endpointUrl": watching.url(path), "eventTypes": ["webhook.delivery.terminal_failure"],
                "filter": { "eventType": { "prefix": "order." }, "lastStatus": status },
            }))
            .await;
    }
    owner.publish("order.paid").await;
    assert_eq!(watching.received(1).await[0].path, "/missing");
    assert_eq!(owner.deliveries("?eventType=webhook.delivery.terminal_failure").await.len(), 1);
}

#[tokio::test]
async fn a_number_beyond_doubles_in_a_payload_does_not_stop_a_filter() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let wish =
        json!({ "endpointUrl": receiver.url("/"), "eventTypes": ["*"], "filter": { "n": { "gt": 1e300 } } });
    owner.subscribe_with(&wish).await;
    let body = r#"{"type":"a","payload":{"n":1e400}}"#;
    let answer = owner.send(http::Method::POST, "/events", body).await;
    assert_eq!(answer.expect(StatusCode::ACCEPTED).json()["deliveries"], 1);
    let arrival = receiver.received(1).await.remove(0);
    assert!(String::from_utf8_lossy(&arrival.body).contains("1e400"), "the bytes stay the publisher's");
}

#[tokio::test]
async fn a_filter_can_be_tried_before_a_webhook_has_it() {
    let world = World::start().await;
    let owner = world.owner();
    let filter = json!({ "total": { "gte": 100 } });
    for (total, expected) in [(100, true), (99, false)] {
        let trial = json!({ "filter": filter, "payload": { "total": total } });
        let answer = owner.post("/filters/check", &trial).await;
        assert_eq!(answer.expect(StatusCode::OK).json(), json!({ "matches": expected }));
    }
    let nothing = owner.post("/filters/check", &json!({})).await;
    nothing.expect_problem(400, "validation_error");
    assert_eq!(nothing.fields_at_fault(), ["filter", "payload"]);
    let bad = json!({ "filter": { "a": { "regex": "x" } }, "payload": {} });
    owner.post("/filters/check", &bad).await.expect_problem(400, "invalid_filter");
    owner
        .post("/filters/check", &json!({ "filter": filter, "payload": [] }))
        .await
        .expect_problem(400, "invalid_payload");
}

/// Every example of the manual, with the payload of the manual.
#[tokio::test]
async fn the_examples_of_the_manual_do_what_it_says() {
    let world = World::start().await;
    let owner = world.owner();
    let fenced = MANUAL.split("```json\n").nth(1).expect("a payload").split("```").next().expect("an end");
    let payload: Value = serde_json::from_str(fenced).expect("JSON");
    let rows = MANUAL.lines().filter_map(|line| line.strip_prefix("| `{"));
    let mut tried = 0;
    for row in rows {
        let (filter, rest) = row.split_once("` | ").expect("a row of three columns");
        let filter: Value = serde_json::from_str(&format!("{{{filter}")).expect("a filter");
        let expected = rest.starts_with("yes");
        assert!(expected || rest.starts_with("no"), "{row}");
        let answer = owner.post("/filters/check", &json!({ "filter": filter, "payload": payload })).await;
        assert_eq!(answer.expect(StatusCode::OK).json()["matches"], expected, "{row}");
        tried += 1;
    }
    assert!(tried >= 20, "{tried} examples");
}
