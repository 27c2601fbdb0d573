//! How often a caller may ask, and what it is told of it.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::time::Timestamp;
use angarium_server::settings::Settings;
use http::StatusCode;
use serde_json::json;

use crate::access::{QUESTIONS, TABLE, ask};
use crate::client::Answer;
use crate::clock::HandClock;
use crate::credentials::in_seconds;
use crate::inbox::named;
use crate::world::World;

async fn world(change: impl FnOnce(&mut Settings)) -> (World, Arc<HandClock>) {
    let clock = Arc::new(HandClock::at(Timestamp::from_seconds(in_seconds(0))));
    (World::at(clock.clone(), change).await, clock)
}

/// The headers about the limit: policy, limit, and when to come again.
fn told(answer: &Answer) -> [Option<&str>; 3] {
    ["ratelimit-policy", "ratelimit", "retry-after"].map(|name| answer.header(name))
}

#[tokio::test]
async fn every_answer_of_a_limited_route_says_how_its_caller_stands() {
    let (world, clock) = world(|settings| settings.limits.writes_per_minute = 3).await;
    let owner = world.owner();
    let unlimited = owner.post("/events", &json!({ "type": "a", "payload": {} })).await;
    assert_eq!(told(unlimited.expect(StatusCode::ACCEPTED)), [None; 3]);
    let read = owner.get("/webhooks").await;
    let policy = Some("\"read\";q=6000;w=60");
    assert_eq!(told(read.expect(StatusCode::OK)), [policy, Some("\"read\";r=5999;t=1"), None]);

    let token = json!({ "name": "ci", "scopes": ["events.read"] });
    let policy = Some("\"write\";q=3;w=60");
    let made = owner.post("/tokens", &token).await;
    assert_eq!(told(made.expect(StatusCode::CREATED)), [policy, Some("\"write\";r=2;t=20"), None]);
    let invalid = owner.post("/tokens", &json!({})).await;
    assert_eq!(told(invalid.expect(StatusCode::BAD_REQUEST)), [policy, Some("\"write\";r=1;t=40"), None]);
    let forbidden = world.person("acme", "CREATOR").post("/tokens", &token).await;
    // The same subject, so the same bucket.
    assert_eq!(told(forbidden.expect(StatusCode::FORBIDDEN)), [policy, Some("\"write\";r=0;t=60"), None]);

    clock.advance(Duration::from_millis(19_001));
    let refused = owner.post("/tokens", &token).await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(told(&refused), [policy, Some("\"write\";r=0;t=1"), Some("1")]);
    clock.advance(Duration::from_secs(1));
    owner.post("/tokens", &token).await.expect(StatusCode::CREATED);
    owner.post("/tokens", &token).await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn every_route_of_a_handle_has_the_limit_of_its_kind() {
    let (world, _) = world(|settings| {
        settings.limits.reads_per_minute = 1;
        settings.limits.writes_per_minute = 1;
        settings.limits.publishes_per_minute = 1;
    })
    .await;
    for (n, row) in TABLE.iter().enumerate() {
        // Whoever has not asked yet has full buckets.
        let caller = named(&world, &format!("tester {n}"), "acme", "OWNER");
        let first = ask(&caller, row).await;
        assert_ne!(first.status, 429, "{row:?}: {}", first.text);
        let kind = match row.0 {
            "GET" => "read",
            _ if QUESTIONS.contains(&row.1) => "read",
            _ if row.1.starts_with("/events") => "publish",
            _ => "write",
        };
        let (policy, limit) = (format!("\"{kind}\";q=1;w=60"), format!("\"{kind}\";r=0;t=60"));
        let second = ask(&caller, row).await;
        second.expect_problem(429, "rate_limited");
        let expected = [Some(policy.as_str()), Some(limit.as_str()), Some("60")];
        assert_eq!(told(&second), expected, "{row:?}");
    }
}

#[tokio::test]
async fn a_caller_at_its_limit_costs_others_nothing() {
    let (world, _) = world(|settings| settings.limits.reads_per_minute = 1).await;
    let holder = world.token_holder(&["webhooks.read"]).await;
    for caller in [world.owner(), world.person("beta", "OWNER"), holder.clone()] {
        caller.get("/webhooks").await.expect(StatusCode::OK);
        caller.get("/webhooks").await.expect_problem(429, "rate_limited");
    }
    // Both doors lead to the same bucket.
    holder.at("/v2/public/handles/acme").get("/webhooks").await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn an_answer_that_is_given_again_counts_like_any_other() {
    let (world, _) = world(|settings| settings.limits.writes_per_minute = 2).await;
    let owner = world.owner().with("idempotency-key", "once");
    let token = json!({ "name": "ci", "scopes": ["events.read"] });
    owner.post("/tokens", &token).await.expect(StatusCode::CREATED);
    let again = owner.post("/tokens", &token).await;
    assert_eq!(again.expect(StatusCode::CREATED).header("idempotent-replayed"), Some("true"));
    owner.post("/tokens", &token).await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn publishing_has_a_limit_when_it_is_given_one() {
    let (world, _) = world(|settings| {
        settings.limits.publishes_per_minute = 60;
        settings.limits.publishes_burst = 2;
    })
    .await;
    let event = json!({ "type": "a", "payload": {} });
    let owner = world.owner();
    owner.post("/events", &event).await.expect(StatusCode::ACCEPTED);
    let batch = owner.post("/events/batch", &json!({ "events": [event] })).await;
    let policy = Some("\"publish\";q=2;w=2");
    assert_eq!(told(batch.expect(StatusCode::ACCEPTED)), [policy, Some("\"publish\";r=0;t=2"), None]);
    let refused = owner.post("/events", &event).await;
    assert_eq!(
        told(refused.expect_problem(429, "rate_limited")),
        [policy, Some("\"publish\";r=0;t=1"), Some("1")]
    );
    owner.get("/events").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn an_address_that_guesses_credentials_is_not_heard_for_a_while() {
    let (world, clock) = world(|settings| {
        settings.limits.refused_credentials_per_minute = 60;
        settings.limits.refused_credentials_burst = 2;
        settings.listen.trusted_proxies = Vec::new();
    })
    .await;
    let owner = world.owner();
    let guess = owner.bearing("patv1_01arz3ndektsv4rrffq69g5fav.guess");
    let policy = Some("\"unauthenticated\";q=2;w=2");
    let first = guess.get("/webhooks").await;
    assert_eq!(
        told(first.expect_problem(401, "invalid_token")),
        [policy, Some("\"unauthenticated\";r=1;t=1"), None]
    );
    world.nobody().at("/v2/handles/acme").get("/webhooks").await.expect_problem(401, "missing_bearer_token");
    // Whoever is right among the guesses does not learn it now.
    for client in [&guess, &owner] {
        let refused = client.get("/webhooks").await;
        refused.expect_problem(429, "rate_limited");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    clock.advance(Duration::from_secs(1));
    owner.get("/webhooks").await.expect(StatusCode::OK);
    guess.get("/webhooks").await.expect_problem(401, "invalid_token");
    guess.get("/webhooks").await.expect_problem(429, "rate_limited");
    let figures = world.nobody().get("/metrics").await.text;
    assert!(figures.contains("angarium_rate_limited_total{class=\"unauthenticated\"} 3"), "{figures}");
}

#[tokio::test]
async fn behind_a_proxy_each_caller_answers_for_itself() {
    let (world, _) = world(|settings| settings.limits.refused_credentials_per_minute = 1).await;
    let from = |address: &str| world.owner().with("x-forwarded-for", address);
    from("192.0.2.1").bearing("x.y.z").get("/webhooks").await.expect_problem(401, "invalid_token");
    from("192.0.2.1").get("/webhooks").await.expect_problem(429, "rate_limited");
    from("192.0.2.2").get("/webhooks").await.expect(StatusCode::OK);
    // A proxy that names nobody is not taken for a caller.
    for _ in 0..3 {
        world.owner().bearing("x.y.z").get("/webhooks").await.expect_problem(401, "invalid_token");
    }
    world.owner().get("/webhooks").await.expect(StatusCode::OK);
}

/// The headers of the v1 API about the limit: limit, remaining, reset.
fn told_v1(answer: &Answer) -> [Option<&str>; 3] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(|name| answer.header(name))
}

#[tokio::test]
async fn a_key_of_the_v1_api_has_a_thousand_requests_an_hour_for_all_that_it_asks() {
    let (world, clock) = world(|settings| settings.limits.reads_per_minute = 1).await;
    let start = in_whole_seconds(&clock);
    let key = world.organization().await;
    let read = key.get("/webhooks").await;
    read.data(200);
    // One place comes back every 3.6 s.
    let reset = (start + 4).to_string();
    assert_eq!(told_v1(&read), [Some("1000"), Some("999"), Some(reset.as_str())]);
    assert_eq!(told(&read), [Some("\"v1\";q=1000;w=3600"), Some("\"v1\";r=999;t=4"), None]);
    let published = key.post("/events", &json!({ "type": "a", "payload": {} })).await;
    published.data(202);
    assert_eq!(told_v1(&published)[1], Some("998"));
    let unknown = key.get("/webhooks/wh_01arz3ndektsv4rrffq69g5fav").await;
    assert_eq!(told_v1(unknown.expect_refusal(404, "NOT_FOUND"))[1], Some("997"));
    // v2 says it in the standard headers alone.
    assert_eq!(told_v1(&world.owner().get("/webhooks").await), [None; 3]);
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_refused_in_the_words_of_v1() {
    let (world, clock) = world(|settings| settings.limits.v1_per_hour = 2).await;
    let start = in_whole_seconds(&clock);
    let (key, other) = (world.organization().await, world.organization().await);
    for remaining in ["1", "0"] {
        let answer = key.post("/webhooks", &json!({})).await;
        assert_eq!(told_v1(answer.expect_refusal(400, "BAD_REQUEST"))[1], Some(remaining));
    }
    let refused = key.get("/webhooks").await;
    refused.expect_refusal(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), Some("1800"));
    assert_eq!(told_v1(&refused), [Some("2"), Some("0"), Some((start + 1800).to_string().as_str())]);
    other.get("/webhooks").await.data(200);

    clock.advance(Duration::from_secs(1799));
    let early = key.get("/webhooks").await;
    assert_eq!(early.expect_refusal(429, "RATE_LIMITED").header("retry-after"), Some("1"));
    clock.advance(Duration::from_secs(1));
    key.get("/webhooks").await.data(200);
}

#[tokio::test]
async fn v1_without_a_limit_says_nothing_of_one() {
    let (world, _) = world(|settings| settings.limits.v1_per_hour = 0).await;
    let answer = world.organization().await.get("/webhooks").await;
    answer.data(200);
    assert_eq!((told_v1(&answer), told(&answer)), ([None; 3], [None; 3]));
}

fn in_whole_seconds(clock: &HandClock) -> i64 {
    use angarium_engine::Clock;
    clock.now().as_millis() / 1000
}
