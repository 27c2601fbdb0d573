//! The whole service on disk: what was accepted outlives the process.

use std::path::Path;

use angarium_server::service::{Service, StartError};
use angarium_server::settings::{Secret, Settings};
use http::StatusCode;
use serde_json::json;

use crate::credentials::{SECRET, claims};
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of, settings};

/// Settings of a service whose store and keys are in a folder.
pub(crate) fn on_disk(folder: &Path) -> Settings {
    let mut settings = settings();
    settings.store.path = folder.join("data").join("angarium.db");
    settings.auth.hs256_secret = Some(Secret(SECRET.to_owned().into()));
    settings
}

async fn start(settings: &Settings) -> World {
    World { service: Service::start(settings).await.expect("a running service") }
}

#[tokio::test]
async fn events_held_at_the_stop_are_delivered_after_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, receiver) = (on_disk(folder.path()), Receiver::start().await);
    let world = start(&settings).await;
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let path = format!("/webhooks/{}", id_of(&webhook));
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    let event_id = owner.publish("a").await;
    let keyed =
        owner.with("idempotency-key", "before").post("/events", &json!({ "type": "b", "payload": {} })).await;
    world.service.stop().await;

    let world = start(&settings).await;
    let owner = world.owner();
    let again =
        owner.with("idempotency-key", "before").post("/events", &json!({ "type": "b", "payload": {} })).await;
    assert_eq!((again.header("idempotent-replayed"), &again.text), (Some("true"), &keyed.text));
    owner.post(&format!("{path}/resume"), &json!({})).await.expect(StatusCode::OK);
    let ids: Vec<_> = receiver.received(2).await.iter().map(|a| a.header("webhook-id").to_owned()).collect();
    assert!(ids.contains(&event_id), "{ids:?}");
    world.service.stop().await;
}

#[tokio::test]
async fn filters_and_schemas_hold_after_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, receiver) = (on_disk(folder.path()), Receiver::start().await);
    let world = start(&settings).await;
    let owner = world.owner();
    let filter = json!({ "n": { "gt": 1 } });
    let wish = json!({ "endpointUrl": receiver.url("/"), "eventTypes": ["a"], "filter": filter });
    owner.subscribe_with(&wish).await;
    let described = json!({ "schema": { "required": ["n"] } });
    owner.put("/event-types/a", &described).await.expect(StatusCode::CREATED);
    world.service.stop().await;

    let world = start(&settings).await;
    let owner = world.owner();
    assert_eq!(owner.get("/webhooks").await.json()["webhooks"][0]["filter"], filter);
    assert_eq!(owner.get("/event-types/a").await.json()["schema"], described["schema"]);
    let publish = async |payload| owner.post("/events", &json!({ "type": "a", "payload": payload })).await;
    publish(json!({})).await.expect_problem(400, "invalid_payload");
    assert_eq!(publish(json!({ "n": 1 })).await.json()["deliveries"], 0);
    assert_eq!(publish(json!({ "n": 2 })).await.json()["deliveries"], 1);
    world.service.stop().await;
}

#[tokio::test]
async fn statistics_outlive_a_stop_and_go_with_their_webhook() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, receiver) = (on_disk(folder.path()), Receiver::start().await);
    let world = start(&settings).await;
    let owner = world.owner();
    let path = format!("/webhooks/{}", id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await));
    for _ in 0..3 {
        owner.publish("a").await;
    }
    owner.deliveries_when("?status=delivered", 3).await;
    world.service.stop().await;

    let world = start(&settings).await;
    let owner = world.owner();
    for window in ["1h", "7d"] {
        let stats = owner.get(&format!("{path}/stats?window={window}")).await.expect(StatusCode::OK).json();
        assert_eq!((&stats["delivered"], &stats["answers"]), (&json!(3), &json!({ "2xx": 3 })));
    }
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    owner.get(&format!("{path}/stats")).await.expect_problem(404, "not_found");
    world.service.stop().await;
}

#[tokio::test]
async fn a_stopping_service_answers_what_it_took_and_then_refuses_connections() {
    let world = World::start().await;
    let (owner, address) = (world.owner(), world.service.address());
    let (published, _) = tokio::join!(owner.publish("a"), owner.get("/webhooks"));
    assert!(published.starts_with("evt_"), "{published}");
    world.service.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_store_is_not_opened_with_another_master_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = on_disk(folder.path());
    start(&settings).await.service.stop().await;
    settings.store.key = Some(Secret("ab".repeat(32).into()));
    assert!(matches!(Service::start(&settings).await, Err(StartError::Store(_))));
}

#[tokio::test]
async fn a_service_that_cannot_have_its_address_does_not_start() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = on_disk(folder.path());
    settings.listen.address = world.service.address();
    assert!(matches!(Service::start(&settings).await, Err(StartError::Listen { .. })));
}

#[tokio::test]
async fn a_first_start_without_keys_makes_them_and_takes_jwts_signed_with_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = on_disk(folder.path());
    settings.auth.hs256_secret = None;
    let world = start(&settings).await;
    let data = folder.path().join("data");
    let secret = std::fs::read_to_string(data.join("jwt.secret")).expect("a secret");
    assert!(data.join("master.key").is_file());
    let key = jsonwebtoken::EncodingKey::from_secret(secret.trim().as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims("acme", "OWNER"), &key)
        .expect("a token");
    world.owner().bearing(token).get("/webhooks").await.expect(StatusCode::OK);
    world.owner().get("/webhooks").await.expect_problem(401, "invalid_token");
    world.service.stop().await;
}

#[tokio::test]
async fn the_removal_of_a_handle_goes_on_after_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = on_disk(folder.path());
    let world = start(&settings).await;
    world.admin().post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    let event = json!({ "type": "a", "payload": {} });
    // More than are removed in one batch.
    for _ in 0..3 {
        let batch = json!({ "events": vec![&event; 1000] });
        world.owner().post("/events/batch", &batch).await.expect(StatusCode::ACCEPTED);
    }
    world.admin().delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    world.service.stop().await;

    let world = start(&settings).await;
    world.owner().get("/events").await.expect_problem(404, "handle_not_found");
    eventually(|| async {
        (world.admin().get("/handles/acme").await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    world.admin().post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    assert!(world.owner().get("/events").await.items().is_empty());
    world.service.stop().await;
}

#[tokio::test]
async fn what_a_day_has_paid_for_is_known_after_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = on_disk(folder.path());
    let token = json!({ "name": "x", "scopes": ["events.read"] });
    let world = start(&settings).await;
    // Where it is noon, so that no midnight comes between.
    let account = json!({ "handle": "acme", "plan": "free", "timeZone": crate::quotas::where_it_is_noon() });
    world.admin().post("/handles", &account).await.expect(StatusCode::CREATED);
    world.owner().post("/tokens", &token).await.expect(StatusCode::CREATED);
    world.service.stop().await;

    let world = start(&settings).await;
    world.owner().post("/tokens", &token).await.expect(StatusCode::CREATED);
    world.owner().post("/tokens", &token).await.expect_problem(429, "rate_limited");
    world.service.stop().await;
}
