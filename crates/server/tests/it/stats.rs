//! Webhooks in figures.

use http::StatusCode;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of, time};

async fn stats_when(owner: &crate::client::Client, path: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    eventually(|| async {
        let stats = owner.get(path).await.expect(StatusCode::OK).json();
        is_there(&stats).then_some(stats)
    })
    .await
}

#[tokio::test]
async fn a_webhook_is_told_in_figures_without_waiting_for_a_write() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    let path = format!("/webhooks/{webhook}/stats");
    let nothing = owner.get(&path).await.expect(StatusCode::OK).json();
    assert_eq!((&nothing["attempts"], &nothing["successRate"]), (&json!(0), &Value::Null));
    assert_eq!(nothing["attemptMs"], json!({ "p50": null, "p90": null, "p99": null }));
    assert_eq!((&nothing["window"], &nothing["lane"]["state"]), (&json!("24h"), &json!("idle")));

    for status in [200, 404] {
        receiver.answer(status);
        owner.publish("a").await;
        owner
            .deliveries_when(&format!("?status={}", if status == 200 { "delivered" } else { "dead" }), 1)
            .await;
    }
    for window in ["1h", "24h", "7d"] {
        let path = format!("{path}?window={window}");
        let stats = stats_when(&owner, &path, |stats| stats["attempts"] == 2).await;
        assert_eq!(
            (&stats["delivered"], &stats["dead"], &stats["retried"]),
            (&json!(1), &json!(1), &json!(0))
        );
        assert_eq!((&stats["answers"], &stats["successRate"]), (&json!({ "2xx": 1, "4xx": 1 }), &json!(0.5)));
        for times in ["attemptMs", "deliveryMs"] {
            let [p50, p99] = ["p50", "p99"].map(|p| stats[times][p].as_f64().expect("a number"));
            assert!(p50 <= p99 && p99 < 20_000.0, "{stats}");
        }
        assert_eq!(
            stats["lane"]["breaker"],
            json!({ "state": "closed", "since": null, "nextProbeAt": null })
        );
        assert!(stats["lane"]["limit"].as_u64().is_some_and(|limit| limit >= 1), "{stats}");
        assert!(time(&stats["since"]) < time(&stats["until"]), "{stats}");
    }
}

#[tokio::test]
async fn attempts_that_are_tried_again_are_counted_as_such() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    receiver.answer(503);
    owner.publish("a").await;
    let path = format!("/webhooks/{webhook}/stats?window=1h");
    let stats = stats_when(&owner, &path, |stats| stats["dead"] == 1).await;
    assert_eq!((&stats["attempts"], &stats["retried"]), (&json!(5), &json!(4)));
    assert_eq!(stats["answers"], json!({ "5xx": 5 }));
}

#[tokio::test]
async fn a_paused_webhook_shows_its_backlog() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    owner.post(&format!("/webhooks/{webhook}/pause"), &json!({})).await.expect(StatusCode::OK);
    for _ in 0..3 {
        owner.publish("a").await;
    }
    let stats = owner.get(&format!("/webhooks/{webhook}/stats")).await.expect(StatusCode::OK).json();
    let backlog = &stats["backlog"];
    assert_eq!((&backlog["scheduled"], &backlog["more"]), (&json!(3), &json!(false)), "{stats}");
    assert_eq!((&stats["lane"]["state"], &stats["lane"]["inFlight"]), (&json!("paused"), &json!(0)));
    let first = owner.deliveries("?status=held").await.remove(2);
    assert_eq!(backlog["oldestMadeAt"], first["createdAt"]);
    assert!(backlog["oldestAgeSeconds"].is_u64() && backlog["nextDueAt"].is_string(), "{stats}");
}

#[tokio::test]
async fn a_receiver_that_is_silent_shows_an_open_breaker() {
    let world = World::with(|settings| settings.delivery.concurrency_per_subscription_max = 64).await;
    let owner = world.owner();
    // Nobody listens there: connections are refused.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", closed.local_addr().expect("an address"));
    drop(closed);
    let webhook = id_of(&owner.subscribe_with(&json!({ "endpointUrl": url, "eventTypes": ["a"] })).await);
    for _ in 0..25 {
        owner.publish("a").await;
    }
    let path = format!("/webhooks/{webhook}/stats");
    let stats = stats_when(&owner, &path, |stats| stats["lane"]["breaker"]["state"] == "open").await;
    assert_eq!(stats["lane"]["state"], "open");
    let breaker = &stats["lane"]["breaker"];
    assert!(time(&breaker["since"]) < time(&breaker["nextProbeAt"]), "{stats}");
    assert!(stats["answers"]["connect_error"].as_u64().is_some_and(|count| count >= 20), "{stats}");
}

#[tokio::test]
async fn all_webhooks_of_a_handle_are_listed_in_figures() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let mut made = Vec::new();
    for _ in 0..3 {
        made.insert(0, id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await));
    }
    owner.publish("a").await;
    owner.deliveries_when("?status=delivered", 3).await;
    let first = owner.get("/webhooks/stats?limit=2&window=1h").await;
    let cursor = first.text_of("nextCursor");
    let second = owner.get(&format!("/webhooks/stats?limit=2&window=1h&cursor={cursor}")).await;
    let listed: Vec<_> = first.items().into_iter().chain(second.items()).collect();
    let ids: Vec<_> = listed.iter().map(|stats| stats["subscriptionId"].as_str().expect("an id")).collect();
    assert_eq!(ids, made);
    owner
        .get(&format!("/webhooks/stats?window=7d&cursor={cursor}"))
        .await
        .expect_problem(400, "invalid_cursor");
    assert!(world.person("beta", "OWNER").get("/webhooks/stats").await.items().is_empty());
}

#[tokio::test]
async fn figures_that_cannot_be_given_are_refused() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    let path = format!("/webhooks/{webhook}/stats");
    owner.get(&format!("{path}?window=2h")).await.expect_problem(400, "invalid_window");
    owner.get(&format!("{path}?limit=2")).await.expect_problem(400, "invalid_limit");
    world.person("beta", "OWNER").get(&path).await.expect_problem(404, "not_found");
    owner.get("/webhooks/sub_01arz3ndektsv4rrffq69g5fav/stats").await.expect_problem(404, "not_found");
}
