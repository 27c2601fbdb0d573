//! Replaying many deliveries.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of};

async fn three_delivered(owner: &Client, receiver: &Receiver) {
    owner.subscribe(receiver, "/hook", &["a", "b"]).await;
    for event_type in ["a", "a", "b"] {
        owner.publish(event_type).await;
    }
    owner.deliveries_when("?status=delivered", 3).await;
}

#[tokio::test]
async fn a_replay_delivers_again_what_its_filter_names() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    three_delivered(&owner, &receiver).await;
    let wish = json!({ "filter": { "eventType": "a", "status": ["delivered"] }, "ratePerSecond": 1000 });
    let made = owner.post("/replays", &wish).await;
    assert_eq!(made.expect(StatusCode::ACCEPTED).json()["matched"], 2);
    let path = format!("/replays/{}", made.text_of("replayId"));
    let done = eventually(|| async {
        let job = owner.get(&path).await.expect(StatusCode::OK).json();
        (job["status"] == "completed").then_some(job)
    })
    .await;
    assert_eq!(
        (&done["replayed"], &done["skipped"], &done["filter"]),
        (&json!(2), &json!(0), &wish["filter"])
    );
    assert!(done["finishedAt"].is_string() && done["expectedEndAt"].is_null(), "{done}");
    assert_eq!(done["remaining"], 0);
    let again = owner.deliveries_when("?status=delivered&eventType=a", 4).await;
    assert_eq!(again.iter().filter(|d| d["replayId"] == done["replayId"]).count(), 2, "{again:?}");
    assert_eq!(
        receiver.received(5).await[3..].iter().filter(|a| a.header("x-arjun-event-type") == "a").count(),
        2
    );
    owner.post(&format!("{path}/cancel"), &json!({})).await.expect_problem(409, "conflict");
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    three_delivered(&owner, &receiver).await;
    let counted =
        owner.post("/replays", &json!({ "filter": { "status": "delivered" }, "dryRun": true })).await;
    let body = counted.expect(StatusCode::ACCEPTED).json();
    assert_eq!((&body["matched"], &body["replayId"]), (&json!(3), &Value::Null));
    assert_eq!(owner.deliveries("").await.len(), 3);
}

/// Two that were delivered, and two dead letters.
async fn two_of_each(owner: &Client, receiver: &Receiver) {
    owner.subscribe(receiver, "/hook", &["a"]).await;
    for (answer, status) in [(200, "delivered"), (404, "dead")] {
        receiver.answer(answer);
        owner.publish("a").await;
        owner.publish("a").await;
        owner.deliveries_when(&format!("?status={status}"), 2).await;
    }
    receiver.answer(200);
}

#[tokio::test]
async fn only_dead_letters_are_replayed_unless_more_is_asked_for() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    two_of_each(&owner, &receiver).await;
    for (filter, matched) in [
        (json!({}), 2),
        (json!({ "status": "dead" }), 2),
        (json!({ "status": ["delivered"] }), 2),
        (json!({ "status": ["dead", "delivered"] }), 4),
    ] {
        let counted = owner.post("/replays", &json!({ "filter": filter, "dryRun": true })).await;
        assert_eq!(counted.expect(StatusCode::ACCEPTED).json()["matched"], matched, "{filter}");
    }
    let made = owner.post("/replays", &json!({ "filter": {}, "ratePerSecond": 1000 })).await;
    let job = owner.get(&format!("/replays/{}", made.text_of("replayId"))).await.json();
    assert_eq!(job["filter"], json!({ "status": ["dead"] }));
    owner.deliveries_when("?status=delivered", 4).await;
    assert_eq!(receiver.count(), 6);
}

/// Many jobs over the same dead letters, and a person beside them: one of them replays each.
#[tokio::test]
async fn jobs_that_meet_replay_each_dead_letter_once() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["a"]).await;
    receiver.answer(404);
    for _ in 0..40 {
        owner.publish("a").await;
    }
    let dead = owner.deliveries_when("?status=dead&limit=100", 40).await;
    receiver.answer(200);
    let wish = json!({ "filter": {}, "ratePerSecond": 1000 });
    let jobs = futures_util::future::join_all((0..5).map(|_| owner.post("/replays", &wish))).await;
    let mut replayed = 0;
    for job in jobs {
        let path = format!("/replays/{}", job.expect(StatusCode::ACCEPTED).text_of("replayId"));
        let ended = eventually(|| async {
            let job = owner.get(&path).await.json();
            (job["status"] == "completed").then_some(job)
        })
        .await;
        replayed += ended["replayed"].as_u64().expect("a number");
    }
    assert_eq!(replayed, 40);
    let delivered = owner.deliveries_when("?status=delivered&limit=100", 40).await;
    let mut originals: Vec<_> =
        delivered.iter().map(|d| d["replayOf"].as_str().expect("an original")).collect();
    originals.sort_unstable();
    originals.dedup();
    assert_eq!((originals.len(), dead.len()), (40, 40));
    assert!(owner.get("/dead-letters").await.items().is_empty());
}

#[tokio::test]
async fn a_new_webhook_gets_what_it_missed_once() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let elder = owner.subscribe(&receiver, "/elder", &["a", "b"]).await;
    for event_type in ["a", "b", "a", "c"] {
        owner.publish(event_type).await;
    }
    owner.post(&format!("/webhooks/{}/test", id_of(&elder)), &json!({})).await.expect(StatusCode::ACCEPTED);
    let webhook = id_of(&owner.subscribe(&receiver, "/new", &["a", "c", "webhook.*"]).await);
    let after = owner.publish("a").await;
    owner.deliveries_when("?status=delivered", 6).await;

    let filter = json!({ "subscriptionId": webhook, "since": "2020-01-01T00:00:00Z" });
    let wish = json!({ "filter": filter, "missing": true, "ratePerSecond": 1000 });
    let mut dry = wish.clone();
    dry["dryRun"] = true.into();
    assert_eq!(owner.post("/replays", &dry).await.expect(StatusCode::ACCEPTED).json()["matched"], 3);
    assert_eq!(owner.deliveries("").await.len(), 6);

    let ended = async |path: String| {
        eventually(|| async {
            let job = owner.get(&path).await.json();
            (job["status"] == "completed").then_some(job)
        })
        .await
    };
    let jobs = futures_util::future::join_all((0..3).map(|_| owner.post("/replays", &wish))).await;
    let mut made = 0;
    for job in &jobs {
        let job = ended(format!("/replays/{}", job.expect(StatusCode::ACCEPTED).text_of("replayId"))).await;
        made += job["replayed"].as_u64().expect("a number");
        assert_eq!((&job["missing"], &job["filter"]), (&json!(true), &filter));
    }
    assert_eq!(made, 3);
    let mine = owner.deliveries_when(&format!("?subscriptionId={webhook}&status=delivered"), 4).await;
    let (live, by_jobs): (Vec<_>, Vec<_>) = mine.iter().partition(|d| d["replayId"].is_null());
    assert_eq!((live.len(), by_jobs.len()), (1, 3));
    assert_eq!(live[0]["eventId"], after.as_str());
    assert!(by_jobs.iter().all(|d| d["replayOf"].is_null() && d["origin"] == "live"), "{by_jobs:?}");
    assert_eq!(receiver.received(9).await.iter().filter(|arrival| arrival.path == "/new").count(), 4);
}

#[tokio::test]
async fn what_its_filter_does_not_want_was_not_missed() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    for n in 0..4 {
        let event = json!({ "type": "a", "payload": { "n": n } });
        owner.post("/events", &event).await.expect(StatusCode::ACCEPTED);
    }
    let wish = json!({
        "endpointUrl": receiver.url("/"), "eventTypes": ["a"], "filter": { "n": { "gt": 1 } },
    });
    let webhook = id_of(&owner.subscribe_with(&wish).await);
    let filter = json!({ "subscriptionId": webhook, "since": "2020-01-01T00:00:00Z" });
    let made = owner.post("/replays", &json!({ "filter": filter, "missing": true })).await;
    assert_eq!(made.expect(StatusCode::ACCEPTED).json()["matched"], 2);
    let arrived: Vec<_> =
        receiver.received(2).await.iter().map(|a| a.json()["payload"]["n"].clone()).collect();
    assert_eq!(arrived.len(), 2);
    assert!(arrived.contains(&json!(2)) && arrived.contains(&json!(3)), "{arrived:?}");
}

#[tokio::test]
async fn what_was_missed_is_asked_for_with_a_webhook_and_a_time() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    let stranger = world.person("beta", "OWNER");
    let theirs = id_of(&stranger.subscribe(&receiver, "/hook", &["a"]).await);
    let since = "2026-01-01T00:00:00Z";
    for (filter, more, fields) in [
        (json!({ "subscriptionId": webhook }), json!({}), vec!["filter.since"]),
        (json!({ "since": since }), json!({}), vec!["filter.subscriptionId"]),
        (
            json!({ "subscriptionId": webhook, "since": since, "status": "dead" }),
            json!({}),
            vec!["filter.status"],
        ),
        (json!({ "subscriptionId": webhook, "since": since }), json!({ "to": "original" }), vec!["to"]),
        (json!({ "subscriptionId": theirs, "since": since }), json!({}), vec!["filter.subscriptionId"]),
        (
            json!({ "subscriptionId": theirs, "since": since }),
            json!({ "dryRun": true }),
            vec!["filter.subscriptionId"],
        ),
    ] {
        let mut wish = json!({ "filter": filter, "missing": true });
        wish.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = owner.post("/replays", &wish).await;
        let fields: Vec<String> = fields.into_iter().map(str::to_owned).collect();
        assert_eq!(
            (answer.status, answer.fields_at_fault()),
            (StatusCode::BAD_REQUEST, fields),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn running_and_ended_replays_are_listed_newest_first() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    three_delivered(&owner, &receiver).await;
    let slow = json!({ "filter": { "status": "delivered" }, "ratePerSecond": 1 });
    let first = owner.post("/replays", &slow).await.expect(StatusCode::ACCEPTED).text_of("replayId");
    owner.post(&format!("/replays/{first}/cancel"), &json!({})).await.expect(StatusCode::OK);
    let second = owner.post("/replays", &slow).await.expect(StatusCode::ACCEPTED).text_of("replayId");
    let listed = owner.get("/replays").await.items();
    let told = |job: &Value| (job["replayId"].clone(), job["status"].clone());
    assert_eq!(
        listed.iter().map(told).collect::<Vec<_>>(),
        [(json!(second), json!("running")), (json!(first), json!("cancelled"))]
    );
    assert!(listed[0]["expectedEndAt"].is_string() && listed[1]["remaining"] == 0, "{listed:?}");
    assert!(world.person("beta", "OWNER").get("/replays").await.items().is_empty());
}

#[tokio::test]
async fn a_slow_replay_can_be_cancelled() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    three_delivered(&owner, &receiver).await;
    let made =
        owner.post("/replays", &json!({ "filter": { "status": "delivered" }, "ratePerSecond": 1 })).await;
    let path = format!("/replays/{}", made.expect(StatusCode::ACCEPTED).text_of("replayId"));
    let cancelled = owner.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(cancelled.expect(StatusCode::OK).text_of("status"), "cancelled");
    assert_eq!(owner.get(&path).await.text_of("status"), "cancelled");
}

#[tokio::test]
async fn a_handle_has_no_more_running_replays_than_keep_to_a_rate_together() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["a"]).await;
    // More than five jobs come to the end of while the test asks: none completes by itself.
    for _ in 0..60 {
        owner.publish("a").await;
    }
    owner.deliveries_when("?status=delivered&limit=100", 60).await;
    let slow = json!({ "filter": { "status": "delivered" }, "ratePerSecond": 1 });
    let mut paths = Vec::new();
    for _ in 0..5 {
        let made = owner.post("/replays", &slow).await;
        paths.push(format!("/replays/{}", made.expect(StatusCode::ACCEPTED).text_of("replayId")));
    }
    owner.post("/replays", &slow).await.expect_problem(409, "conflict");
    owner.post(&format!("{}/cancel", paths[0]), &json!({})).await.expect(StatusCode::OK);
    owner.post("/replays", &slow).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_replay_that_is_not_valid_is_refused() {
    let world = World::start().await;
    for (body, code) in [
        (json!({ "filter": { "color": "red" } }), "invalid_filter"),
        (json!({ "filter": { "status": "lost" } }), "invalid_filter"),
        (json!({ "filter": { "status": ["dead", "pending"] } }), "invalid_filter"),
        (json!({ "filter": { "status": [] } }), "invalid_filter"),
        (json!({ "filter": 3 }), "invalid_filter"),
        (json!({}), "invalid_filter"),
        (json!({ "filter": {}, "ratePerSecond": 0 }), "invalid_ratePerSecond"),
        (json!({ "filter": {}, "to": "x" }), "invalid_to"),
        (json!({ "filter": {}, "dryRun": "yes" }), "invalid_dryRun"),
    ] {
        world.owner().post("/replays", &body).await.expect_problem(400, code);
    }
    world.owner().get("/replays/rpl_01arz3ndektsv4rrffq69g5fav").await.expect_problem(404, "not_found");
}
