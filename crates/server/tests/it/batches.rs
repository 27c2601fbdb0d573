//! Publishing many events in one request.

use http::StatusCode;
use serde_json::json;

use crate::receiver::Receiver;
use crate::world::World;

#[tokio::test]
async fn bad_items_of_a_batch_are_named_in_their_place_and_the_others_go_out() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["a"]).await;
    let batch = json!({ "events": [
        { "type": "a", "payload": { "n": 1 } }, { "type": "not ok", "payload": {} }, 3,
        { "type": "b", "payload": {} }, { "type": "a", "payload": [] },
    ] });
    let answer = owner.post("/events/batch", &batch).await;
    let events = answer.expect(StatusCode::ACCEPTED).json()["events"].clone();
    assert_eq!((&events[0]["deliveries"], &events[3]["deliveries"]), (&json!(1), &json!(0)));
    assert_eq!(events[1]["error"], "invalid_type");
    assert_eq!(events[2]["error"], "invalid_payload");
    assert_eq!(events[4]["error"], "invalid_payload");
    assert_eq!(events.as_array().map(Vec::len), Some(5));
    assert_eq!(receiver.received(1).await[0].json()["payload"], json!({ "n": 1 }));
    assert_eq!(owner.get("/events").await.items().len(), 2);
}

#[tokio::test]
async fn a_batch_holds_at_least_one_event_and_no_more_than_the_limit() {
    let world = World::with(|settings| settings.limits.batch_events_max = 2).await;
    let batch = |count: usize| json!({ "events": vec![json!({ "type": "a", "payload": {} }); count] });
    world.owner().post("/events/batch", &batch(2)).await.expect(StatusCode::ACCEPTED);
    world.owner().post("/events/batch", &batch(0)).await.expect_problem(400, "invalid_events");
    world.owner().post("/events/batch", &batch(3)).await.expect_problem(400, "invalid_events");
    world.owner().post("/events/batch", &json!({ "events": {} })).await.expect_problem(400, "invalid_events");
    assert_eq!(world.owner().get("/events").await.items().len(), 2);
}

#[tokio::test]
async fn a_batch_under_a_key_is_published_once() {
    let world = World::start().await;
    let owner = world.owner().with("idempotency-key", "batch-1");
    let batch = json!({ "events": [{ "type": "a", "payload": {} }, { "type": "", "payload": {} }] });
    let first = owner.post("/events/batch", &batch).await;
    let again = owner.post("/events/batch", &batch).await;
    assert_eq!((&first.text, again.header("idempotent-replayed")), (&again.text, Some("true")));
    assert_eq!(world.owner().get("/events").await.items().len(), 1);
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_taken_is_answered_as_any_other() {
    let world = World::start().await;
    let (owner, admin) = (world.owner(), world.admin());
    let keyed = owner.with("idempotency-key", "once");
    let none = json!({ "events": [{ "type": "not a type", "payload": {} }] });
    let first = keyed.post("/events/batch", &none).await;
    assert_eq!(first.expect(StatusCode::ACCEPTED).json()["events"][0]["error"], "invalid_type");
    let again = keyed.post("/events/batch", &none).await;
    assert_eq!((again.header("idempotent-replayed"), &again.text), (Some("true"), &first.text));
    let other = json!({ "events": [{ "type": "another one", "payload": {} }] });
    keyed.post("/events/batch", &other).await.expect_problem(422, "idempotency_key_reused");

    admin.post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    let suspension = json!({ "suspended": true, "reason": "an unpaid bill" });
    admin.patch("/handles/acme", &suspension).await.expect(StatusCode::OK);
    owner.post("/events/batch", &none).await.expect_problem(403, "handle_suspended");
}
