//! Personal access tokens.

use http::StatusCode;
use serde_json::json;

use crate::credentials::in_seconds;
use crate::world::World;

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let world = World::start().await;
    let owner = world.owner();
    let made =
        owner.post("/tokens", &json!({ "name": "ci", "scopes": ["webhooks.read", "webhooks.read"] })).await;
    made.expect(StatusCode::CREATED);
    let text = made.text_of("token");
    assert!(text.starts_with("patv1_"), "{text}");
    assert_eq!(made.json()["scopes"], json!(["webhooks.read"]));
    let holder = owner.bearing(text.clone());
    holder.get("/webhooks").await.expect(StatusCode::OK);
    let listed = owner.get("/tokens").await;
    assert_eq!(listed.items()[0]["name"], "ci");
    assert!(!listed.text.contains(text.split('.').nth(1).expect("a secret half")), "{}", listed.text);

    let path = format!("/tokens/{}", made.text_of("tokenId"));
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    holder.get("/webhooks").await.expect_problem(401, "invalid_token");
    owner.delete(&path).await.expect_problem(404, "not_found");
    assert!(owner.get("/tokens").await.items().is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_not_made() {
    let world = World::start().await;
    for (body, code) in [
        (json!({ "scopes": ["events.read"] }), "invalid_name"),
        (json!({ "name": "", "scopes": ["events.read"] }), "invalid_name"),
        (json!({ "name": "x" }), "invalid_scopes"),
        (json!({ "name": "x", "scopes": [] }), "invalid_scopes"),
        (json!({ "name": "x", "scopes": ["everything"] }), "invalid_scopes"),
        (
            json!({ "name": "x", "scopes": ["events.read"], "expiresAt": "2020-01-01T00:00:00Z" }),
            "invalid_expiresAt",
        ),
        (json!({ "name": "x", "scopes": ["events.read"], "role": "OWNER" }), "invalid_role"),
    ] {
        world.owner().post("/tokens", &body).await.expect_problem(400, code);
    }
}

#[tokio::test]
async fn an_expired_token_says_so() {
    let world = World::start().await;
    let expires_at = angarium_domain::time::Timestamp::from_seconds(in_seconds(2));
    let body = json!({ "name": "brief", "scopes": ["webhooks.read"], "expiresAt": expires_at });
    let made = world.owner().post("/tokens", &body).await;
    let holder = world.owner().bearing(made.expect(StatusCode::CREATED).text_of("token"));
    let expired = crate::world::eventually(|| async {
        let answer = holder.get("/webhooks").await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    expired.expect_problem(401, "token_expired");
}

#[tokio::test]
async fn broken_tokens_are_all_refused_alike() {
    let world = World::start().await;
    let owner = world.owner();
    let holder = world.token_holder(&["webhooks.read"]).await;
    let good = holder.bearer.clone().expect("a token");
    let (id, secret) = good.split_once('.').expect("two halves");
    let other_id = format!("patv1_{}", "0".repeat(26));
    let mut answers = Vec::new();
    for broken in [
        format!("{id}.{}", "A".repeat(secret.len())),
        format!("{other_id}.{secret}"),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        id.to_owned(),
        "patv1_".to_owned(),
        "patv1_.".to_owned(),
        good.replace("patv1_", "patv1_tok_"),
        format!("patv1_{}", "x".repeat(6000)),
    ] {
        let answer = owner.bearing(broken).get("/webhooks").await;
        answer.expect_problem(401, "invalid_token");
        answers.push(answer.text_of("message"));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(holder.get("/webhooks").await.status, StatusCode::OK);
}
