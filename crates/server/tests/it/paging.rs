//! Walking through lists.

use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::Receiver;
use crate::world::{World, eventually};

/// Every id of a list, page by page.
async fn walk(client: &Client, list: &str, named: &str, id: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{list}limit=2{cursor}")).await.expect(StatusCode::OK).json();
        let items = page[named].as_array().expect("items");
        assert!(items.len() <= 2, "{page}");
        ids.extend(items.iter().map(|item| id_in(item, id)));
        match &page["nextCursor"] {
            Value::Null => return ids,
            next => cursor = format!("&cursor={}", next.as_str().expect("a cursor")),
        }
    }
}

/// An item's id, or its number, as a text that sorts like it.
#[track_caller]
fn id_in(item: &Value, id: &str) -> String {
    let number = item[id].as_u64().map(|number| format!("{number:020}"));
    number.or_else(|| item[id].as_str().map(str::to_owned)).unwrap_or_else(|| panic!("no {id} in {item}"))
}

/// Asserts that a walk through a list finds so many things, each once and newest first.
async fn expect_walked(client: &Client, list: &str, named: &str, id: &str, count: usize) {
    let ids = walk(client, list, named, id).await;
    let mut sorted = ids.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!((&ids, ids.len()), (&sorted, count), "{list}");
}

#[tokio::test]
async fn every_list_is_walked_newest_first_without_gaps_or_repeats() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    for n in 0..5 {
        owner.subscribe(&receiver, "/hook", &["never"]).await;
        owner
            .post("/tokens", &json!({ "name": format!("t{n}"), "scopes": ["events.read"] }))
            .await
            .expect(StatusCode::CREATED);
        owner.post("/replays", &json!({ "filter": {} })).await.expect(StatusCode::ACCEPTED);
    }
    owner.subscribe(&receiver, "/hook", &["a"]).await;
    for _ in 0..5 {
        owner.publish("a").await;
    }
    for (list, named, id, count) in [
        ("/events?", "items", "eventId", 5),
        ("/events?type=a&", "items", "eventId", 5),
        ("/deliveries?", "items", "deliveryId", 5),
        ("/webhooks?", "webhooks", "subscriptionId", 6),
        ("/tokens?", "items", "tokenId", 5),
        ("/replays?", "items", "replayId", 5),
    ] {
        expect_walked(&owner, list, named, id, count).await;
    }
}

/// Makes one of each thing that is listed beside events and what becomes of them.
async fn make_one_of_each(owner: &Client, receiver: &Receiver) {
    owner.subscribe(receiver, "/hook", &["never"]).await;
    owner.publish("a").await;
    owner.api_key("live", &["events:manage"]).await;
    owner.put_item("one").await;
    let source = json!({ "name": "Notes", "kind": "inline", "documents": [{ "text": "a text" }] });
    owner.post("/context-sources", &source).await.expect(StatusCode::CREATED);
    let note = json!({ "contentType": "audio/mp4", "sizeBytes": 1 });
    owner.post("/mobile/voice-notes", &note).await.expect(StatusCode::CREATED);
    let report = json!({ "handle": "acme", "summary": "deliveries stopped", "details": "at noon" });
    owner.at("/v2/support").post("/report", &report).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn every_list_of_something_else_is_walked_alike_and_has_the_same_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes");
    let world = World::with(|settings| settings.voice.path = Some(path)).await;
    let (owner, admin, receiver) = (world.owner(), world.admin(), Receiver::start().await);
    receiver.answer(404);
    owner.subscribe(&receiver, "/hook", &["a"]).await;
    for _ in 0..5 {
        a_later_millisecond().await;
        make_one_of_each(&owner, &receiver).await;
    }
    owner.deliveries_when("?status=dead", 5).await;
    for (client, list, id, count) in [
        (&owner, "/dead-letters?", "deliveryId", 5),
        (&owner, "/webhooks/stats?", "subscriptionId", 6),
        (&owner, "/api-keys?", "keyId", 5),
        (&owner, "/audit?action=api_key.created&", "number", 5),
        (&owner, "/context-sources?", "sourceId", 5),
        (&owner, "/mobile/inbox?type=order.paid&", "itemId", 5),
        (&owner, "/mobile/voice-notes?", "voiceNoteId", 5),
        (&admin, "/reports?", "reportId", 5),
    ] {
        expect_walked(client, list, "items", id, count).await;
        client.get(&format!("{list}limit=101")).await.expect_problem(400, "invalid_limit");
        client.get(&format!("{list}limit=100")).await.expect(StatusCode::OK);
    }
}

/// Ids sort by the millisecond that they were made in; within one, in no order that a test may use.
async fn a_later_millisecond() {
    let began = SystemClock.now();
    eventually(|| async { (SystemClock.now() > began).then_some(()) }).await;
}

#[tokio::test]
async fn what_is_added_meanwhile_does_not_disturb_a_walk() {
    let world = World::start().await;
    let owner = world.owner();
    let old = owner.publish("a").await;
    a_later_millisecond().await;
    owner.publish("a").await;
    let first = owner.get("/events?limit=1").await;
    a_later_millisecond().await;
    owner.publish("a").await;
    let second = owner.get(&format!("/events?limit=1&cursor={}", first.text_of("nextCursor"))).await;
    assert_eq!(second.items()[0]["eventId"], old.as_str());
    assert_eq!(second.json()["nextCursor"], Value::Null);
}

/// What an operator walks through to reconcile: the dead since a time, while others die.
#[tokio::test]
async fn deaths_meanwhile_do_not_disturb_a_walk_through_the_dead() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["a"]).await;
    receiver.answer(404);
    for _ in 0..5 {
        owner.publish("a").await;
        a_later_millisecond().await;
    }
    let dead = owner.deliveries_when("?status=dead", 5).await;
    let since = dead[4]["createdAt"].as_str().expect("a time").to_owned();
    let expected: Vec<_> = dead.iter().map(|d| d["deliveryId"].as_str().expect("an id").to_owned()).collect();
    for list in [format!("/deliveries?status=dead&since={since}&"), format!("/dead-letters?since={since}&")] {
        let mut walked = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = owner.get(&format!("{list}limit=2{cursor}")).await.expect(StatusCode::OK).json();
            let items = page["items"].as_array().expect("items");
            walked.extend(items.iter().map(|item| item["deliveryId"].as_str().expect("an id").to_owned()));
            let known = owner.get("/dead-letters?limit=100").await.items().len();
            owner.publish("a").await;
            owner.deliveries_when("?status=dead&limit=100", known + 1).await;
            match &page["nextCursor"] {
                Value::Null => break,
                next => cursor = format!("&cursor={}", next.as_str().expect("a cursor")),
            }
        }
        let those_from_before: Vec<_> = walked.iter().filter(|id| expected.contains(id)).cloned().collect();
        let mut once = walked.clone();
        once.dedup();
        assert_eq!((&those_from_before, &once), (&expected, &walked), "{list}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_filters() {
    let world = World::start().await;
    let owner = world.owner();
    owner.publish("a").await;
    owner.publish("a").await;
    let cursor = owner.get("/events?type=a&limit=1").await.text_of("nextCursor");
    for list in [
        "/events?",
        "/events?type=b&",
        "/deliveries?",
        "/dead-letters?",
        "/webhooks?",
        "/tokens?",
        "/replays?",
        "/webhooks/stats?",
        "/api-keys?",
        "/audit?",
        "/context-sources?",
        "/mobile/inbox?",
        "/mobile/voice-notes?",
    ] {
        owner.get(&format!("{list}cursor={cursor}")).await.expect_problem(400, "invalid_cursor");
    }
    world.admin().get(&format!("/reports?cursor={cursor}")).await.expect_problem(400, "invalid_cursor");
    owner.get("/events?cursor=nonsense").await.expect_problem(400, "invalid_cursor");
    owner.get("/events?limit=101").await.expect_problem(400, "invalid_limit");
}
