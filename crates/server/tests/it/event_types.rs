//! The catalogue of event types: what it holds, and what its schemas keep out.

use http::StatusCode;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::world::World;

fn schema() -> Value {
    json!({
        "type": "object", "required": ["total"],
        "properties": { "total": { "type": "number", "minimum": 0 }, "lines": { "items": { "type": "object" } } },
    })
}

fn names(types: &Value) -> Vec<&str> {
    types.as_array().expect("a list").iter().map(|known| known["type"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn a_type_is_put_read_replaced_and_removed() {
    let world = World::start().await;
    let owner = world.owner();
    let wish = json!({ "description": "It was paid.", "critical": true, "schema": schema() });
    let made = owner.put("/event-types/order.paid", &wish).await.expect(StatusCode::CREATED).json();
    assert_eq!((&made["type"], &made["critical"]), (&json!("order.paid"), &json!(true)));
    assert_eq!(
        (&made["schema"], &made["hasSchema"], &made["builtIn"]),
        (&schema(), &json!(true), &json!(false))
    );
    let read = owner.get("/event-types/order.paid").await;
    assert_eq!(read.expect(StatusCode::OK).json(), made);

    let replaced = owner.put("/event-types/order.paid", &json!({ "deprecated": true })).await;
    let replaced = replaced.expect(StatusCode::OK).json();
    assert_eq!((&replaced["description"], &replaced["critical"]), (&Value::Null, &json!(false)));
    assert_eq!((&replaced["deprecated"], &replaced["hasSchema"]), (&json!(true), &json!(false)));
    assert_eq!((replaced.get("schema"), &replaced["createdAt"]), (None, &made["createdAt"]));

    let removed = owner.delete("/event-types/order.paid").await;
    assert_eq!(removed.expect(StatusCode::NO_CONTENT).text, "");
    owner.delete("/event-types/order.paid").await.expect_problem(404, "not_found");
    owner.get("/event-types/order.paid").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_list_holds_the_types_of_the_handle_and_those_that_are_built_in() {
    let world = World::start().await;
    let owner = world.owner();
    for name in ["zoo.opened", "a.b"] {
        owner
            .put(&format!("/event-types/{name}"), &json!({ "schema": true }))
            .await
            .expect(StatusCode::CREATED);
    }
    let list = owner.get("/event-types").await.expect(StatusCode::OK).json();
    let names = names(&list["eventTypes"]);
    assert!(names.is_sorted() && names.contains(&"a.b") && names.contains(&"zoo.opened"), "{names:?}");
    assert!(
        names.contains(&"webhook.test") && names.contains(&"webhook.delivery.terminal_failure"),
        "{names:?}"
    );
    assert_eq!(list["nextCursor"], Value::Null);
    assert!(list["eventTypes"][0].get("schema").is_none() && list["eventTypes"][0]["hasSchema"] == true);
    let built_in = owner.get("/event-types/webhook.test").await.expect(StatusCode::OK).json();
    assert_eq!((&built_in["builtIn"], &built_in["createdAt"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn what_is_built_in_cannot_be_changed() {
    let world = World::start().await;
    for name in ["webhook.test", "webhook.delivery.terminal_failure"] {
        let path = format!("/event-types/{name}");
        world.owner().put(&path, &json!({})).await.expect_problem(409, "conflict");
        world.owner().delete(&path).await.expect_problem(409, "conflict");
    }
}

#[tokio::test]
async fn faults_are_named_by_their_fields() {
    let world = World::start().await;
    let owner = world.owner();
    let put = async |body: Value| owner.put("/event-types/order.paid", &body).await;
    let bad = put(json!({ "description": "x".repeat(1001), "critical": "yes", "odd": 1, "schema": 1 })).await;
    bad.expect_problem(400, "validation_error");
    assert_eq!(bad.fields_at_fault(), ["description", "critical", "schema", "odd"]);
    for (schema, field) in [
        (json!({ "properties": { "a": { "type": "text" } } }), "schema/properties/a/type"),
        (json!({ "$ref": "https://example.com/schema.json" }), "schema"),
        (json!({ "properties": { "a": { "$ref": "#" } } }), "schema"),
        (json!({ "$schema": "http://json-schema.org/draft-04/schema#" }), "schema"),
        (json!({ "description": "x".repeat(65_536) }), "schema"),
    ] {
        let refused = put(json!({ "schema": schema })).await;
        refused.expect_problem(400, "invalid_schema");
        assert_eq!(refused.fields_at_fault(), [field]);
    }
    owner.put("/event-types/not-a-type", &json!({})).await.expect_problem(400, "invalid_type");
    owner.get("/event-types/not-a-type").await.expect_problem(404, "not_found");
    owner.delete("/event-types/not-a-type").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_payload_that_does_not_fit_its_schema_is_not_published() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["*"]).await;
    let publish = async |payload: Value| {
        owner.post("/events", &json!({ "type": "order.paid", "payload": payload })).await
    };
    publish(json!({})).await.expect(StatusCode::ACCEPTED);
    owner.put("/event-types/order.paid", &json!({ "schema": schema() })).await.expect(StatusCode::CREATED);
    publish(json!({ "total": 1 })).await.expect(StatusCode::ACCEPTED);
    let refused = publish(json!({ "total": -1, "lines": [{}, "secret"] })).await;
    refused.expect_problem(400, "invalid_payload");
    assert_eq!(refused.fields_at_fault(), ["payload/lines/1", "payload/total"]);
    assert!(!refused.text.contains("secret"), "{}", refused.text);
    assert_eq!(publish(json!({ "lines": [] })).await.fields_at_fault(), ["payload"]);
    let many = publish(json!({ "total": 1, "lines": vec![1; 100] })).await;
    assert_eq!(many.fields_at_fault().len(), 20);
    // Other types are free, and so is this one again without its schema.
    owner.publish("order.placed").await;
    owner.put("/event-types/order.paid", &json!({ "deprecated": true })).await.expect(StatusCode::OK);
    publish(json!({})).await.expect(StatusCode::ACCEPTED);
    assert_eq!(receiver.received(4).await.len(), 4);
    assert_eq!(owner.get("/events").await.items().len(), 4);
}

#[tokio::test]
async fn in_a_batch_only_the_event_that_does_not_fit_is_refused() {
    let world = World::start().await;
    let owner = world.owner();
    owner.put("/event-types/order.paid", &json!({ "schema": schema() })).await.expect(StatusCode::CREATED);
    let event = |name: &str, payload: Value| json!({ "type": name, "payload": payload });
    let events = json!({ "events": [
        event("order.paid", json!({ "total": 1 })), event("order.paid", json!({})), event("not a type", json!({})),
        event("other", json!({})),
    ] });
    let keyed = owner.with("idempotency-key", "batch");
    let answer = keyed.post("/events/batch", &events).await;
    let results = answer.expect(StatusCode::ACCEPTED).json()["events"].clone();
    let accepted: Vec<_> = (0..4).map(|n| results[n]["eventId"].is_string()).collect();
    assert_eq!(accepted, [true, false, false, true]);
    assert_eq!(results[1]["error"], "invalid_payload");
    assert_eq!(results[1]["details"][0]["field"], "payload");
    assert_eq!(results[2]["error"], "invalid_type");
    assert_eq!(owner.get("/events").await.items().len(), 2);
    assert_eq!(keyed.post("/events/batch", &events).await.json(), answer.json());

    let none_fits = json!({ "events": [event("order.paid", json!({}))] });
    let answer = owner.post("/events/batch", &none_fits).await.expect(StatusCode::ACCEPTED).json();
    assert_eq!(answer["events"][0]["error"], "invalid_payload");
    assert_eq!(owner.get("/events").await.items().len(), 2);
}

#[tokio::test]
async fn a_repeated_request_has_its_first_answer_whatever_the_schema_says_now() {
    let world = World::start().await;
    let owner = world.owner();
    let keyed = owner.with("idempotency-key", "first");
    let event = json!({ "type": "order.paid", "payload": {} });
    let first = keyed.post("/events", &event).await.expect(StatusCode::ACCEPTED).text_of("eventId");
    let put = owner.with("idempotency-key", "put");
    let wish = json!({ "schema": schema() });
    put.put("/event-types/order.paid", &wish).await.expect(StatusCode::CREATED);
    // The first answer again: 201, although it is there by now.
    let again = put.put("/event-types/order.paid", &wish).await;
    assert_eq!(again.expect(StatusCode::CREATED).header("idempotent-replayed"), Some("true"));
    let again = keyed.post("/events", &event).await;
    assert_eq!(again.expect(StatusCode::ACCEPTED).text_of("eventId"), first);
    owner.post("/events", &event).await.expect_problem(400, "invalid_payload");
}

#[tokio::test]
async fn the_catalogue_of_one_handle_is_none_of_anothers() {
    let world = World::start().await;
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    acme.put("/event-types/order.paid", &json!({ "schema": false })).await.expect(StatusCode::CREATED);
    beta.get("/event-types/order.paid").await.expect_problem(404, "not_found");
    beta.delete("/event-types/order.paid").await.expect_problem(404, "not_found");
    beta.post("/events", &json!({ "type": "order.paid", "payload": {} })).await.expect(StatusCode::ACCEPTED);
    let list = beta.get("/event-types").await.json();
    assert!(!names(&list["eventTypes"]).contains(&"order.paid"));
}

#[tokio::test]
async fn notifications_show_who_is_told_of_what() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let hidden = json!({ "endpointUrl": receiver.url("/hook?token=hidden"), "eventTypes": ["*"] });
    owner.subscribe_with(&hidden).await;
    owner.put("/event-types/order.paid", &json!({ "critical": true })).await.expect(StatusCode::CREATED);
    let seen = owner.get("/notifications").await.expect(StatusCode::OK).json();
    assert_eq!(seen["webhooks"], owner.get("/webhooks").await.json()["webhooks"]);
    assert_eq!(
        (&seen["emailSubscriptions"], &seen["ownerDefaultEmail"]["status"]),
        (&json!([]), &json!("unset"))
    );
    assert_eq!(seen["eventCatalog"], owner.get("/event-types").await.json()["eventTypes"]);
    assert!(names(&seen["eventCatalog"]).contains(&"order.paid"));
    let reader = world.token_holder(&["notifications.read"]).await.get("/notifications").await;
    assert!(!reader.expect(StatusCode::OK).text.contains("hidden"), "{}", reader.text);
}
