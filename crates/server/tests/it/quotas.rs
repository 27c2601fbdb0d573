//! How many writes a plan allows a day.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::time::Timestamp;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::clock::HandClock;
use crate::credentials::{claims, in_seconds, signed};
use crate::world::World;

/// A time zone where it is about noon by the real clock.
pub(crate) fn where_it_is_noon() -> String {
    let hour = in_seconds(0).rem_euclid(86_400) / 3600;
    // The names count westward: Etc/GMT+3 is three hours behind.
    match hour - 12 {
        0 => "UTC".to_owned(),
        ahead @ 1.. => format!("Etc/GMT+{ahead}"),
        behind => format!("Etc/GMT{behind}"),
    }
}

/// A service at noon, and somebody who may do everything on acme for some days.
async fn at_noon(plan: &str, time_zone: &str) -> (World, Arc<HandClock>, Client) {
    let days = in_seconds(0) / 86_400;
    let clock = Arc::new(HandClock::at(Timestamp::from_seconds(days * 86_400 + 43_200)));
    let world = World::at(clock.clone(), |_| {}).await;
    let body = json!({ "handle": "acme", "plan": plan, "timeZone": time_zone });
    world.admin().post("/handles", &body).await.expect(StatusCode::CREATED);
    let mut claims = claims("acme", "OWNER");
    claims["exp"] = json!(in_seconds(10 * 86_400));
    let owner = world.nobody().at("/v2/handles/acme").bearing(signed(&claims));
    (world, clock, owner)
}

async fn make_token(owner: &Client, name: &str) -> Answer {
    owner.post("/tokens", &json!({ "name": name, "scopes": ["events.write"] })).await
}

async fn usage(world: &World) -> Value {
    world.admin().get("/handles/acme").await.expect(StatusCode::OK).json()["usage"]["writesToday"].clone()
}

#[tokio::test]
async fn a_plan_allows_so_many_writes_until_midnight_where_the_handle_is() {
    let (world, clock, owner) = at_noon("free", "Asia/Kolkata").await;
    for name in ["one", "two"] {
        make_token(&owner, name).await.expect(StatusCode::CREATED);
    }
    let refused = make_token(&owner, "three").await;
    refused.expect_problem(429, "rate_limited");
    // Noon in Greenwich is half past five in Kolkata: six and a half hours are left.
    assert_eq!(refused.header("retry-after"), Some("23400"));
    let told = refused.json();
    let day = clock_day(&clock);
    assert_eq!(told["plan"], "free");
    assert_eq!(told["limits"], json!({ "writesPerDay": 2 }));
    assert_eq!(told["usage"], json!({ "writesToday": 2, "writesDay": day }));
    assert_eq!(owner.get("/tokens").await.items().len(), 2);

    clock.advance(Duration::from_secs(23_399));
    make_token(&owner, "three").await.expect_problem(429, "rate_limited");
    clock.advance(Duration::from_secs(1));
    make_token(&owner, "three").await.expect(StatusCode::CREATED);
    assert_eq!(usage(&world).await, 1);
}

/// The day in Kolkata, as `YYYYMMDD`: the same as in Greenwich at noon.
fn clock_day(clock: &HandClock) -> String {
    use angarium_engine::Clock;
    clock.now().to_string()[..10].replace('-', "")
}

#[tokio::test]
async fn what_is_refused_or_repeated_costs_nothing() {
    let (world, _, owner) = at_noon("free", "UTC").await;
    owner.post("/tokens", &json!({})).await.expect_problem(400, "validation_error");
    owner.delete("/tokens/tok_01arz3ndektsv4rrffq69g5fav").await.expect_problem(404, "not_found");
    owner.delete("/dead-letters/dlv_01arz3ndektsv4rrffq69g5fav").await.expect_problem(404, "not_found");
    let keyed = owner.with("idempotency-key", "once");
    for _ in 0..3 {
        make_token(&keyed, "one").await.expect(StatusCode::CREATED);
    }
    assert_eq!(usage(&world).await, 1);
    make_token(&owner, "two").await.expect(StatusCode::CREATED);
    // The day is used up, and the first answer is given again nevertheless.
    let again = make_token(&keyed, "one").await;
    assert_eq!(again.expect(StatusCode::CREATED).header("idempotent-replayed"), Some("true"));
    make_token(&owner, "three").await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn reading_publishing_and_the_public_doors_are_not_counted() {
    let (world, _, owner) = at_noon("pro", "UTC").await;
    let token = owner.post("/tokens", &json!({ "name": "x", "scopes": ["webhooks.write"] })).await;
    let holder = owner.bearing(token.text_of("token")).at("/v2/public/handles/acme");
    for _ in 0..12 {
        owner.publish("order.paid").await;
        owner.get("/webhooks").await.expect(StatusCode::OK);
    }
    let body = json!({ "endpointUrl": "https://203.0.113.9/hook", "eventTypes": ["*"] });
    let answer = holder.post("/webhooks", &body).await;
    assert!(answer.status.is_success() || answer.status == StatusCode::BAD_REQUEST, "{}", answer.text);
    assert_eq!(usage(&world).await, 1);
}

#[tokio::test]
async fn every_kind_of_write_is_counted() {
    let (world, _, owner) = at_noon("enterprise", "UTC").await;
    let receiver = crate::receiver::Receiver::start().await;
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let path = format!("/webhooks/{}", crate::world::id_of(&webhook));
    owner.patch(&path, &json!({ "description": "new" })).await.expect(StatusCode::OK);
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    owner.post(&format!("{path}/resume"), &json!({})).await.expect(StatusCode::OK);
    owner.post(&format!("{path}/rotate-secret"), &json!({})).await.expect(StatusCode::OK);
    owner.post(&format!("{path}/test"), &json!({})).await.expect(StatusCode::ACCEPTED);
    let delivery = owner.deliveries_when("?status=delivered", 1).await;
    let delivery = delivery[0]["deliveryId"].as_str().expect("an id").to_owned();
    assert_eq!(usage(&world).await, 6);
    owner.post(&format!("/deliveries/{delivery}/replay"), &json!({})).await.expect(StatusCode::ACCEPTED);
    let replay = owner.post("/replays", &json!({ "filter": { "status": "dead" } })).await;
    replay.expect(StatusCode::ACCEPTED);
    make_token(&owner, "x").await.expect(StatusCode::CREATED);
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(usage(&world).await, 10);
}

#[tokio::test]
async fn marks_in_an_inbox_are_counted() {
    let (world, clock, owner) = at_noon("free", "UTC").await;
    let item = owner.put_item("one").await;
    owner.mark(&item, "read").await.expect(StatusCode::OK);
    assert_eq!(usage(&world).await, 2);
    let all = json!({ "upTo": "9999-01-01T00:00:00Z" });
    for refused in [owner.mark(&item, "archive").await, owner.post("/mobile/inbox/read-all", &all).await] {
        let told = refused.expect_problem(429, "rate_limited").json();
        assert_eq!((&told["plan"], &told["limits"]), (&json!("free"), &json!({ "writesPerDay": 2 })));
    }
    // What was refused was not done, and reading costs nothing.
    let items = owner.inbox("").await["items"].clone();
    assert_eq!((&items[0]["itemId"], &items[0]["archivedAt"]), (&json!(item), &Value::Null));
    clock.advance(Duration::from_hours(12));
    owner.mark(&item, "archive").await.expect(StatusCode::OK);
    assert_eq!(usage(&world).await, 1);
}

#[tokio::test]
async fn the_last_place_of_the_day_is_given_to_one_of_many() {
    let (world, _, owner) = at_noon("free", "UTC").await;
    make_token(&owner, "first").await.expect(StatusCode::CREATED);
    let mut racing = tokio::task::JoinSet::new();
    for n in 0..8 {
        let owner = owner.clone();
        racing.spawn(async move { make_token(&owner, &n.to_string()).await.status });
    }
    let answers = racing.join_all().await;
    let made = answers.iter().filter(|status| **status == StatusCode::CREATED).count();
    let refused = answers.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
    assert_eq!((made, refused), (1, 7), "{answers:?}");
    assert_eq!(usage(&world).await, 2);
}

#[tokio::test]
async fn another_plan_counts_from_the_next_write_on() {
    let (world, _, owner) = at_noon("free", "UTC").await;
    let set = async |plan: &str| {
        world.admin().patch("/handles/acme", &json!({ "plan": plan })).await.expect(StatusCode::OK);
    };
    for name in ["one", "two"] {
        make_token(&owner, name).await.expect(StatusCode::CREATED);
    }
    make_token(&owner, "three").await.expect_problem(429, "rate_limited");
    set("pro").await;
    make_token(&owner, "three").await.expect(StatusCode::CREATED);
    set("free").await;
    let refused = make_token(&owner, "four").await;
    assert_eq!(refused.expect_problem(429, "rate_limited").json()["usage"]["writesToday"], 3);
    set("unlimited").await;
    make_token(&owner, "four").await.expect(StatusCode::CREATED);
}
