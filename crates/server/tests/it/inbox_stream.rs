//! The inbox, heard while things come.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::ids::ItemId;
use angarium_domain::inbox::Item;
use angarium_domain::time::Timestamp;
use angarium_store::EventLog;
use angarium_store::event_log::{Append, Beside};
use angarium_store::memory::MemoryStore;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::inbox::named;
use crate::restart::on_disk;
use crate::stream::Hearing;
use crate::world::{World, eventually};

const STREAM: &str = "/mobile/inbox/stream";

impl Hearing {
    /// A stream of the inbox, after its first counts.
    async fn of_inbox(client: &Client, after: Option<&str>) -> Hearing {
        Hearing::at(client, STREAM, after).await
    }

    /// The next event of a name, which must be the next one that is told.
    async fn expect(&mut self, name: &str) -> Value {
        let (found, told) = self.told().await;
        assert_eq!(found, name, "{told}");
        told
    }

    /// The title and the place of the next item, whatever counts come between.
    async fn item(&mut self) -> (String, String) {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.event.as_deref() == Some("item") {
                let told: Value = serde_json::from_str(&event.data.expect("data")).expect("JSON");
                let title = told["item"]["title"].as_str().expect("a title").to_owned();
                return (title, event.id.expect("a place"));
            }
            assert_eq!(event.event.as_deref(), Some("counts"), "{event:?}");
        }
    }
}

fn unread(told: &Value) -> (u64, u64) {
    let count = |field: &str| told[field].as_u64().unwrap_or_else(|| panic!("no {field} in {told}"));
    (count("unreadCount"), count("unseenCount"))
}

/// Puts an item into a store, as if it had been made at a time.
async fn put_made_at(store: &MemoryStore, n: u64, created_at: Timestamp) {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    let item = Item {
        id: ItemId::new(created_at, random),
        handle: "acme".parse().expect("a handle"),
        item_type: "a".parse().expect("a type"),
        title: format!("item {n}"),
        body: None,
        data: None,
        action_url: None,
        created_at,
        expires_at: None,
    };
    let beside = vec![Beside::Item(Arc::new(item))];
    assert!(store.append(Append { beside, ..Append::default() }).await.is_ok());
}

fn now() -> Timestamp {
    Timestamp::from_seconds(crate::credentials::in_seconds(0))
}

#[tokio::test]
async fn listeners_hear_of_an_item_each_with_their_own_counts() {
    let world = World::start().await;
    let (ann, bob) = (named(&world, "ann", "acme", "CREATOR"), named(&world, "bob", "acme", "OWNER"));
    let first = bob.put_item("before").await;
    bob.mark(&first, "read").await.expect(StatusCode::OK);
    let (mut of_ann, mut of_bob) = (Hearing::of_inbox(&ann, None).await, Hearing::of_inbox(&bob, None).await);
    assert_eq!(unread(&of_ann.expect("counts").await), (1, 1));
    assert_eq!(unread(&of_bob.expect("counts").await), (0, 0));

    let item = json!({ "type": "order.paid", "title": "<b>now</b>", "body": "not told", "data": { "n": 1 } });
    let id = bob.post("/mobile/inbox", &item).await.expect(StatusCode::CREATED).text_of("itemId");
    let heard = of_ann.expect("item").await;
    assert_eq!((&heard["item"]["itemId"], &heard["item"]["title"]), (&json!(id), &json!("<b>now</b>")));
    assert_eq!((&heard["item"]["body"], unread(&heard)), (&Value::Null, (2, 2)));
    assert_eq!(unread(&of_bob.expect("item").await), (1, 1));

    let read = ann.mark(&id, "read").await.json();
    let counts = of_ann.expect("counts").await;
    assert_eq!((unread(&counts), &counts["version"]), ((1, 1), &read["version"]));
    // What one reads is no news to the other.
    bob.put_item("after").await;
    assert_eq!(of_bob.expect("item").await["item"]["title"], "after");
}

#[tokio::test]
async fn whoever_comes_back_is_told_what_it_missed_even_by_another_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = on_disk(folder.path());
    let start = async || {
        let service = angarium_server::service::Service::start(&settings).await;
        World { service: service.expect("a running service") }
    };
    let world = start().await;
    let owner = world.owner();
    let mut hearing = Hearing::of_inbox(&owner, None).await;
    let first_place = hearing.first.id.clone().expect("a place");
    owner.put_item("one").await;
    let (title, place) = hearing.item().await;
    assert_eq!(title, "one");
    drop(hearing);
    owner.put_item("two").await;
    world.service.stop().await;

    let world = start().await;
    let owner = world.owner();
    owner.put_item("three").await;
    let mut back = Hearing::of_inbox(&owner, Some(&place)).await;
    assert_eq!((back.item().await.0, back.item().await.0), ("two".to_owned(), "three".to_owned()));
    let mut from_the_beginning = Hearing::of_inbox(&owner, Some(&first_place)).await;
    assert_eq!(from_the_beginning.item().await.0, "one");
    world.service.stop().await;
}

#[tokio::test]
async fn a_place_that_is_none_here_is_a_gap_and_tells_nothing() {
    let world = World::start().await;
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    acme.put_item("ours").await;
    let place = Hearing::of_inbox(&acme, None).await.first.id.expect("a place");
    for strange in [place.as_str(), "nonsense", "", "17-3"] {
        let mut hearing = Hearing::of_inbox(&beta, Some(strange)).await;
        hearing.expect("resync").await;
        let counts = hearing.expect("counts").await;
        assert_eq!((unread(&counts), &counts["version"]), ((0, 0), &json!(0)));
    }
    let mut theirs = Hearing::of_inbox(&beta, None).await;
    theirs.expect("counts").await;
    acme.put_item("ours too").await;
    beta.put_item("theirs").await;
    assert_eq!(theirs.expect("item").await["item"]["title"], "theirs");
}

#[tokio::test]
async fn whoever_was_away_for_too_much_or_too_long_reads_the_inbox_anew() {
    let store = MemoryStore::new();
    let world = World::on(&store).await;
    let owner = world.owner();
    let start = Hearing::of_inbox(&owner, None).await.first.id.expect("a place");
    put_made_at(&store, 1, now().saturating_sub(Duration::from_hours(25))).await;
    let mut too_long = Hearing::of_inbox(&owner, Some(&start)).await;
    let resync = too_long.next().await.expect("the stream goes on");
    assert_eq!(resync.event.as_deref(), Some("resync"));
    let place = resync.id.expect("a place");
    for n in 2..=1_001 {
        put_made_at(&store, n, now()).await;
    }
    let mut just = Hearing::of_inbox(&owner, Some(&place)).await;
    for n in 2..=1_001 {
        assert_eq!(just.item().await.0, format!("item {n}"));
    }
    put_made_at(&store, 1_002, now()).await;
    let mut too_much = Hearing::of_inbox(&owner, Some(&place)).await;
    too_much.expect("resync").await;
    assert_eq!(unread(&too_much.expect("counts").await), (1_002, 1_002));
}

#[tokio::test]
async fn many_listeners_hear_everything_in_order_while_everybody_reads_and_writes() {
    const ITEMS: usize = 150;
    let world = World::start().await;
    let owner = world.owner();
    let mut hearings = Vec::new();
    for n in 0..8 {
        let person = named(&world, &format!("person {}", n % 4), "acme", "CREATOR");
        hearings.push((Hearing::of_inbox(&person, None).await, person));
    }
    let mut posting = JoinSet::new();
    for poster in 0..3 {
        let owner = owner.clone();
        posting.spawn(async move {
            for n in 0..ITEMS / 3 {
                owner.put_item(&format!("{poster} {n}")).await;
            }
        });
    }
    let mut listening = JoinSet::new();
    for (mut hearing, person) in hearings {
        listening.spawn(async move {
            let (mut titles, mut newest) = (Vec::new(), (0, (0, 0)));
            while titles.len() < ITEMS {
                let (name, told) = hearing.told().await;
                let version = told["version"].as_u64().expect("a version");
                assert!(version >= newest.0, "counts do not go back");
                newest = (version, unread(&told));
                if name == "item" {
                    titles.push(told["item"]["title"].as_str().expect("a title").to_owned());
                    let id = told["item"]["itemId"].as_str().expect("an id").to_owned();
                    if titles.len().is_multiple_of(10) {
                        person
                            .mark(&id, if titles.len().is_multiple_of(20) { "archive" } else { "read" })
                            .await
                            .expect(StatusCode::OK);
                    }
                }
            }
            (titles, newest, hearing, person)
        });
    }
    while let Some(posted) = posting.join_next().await {
        posted.expect("no panic");
    }
    let mut all: Vec<Vec<String>> = Vec::new();
    while let Some(heard) = listening.join_next().await {
        let (titles, mut newest, mut hearing, person) = heard.expect("no panic");
        // The last marks may still be on their way, from the person's other listener too.
        let settled = eventually(|| async {
            let inbox = person.inbox("?limit=1").await;
            Some((inbox["version"].as_u64().expect("a version"), unread(&inbox)))
        })
        .await;
        while newest.0 < settled.0 {
            let told = hearing.expect("counts").await;
            newest = (told["version"].as_u64().expect("a version"), unread(&told));
        }
        if newest.0 == settled.0 {
            assert_eq!(newest, settled, "the same version, the same counts");
        }
        all.push(titles);
    }
    assert!(all.iter().all(|titles| *titles == all[0]), "everybody hears the same, in the same order");
    let mut once = all[0].clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), ITEMS);
    for n in 0..4 {
        let person = named(&world, &format!("person {n}"), "acme", "CREATOR");
        let inbox = person.inbox("?unread=true&limit=100").await;
        let mut found = inbox["items"].as_array().expect("items").len() as u64;
        let mut next = inbox["nextCursor"].clone();
        while let Some(cursor) = next.as_str() {
            let page = person.inbox(&format!("?unread=true&limit=100&cursor={cursor}")).await;
            found += page["items"].as_array().expect("items").len() as u64;
            next = page["nextCursor"].clone();
        }
        assert_eq!(found, unread(&inbox).0, "the count is what a recount finds");
    }
}

#[tokio::test]
async fn a_stream_of_the_inbox_ends_with_its_credential() {
    let world = World::start().await;
    let holder = world.token_holder(&["inbox.read"]).await;
    let mut hearing = Hearing::of_inbox(&holder, None).await;
    hearing.expect("counts").await;
    let tokens = world.owner().get("/tokens").await.items();
    let id = tokens[0]["tokenId"].as_str().expect("an id");
    world.owner().delete(&format!("/tokens/{id}")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(hearing.expect("end").await["reason"], "the credential is no longer good");
    assert!(hearing.next().await.is_none());
}

#[tokio::test]
async fn a_stream_of_the_inbox_ends_with_its_handle() {
    let world = World::start().await;
    world.admin().post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    let mut hearing = Hearing::of_inbox(&world.owner(), None).await;
    hearing.expect("counts").await;
    world.admin().delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    let (mut name, _) = hearing.told().await;
    if name == "counts" {
        // The inbox was emptied first.
        name = hearing.told().await.0;
    }
    assert_eq!(name, "end");
}

#[tokio::test]
async fn a_stream_takes_no_parameters_that_it_does_not_know() {
    let world = World::start().await;
    world.owner().get(&format!("{STREAM}?x=1")).await.expect_problem(400, "invalid_x");
}

#[tokio::test]
async fn a_reader_has_so_many_streams_and_others_have_theirs() {
    let world = World::start().await;
    let (ann, bob) = (named(&world, "ann", "acme", "CREATOR"), named(&world, "bob", "acme", "CREATOR"));
    let mut hearings = Vec::new();
    for _ in 0..10 {
        hearings.push(Hearing::of_inbox(&ann, None).await);
    }
    let refused = ann.get(STREAM).await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("10"));
    Hearing::of_inbox(&bob, None).await;
    drop(hearings.pop());
    eventually(|| async { Hearing::try_at(&ann, STREAM, None).await }).await;
}

#[tokio::test]
async fn an_inbox_has_so_many_streams_and_others_have_theirs() {
    let world = World::with(|settings| settings.inbox.streams_per_handle_max = 2).await;
    let person = |name: &str| named(&world, name, "acme", "CREATOR");
    let mut hearings = vec![Hearing::of_inbox(&person("ann"), None).await];
    hearings.push(Hearing::of_inbox(&person("bob"), None).await);
    let refused = person("cid").get(STREAM).await;
    refused.expect_problem(429, "rate_limited");
    assert!(refused.text_of("message").contains("2 listeners of this handle"), "{}", refused.text);
    Hearing::of_inbox(&world.person("beta", "OWNER"), None).await;
    let figures = world.nobody().get("/metrics").await.text;
    assert!(figures.lines().any(|line| line.starts_with("angarium_inbox_streams ")), "{figures}");
    drop(hearings.pop());
    eventually(|| async { Hearing::try_at(&person("cid"), STREAM, None).await }).await;
}

#[tokio::test]
async fn all_streams_are_a_part_of_the_connections() {
    let world = World::with(|settings| settings.listen.connections_max = 4).await;
    let person = |name: &str, handle: &str| named(&world, name, handle, "CREATOR");
    let _open = [
        Hearing::of_inbox(&person("ann", "acme"), None).await,
        Hearing::of_inbox(&person("bob", "beta"), None).await,
    ];
    let refused = person("cid", "gamma").get(STREAM).await;
    refused.expect_problem(429, "rate_limited");
    assert!(refused.text_of("message").contains("2 listeners in all"), "{}", refused.text);
}

#[tokio::test]
async fn an_inbox_that_makes_no_sense_is_a_gap_to_its_listeners_and_nothing_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = on_disk(folder.path());
    let service = angarium_server::service::Service::start(&settings).await.expect("a running service");
    let world = World { service };
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    let mut of_acme = Hearing::of_inbox(&acme, None).await;
    let mut of_beta = Hearing::of_inbox(&beta, None).await;
    of_acme.expect("counts").await;
    of_beta.expect("counts").await;
    let db = rusqlite::Connection::open(&settings.store.path).expect("the store");
    db.busy_timeout(Duration::from_secs(10)).expect("a wait");
    let breaks = "CREATE TRIGGER breaks_items AFTER INSERT ON inbox_items WHEN NEW.handle = 'acme'
        BEGIN UPDATE inbox_items SET item_type = 'no type' WHERE rowid = NEW.rowid; END";
    db.execute_batch(breaks).expect("SQL");
    acme.put_item("broken").await;
    assert_eq!(of_acme.told().await.0, "resync");
    beta.put_item("whole").await;
    assert_eq!(of_beta.expect("item").await["item"]["title"], "whole");
    let figures = world.nobody().get("/metrics").await.text;
    assert!(figures.lines().any(|line| line == "angarium_inbox_resyncs_total 1"), "{figures}");
    drop((of_acme, of_beta));
    world.service.stop().await;
}

#[tokio::test]
async fn a_stopping_service_ends_streams_of_inboxes() {
    let world = World::start().await;
    let mut hearing = Hearing::of_inbox(&world.owner(), None).await;
    let retry = hearing.first.retry.expect("a wait");
    assert!((2_000..6_000).contains(&retry), "{retry}");
    hearing.expect("counts").await;
    let stopping = tokio::time::timeout(Duration::from_secs(5), world.service.stop());
    let (stopped, (name, _)) = tokio::join!(stopping, hearing.told());
    assert!(stopped.is_ok(), "it waited for a listener");
    assert_eq!(name, "end");
}

#[tokio::test]
async fn who_hears_the_first_line_alone_goes_on_with_what_they_missed() {
    let world = World::start().await;
    let owner = world.owner();
    let place = Hearing::of_inbox(&owner, None).await.first.id.expect("a place");
    for n in 1..=3 {
        owner
            .post("/mobile/inbox", &json!({ "type": "a", "title": format!("item {n}") }))
            .await
            .expect(StatusCode::CREATED);
    }
    let place = Hearing::of_inbox(&owner, Some(&place)).await.first.id.expect("a place");
    let mut hearing = Hearing::of_inbox(&owner, Some(&place)).await;
    for n in 1..=3 {
        assert_eq!(hearing.item().await.0, format!("item {n}"));
    }
    // Nothing names a place before it is told that places were lost.
    let mut lost = Hearing::of_inbox(&owner, Some("nowhere")).await;
    assert_eq!(lost.first.id, None);
    assert_eq!(lost.told().await.0, "resync");
}
