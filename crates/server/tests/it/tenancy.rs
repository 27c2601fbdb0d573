//! Tenants do not see each other, not even that the other is there.

use http::{Method, StatusCode};
use serde_json::json;

use crate::client::{Answer, Client};
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of};

/// The answer's body without the request's id, which is the only thing that may differ.
fn body_of(answer: &Answer) -> serde_json::Value {
    let mut body = answer.json();
    body["requestId"] = json!("-");
    body
}

async fn ask(client: &Client, method: &Method, path: &str) -> Answer {
    let body = if *method == Method::PATCH { "{}" } else { "" };
    client.send(method.clone(), path, body).await
}

#[tokio::test]
async fn ids_of_another_tenant_answer_like_ids_that_do_not_exist() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    let webhook = id_of(&acme.subscribe(&receiver, "/hook", &["*"]).await);
    receiver.answer(404);
    let event = acme.publish("a").await;
    let dead = acme.deliveries_when("?status=dead&eventType=a", 1).await.remove(0);
    let delivery = dead["deliveryId"].as_str().expect("an id").to_owned();
    let replay =
        acme.post("/replays", &json!({ "filter": { "eventType": "none" } })).await.text_of("replayId");
    let key = acme.api_key("live", &["webhooks:manage"]).await.text_of("keyId");
    let token =
        acme.post("/tokens", &json!({ "name": "x", "scopes": ["events.read"] })).await.text_of("tokenId");

    let inline = json!({ "name": "x", "kind": "inline", "documents": [{ "text": "x" }] });
    let source = acme.post("/context-sources", &inline).await.text_of("sourceId");

    for (method, before, id, after) in [
        (Method::GET, "/webhooks/", &webhook, ""),
        (Method::PATCH, "/webhooks/", &webhook, ""),
        (Method::DELETE, "/webhooks/", &webhook, ""),
        (Method::POST, "/webhooks/", &webhook, "/test"),
        (Method::POST, "/webhooks/", &webhook, "/rotate-secret"),
        (Method::POST, "/webhooks/", &webhook, "/pause"),
        (Method::POST, "/webhooks/", &webhook, "/resume"),
        (Method::GET, "/events/", &event, ""),
        (Method::GET, "/deliveries/", &delivery, ""),
        (Method::POST, "/deliveries/", &delivery, "/replay"),
        (Method::GET, "/dead-letters/", &delivery, ""),
        (Method::DELETE, "/dead-letters/", &delivery, ""),
        (Method::GET, "/replays/", &replay, ""),
        (Method::POST, "/replays/", &replay, "/cancel"),
        (Method::GET, "/context-sources/", &source, ""),
        (Method::PATCH, "/context-sources/", &source, ""),
        (Method::POST, "/context-sources/", &source, "/sync"),
        (Method::DELETE, "/context-sources/", &source, ""),
        (Method::DELETE, "/tokens/", &token, ""),
        (Method::DELETE, "/api-keys/", &key, ""),
    ] {
        let unknown = format!("{}{}", &id[..4], "0".repeat(26));
        let foreign = ask(&beta, &method, &format!("{before}{id}{after}")).await;
        foreign.expect_problem(404, "not_found");
        for nothing in [&unknown, "nonsense", "..%2f..%2fetc"] {
            let answer = ask(&beta, &method, &format!("{before}{nothing}{after}")).await;
            assert_eq!(body_of(&answer), body_of(&foreign), "{method} {before}{nothing}{after}");
        }
    }
    assert_eq!(acme.get(&format!("/webhooks/{webhook}")).await.text_of("status"), "active");
    assert_eq!(acme.get("/dead-letters?eventType=a").await.items().len(), 1);
}

#[tokio::test]
async fn lists_hold_ones_own_things_only() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    acme.subscribe(&receiver, "/hook", &["*"]).await;
    acme.publish("a").await;
    acme.deliveries_when("?status=delivered", 1).await;
    for list in ["/events", "/deliveries", "/dead-letters", "/tokens", "/api-keys"] {
        assert!(beta.get(list).await.items().is_empty(), "{list}");
    }
    assert_eq!(beta.get("/webhooks").await.expect(StatusCode::OK).json()["webhooks"], json!([]));
    beta.publish("a").await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn tokens_cursors_and_idempotency_keys_belong_to_one_tenant() {
    let world = World::start().await;
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    let holder = world.token_holder(&["events.read"]).await;
    holder.at("/v2/handles/beta").get("/events").await.expect_problem(401, "invalid_token");

    let (first, second) = (acme.publish("a").await, acme.publish("a").await);
    assert_ne!(first, second);
    let cursor = acme.get("/events?limit=1").await.text_of("nextCursor");
    acme.get(&format!("/events?limit=1&cursor={cursor}")).await.expect(StatusCode::OK);
    beta.get(&format!("/events?limit=1&cursor={cursor}")).await.expect_problem(400, "invalid_cursor");

    let event = json!({ "type": "a", "payload": {} });
    let ours = acme.with("idempotency-key", "same").post("/events", &event).await;
    let theirs = beta.with("idempotency-key", "same").post("/events", &event).await;
    assert_ne!(ours.text_of("eventId"), theirs.text_of("eventId"));
    assert_eq!(theirs.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn the_cursor_of_another_tenant_s_list_is_none_here() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    for n in 0..2 {
        acme.subscribe(&receiver, "/hook", &["a"]).await;
        let inline =
            json!({ "name": "x", "kind": "inline", "documents": [{ "text": format!("apple {n}") }] });
        acme.post("/context-sources", &inline).await.expect(StatusCode::CREATED);
    }
    acme.publish("a").await;
    let search = "/context-store/search?q=apple";
    eventually(|| async { (acme.get(search).await.items().len() == 2).then_some(()) }).await;
    for list in ["/webhooks?", "/deliveries?", "/context-sources?", "/context-store/search?q=apple&"] {
        let cursor = acme.get(&format!("{list}limit=1")).await.text_of("nextCursor");
        let next = format!("{list}limit=1&cursor={cursor}");
        acme.get(&next).await.expect(StatusCode::OK);
        beta.get(&next).await.expect_problem(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn what_cannot_be_a_handle_is_not_found() {
    let world = World::start().await;
    for handle in ["Acme", "a.b", "%2e%2e", "a%00b", "%ff"] {
        let client = world.owner().at(&format!("/v2/handles/{handle}"));
        client.get("/webhooks").await.expect_problem(404, "handle_not_found");
    }
}
