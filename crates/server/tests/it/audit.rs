//! The audit log: who did what, told to owners, and a chain that shows what was done to it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of};

async fn rows(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("/audit{query}")).await.items()
}

/// Actions, newest first.
fn actions(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["action"].as_str().expect("an action")).collect()
}

#[tokio::test]
async fn every_administrative_act_leaves_a_row() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    receiver.answer(404);
    let webhook = id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    let path = format!("/webhooks/{webhook}");
    owner.patch(&path, &json!({ "description": "x" })).await.expect(StatusCode::OK);
    for act in ["pause", "resume", "rotate-secret", "test"] {
        owner.post(&format!("{path}/{act}"), &json!({})).await;
    }
    for _ in 0..2 {
        owner.publish("a").await;
    }
    let dead = owner.deliveries_when("?status=dead&eventType=a", 2).await;
    let id = |n: usize| dead[n]["deliveryId"].as_str().expect("an id").to_owned();
    owner.post(&format!("/deliveries/{}/replay", id(0)), &json!({})).await.expect(StatusCode::ACCEPTED);
    owner.delete(&format!("/dead-letters/{}", id(1))).await.expect(StatusCode::NO_CONTENT);
    let slow = json!({ "filter": { "eventType": "a" }, "ratePerSecond": 1 });
    let replay = owner.post("/replays", &slow).await.expect(StatusCode::ACCEPTED).text_of("replayId");
    owner.post(&format!("/replays/{replay}/cancel"), &json!({})).await;
    let token = owner.post("/tokens", &json!({ "name": "x", "scopes": ["events.read"] })).await;
    owner.delete(&format!("/tokens/{}", token.text_of("tokenId"))).await.expect(StatusCode::NO_CONTENT);
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);

    let rows = rows(&owner, "").await;
    let expected = [
        "subscription.deleted",
        "token.revoked",
        "token.created",
        "replay.cancelled",
        "replay.created",
        "dead_letter.discarded",
        "delivery.replayed",
        "subscription.tested",
        "subscription.secret_rotated",
        "subscription.resumed",
        "subscription.paused",
        "subscription.changed",
        "subscription.created",
    ];
    // A replay of nothing may have ended by itself before it was cancelled.
    let found: Vec<_> = actions(&rows);
    let ended = !found.contains(&"replay.cancelled");
    let expected: Vec<_> = expected.into_iter().filter(|a| !ended || *a != "replay.cancelled").collect();
    assert_eq!(found, expected);
    for row in &rows {
        assert_eq!((&row["actor"], &row["ip"]), (&json!("jwt:tester"), &json!("127.0.0.1")), "{row}");
        assert!(row["requestId"].as_str().is_some_and(|id| id.starts_with("req_")), "{row}");
    }
}

#[tokio::test]
async fn a_row_tells_what_changed_and_no_secret() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let made = owner
        .subscribe_with(&json!({
            "endpointUrl": receiver.url("/hook?key=hush-one"), "eventTypes": ["a"],
            "headers": { "x-api-key": "hush-two" },
        }))
        .await;
    let path = format!("/webhooks/{}", id_of(&made));
    let change = json!({ "endpointUrl": receiver.url("/other?key=hush-three"), "description": "now",
        "headers": { "x-api-key": "hush-four" } });
    owner.patch(&path, &change).await.expect(StatusCode::OK);
    let rotated = owner.post(&format!("{path}/rotate-secret"), &json!({})).await.text_of("secret");
    let token = owner.post("/tokens", &json!({ "name": "x", "scopes": ["events.read"] })).await;

    let answer = owner.get("/audit").await;
    let rows = answer.items();
    let redacted = json!({ "x-api-key": "[redacted]" });
    let url = |path: &str| json!(format!("{}?…", receiver.url(path)));
    assert_eq!(
        rows[2]["before"],
        json!({ "endpointUrl": url("/hook"), "headers": redacted }),
        "the address before"
    );
    assert_eq!(
        rows[2]["after"],
        json!({ "endpointUrl": url("/other"), "headers": redacted, "description": "now" })
    );
    assert_eq!(rows[1]["after"]["secretHint"], rotated[rotated.len() - 4..]);
    assert_eq!(rows[0]["after"]["scopes"], json!(["events.read"]));
    assert_eq!((&rows[3]["before"], &rows[3]["after"]["eventTypes"]), (&Value::Null, &json!(["a"])));
    let secrets = [
        "hush".to_owned(),
        made["secret"].as_str().expect("a secret").to_owned(),
        rotated,
        token.text_of("token").split_once('.').expect("two halves").1.to_owned(),
    ];
    for secret in secrets {
        assert!(!answer.text.contains(&secret), "{secret} is in {}", answer.text);
    }
}

#[tokio::test]
async fn rows_are_filtered_and_paged_and_a_mistyped_filter_is_refused() {
    let world = World::start().await;
    let owner = world.owner();
    for n in 0..5 {
        owner.post("/tokens", &json!({ "name": format!("t{n}"), "scopes": ["events.read"] })).await;
    }
    let tokens = owner.get("/tokens").await.items();
    let id = tokens[0]["tokenId"].as_str().expect("an id");
    owner.delete(&format!("/tokens/{id}")).await.expect(StatusCode::NO_CONTENT);

    assert_eq!(actions(&rows(&owner, &format!("?object={id}")).await), ["token.revoked", "token.created"]);
    assert_eq!(rows(&owner, "?action=token.revoked").await.len(), 1);
    assert_eq!(rows(&owner, "?actor=jwt%3Atester&action=token.created").await.len(), 5);
    assert_eq!(rows(&owner, "?actor=jwt%3Ahans").await.len(), 0);
    assert_eq!(rows(&owner, "?until=2020-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(rows(&owner, "?since=2020-01-01T00:00:00Z").await.len(), 6);

    let first = owner.get("/audit?limit=4").await;
    let cursor = first.text_of("nextCursor");
    let second = rows(&owner, &format!("?limit=4&cursor={cursor}")).await;
    let numbers: Vec<_> =
        first.items().iter().chain(&second).map(|row| row["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, [6, 5, 4, 3, 2, 1]);
    owner
        .get(&format!("/audit?action=token.created&cursor={cursor}"))
        .await
        .expect_problem(400, "invalid_cursor");
    owner.get("/audit?who=me").await.expect_problem(400, "invalid_who");
    owner.get("/audit?since=yesterday").await.expect_problem(400, "invalid_since");
}

#[tokio::test]
async fn a_repeated_write_and_a_refused_one_leave_no_row() {
    let world = World::start().await;
    let owner = world.owner();
    let body = json!({ "name": "x", "scopes": ["events.read"] });
    for _ in 0..2 {
        owner.with("idempotency-key", "once").post("/tokens", &body).await.expect(StatusCode::CREATED);
    }
    owner.post("/tokens", &json!({ "name": "x", "scopes": [] })).await.expect_problem(400, "invalid_scopes");
    owner.delete("/tokens/tok_01arz3ndektsv4rrffq69g5fav").await.expect_problem(404, "not_found");
    assert_eq!(actions(&rows(&owner, "").await), ["token.created"]);
}

#[tokio::test]
async fn a_stranger_is_told_to_the_handle_once_and_to_nobody_else() {
    let world = World::start().await;
    let (acme, eve) = (world.owner(), world.person("beta", "OWNER").at("/v2/handles/acme"));
    // A handle that nobody uses is told nothing.
    eve.get("/webhooks").await.expect_problem(403, "insufficient_role");
    acme.post("/tokens", &json!({ "name": "x", "scopes": ["events.read"] })).await;
    for path in ["/webhooks/sub_01arz3ndektsv4rrffq69g5fav", "/events", "/audit"] {
        eve.get(path).await.expect_problem(403, "insufficient_role");
    }
    let told = eventually(|| async {
        let rows = rows(&acme, "?action=access.refused").await;
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(told.len(), 1);
    let asked = told[0]["object"].as_str().expect("what was asked for");
    assert!(asked.starts_with("GET /v2/handles/{handle}/"), "{asked}");
    // Somebody of the house with too little of a role is no stranger.
    world.person("acme", "CREATOR").get("/audit").await.expect_problem(403, "insufficient_role");
    assert_eq!(rows(&acme, "?action=access.refused").await.len(), 1);
    assert_eq!(rows(&world.person("beta", "OWNER"), "").await.len(), 0);
}

#[tokio::test]
async fn only_owners_give_tokens_the_scope_of_the_audit_log() {
    let world = World::start().await;
    let body = json!({ "name": "x", "scopes": ["events.read", "audit.read"] });
    let operator = world.person("acme", "OPERATOR");
    operator.post("/tokens", &body).await.expect_problem(403, "insufficient_role");
    let made = world.owner().post("/tokens", &body).await;
    let holder = world.owner().bearing(made.expect(StatusCode::CREATED).text_of("token"));
    assert_eq!(actions(&rows(&holder, "").await), ["token.created"]);
}
