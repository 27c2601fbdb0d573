//! Webhooks through the v1 API, and the same ones through v2.

use http::StatusCode;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::world::{World, id_of};

/// The id that the other API has for the same webhook.
fn as_v2(id: &Value) -> String {
    id.as_str().expect("an id").replace("wh_", "sub_")
}

fn is_with_millis(time: &Value) -> bool {
    time.as_str().is_some_and(|text| text.len() == "2026-02-25T12:00:00.000Z".len() && text.ends_with('Z'))
}

#[tokio::test]
async fn a_webhook_lives_from_its_creation_to_its_end() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let organization = world.organization().await;
    let body = json!({ "name": "orders", "url": receiver.url("/hook"), "events": ["order.*", "order.*"] });
    let made = organization.post("/webhooks", &body).await.data(201);
    let id = made["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("wh_") && id.len() == 29, "{id}");
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{made}");
    assert!(is_with_millis(&made["createdAt"]), "{made}");
    let mut shown = made.clone();
    shown.as_object_mut().expect("an object").remove("secret");
    let expected = json!({
        "id": id, "name": "orders", "url": receiver.url("/hook"), "events": ["order.*"], "active": true,
        "createdAt": made["createdAt"], "lastTriggeredAt": null,
    });
    assert_eq!(shown, expected);

    let path = format!("/webhooks/{id}");
    assert_eq!(organization.get(&path).await.data(200), expected);
    assert_eq!(organization.get("/webhooks").await.data(200)["webhooks"], json!([expected]));

    let changes = json!({ "name": "all", "events": ["*"], "url": receiver.url("/other") });
    let patched = organization.patch(&path, &changes).await.data(200);
    assert_eq!((&patched["name"], &patched["events"]), (&json!("all"), &json!(["*"])));
    assert_eq!((&patched["url"], &patched["secret"]), (&json!(receiver.url("/other")), &Value::Null));

    assert_eq!(organization.delete(&path).await.data(200), json!({ "deleted": true }));
    organization.delete(&path).await.expect_refusal(404, "NOT_FOUND");
    assert_eq!(organization.get("/webhooks").await.data(200)["webhooks"], json!([]));
}

#[tokio::test]
async fn fields_at_fault_are_named_in_the_words_of_this_api() {
    let world = World::start().await;
    let organization = world.organization().await;
    let create = async |body: Value| {
        let refused = organization.post("/webhooks", &body).await;
        refused.expect_refusal(400, "BAD_REQUEST").fields_at_fault()
    };
    assert_eq!(create(json!({})).await, ["name", "url", "events"]);
    let blocked = json!({ "name": "x", "url": "http://169.254.169.254/", "events": ["*"] });
    assert_eq!(create(blocked).await, ["url"]);
    let odd = json!({ "name": "x", "url": "https://example.com/", "events": ["ok", 3], "secret": "short" });
    assert_eq!(create(odd).await, ["events[1]", "secret"]);
    let theirs = json!({ "name": "x", "url": "https://example.com/", "events": ["*"], "eventTypes": ["*"] });
    assert_eq!(create(theirs).await, ["eventTypes"]);
}

#[tokio::test]
async fn a_webhook_of_one_api_is_a_webhook_of_the_other() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (organization, owner) = (world.organization().await, world.owner());
    let body = json!({ "name": "orders", "url": receiver.url("/hook"), "events": ["order.*"] });
    let made = organization.post("/webhooks", &body).await.data(201);

    let path = format!("/webhooks/{}", as_v2(&made["id"]));
    let seen = owner.get(&path).await.expect(StatusCode::OK).json();
    for (field, value) in [
        ("description", json!("orders")),
        ("signingProfile", json!("platformxe")),
        ("payloadFormat", json!("platformxe")),
        ("retryPolicy", json!("patient")),
        ("timeoutSeconds", json!(10)),
        ("eventTypes", json!(["order.*"])),
    ] {
        assert_eq!(seen[field], value, "{field}");
    }
    owner.patch(&path, &json!({ "description": "renamed" })).await.expect(StatusCode::OK);
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    let now = organization.get("/webhooks").await.data(200)["webhooks"][0].clone();
    assert_eq!((&now["name"], &now["active"]), (&json!("renamed"), &json!(false)));
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(organization.get("/webhooks").await.data(200)["webhooks"], json!([]));

    let other = owner.subscribe(&receiver, "/v2", &["*"]).await;
    let path = format!("/webhooks/{}", id_of(&other).replace("sub_", "wh_"));
    let seen = organization.get(&path).await.data(200);
    assert_eq!((&seen["name"], &seen["active"]), (&json!("127.0.0.1"), &json!(true)), "its host is its name");
    organization.patch(&path, &json!({ "name": "ours" })).await.data(200);
    assert_eq!(owner.get(&format!("/webhooks/{}", id_of(&other))).await.text_of("description"), "ours");
    organization.post(&format!("{path}/test"), &json!({})).await.data(202);
    assert_eq!(receiver.received(1).await[0].path, "/v2");
    organization.delete(&path).await.data(200);
    owner.get(&format!("/webhooks/{}", id_of(&other))).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_prefix_of_one_api_is_none_of_the_other() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (organization, owner) = (world.organization().await, world.owner());
    let id = id_of(&owner.subscribe(&receiver, "/hook", &["*"]).await);
    organization.get(&format!("/webhooks/{id}")).await.expect_refusal(404, "NOT_FOUND");
    owner.get(&format!("/webhooks/{}", id.replace("sub_", "wh_"))).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn what_is_not_active_holds_its_deliveries_until_it_is() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let organization = world.organization().await;
    let body = json!({ "name": "x", "url": receiver.url("/hook"), "events": ["*"] });
    let made = organization.post("/webhooks", &body).await.data(201);
    let path = format!("/webhooks/{}", made["id"].as_str().expect("an id"));
    let off = organization.patch(&path, &json!({ "active": false, "name": "y" })).await.data(200);
    assert_eq!((&off["active"], &off["name"]), (&json!(false), &json!("y")));
    organization.post("/events", &json!({ "type": "a", "payload": {} })).await.data(202);
    let held = organization.get(&format!("{path}/deliveries")).await.data(200);
    assert_eq!(held["deliveries"][0]["status"], "held");
    assert_eq!(receiver.count(), 0);
    let on = organization.patch(&path, &json!({ "enabled": true })).await.data(200);
    assert_eq!(on["active"], json!(true));
    receiver.received(1).await;
}

#[tokio::test]
async fn a_handle_has_so_many_webhooks_and_no_more() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let organization = world.organization().await;
    let body = json!({ "name": "x", "url": receiver.url("/hook"), "events": ["*"] });
    for _ in 0..50 {
        organization.post("/webhooks", &body).await.data(201);
    }
    organization.post("/webhooks", &body).await.expect_refusal(409, "CONFLICT");
    let all = organization.get("/webhooks").await.data(200);
    assert_eq!((all["webhooks"].as_array().map(Vec::len), &all["nextCursor"]), (Some(50), &Value::Null));
}
