//! The v1 API: which key opens which route, and the shape of everything that goes wrong.

use http::{Method, StatusCode};
use serde_json::json;

use crate::client::{Answer, Client};
use crate::credentials::jwt;
use crate::world::World;

/// A route: method, path and the scope that it needs.
type Row = (&'static str, &'static str, &'static str);

const TABLE: &[Row] = &[
    ("POST", "/events", "events:manage"),
    ("GET", "/webhooks", "webhooks:manage"),
    ("POST", "/webhooks", "webhooks:manage"),
    ("GET", "/webhooks/wh_01arz3ndektsv4rrffq69g5fav", "webhooks:manage"),
    ("PATCH", "/webhooks/wh_01arz3ndektsv4rrffq69g5fav", "webhooks:manage"),
    ("DELETE", "/webhooks/wh_01arz3ndektsv4rrffq69g5fav", "webhooks:manage"),
    ("POST", "/webhooks/wh_01arz3ndektsv4rrffq69g5fav/test", "webhooks:manage"),
    ("POST", "/webhooks/wh_01arz3ndektsv4rrffq69g5fav/rotate-secret", "webhooks:manage"),
    ("GET", "/webhooks/wh_01arz3ndektsv4rrffq69g5fav/deliveries", "webhooks:manage"),
    ("GET", "/webhooks/dead-letters", "webhooks:manage"),
    ("POST", "/webhooks/dead-letters/dlv_01arz3ndektsv4rrffq69g5fav/replay", "webhooks:manage"),
];
const SCOPES: [&str; 2] = ["webhooks:manage", "events:manage"];

async fn ask(client: &Client, row: &Row) -> Answer {
    let body = if row.0 == "POST" || row.0 == "PATCH" { "{}" } else { "" };
    client.send(Method::from_bytes(row.0.as_bytes()).expect("a method"), row.1, body).await
}

#[tokio::test]
async fn a_scope_opens_its_own_routes_and_no_other() {
    let world = World::start().await;
    for scope in SCOPES {
        for mode in ["live", "test"] {
            let holder = world.key_holder("acme", mode, &[scope]).await;
            for row in TABLE {
                let answer = ask(&holder, row).await;
                if row.2 == scope {
                    let refused = [401, 405].contains(&answer.status.as_u16());
                    assert!(!refused && !answer.status.is_server_error(), "{row:?}: {}", answer.text);
                    assert!(!answer.text.contains("lacks the scope"), "{row:?}: {}", answer.text);
                } else {
                    answer.expect_refusal(403, "FORBIDDEN");
                }
            }
        }
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_key() {
    let world = World::start().await;
    for row in TABLE {
        let answer = ask(&world.nobody().at("/api/v1"), row).await;
        answer.expect_refusal(401, "UNAUTHORIZED");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        ask(&world.nobody().at("/api/v1").bearing(jwt("acme", "OWNER")), row)
            .await
            .expect_refusal(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_key_may_stand_in_either_header_but_not_two_keys() {
    let world = World::start().await;
    let [key, other] = [
        world.owner().api_key("live", &["webhooks:manage"]).await.text_of("key"),
        world.owner().api_key("live", &["webhooks:manage"]).await.text_of("key"),
    ];
    let nobody = world.nobody().at("/api/v1");
    nobody.bearing(key.clone()).get("/webhooks").await.data(200);
    nobody.bearing(key.clone()).with("x-api-key", key.clone()).get("/webhooks").await.data(200);
    let two = nobody.bearing(key).with("x-api-key", other).get("/webhooks").await;
    assert!(two.expect_refusal(401, "UNAUTHORIZED").text.contains("two API keys"), "{}", two.text);
}

#[tokio::test]
async fn unknown_addresses_and_methods_answer_in_the_same_shape() {
    let world = World::start().await;
    let nobody = world.nobody();
    for path in ["/api/v1", "/api/v1/", "/api/v1/unknown", "/api/v1/webhooks/", "/api/v1/webhooks/x/y"] {
        nobody.get(path).await.expect_refusal(404, "NOT_FOUND");
    }
    for path in ["/api", "/api/v2/webhooks", "/api/v10"] {
        nobody.get(path).await.expect_problem(404, "not_found");
    }
    let put = nobody.send(Method::PUT, "/api/v1/webhooks", "").await;
    put.expect_refusal(405, "BAD_REQUEST");
    assert!(put.header("allow").is_some_and(|methods| methods.contains("POST")), "{put:?}");
}

#[tokio::test]
async fn bodies_are_plain_json_within_their_limit() {
    let world = World::with(|settings| settings.limits.body_bytes_max = 2048).await;
    let organization = world.organization().await;
    let event = json!({ "type": "a", "payload": {} });
    let text = organization.with("content-type", "text/plain").post("/events", &event).await;
    text.expect_refusal(415, "BAD_REQUEST");
    let large = json!({ "type": "a", "payload": { "x": "y".repeat(4096) } });
    organization.post("/events", &large).await.expect_refusal(413, "BAD_REQUEST");
    organization.send(Method::POST, "/events", "{").await.expect_refusal(400, "BAD_REQUEST");
    let refused = organization.post("/events", &json!({ "type": "not a type", "data": {} })).await;
    let fields = refused.expect_refusal(400, "BAD_REQUEST").fields_at_fault();
    assert_eq!(fields, ["type", "payload", "data"]);
}

#[tokio::test]
async fn a_write_is_made_once_under_its_idempotency_key() {
    let world = World::start().await;
    let organization = world.organization().await;
    let publish = |n: u32| json!({ "type": "order.paid", "payload": { "n": n } });
    let keyed = organization.with("x-idempotency-key", "order-1");
    let first = keyed.post("/events", &publish(1)).await;
    let again = keyed.post("/events", &publish(1)).await;
    assert_eq!(first.data(202)["eventId"], again.data(202)["eventId"]);
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (None, Some("true"))
    );
    keyed.post("/events", &publish(2)).await.expect_refusal(422, "CONFLICT");
    organization
        .with("x-idempotency-key", "")
        .post("/events", &publish(1))
        .await
        .expect_refusal(400, "BAD_REQUEST");
    assert_eq!(world.owner().get("/events").await.items().len(), 1);

    // The header of the other API means nothing here, and the key of one API is none of the other's.
    let theirs = organization.with("idempotency-key", "order-1").post("/events", &publish(1)).await;
    assert_ne!(theirs.data(202)["eventId"], first.data(202)["eventId"]);
    let v2 = world.owner().with("idempotency-key", "order-1").post("/events", &publish(1)).await;
    assert_eq!(v2.expect(StatusCode::ACCEPTED).header("idempotent-replayed"), None);
}

#[tokio::test]
async fn ids_of_another_handle_answer_like_ids_that_do_not_exist() {
    let world = World::start().await;
    let receiver = crate::receiver::Receiver::start().await;
    let acme = world.organization().await;
    let beta = world.key_holder("beta", "live", &SCOPES).await;
    let webhook = json!({ "name": "x", "url": receiver.url("/hook"), "events": ["a"] });
    let id = acme.post("/webhooks", &webhook).await.data(201)["id"].as_str().expect("an id").to_owned();
    // The policy of this API repeats every answer; one that gives up at once makes the test short.
    let v2 = format!("/webhooks/{}", id.replace("wh_", "sub_"));
    world.owner().patch(&v2, &json!({ "retryPolicy": "fast" })).await.expect(StatusCode::OK);
    receiver.answer(404);
    acme.post("/events", &json!({ "type": "a", "payload": {} })).await.data(202);
    let dead = world.owner().deliveries_when("?status=dead", 1).await.remove(0);
    let dead = dead["deliveryId"].as_str().expect("an id").to_owned();
    for (method, before, known, after) in [
        ("GET", "/webhooks/", &id, ""),
        ("PATCH", "/webhooks/", &id, ""),
        ("DELETE", "/webhooks/", &id, ""),
        ("POST", "/webhooks/", &id, "/test"),
        ("POST", "/webhooks/", &id, "/rotate-secret"),
        ("GET", "/webhooks/", &id, "/deliveries"),
        ("POST", "/webhooks/dead-letters/", &dead, "/replay"),
    ] {
        let digits = known.split('_').nth(1).expect("digits");
        let unknown = known.replace(digits, &"0".repeat(26));
        // The prefix of the other API is none here.
        let foreign_prefix = format!("sub_{digits}");
        let mut answers = Vec::new();
        for id in [known, &unknown, &foreign_prefix, "nonsense"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let body = if method == Method::PATCH { "{}" } else { "" };
            let answer = beta.send(method, &format!("{before}{id}{after}"), body).await;
            answer.expect_refusal(404, "NOT_FOUND");
            answers.push(answer.json()["error"]["message"].clone());
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{method} {before}{after}: {answers:?}");
    }
    assert_eq!(beta.get("/webhooks").await.data(200)["webhooks"], json!([]));
    assert_eq!(beta.get("/webhooks/dead-letters").await.data(200)["deadLetters"], json!([]));
    acme.get(&format!("/webhooks/{id}")).await.data(200);
}
