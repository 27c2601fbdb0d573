//! A store that takes no writes for a while: they are refused whole, and can be made again.

use angarium_server::service::Service;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::receiver::Receiver;
use crate::restart::on_disk;
use crate::world::{World, id_of};

/// A write: who, what, where and with which body. Null is no body at all.
type Row<'a> = (&'a Client, Method, String, Value);

/// What an owner writes about events, webhooks and whoever may ask for them.
async fn writes_of_events<'a>(owner: &'a Client, receiver: &Receiver) -> Vec<Row<'a>> {
    let webhook = format!("/webhooks/{}", id_of(&owner.subscribe(receiver, "/hook", &["*"]).await));
    owner.put("/event-types/order.sent", &json!({})).await.expect(StatusCode::CREATED);
    let event = json!({ "type": "order.paid", "payload": {} });
    let wish = json!({ "endpointUrl": receiver.url("/other"), "eventTypes": ["*"] });
    let failed = json!({ "filter": { "status": ["dead"] } });
    let token = json!({ "name": "ci", "scopes": ["events.read"] });
    let key = json!({ "name": "the shop", "mode": "live", "scopes": ["webhooks:manage"] });
    let row = |method: Method, path: &str, body: Value| (owner, method, path.to_owned(), body);
    vec![
        row(Method::POST, "/events", event.clone()),
        row(Method::POST, "/events/batch", json!({ "events": [event] })),
        row(Method::POST, "/webhooks", wish),
        row(Method::PATCH, &webhook, json!({ "description": "the shop" })),
        row(Method::POST, &format!("{webhook}/pause"), Value::Null),
        row(Method::POST, &format!("{webhook}/rotate-secret"), Value::Null),
        row(Method::DELETE, &webhook, Value::Null),
        row(Method::PUT, "/event-types/order.paid", json!({ "description": "paid" })),
        row(Method::DELETE, "/event-types/order.sent", Value::Null),
        row(Method::POST, "/replays", failed),
        row(Method::POST, "/tokens", token),
        row(Method::POST, "/api-keys", key),
    ]
}

/// What an owner writes about whatever else there is.
async fn writes_of_the_rest(owner: &Client) -> Vec<Row<'_>> {
    let item = format!("/mobile/inbox/{}", owner.put_item("one").await);
    let note = json!({ "contentType": "audio/mp4", "sizeBytes": 24_576 });
    let source = json!({ "name": "Notes", "kind": "inline", "documents": [{ "text": "a text" }] });
    let signals = json!({ "sessionId": "s", "signals": [{ "type": "view" }] });
    let row = |method: Method, path: &str, body: Value| (owner, method, path.to_owned(), body);
    vec![
        row(Method::POST, "/mobile/inbox", json!({ "type": "a", "title": "two" })),
        row(Method::POST, &format!("{item}/read"), Value::Null),
        row(Method::POST, "/mobile/inbox/read-all", json!({ "upTo": "2026-02-25T12:00:00Z" })),
        row(Method::POST, "/mobile/voice-notes", note),
        row(Method::PUT, "/notification-settings", json!({ "timeZone": "Asia/Tokyo" })),
        row(Method::POST, "/context-sources", source),
        row(Method::POST, "/chain/signals", signals),
        row(Method::PUT, "/chain/rules", json!({ "rules": [] })),
        row(Method::PUT, "/context-origins", json!({ "origins": ["https://shop.example.com"] })),
    ]
}

/// Makes a write under a key of its own.
async fn write(place: usize, (client, method, path, body): &Row<'_>) -> Answer {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    client.with("idempotency-key", format!("key-{place}")).send(method.clone(), path, text).await
}

#[tokio::test]
async fn a_write_that_could_not_be_stored_is_refused_and_made_when_it_is_asked_for_again() {
    let (folder, receiver) = (tempfile::tempdir().expect("a folder"), Receiver::start().await);
    let mut settings = on_disk(folder.path());
    settings.voice.path = Some(folder.path().join("notes"));
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let (owner, admin) = (world.owner(), world.admin());
    let (support, public) = (owner.at("/v2/support"), world.nobody().at("/v2/public"));
    let report = json!({ "summary": "deliveries stopped", "details": "at noon, all of them" });
    let mut rows = writes_of_events(&owner, &receiver).await;
    rows.extend(writes_of_the_rest(&owner).await);
    rows.push((&support, Method::POST, "/report".to_owned(), report.clone()));
    rows.push((&public, Method::POST, "/content-report".to_owned(), report.clone()));
    rows.push((&admin, Method::POST, "/escalations".to_owned(), report));
    rows.push((&admin, Method::POST, "/handles".to_owned(), json!({ "handle": "beta" })));

    let db = rusqlite::Connection::open(&settings.store.path).expect("the store");
    // The last that every write under a key leaves: whatever was written before it has to go again.
    db.execute_batch("CREATE TRIGGER full BEFORE INSERT ON idempotency BEGIN SELECT json('{'); END")
        .expect("SQL");
    for (place, row) in rows.iter().enumerate() {
        let refused = write(place, row).await;
        refused.expect_problem(503, "temporarily_unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"), "{} {}", row.1, row.2);
    }
    // Reading goes on, and finds nothing of it.
    assert_eq!(owner.get("/events?type=order.paid").await.items().len(), 0);
    db.execute_batch("DROP TRIGGER full").expect("SQL");
    for (place, row) in rows.iter().enumerate() {
        let made = write(place, row).await;
        assert!(made.status.is_success(), "{} {}: {}", row.1, row.2, made.text);
        assert_eq!(made.header("idempotent-replayed"), None, "{} {}", row.1, row.2);
    }
    assert_eq!(owner.get("/events?type=order.paid").await.items().len(), 2);
    world.service.stop().await;
}
