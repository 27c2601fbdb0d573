//! Writes that are safe to repeat.

use http::{Method, StatusCode};
use serde_json::json;

use crate::receiver::Receiver;
use crate::world::{World, id_of};

#[tokio::test]
async fn the_same_request_under_the_same_key_is_answered_the_same_and_done_once() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner().with("idempotency-key", "\"one\"");
    let body = json!({ "endpointUrl": receiver.url("/hook"), "eventTypes": ["*"] });
    let first = owner.post("/webhooks", &body).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (StatusCode::CREATED, None));
    let bare = world.owner().with("idempotency-key", "one").post("/webhooks", &body).await;
    assert_eq!((bare.status, bare.header("idempotent-replayed")), (StatusCode::CREATED, Some("true")));
    assert_eq!(bare.text, first.text);
    assert_eq!(owner.get("/webhooks").await.json()["webhooks"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let world = World::start().await;
    let owner = world.owner().with("idempotency-key", "one");
    owner.post("/events", &json!({ "type": "a", "payload": {} })).await.expect(StatusCode::ACCEPTED);
    let other = owner.post("/events", &json!({ "type": "b", "payload": {} })).await;
    other.expect_problem(422, "idempotency_key_reused");
    assert_eq!(owner.get("/events").await.items().len(), 1);
}

#[tokio::test]
async fn the_same_key_on_another_path_is_another_write() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let webhook = id_of(&world.owner().subscribe(&receiver, "/hook", &["*"]).await);
    let owner = world.owner().with("idempotency-key", "one");
    for verb in ["pause", "resume", "pause"] {
        let answer = owner.send(Method::POST, &format!("/webhooks/{webhook}/{verb}"), "").await;
        answer.expect(StatusCode::OK);
    }
    // The third was the first again: its answer was repeated, not its effect.
    assert_eq!(owner.get(&format!("/webhooks/{webhook}")).await.text_of("status"), "active");
}

#[tokio::test]
async fn a_repeated_deletion_under_its_key_is_still_a_success() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let webhook = id_of(&world.owner().subscribe(&receiver, "/hook", &["*"]).await);
    let owner = world.owner().with("idempotency-key", "gone");
    let path = format!("/webhooks/{webhook}");
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    let again = owner.delete(&path).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::NO_CONTENT, Some("true")));
    world.owner().delete(&path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_repeated_test_under_its_key_is_answered_as_then_though_the_webhook_is_gone() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let webhook = id_of(&world.owner().subscribe(&receiver, "/hook", &["*"]).await);
    let owner = world.owner().with("idempotency-key", "tested");
    let path = format!("/webhooks/{webhook}/test");
    let first = owner.post(&path, &json!({})).await;
    first.expect(StatusCode::ACCEPTED);
    world.owner().delete(&format!("/webhooks/{webhook}")).await.expect(StatusCode::NO_CONTENT);
    let again = owner.post(&path, &json!({})).await;
    assert_eq!(
        (again.text.as_str(), again.header("idempotent-replayed")),
        (first.text.as_str(), Some("true"))
    );
}

#[tokio::test]
async fn one_key_is_one_event_through_both_doors_and_however_the_path_is_spelled() {
    let world = World::start().await;
    let holder = world.token_holder(&["events.write", "events.read"]).await.with("idempotency-key", "one");
    let event = json!({ "type": "a", "payload": {} });
    let first = holder.post("/events", &event).await;
    first.expect(StatusCode::ACCEPTED);
    for root in ["/v2/public/handles/acme", "/v2/handles/%61cme"] {
        assert_eq!(holder.at(root).post("/events", &event).await.text, first.text, "{root}");
    }
    assert_eq!(holder.get("/events").await.items().len(), 1);
}

#[tokio::test]
async fn concurrent_requests_under_one_key_make_one_event() {
    let world = World::start().await;
    let owner = world.owner().with("idempotency-key", "race");
    let event = json!({ "type": "a", "payload": {} });
    let answers = futures_util::future::join_all((0..20).map(|_| owner.post("/events", &event))).await;
    let mut ids: Vec<_> =
        answers.iter().filter(|a| a.status == StatusCode::ACCEPTED).map(|a| a.text_of("eventId")).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    for refused in answers.iter().filter(|answer| answer.status != StatusCode::ACCEPTED) {
        refused.expect_problem(409, "conflict");
    }
    assert_eq!(owner.get("/events").await.items().len(), 1);
}

#[tokio::test]
async fn a_request_that_was_refused_leaves_its_key_free() {
    let world = World::start().await;
    let owner = world.owner().with("idempotency-key", "one");
    owner.post("/events", &json!({ "type": "a" })).await.expect_problem(400, "invalid_payload");
    owner.post("/events", &json!({ "type": "a", "payload": {} })).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn keys_that_are_not_keys_are_refused() {
    let world = World::start().await;
    for key in [String::new(), "a b".to_owned(), "k".repeat(256), "\"\"".to_owned()] {
        let owner = world.owner().with("idempotency-key", key);
        owner
            .post("/events", &json!({ "type": "a", "payload": {} }))
            .await
            .expect_problem(400, "invalid_idempotency_key");
    }
}
