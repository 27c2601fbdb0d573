//! Chains: how much strangers may send and ask, and what it costs them.

use std::time::Duration;

use angarium_server::service::Service;
use http::StatusCode;
use serde_json::{Value, json};

use crate::chain::{
    SHOP, at_hand, decided, expect_fault, preflight, question, rule, ruled_by, unlimited, views,
};
use crate::client::Client;
use crate::restart::on_disk;
use crate::world::{World, eventually};

#[tokio::test]
async fn a_handle_has_room_for_so_many_sessions_and_so_much_in_them() {
    let (world, anybody) = ruled_by(json!([]), |settings| {
        settings.chain.sessions_per_handle_max = 2;
        settings.chain.bytes_per_handle_max = 1_000;
    })
    .await;
    for session in ["s", "t"] {
        anybody.post("/signals", &views(session, 1)).await.expect(StatusCode::ACCEPTED);
    }
    let refused = anybody.post("/signals", &views("u", 1)).await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("60"));
    let words = "the handle holds 2 sessions, the limit is 2";
    assert!(refused.text_of("message").contains(words), "{}", refused.text);
    // Sessions that are there take more, until the bytes are used up.
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    let large = json!({ "type": "view", "metadata": { "x": "x".repeat(900) } });
    let large = json!({ "handle": "acme", "sessionId": "s", "signals": [large] });
    let refused = anybody.post("/signals", &large).await;
    refused.expect_problem(429, "rate_limited");
    assert!(refused.text_of("message").contains("the limit is 1000"), "{}", refused.text);
    assert_eq!(world.owner().get("/chain/s").await.json()["sequence"], 2);
    // Another handle has its own room.
    world
        .person("beta", "OWNER")
        .post("/chain/signals", &views_of("beta", "s"))
        .await
        .expect(StatusCode::ACCEPTED);
}

fn views_of(handle: &str, session: &str) -> Value {
    json!({ "handle": handle, "sessionId": session, "signals": [{ "type": "view" }] })
}

#[tokio::test]
async fn a_decision_that_there_is_no_room_to_remember_is_not_made() {
    let resting =
        rule("once", &json!({ "when": { "none": [{ "signalKey": "left" }] }, "cooldownSeconds": 60 }));
    let (_world, anybody) =
        ruled_by(json!([resting]), |settings| settings.chain.bytes_per_handle_max = 100).await;
    assert_eq!(decided(&anybody, "s").await["ruleId"], "once");
    let refused = anybody.post("/resolve", &question("t")).await;
    refused.expect_problem(429, "rate_limited");
    assert!(refused.text_of("message").contains("the limit is 100"), "{}", refused.text);
    // The one that rests is remembered.
    assert_eq!(decided(&anybody, "s").await["ruleId"], json!(null));
}

#[tokio::test]
async fn what_nothing_is_written_for_is_not_kept_for_strangers() {
    let (world, anybody) = ruled_by(json!([rule("a", &json!({}))]), |_| {}).await;
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    let keyed = anybody.with("idempotency-key", "k");
    let ask = async |client: &Client, path: &str| client.post(path, &question("s")).await;
    for _ in 0..2 {
        let answer = ask(&keyed, "/resolve").await;
        assert_eq!(answer.expect(StatusCode::OK).header("idempotent-replayed"), None);
    }
    let known = world.person("acme", "CREATOR").with("idempotency-key", "k");
    ask(&known, "/chain/resolve").await.expect(StatusCode::OK);
    assert_eq!(ask(&known, "/chain/resolve").await.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_decision_that_nobody_needs_to_remember_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World { service: Service::start(&on_disk(folder.path())).await.expect("a running service") };
    let (owner, anybody) = (world.owner(), world.nobody().at("/v2/public/chain"));
    let put = async |more: Value| {
        let rules = json!({ "rules": [rule("a", &more)] });
        owner.put("/chain/rules", &rules).await.expect(StatusCode::OK);
    };
    put(json!({})).await;
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    for asker in [&anybody, &world.person("acme", "CREATOR").at("/v2/handles/acme/chain")] {
        // A commit that somebody else asks for would be counted, too: so it is asked for again.
        eventually(|| async {
            let before = world.commits().await;
            assert_eq!(decided(asker, "s").await["ruleId"], "a");
            (world.commits().await == before).then_some(())
        })
        .await;
    }
    // One after which its rule rests is written, and counted.
    put(json!({ "cooldownSeconds": 60 })).await;
    let before = world.commits().await;
    assert_eq!(decided(&anybody, "s").await["ruleId"], "a");
    eventually(|| async { (world.commits().await > before).then_some(()) }).await;
    assert_eq!(decided(&anybody, "s").await["ruleId"], Value::Null);
    world.service.stop().await;
}

#[tokio::test]
async fn every_session_has_keys_of_its_own() {
    let (world, anybody) = ruled_by(json!([]), |_| {}).await;
    let keyed = anybody.with("idempotency-key", "1");
    for session in ["s", "t"] {
        keyed.post("/signals", &views(session, 1)).await.expect(StatusCode::ACCEPTED);
    }
    let again = keyed.post("/signals", &views("s", 1)).await;
    assert_eq!(again.expect(StatusCode::ACCEPTED).header("idempotent-replayed"), Some("true"));
    keyed.post("/signals", &views("s", 2)).await.expect_problem(422, "idempotency_key_reused");
    assert_eq!(world.owner().get("/chain/t").await.json()["sequence"], 1);
}

#[tokio::test]
async fn signals_that_were_taken_or_have_no_room_take_no_place() {
    let (world, _clock, anybody) = at_hand(|_| {}).await;
    world.owner().publish("order.paid").await;
    let keyed = anybody.with("idempotency-key", "k");
    keyed.post("/signals", &views("s", 50)).await.expect(StatusCode::ACCEPTED);
    for _ in 0..3 {
        let again = keyed.post("/signals", &views("s", 50)).await;
        assert_eq!(again.expect(StatusCode::ACCEPTED).header("idempotent-replayed"), Some("true"));
    }
    anybody.post("/signals", &views("s", 10)).await.expect(StatusCode::ACCEPTED);
    anybody.post("/signals", &views("s", 1)).await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn a_full_session_says_when_there_is_room_for_all_of_a_request() {
    let (world, clock, anybody) = at_hand(unlimited).await;
    world.owner().publish("order.paid").await;
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    clock.advance(Duration::from_secs(100));
    for count in [50, 50, 50, 48] {
        anybody.post("/signals", &views("s", count)).await.expect(StatusCode::ACCEPTED);
    }
    let kept = 30 * 86_400;
    for (count, fits, wait) in [(2, 1, kept - 100), (3, 1, kept)] {
        let refused = anybody.post("/signals", &views("s", count)).await;
        refused.expect_problem(429, "rate_limited");
        assert_eq!(refused.header("retry-after"), Some(wait.to_string().as_str()), "{count}");
        assert!(refused.text_of("message").ends_with(&format!("{fits} fit now")), "{}", refused.text);
    }
}

#[tokio::test]
async fn what_is_asked_for_ahead_is_named_once_and_not_kept_if_its_rule_will_rest() {
    let (_world, anybody) = ruled_by(json!([rule("once", &json!({ "cooldownSeconds": 60 }))]), |_| {}).await;
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    let of = |triggers: Value| json!({ "handle": "acme", "sessionId": "s", "triggers": triggers });
    let twice = anybody.post("/prefetch", &of(json!(["exit", "checkout", "exit"]))).await;
    expect_fault(&twice, "invalid_triggers", &["triggers[2]"]);
    assert!(twice.text_of("message").contains("exit"), "{}", twice.text);
    let ahead = anybody.post("/prefetch", &of(json!(["checkout", "exit"]))).await.json();
    let once = &ahead["decisions"][0];
    assert_eq!((&once["ruleId"], &once["expiresAt"]), (&json!("once"), &once["resolvedAt"]));
    assert_ne!(ahead["decisions"][1]["expiresAt"], ahead["decisions"][1]["resolvedAt"]);
}

#[tokio::test]
async fn what_a_browser_asks_beforehand_takes_a_place_and_a_refusal_may_be_read_by_any_page() {
    let (world, anybody) = ruled_by(json!([]), |settings| settings.limits.public_per_minute = 2).await;
    let listed = json!({ "origins": [SHOP] });
    world.owner().put("/context-origins", &listed).await.expect(StatusCode::OK);
    let from = anybody.with("x-forwarded-for", "192.0.2.1");
    for _ in 0..2 {
        assert_eq!(preflight(&from, SHOP).await.header("access-control-allow-origin"), Some(SHOP));
    }
    assert_eq!(preflight(&from, SHOP).await.status, StatusCode::TOO_MANY_REQUESTS);
    let refused = from.with("origin", SHOP).post("/resolve", &question("s")).await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    assert!(refused.header("access-control-expose-headers").is_some_and(|all| all.contains("retry-after")));
    // A page that nobody knows is told no more than that.
    assert_eq!(preflight(&from, "https://evil.example.com").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn deciding_is_counted_with_writes_and_asking_ahead_with_reads() {
    let (world, _) = ruled_by(json!([]), |_| {}).await;
    let creator = world.person("acme", "CREATOR");
    let resolved = creator.post("/chain/resolve", &question("s")).await;
    assert_eq!(resolved.expect(StatusCode::OK).header("ratelimit-policy"), Some("\"write\";q=600;w=60"));
    let ahead = json!({ "sessionId": "s", "triggers": ["checkout"] });
    let prefetched = creator.post("/chain/prefetch", &ahead).await;
    assert_eq!(prefetched.header("ratelimit-policy"), Some("\"read\";q=6000;w=60"));
}

#[tokio::test]
async fn chains_are_counted_for_operators() {
    let (world, anybody) = ruled_by(json!([rule("a", &json!({}))]), |_| {}).await;
    anybody.post("/signals", &views("s", 50)).await.expect(StatusCode::ACCEPTED);
    anybody.post("/signals", &views("s", 11)).await.expect_problem(429, "rate_limited");
    decided(&anybody, "s").await;
    decided(&anybody, "nobody").await;
    let figures = world.nobody().get("/metrics").await.text;
    for line in [
        "angarium_chain_signals_total 50",
        "angarium_chain_signals_refused_total{reason=\"too_fast\"} 11",
        "angarium_chain_decisions_total{outcome=\"decided\"} 1",
        "angarium_chain_decisions_total{outcome=\"nothing\"} 1",
        "angarium_chain_resolve_seconds_count 2",
    ] {
        assert!(figures.lines().any(|told| told == line), "{line}\n{figures}");
    }
}
