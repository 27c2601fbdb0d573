//! The inbox: items, and what each reader did with them.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::ids::ItemId;
use angarium_domain::inbox::Item;
use angarium_domain::time::Timestamp;
use angarium_server::service::Service;
use angarium_store::EventLog;
use angarium_store::event_log::{Append, Beside};
use angarium_store::inboxes::LOOKED_AT_MAX;
use angarium_store::memory::MemoryStore;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::clock::HandClock;
use crate::credentials::{SECRET, claims, in_seconds, signed};
use crate::receiver::Receiver;
use crate::restart::on_disk;
use crate::stream::Hearing;
use crate::world::{World, eventually, settings, time};

const INBOX: &str = "/mobile/inbox";

/// Somebody of a name with a role on a handle.
pub(crate) fn named(world: &World, name: &str, handle: &str, role: &str) -> Client {
    let mut claims = claims(handle, role);
    claims["sub"] = json!(name);
    world.person(handle, role).bearing(signed(&claims))
}

impl Client {
    /// Puts an item into the inbox and answers its id.
    pub(crate) async fn put_item(&self, title: &str) -> String {
        let item = json!({ "type": "order.paid", "title": title });
        self.post(INBOX, &item).await.expect(StatusCode::CREATED).text_of("itemId")
    }

    pub(crate) async fn inbox(&self, query: &str) -> Value {
        self.get(&format!("{INBOX}{query}")).await.expect(StatusCode::OK).json()
    }

    pub(crate) async fn mark(&self, id: &str, act: &str) -> Answer {
        self.post(&format!("{INBOX}/{id}/{act}"), &json!({})).await
    }
}

/// Unread and unseen.
fn counts(said: &Value) -> (u64, u64) {
    let count = |field: &str| said[field].as_u64().unwrap_or_else(|| panic!("no {field} in {said}"));
    (count("unreadCount"), count("unseenCount"))
}

fn titles(inbox: &Value) -> Vec<String> {
    let items = inbox["items"].as_array().expect("items").iter();
    items.map(|item| item["title"].as_str().expect("a title").to_owned()).collect()
}

#[tokio::test]
async fn an_item_is_listed_as_it_was_posted() {
    let world = World::with(|settings| {
        settings.inbox.app_schemes = vec!["acme-app".parse().expect("a scheme")];
    })
    .await;
    let owner = world.owner();
    let item = json!({
        "type": "order.shipped", "title": "Order 42 has shipped", "body": "It will be there\non Friday.",
        "data": { "orderId": 42.0, "b": 1 }, "actionUrl": "acme-app://orders/42", "expiresAt": "2099-01-01T00:00:00Z",
    });
    let posted = owner.post(INBOX, &item).await.expect(StatusCode::CREATED).json();
    for (field, value) in item.as_object().expect("an object") {
        assert_eq!(&posted[field], value, "{field}");
    }
    assert!(posted["itemId"].as_str().is_some_and(|id| id.starts_with("inb_")), "{posted}");
    for field in ["seenAt", "readAt", "archivedAt"] {
        assert_eq!(posted[field], Value::Null);
    }
    let inbox = owner.inbox("").await;
    assert_eq!(inbox["items"], json!([posted]));
    assert_eq!((counts(&inbox), &inbox["nextCursor"]), ((1, 1), &Value::Null));
}

#[tokio::test]
async fn what_looks_like_markup_comes_back_as_text() {
    let owner = World::start().await.owner();
    let title = "<script>alert(1)</script> \" onload=x & \u{202e}";
    let body = "</textarea><img src=x onerror=alert(1)>";
    let posted = owner.post(INBOX, &json!({ "type": "a", "title": title, "body": body })).await;
    assert_eq!((posted.text_of("title").as_str(), posted.text_of("body").as_str()), (title, body));
    let listed = owner.get(INBOX).await;
    assert_eq!(listed.header("content-type"), Some("application/json"));
    assert_eq!(listed.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(listed.items()[0]["body"], body);
}

#[tokio::test]
async fn an_item_that_cannot_be_shown_is_refused_by_the_field() {
    let owner = World::start().await.owner();
    let with = |field: &str, value: Value| {
        let mut item = json!({ "type": "a", "title": "t" });
        item[field] = value;
        item
    };
    for (item, code, words) in [
        (with("title", json!("x".repeat(201))), "invalid_title", "title is 201 characters, the limit is 200"),
        (with("title", json!(" ")), "invalid_title", "title is empty"),
        (with("title", json!("a\nb")), "invalid_title", "control character U+000A"),
        (with("title", Value::Null), "invalid_title", "title is required"),
        (with("type", json!("a b")), "invalid_type", "a b"),
        (
            with("body", json!("é".repeat(2_001))),
            "invalid_body",
            "body is 2001 characters, the limit is 2000",
        ),
        (with("data", json!([1])), "invalid_data", "data must be a JSON object"),
        (with("data", json!({ "x": "y".repeat(4_096) })), "invalid_data", "the limit is 4096"),
        (with("actionUrl", json!("javascript:alert(1)")), "invalid_actionUrl", "must begin with https://"),
        (with("actionUrl", json!("acme-app://x")), "invalid_actionUrl", "must begin with https://"),
        (with("expiresAt", json!("2020-01-01T00:00:00Z")), "invalid_expiresAt", "has passed"),
        (with("expiresAt", json!("soon")), "invalid_expiresAt", "RFC 3339"),
        (with("priority", json!(1)), "invalid_priority", "not a field"),
    ] {
        let refused = owner.post(INBOX, &item).await;
        refused.expect_problem(400, code);
        assert!(refused.text_of("message").contains(words), "{words}: {}", refused.text);
    }
    assert_eq!(counts(&owner.inbox("").await), (0, 0));
}

#[tokio::test]
async fn two_people_read_the_same_item_each_for_themselves() {
    let world = World::start().await;
    let (ann, bob) = (named(&world, "ann", "acme", "CREATOR"), named(&world, "bob", "acme", "OPERATOR"));
    let (first, second) = (bob.put_item("one").await, bob.put_item("two").await);

    let read = ann.mark(&first, "read").await.expect(StatusCode::OK).json();
    assert_eq!(read["item"]["itemId"], first);
    assert!(read["item"]["readAt"].is_string() && read["item"]["readAt"] == read["item"]["seenAt"]);
    assert_eq!(counts(&read), (1, 1));
    let again = ann.mark(&first, "read").await.expect(StatusCode::OK).json();
    assert_eq!(again, read, "the same act again changes nothing");

    let seen = ann.mark(&second, "seen").await.json();
    assert_eq!((counts(&seen), &seen["item"]["readAt"]), ((1, 0), &Value::Null));
    assert!(seen["version"].as_u64() > read["version"].as_u64());
    assert_eq!(counts(&bob.inbox("").await), (2, 2));

    let away = ann.mark(&second, "archive").await.json();
    assert_eq!(counts(&away), (0, 0));
    assert_eq!(titles(&ann.inbox("").await), ["one"]);
    assert_eq!(titles(&ann.inbox("?archived=only").await), ["two"]);
    assert_eq!(titles(&ann.inbox("?archived=include").await), ["two", "one"]);
    assert_eq!(titles(&bob.inbox("").await), ["two", "one"]);

    let back = ann.mark(&second, "unarchive").await.json();
    assert_eq!((counts(&back), &back["item"]["seenAt"]), ((1, 0), &seen["item"]["seenAt"]));
    let unread = ann.mark(&first, "unread").await.json();
    assert_eq!((counts(&unread), &unread["item"]["readAt"]), ((2, 0), &Value::Null));
    assert_eq!(titles(&ann.inbox("?unread=true").await), ["two", "one"]);
    assert!(titles(&ann.inbox("?unread=false").await).is_empty());
}

#[tokio::test]
async fn a_token_reads_for_itself() {
    let world = World::start().await;
    let owner = world.owner();
    let (one, other) =
        (world.token_holder(&["inbox.read", "inbox.write"]).await, world.token_holder(&["inbox.read"]).await);
    let id = one.put_item("for everybody").await;
    assert_eq!(counts(&one.mark(&id, "read").await.json()), (0, 0));
    for reader in [&owner, &other] {
        assert_eq!(counts(&reader.inbox("").await), (1, 1));
    }
    other.mark(&id, "read").await.expect_problem(403, "insufficient_scope");
}

#[tokio::test]
async fn everything_up_to_a_time_is_read_at_once_and_nothing_that_came_later() {
    let world = World::start().await;
    let (ann, bob) = (named(&world, "ann", "acme", "CREATOR"), named(&world, "bob", "acme", "OWNER"));
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(bob.put_item(&format!("item {n}")).await);
    }
    ann.mark(&ids[0], "archive").await.expect(StatusCode::OK);
    let listed = ann.inbox("").await;
    let up_to = listed["items"][1]["createdAt"].clone();
    // What was made in the same millisecond is not newer.
    let items = listed["items"].as_array().expect("items").iter();
    let newer = items.filter(|item| time(&item["createdAt"]) > time(&up_to)).count() as u64;
    let all =
        ann.post("/mobile/inbox/read-all", &json!({ "upTo": up_to })).await.expect(StatusCode::OK).json();
    assert_eq!(counts(&all), (newer, newer));
    assert_eq!(counts(&ann.inbox("?unread=true").await), (newer, newer));
    assert_eq!(counts(&bob.inbox("").await), (4, 4));
    let again = ann.post("/mobile/inbox/read-all", &json!({ "upTo": up_to })).await.json();
    assert_eq!(again, all);
    let ever = ann.post("/mobile/inbox/read-all", &json!({ "upTo": "9999-01-01T00:00:00Z" })).await.json();
    assert_eq!(counts(&ever), (0, 0));
    let told = bob.get("/events?type=inbox.items.read").await.items();
    assert_eq!(told.len() as u64, 1 + newer.min(1), "nothing is told where nothing was unread");
    ann.post("/mobile/inbox/read-all", &json!({})).await.expect_problem(400, "invalid_upTo");
}

#[tokio::test]
async fn more_than_one_step_of_items_is_read_at_once() {
    let world = World::start().await;
    let owner = world.owner();
    let bearer = owner.bearer.clone().expect("a credential");
    let mut posting = tokio::task::JoinSet::new();
    for poster in 0..4 {
        let owner = owner.bearing(bearer.clone());
        posting.spawn(async move {
            for n in 0..130 {
                owner.put_item(&format!("{poster} {n}")).await;
            }
        });
    }
    while let Some(posted) = posting.join_next().await {
        posted.expect("no panic");
    }
    assert_eq!(counts(&owner.inbox("?limit=1").await), (520, 520));
    let all = owner.post("/mobile/inbox/read-all", &json!({ "upTo": "9999-01-01T00:00:00Z" })).await;
    assert_eq!(counts(&all.expect(StatusCode::OK).json()), (0, 0));
    owner.expect_described("inbox.items.read").await;
    let told = owner.get("/events?type=inbox.items.read").await.items();
    let event = told[0]["eventId"].as_str().expect("an id");
    let told = owner.get(&format!("/events/{event}")).await.json();
    assert_eq!((&told["payload"]["items"], &told["payload"]["reader"]), (&json!(520), &json!("jwt:tester")));
}

#[tokio::test]
async fn the_first_reading_of_an_item_is_published_and_no_later_one() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (ann, bob) = (named(&world, "ann", "acme", "CREATOR"), named(&world, "bob", "acme", "OWNER"));
    bob.subscribe(&receiver, "/", &["inbox.*"]).await;
    let id = bob.put_item("read me").await;
    ann.mark(&id, "seen").await.expect(StatusCode::OK);
    for act in ["read", "read", "unread", "read"] {
        ann.mark(&id, act).await.expect(StatusCode::OK);
    }
    bob.mark(&id, "read").await.expect(StatusCode::OK);
    let arrivals = receiver.received(2).await;
    let mut readers: Vec<String> = arrivals
        .iter()
        .map(|arrival| {
            let event: Value = serde_json::from_slice(&arrival.body).expect("JSON");
            assert_eq!(
                (&event["type"], &event["payload"]["itemId"]),
                (&json!("inbox.item.read"), &json!(id))
            );
            assert_eq!(event["payload"]["type"], "order.paid");
            event["payload"]["reader"].as_str().expect("a reader").to_owned()
        })
        .collect();
    readers.sort();
    assert_eq!(readers, ["jwt:ann", "jwt:bob"]);
    assert_eq!(bob.get("/events?type=inbox.item.read").await.items().len(), 2);
    bob.expect_described("inbox.item.read").await;
}

#[tokio::test]
async fn an_inbox_is_nobody_elses() {
    let world = World::start().await;
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    let id = acme.put_item("ours").await;
    acme.put_item("ours too").await;
    assert_eq!(counts(&beta.inbox("").await), (0, 0));
    let unknown = format!("inb_{}", "0".repeat(26));
    for act in ["seen", "read", "unread", "archive", "unarchive"] {
        let body = |answer: &Answer| {
            let mut body = answer.expect_problem(404, "not_found").json();
            body["requestId"] = json!("-");
            body
        };
        let foreign = body(&beta.mark(&id, act).await);
        for nothing in [unknown.as_str(), "nonsense", "dlv_01arz3ndektsv4rrffq69g5fav"] {
            assert_eq!(body(&beta.mark(nothing, act).await), foreign, "{act} {nothing}");
        }
    }
    beta.post("/mobile/inbox/read-all", &json!({ "upTo": "9999-01-01T00:00:00Z" }))
        .await
        .expect(StatusCode::OK);
    assert_eq!(counts(&acme.inbox("").await), (2, 2));
    let cursor = acme.get("/mobile/inbox?limit=1").await.text_of("nextCursor");
    assert_eq!(titles(&acme.inbox(&format!("?limit=1&cursor={cursor}")).await), ["ours"]);
    beta.get(&format!("{INBOX}?limit=1&cursor={cursor}")).await.expect_problem(400, "invalid_cursor");
    acme.get(&format!("{INBOX}?unread=true&cursor={cursor}")).await.expect_problem(400, "invalid_cursor");
}

#[tokio::test]
async fn a_repeated_write_is_done_once_for_each_reader() {
    let world = World::start().await;
    let (ann, bob) = (named(&world, "ann", "acme", "OPERATOR"), named(&world, "bob", "acme", "OPERATOR"));
    let keyed = |client: &Client| client.with("idempotency-key", "once");
    let item = json!({ "type": "a", "title": "one" });
    let first = keyed(&ann).post(INBOX, &item).await;
    let second = keyed(&ann).post(INBOX, &item).await;
    assert_eq!((&second.text, second.header("idempotent-replayed")), (&first.text, Some("true")));
    let id = first.text_of("itemId");
    let read = keyed(&ann).mark(&id, "read").await;
    ann.mark(&id, "unread").await.expect(StatusCode::OK);
    let again = keyed(&ann).mark(&id, "read").await;
    assert_eq!((&again.text, again.header("idempotent-replayed")), (&read.text, Some("true")));
    assert_eq!(counts(&ann.inbox("").await), (1, 0));
    let others = keyed(&bob).mark(&id, "read").await;
    assert_eq!((others.header("idempotent-replayed"), counts(&others.json())), (None, (0, 0)));
}

#[tokio::test]
async fn filters_that_make_no_sense_are_refused_by_name() {
    let owner = World::start().await.owner();
    for (query, code) in [
        ("?unread=1", "invalid_unread"),
        ("?archived=yes", "invalid_archived"),
        ("?type=a..b", "invalid_type"),
        ("?since=2026-01-01T00:00:00Z", "invalid_since"),
    ] {
        owner.get(&format!("{INBOX}{query}")).await.expect_problem(400, code);
    }
    owner.put_item("one").await;
    owner.post(INBOX, &json!({ "type": "order.shipped", "title": "two" })).await.expect(StatusCode::CREATED);
    assert_eq!(titles(&owner.inbox("?type=order.shipped").await), ["two"]);
}

#[tokio::test]
async fn marks_and_counts_outlive_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = on_disk(folder.path());
    let start = async || {
        let service = angarium_server::service::Service::start(&settings).await;
        World { service: service.expect("a running service") }
    };
    let world = start().await;
    let owner = world.owner();
    let ids = [owner.put_item("one").await, owner.put_item("two").await, owner.put_item("three").await];
    owner.mark(&ids[0], "read").await.expect(StatusCode::OK);
    owner.mark(&ids[1], "archive").await.expect(StatusCode::OK);
    let before = owner.inbox("?archived=include").await;
    world.service.stop().await;
    let world = start().await;
    let after = world.owner().inbox("?archived=include").await;
    assert_eq!(after, before);
    assert_eq!(counts(&after), (1, 1));
    world.service.stop().await;
}

#[tokio::test]
async fn a_deleted_handle_takes_its_inbox_with_it() {
    let world = World::start().await;
    let make = async || world.admin().post("/handles", &json!({ "handle": "acme" })).await;
    make().await.expect(StatusCode::CREATED);
    let owner = world.owner();
    let id = owner.put_item("private").await;
    let heard = owner.mark(&id, "read").await.expect(StatusCode::OK).json()["version"].as_u64();
    world.admin().delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    owner.get(INBOX).await.expect_problem(404, "handle_not_found");
    eventually(|| async { (make().await.status == StatusCode::CREATED).then_some(()) }).await;
    let inbox = owner.inbox("?archived=include").await;
    assert_eq!((titles(&inbox).len(), counts(&inbox)), (0, (0, 0)));
    // Whoever keeps the counts of the highest version takes these.
    assert!(inbox["version"].as_u64() > heard, "{inbox} {heard:?}");
}

#[tokio::test]
async fn whoever_heard_of_a_deleted_inbox_hears_all_of_the_next_one() {
    let world = World::start().await;
    let make = async || world.admin().post("/handles", &json!({ "handle": "acme" })).await;
    make().await.expect(StatusCode::CREATED);
    let owner = world.owner();
    for n in 0..3 {
        owner.put_item(&format!("old {n}")).await;
    }
    let stream = "/mobile/inbox/stream";
    let place = Hearing::at(&owner, stream, None).await.first.id.expect("a place");
    world.admin().delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    eventually(|| async { (make().await.status == StatusCode::CREATED).then_some(()) }).await;
    for n in 0..4 {
        owner.put_item(&format!("new {n}")).await;
    }
    let mut hearing = Hearing::at(&owner, stream, Some(&place)).await;
    for n in 0..4 {
        let (name, told) = hearing.told().await;
        assert_eq!((name.as_str(), &told["item"]["title"]), ("item", &json!(format!("new {n}"))));
    }
}

#[tokio::test]
async fn a_page_that_finds_little_is_short_and_not_the_last() {
    let store = MemoryStore::new();
    let world = World::on(&store).await;
    let owner = world.owner();
    let first = owner.put_item("the first").await;
    owner.mark(&first, "archive").await.expect(StatusCode::OK);
    let now = Timestamp::from_seconds(in_seconds(0));
    let item = |n: u64| {
        let mut random = [1; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        Beside::Item(Arc::new(Item {
            id: ItemId::new(now, random),
            handle: "acme".parse().expect("a handle"),
            item_type: "order.paid".parse().expect("a type"),
            title: format!("item {n}"),
            body: None,
            data: None,
            action_url: None,
            created_at: now,
            expires_at: None,
        }))
    };
    let beside = (0..LOOKED_AT_MAX).map(item).collect();
    assert!(store.append(Append { beside, ..Append::default() }).await.is_ok());
    let page = owner.inbox("?archived=only").await;
    assert_eq!((titles(&page).len(), counts(&page)), (0, (LOOKED_AT_MAX, LOOKED_AT_MAX)));
    let next = page["nextCursor"].as_str().expect("it is not the last page").to_owned();
    let last = owner.inbox(&format!("?archived=only&cursor={next}")).await;
    assert_eq!((titles(&last), &last["nextCursor"]), (vec!["the first".to_owned()], &Value::Null));
    // Everything is read, in as many steps as it takes, and what is read already costs no write.
    for _ in 0..2 {
        let all = owner.post("/mobile/inbox/read-all", &json!({ "upTo": "9999-01-01T00:00:00Z" })).await;
        assert_eq!(counts(&all.expect(StatusCode::OK).json()), (0, 0));
    }
    let told = owner.get("/events?type=inbox.items.read").await.items();
    assert_eq!(told.len(), 1);
}

#[tokio::test]
async fn reading_everything_where_nothing_is_unread_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = angarium_server::service::Service::start(&on_disk(folder.path())).await;
    let world = World { service: service.expect("a running service") };
    let owner = world.owner();
    let id = owner.put_item("one").await;
    owner.mark(&id, "read").await.expect(StatusCode::OK);
    // A commit that somebody else asks for would be counted, too: so it is asked for again.
    eventually(|| async {
        let before = world.commits().await;
        owner.post("/mobile/inbox/read-all", &json!({ "upTo": "9999-01-01T00:00:00Z" })).await;
        (world.commits().await == before).then_some(())
    })
    .await;
    world.service.stop().await;
}

#[tokio::test]
async fn an_inbox_keeps_as_many_items_as_it_is_set_to_and_the_oldest_go() {
    let store = MemoryStore::new();
    let world = World::on(&store).await;
    for (handle, count) in [("acme", 5), ("beta", 3)] {
        for n in 0..count {
            world.person(handle, "OWNER").put_item(&format!("item {n}")).await;
        }
    }
    world.service.stop().await;

    // What is too much goes in the first round of chores, which is at the start.
    let world = World::on_with(&store, |settings| settings.inbox.items_max = 3).await;
    let acme = world.owner();
    let kept = eventually(|| async {
        let inbox = acme.inbox("").await;
        (titles(&inbox).len() < 5).then_some(inbox)
    })
    .await;
    assert_eq!(titles(&kept), ["item 4", "item 3", "item 2"]);
    assert_eq!(counts(&kept), (3, 3));
    assert_eq!(titles(&world.person("beta", "OWNER").inbox("").await).len(), 3);
}

#[tokio::test]
async fn items_go_once_they_are_as_old_as_it_is_set_whether_they_were_read_or_not() {
    let (store, began_at) = (MemoryStore::new(), Timestamp::from_seconds(in_seconds(0)));
    let start = async |after: Duration| {
        let clock = Arc::new(HandClock::at(began_at + after));
        let mut settings = settings();
        settings.retention.inbox_days = 30;
        let (on, secret) = (Arc::new(store.clone()), SECRET.to_owned().into());
        let service = Service::start_by(clock.clone(), on, &settings, Some(&secret)).await;
        (World { service: service.expect("a running service") }, clock)
    };
    let owner_of = |world: &World| {
        let mut claims = claims("acme", "OWNER");
        claims["exp"] = json!(in_seconds(60 * 86_400));
        world.owner().bearing(signed(&claims))
    };
    let (world, clock) = start(Duration::ZERO).await;
    let owner = owner_of(&world);
    let read = owner.put_item("old and read").await;
    owner.mark(&read, "read").await.expect(StatusCode::OK);
    owner.put_item("old").await;
    clock.advance(Duration::from_secs(1));
    owner.put_item("a second younger").await;
    world.service.stop().await;

    // In the round at the start, one of them is exactly as old as an item may be.
    let (world, _clock) = start(Duration::from_hours(30 * 24) + Duration::from_secs(1)).await;
    let owner = owner_of(&world);
    let kept = eventually(|| async {
        let inbox = owner.inbox("").await;
        (titles(&inbox).len() < 3).then_some(inbox)
    })
    .await;
    assert_eq!(titles(&kept), ["a second younger"]);
    assert_eq!(counts(&kept), (1, 1));
}
