//! Webhooks: making, changing, pausing, testing, rotating and deleting them.

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use http::StatusCode;
use serde_json::{Value, json};

use crate::receiver::{Arrival, Receiver};
use crate::world::{World, id_of};

#[tokio::test]
async fn a_new_webhook_shows_its_settings_and_once_its_secret() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let made = owner
        .subscribe_with(&json!({
            "endpointUrl": receiver.url("/hook"), "eventTypes": ["link.clicked", "order.*", "link.clicked"],
            "description": "the shop", "signingProfile": "standard", "payloadFormat": "standard", "retryPolicy": "patient",
            "headers": { "x-team": "shop" }, "rateLimitPerSecond": 5, "maxConcurrency": 2, "timeoutSeconds": 3, "ordered": true,
        }))
        .await;
    assert_eq!(made["eventTypes"], json!(["link.clicked", "order.*"]));
    assert_eq!(
        (&made["handle"], &made["status"], &made["ordered"]),
        (&json!("acme"), &json!("active"), &json!(true))
    );
    assert_eq!((&made["retryPolicy"], &made["timeoutSeconds"]), (&json!("patient"), &json!(3)));
    assert_eq!(made["lastTriggeredAt"], Value::Null);
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_") && secret.ends_with(made["secretHint"].as_str().expect("a hint")));

    let path = format!("/webhooks/{}", id_of(&made));
    let listed = owner.get("/webhooks").await;
    let read = owner.get(&path).await;
    assert_eq!(listed.expect(StatusCode::OK).json()["webhooks"][0], read.expect(StatusCode::OK).json());
    for text in [&listed.text, &read.text] {
        assert!(!text.contains(&secret) && text.contains("secretHint"), "{text}");
    }
}

#[tokio::test]
async fn credentials_in_headers_and_addresses_are_shown_to_those_who_may_set_them() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let url = receiver.url("/hook?access_token=hidden");
    let wish = json!({ "endpointUrl": url, "eventTypes": ["*"], "headers": { "x-api-key": "hidden" } });
    let path = format!("/webhooks/{}", id_of(&world.owner().subscribe_with(&wish).await));
    let reader = world.token_holder(&["webhooks.read"]).await;
    for holder in [reader, world.person("acme", "CREATOR")] {
        for path in ["/webhooks", &path] {
            let answer = holder.get(path).await;
            assert!(answer.expect(StatusCode::OK).text.contains("x-api-key"), "{}", answer.text);
            assert!(!answer.text.contains("hidden"), "{}", answer.text);
        }
    }
    let seen = world.person("acme", "OPERATOR").get(&path).await.json();
    assert_eq!((&seen["endpointUrl"], &seen["headers"]["x-api-key"]), (&json!(url), &json!("hidden")));
}

#[tokio::test]
async fn defaults_are_those_of_the_contract() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let made = world.owner().subscribe(&receiver, "/hook", &["*"]).await;
    let expected = [
        ("signingProfile", json!("arjun")),
        ("payloadFormat", json!("native")),
        ("retryPolicy", json!("fast")),
        ("headers", json!({})),
        ("filter", Value::Null),
        ("timeoutSeconds", json!(10)),
        ("ordered", json!(false)),
        ("description", Value::Null),
        ("rateLimitPerSecond", Value::Null),
        ("maxConcurrency", Value::Null),
    ];
    for (field, value) in expected {
        assert_eq!(made[field], value, "{field}");
    }
}

#[tokio::test]
async fn every_field_at_fault_is_named_in_one_answer() {
    let world = World::start().await;
    let answer = world
        .owner()
        .post("/webhooks", &json!({ "eventTypes": ["a", "b c"], "timeoutSeconds": 0, "x": 1 }))
        .await;
    answer.expect_problem(400, "validation_error");
    let mut fields = answer.fields_at_fault();
    fields.sort();
    assert_eq!(fields, ["endpointUrl", "eventTypes[1]", "timeoutSeconds", "x"]);
    let one = world
        .owner()
        .post("/webhooks", &json!({ "endpointUrl": "https://example.com/", "eventTypes": ["b c"] }))
        .await;
    one.expect_problem(400, "invalid_eventTypes");
    assert_eq!(one.fields_at_fault(), ["eventTypes[0]"]);
}

#[tokio::test]
async fn addresses_inside_are_refused_when_made_and_when_changed() {
    let world = World::with(|settings| {
        settings.egress.allow.clear();
        settings.egress.allow_http = false;
    })
    .await;
    let owner = world.owner();
    let body = |url: &str| json!({ "endpointUrl": url, "eventTypes": ["*"] });
    let bad = [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "https://localhost/",
        "https://u:p@example.com/",
        "https://example.com/#x",
        "file:///etc/passwd",
        "",
        "https://[::1]/",
    ];
    for url in bad {
        owner.post("/webhooks", &body(url)).await.expect_problem(400, "invalid_endpointUrl");
    }
    let made = owner.subscribe_with(&body("https://93.184.215.14/hook")).await;
    let path = format!("/webhooks/{}", id_of(&made));
    for url in bad {
        owner.patch(&path, &json!({ "endpointUrl": url })).await.expect_problem(400, "invalid_endpointUrl");
    }
    assert_eq!(owner.get(&path).await.text_of("endpointUrl"), "https://93.184.215.14/hook");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_clears_what_is_null() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let made = owner
        .subscribe_with(&json!({ "endpointUrl": receiver.url("/a"), "eventTypes": ["a"], "description": "x", "maxConcurrency": 3 }))
        .await;
    let path = format!("/webhooks/{}", id_of(&made));
    let change = json!({ "endpointUrl": receiver.url("/b"), "description": null, "timeoutSeconds": 4 });
    let changed = owner.patch(&path, &change).await.expect(StatusCode::OK).json();
    assert_eq!((&changed["description"], &changed["timeoutSeconds"]), (&Value::Null, &json!(4)));
    assert_eq!((&changed["maxConcurrency"], &changed["eventTypes"]), (&json!(3), &json!(["a"])));
    owner.patch(&path, &json!({ "ordered": true })).await.expect_problem(400, "invalid_ordered");
    owner.patch(&path, &json!({ "signingProfile": "standard-v1a" })).await.expect_problem(409, "conflict");
    owner.publish("a").await;
    assert_eq!(receiver.received(1).await[0].path, "/b");
}

#[tokio::test]
async fn a_test_sends_one_event_to_one_webhook_whatever_its_filter_says() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/other", &["*"]).await;
    let webhook = owner.subscribe(&receiver, "/tested", &["order.paid"]).await;
    let answer = owner.post(&format!("/webhooks/{}/test", id_of(&webhook)), &json!({})).await;
    answer.expect(StatusCode::ACCEPTED);
    let arrival = receiver.received(1).await.remove(0);
    assert_eq!((arrival.path.as_str(), arrival.header("x-arjun-event-type")), ("/tested", "webhook.test"));
    assert_eq!(arrival.header("webhook-id"), answer.text_of("eventId"));
    let delivered = owner.deliveries_when("?status=delivered", 1).await;
    assert_eq!(delivered[0]["deliveryId"], answer.text_of("deliveryId").as_str());
    assert_eq!(delivered[0]["origin"], "test");
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_paused_webhook_holds_its_deliveries_and_drains_them_on_resume() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let path = format!("/webhooks/{}", id_of(&webhook));
    let paused = owner.post(&format!("{path}/pause"), &json!({})).await;
    assert_eq!(paused.expect(StatusCode::OK).text_of("status"), "paused");
    let mut held = [owner.publish("a").await, owner.publish("b").await];
    assert_eq!(owner.deliveries_when("?status=held", 2).await.len(), 2);
    assert_eq!(receiver.count(), 0);
    let resumed = owner.send(http::Method::POST, &format!("{path}/resume"), "").await;
    assert_eq!(resumed.expect(StatusCode::OK).text_of("status"), "active");
    let mut ids: Vec<_> =
        receiver.received(2).await.iter().map(|arrival| arrival.header("webhook-id").to_owned()).collect();
    ids.sort();
    held.sort();
    assert_eq!(ids, held);
}

#[tokio::test]
async fn both_secrets_sign_while_a_rotation_overlaps_and_only_the_new_one_without() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let rotate = format!("/webhooks/{}/rotate-secret", id_of(&webhook));
    let old = webhook["secret"].as_str().expect("a secret").to_owned();
    let new = owner
        .post(&rotate, &json!({ "overlapSeconds": 3600 }))
        .await
        .expect(StatusCode::OK)
        .text_of("secret");
    assert_ne!(old, new);
    owner.publish("a").await;
    let arrival = receiver.received(1).await.remove(0);
    assert_eq!(
        arrival.header("webhook-signature"),
        format!("{} {}", signature(&new, &arrival), signature(&old, &arrival))
    );

    let newest =
        owner.post(&rotate, &json!({ "overlapSeconds": 0 })).await.expect(StatusCode::OK).text_of("secret");
    owner.publish("b").await;
    let arrival = receiver.received(2).await.remove(1);
    assert_eq!(arrival.header("webhook-signature"), signature(&newest, &arrival));
    for overlap in [json!(-1), json!(604_801), json!("x")] {
        let refused = owner.post(&rotate, &json!({ "overlapSeconds": overlap })).await;
        refused.expect_problem(400, "invalid_overlapSeconds");
    }
}

#[tokio::test]
async fn a_deleted_webhook_is_gone_and_what_waited_for_it_is_cancelled() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let path = format!("/webhooks/{}", id_of(&webhook));
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    owner.publish("a").await;
    let deleted = owner.delete(&path).await;
    assert_eq!(
        (deleted.expect(StatusCode::NO_CONTENT).text.as_str(), deleted.header("content-type")),
        ("", None)
    );
    owner.delete(&path).await.expect_problem(404, "not_found");
    owner.get(&path).await.expect_problem(404, "not_found");
    assert_eq!(owner.deliveries("?status=cancelled").await.len(), 1);
    owner.publish("b").await;
    assert_eq!(owner.deliveries("").await.len(), 1);
}

#[tokio::test]
async fn a_handle_has_no_more_webhooks_than_its_limit() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    for _ in 0..angarium_domain::subscription::SUBSCRIPTIONS_PER_HANDLE_MAX {
        world.owner().subscribe(&receiver, "/hook", &["never"]).await;
    }
    let body = json!({ "endpointUrl": receiver.url("/hook"), "eventTypes": ["*"] });
    world.owner().post("/webhooks", &body).await.expect_problem(409, "conflict");
}

/// The Standard Webhooks signature of an arrival under a secret.
pub(crate) fn signature(secret: &str, arrival: &Arrival) -> String {
    let bytes = BASE64.decode(secret.trim_start_matches("whsec_").as_bytes()).expect("base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
    let (id, at) = (arrival.header("webhook-id"), arrival.header("webhook-timestamp"));
    let signed = [format!("{id}.{at}.").as_bytes(), &arrival.body].concat();
    format!("v1,{}", BASE64.encode(hmac::sign(&key, &signed).as_ref()))
}

#[tokio::test]
async fn each_payload_format_says_the_same_in_its_own_shape() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    for format in ["native", "standard", "cloudevents", "cloudevents-binary"] {
        let url = receiver.url(&format!("/{format}"));
        let wish = json!({ "endpointUrl": url, "eventTypes": ["a.b"], "payloadFormat": format });
        assert_eq!(owner.subscribe_with(&wish).await["payloadFormat"], format);
    }
    let body =
        r#"{"type":"a.b","orderingKey":"k é","occurredAt":"2026-02-25T12:00:00Z","payload":{ "n" : 1.0 }}"#;
    let id = owner.send(http::Method::POST, "/events", body).await.text_of("eventId");
    let arrivals = receiver.received(4).await;
    let of =
        |format: &str| arrivals.iter().find(|arrival| arrival.path == format!("/{format}")).expect("it came");
    let type_of = |format: &str| of(format).header("content-type").to_owned();

    assert_eq!(of("native").json()["payload"], json!({ "n": 1.0 }));
    let standard = json!({ "type": "a.b", "timestamp": "2026-02-25T12:00:00Z", "data": { "n": 1.0 } });
    assert_eq!(of("standard").json(), standard);
    assert_eq!(
        of("cloudevents").json(),
        json!({
            "specversion": "1.0", "id": id, "source": "/handles/acme", "type": "a.b", "time": "2026-02-25T12:00:00Z",
            "datacontenttype": "application/json", "attempt": 1, "partitionkey": "k é", "data": { "n": 1.0 },
        })
    );
    assert_eq!(type_of("cloudevents"), "application/cloudevents+json; charset=UTF-8");
    let binary = of("cloudevents-binary");
    assert_eq!(
        (&*binary.body, &*type_of("cloudevents-binary")),
        (&br#"{ "n" : 1.0 }"#[..], "application/json")
    );
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", &id),
        ("ce-source", "/handles/acme"),
        ("ce-type", "a.b"),
        ("ce-time", "2026-02-25T12:00:00Z"),
        ("ce-attempt", "1"),
        ("ce-partitionkey", "k%20%C3%A9"),
        ("webhook-id", &id),
    ] {
        assert_eq!(binary.header(name), value, "{name}");
    }
}
