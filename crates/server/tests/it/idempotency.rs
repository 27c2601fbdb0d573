//! Writes that are safe to repeat.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::emails::{EMAILS, both, confirmed};
use crate::receiver::Receiver;
use crate::world::{World, id_of};

/// A write: who, what, where, with which body, and another body. Null is no body at all.
type Row<'a> = (&'a Client, Method, String, Value, Value);

/// Asserts that each of these is done once under its key, and that its key is good for no other body.
async fn expect_once(rows: Vec<Row<'_>>) {
    let text = |body: &Value| if body.is_null() { String::new() } else { body.to_string() };
    for (n, (client, method, path, body, other)) in rows.into_iter().enumerate() {
        let keyed = client.with("idempotency-key", format!("key-{n}"));
        let first = keyed.send(method.clone(), &path, text(&body)).await;
        assert!(first.status.is_success(), "{method} {path}: {}", first.text);
        assert_eq!(first.header("idempotent-replayed"), None, "{method} {path}");
        let again = keyed.send(method.clone(), &path, text(&body)).await;
        assert_eq!(
            (again.status, &again.text, again.header("idempotent-replayed")),
            (first.status, &first.text, Some("true")),
            "{method} {path}"
        );
        keyed.send(method, &path, text(&other)).await.expect_problem(422, "idempotency_key_reused");
    }
}

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

#[tokio::test]
async fn whatever_is_said_of_mails_is_done_once_under_its_key() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    let ask = |pattern: &str| json!({ "email": "bob@example.com", "eventTypes": [pattern] });
    let default = "/notifications/owner-default-email".to_owned();
    let (post, put, delete) = (Method::POST, Method::PUT, Method::DELETE);
    expect_once(vec![
        (&owner, post.clone(), EMAILS.to_owned(), ask("order.*"), ask("order.paid")),
        (&owner, delete.clone(), format!("{EMAILS}/{id}/suppression"), Value::Null, json!({})),
        (&owner, delete, format!("{EMAILS}/{id}"), Value::Null, json!({})),
        (
            &owner,
            put.clone(),
            default.clone(),
            json!({ "email": "owner@example.com" }),
            json!({ "email": null }),
        ),
        (&owner, post, format!("{default}/test"), Value::Null, json!({})),
        (
            &owner,
            put,
            "/notification-settings".to_owned(),
            json!({ "timeZone": "Asia/Tokyo" }),
            json!({ "timeZone": "Europe/Berlin" }),
        ),
    ])
    .await;
}

#[tokio::test]
async fn whatever_is_done_to_the_inbox_or_to_voice_notes_is_done_once_under_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let notes = folder.path().join("notes");
    let world = World::with(|settings| settings.voice.path = Some(notes)).await;
    let owner = world.owner();
    let item = format!("/mobile/inbox/{}", owner.put_item("one").await);
    let note = json!({ "contentType": "audio/mp4", "sizeBytes": 24_576 });
    let announced = owner.post("/mobile/voice-notes", &note).await;
    let note = announced.expect(StatusCode::CREATED).text_of("voiceNoteId");
    let up_to = |day: u8| json!({ "upTo": format!("2026-02-{day}T12:00:00Z") });
    let mut rows: Vec<Row<'_>> = Vec::new();
    for act in ["seen", "read", "unread", "archive", "unarchive"] {
        rows.push((&owner, Method::POST, format!("{item}/{act}"), Value::Null, json!({})));
    }
    rows.push((&owner, Method::POST, "/mobile/inbox/read-all".to_owned(), up_to(25), up_to(26)));
    rows.push((&owner, Method::DELETE, format!("/mobile/voice-notes/{note}"), Value::Null, json!({})));
    expect_once(rows).await;
}

#[tokio::test]
async fn whatever_is_said_of_chains_and_of_context_is_done_once_under_its_key() {
    let world = World::start().await;
    let owner = world.owner();
    let origins = |origins: &[&str]| json!({ "origins": origins });
    let source = |name: &str| json!({ "name": name, "kind": "inline", "documents": [{ "text": "a text" }] });
    expect_once(vec![
        (
            &owner,
            Method::PUT,
            "/chain/rules".to_owned(),
            json!({ "rules": [] }),
            json!({ "rules": [], "public": false }),
        ),
        (
            &owner,
            Method::PUT,
            "/context-origins".to_owned(),
            origins(&["https://shop.example.com"]),
            origins(&[]),
        ),
        (&owner, Method::POST, "/context-sources".to_owned(), source("Notes"), source("Guide")),
    ])
    .await;
}

#[tokio::test]
async fn whatever_is_reported_or_done_about_it_is_done_once_under_its_key() {
    let world = World::start().await;
    let (admin, public) = (world.admin(), world.nobody().at("/v2/public"));
    let report = |summary: &str| json!({ "summary": summary, "details": "at noon, all of them" });
    let made = world.owner().at("/v2/support").post("/report", &report("deliveries stopped")).await;
    let path = format!("/reports/{}", made.expect(StatusCode::CREATED).text_of("reportId"));
    let status = |status: &str| json!({ "status": status });
    expect_once(vec![
        (&public, Method::POST, "/content-report".to_owned(), report("a mail"), report("another mail")),
        (&admin, Method::POST, "/escalations".to_owned(), report("a handle"), report("another handle")),
        (&admin, Method::PATCH, path, status("closed"), status("open")),
    ])
    .await;
}
