//! What a handle tells those who receive its events: a document made of its catalogue.

use http::StatusCode;
use jsonschema::{Registry, RegistryBuilder};
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::Receiver;
use crate::world::World;

const NAME: &str = "urn:events";

/// Every reference in a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// Whether a body is one that the document names for a type.
fn fits(document: &Value, event_type: &str, body: &Value) -> bool {
    let registry = Registry::new().add(NAME, document.clone()).and_then(RegistryBuilder::prepare);
    let registry = registry.expect("references lead somewhere");
    let place = format!("#/webhooks/{event_type}/post/requestBody/content/application~1json/schema");
    let schema = json!({ "$ref": format!("{NAME}{place}") });
    jsonschema::options().with_registry(&registry).build(&schema).expect("a schema").is_valid(body)
}

impl Client {
    /// What its handle published of a type, of which there is something, as its own document describes it.
    pub(crate) async fn expect_described(&self, event_type: &str) {
        let document = self.get("/openapi.json").await.expect(StatusCode::OK).json();
        let told = self.get(&format!("/events?type={event_type}")).await.items();
        assert!(!told.is_empty(), "there is no {event_type}");
        for listed in told {
            let id = listed["eventId"].as_str().expect("an id");
            let event = self.get(&format!("/events/{id}")).await.expect(StatusCode::OK).json();
            let body = json!({
                "id": event["eventId"], "type": event["type"], "handle": event["handle"],
                "occurredAt": event["occurredAt"], "payload": event["payload"],
            });
            assert!(fits(&document, event_type, &body), "{body:#}");
            let mut more = body;
            more["payload"]["odd"] = json!(1);
            assert!(!fits(&document, event_type, &more), "any payload fits {event_type}");
        }
    }
}

#[tokio::test]
async fn a_delivery_fits_the_schema_that_the_document_has_for_its_type() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let schema = json!({
        "$id": "https://example.com/order.json",
        "type": "object",
        "required": ["total"],
        "properties": { "total": { "$ref": "#/$defs/amount" } },
        "$defs": { "amount": { "type": "integer", "minimum": 1 } },
    });
    let wish = json!({ "description": "It was paid.", "deprecated": true, "schema": schema });
    owner.put("/event-types/order.paid", &wish).await.expect(StatusCode::CREATED);
    owner.put("/event-types/order.seen", &json!({})).await.expect(StatusCode::CREATED);
    owner.subscribe(&receiver, "/hook", &["order.*"]).await;
    let event = json!({ "type": "order.paid", "payload": { "total": 3 } });
    owner.post("/events", &event).await.expect(StatusCode::ACCEPTED);
    let body = receiver.received(1).await.remove(0).json();

    let document = owner.get("/openapi.json").await.expect(StatusCode::OK).json();
    assert_eq!(
        (&document["openapi"], &document["info"]["title"]),
        (&json!("3.1.0"), &json!("Events of acme"))
    );
    let said = &document["webhooks"]["order.paid"]["post"];
    assert_eq!((&said["description"], &said["deprecated"]), (&json!("It was paid."), &json!(true)));
    assert!(fits(&document, "order.paid", &body), "{body:#}");
    let mut other = body.clone();
    other["payload"]["total"] = json!(0);
    assert!(!fits(&document, "order.paid", &other), "{other:#}");
    other = body;
    other["type"] = json!("order.seen");
    assert!(!fits(&document, "order.paid", &other) && fits(&document, "order.seen", &other), "{other:#}");
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn the_document_changes_with_the_catalogue_and_is_the_handles_own() {
    let world = World::start().await;
    let owner = world.owner();
    let before = owner.get("/openapi.json").await.expect(StatusCode::OK).json();
    let types = |document: &Value| {
        document["webhooks"].as_object().expect("webhooks").keys().cloned().collect::<Vec<_>>()
    };
    assert!(types(&before).contains(&"webhook.test".to_owned()), "{:?}", types(&before));
    owner.put("/event-types/order.paid", &json!({ "schema": true })).await.expect(StatusCode::CREATED);
    let after = owner.get("/openapi.json").await.expect(StatusCode::OK).json();
    assert_ne!(before["info"]["version"], after["info"]["version"]);
    assert_eq!(types(&after).len(), types(&before).len() + 1);
    let theirs = world.person("beta", "CREATOR").get("/openapi.json").await.expect(StatusCode::OK).json();
    assert_eq!(types(&theirs), types(&before));
}
