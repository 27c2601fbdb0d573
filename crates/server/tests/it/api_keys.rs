//! API keys: made by owners, shown once, good until they are revoked.

use http::StatusCode;
use serde_json::json;

use crate::credentials::in_seconds;
use crate::world::{World, eventually};

#[tokio::test]
async fn a_key_is_shown_once_and_works_until_it_is_revoked() {
    let world = World::start().await;
    let owner = world.owner();
    let made = owner.api_key("live", &["webhooks:manage", "webhooks:manage"]).await;
    let text = made.text_of("key");
    assert!(text.starts_with("pxk_live_") && text.len() == "pxk_live_".len() + 84, "{text}");
    let keys = &made.json();
    assert_eq!((&keys["mode"], &keys["scopes"]), (&json!("live"), &json!(["webhooks:manage"])));
    assert_eq!(keys["lastUsedAt"], json!(null));

    let holder = world.nobody().at("/api/v1").with("x-api-key", text.clone());
    holder.get("/webhooks").await.data(200);
    let used = eventually(|| async {
        let listed = owner.get("/api-keys").await;
        assert!(!listed.text.contains(&text[35..]), "{}", listed.text);
        let key = listed.items().remove(0);
        key["lastUsedAt"].is_string().then_some(key)
    })
    .await;
    assert_eq!((&used["name"], &used["keyId"]), (&json!("test"), &keys["keyId"]));

    let path = format!("/api-keys/{}", made.text_of("keyId"));
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    holder.get("/webhooks").await.expect_refusal(401, "UNAUTHORIZED");
    owner.delete(&path).await.expect_problem(404, "not_found");
    assert!(owner.get("/api-keys").await.items().is_empty());
}

#[tokio::test]
async fn a_key_is_made_once_under_its_idempotency_key() {
    let world = World::start().await;
    let owner = world.owner().with("idempotency-key", "one");
    let first = owner.api_key("test", &["events:manage"]).await;
    let again = owner.api_key("test", &["events:manage"]).await;
    assert_eq!(
        (first.text_of("key"), again.header("idempotent-replayed")),
        (again.text_of("key"), Some("true"))
    );
    assert_eq!(owner.get("/api-keys").await.items().len(), 1);
}

#[tokio::test]
async fn a_key_that_is_not_valid_is_not_made() {
    let world = World::start().await;
    for (body, fields) in [
        (json!({}), vec!["mode", "scopes"]),
        (json!({ "mode": "live" }), vec!["name", "scopes"]),
        (json!({ "name": "x", "mode": "prod", "scopes": ["events:manage"] }), vec!["mode"]),
        (json!({ "name": "x", "mode": "live", "scopes": [] }), vec!["scopes"]),
        (
            json!({ "name": "x", "mode": "live", "scopes": ["events:manage", "events.write"] }),
            vec!["scopes[1]"],
        ),
        (
            json!({ "name": "x", "mode": "live", "scopes": ["events:manage"], "expiresAt": "2020-01-01T00:00:00Z" }),
            vec!["expiresAt"],
        ),
        (json!({ "name": "x", "mode": "live", "scopes": ["events:manage"], "role": "OWNER" }), vec!["role"]),
    ] {
        let refused = world.owner().post("/api-keys", &body).await;
        assert_eq!((refused.status.as_u16(), refused.fields_at_fault()), (400, owned(&fields)), "{body}");
    }
    let token = json!({ "name": "x", "scopes": ["webhooks:manage"] });
    let refused = world.owner().post("/tokens", &token).await;
    assert_eq!(refused.expect_problem(400, "invalid_scopes").fields_at_fault(), ["scopes[0]"]);
}

fn owned(fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| (*field).to_owned()).collect()
}

#[tokio::test]
async fn a_key_ends_at_its_time() {
    let world = World::start().await;
    let expires_at = angarium_domain::time::Timestamp::from_seconds(in_seconds(2));
    let body =
        json!({ "name": "brief", "mode": "live", "scopes": ["webhooks:manage"], "expiresAt": expires_at });
    let key = world.owner().post("/api-keys", &body).await.text_of("key");
    let holder = world.nobody().at("/api/v1").with("x-api-key", key);
    let ended = eventually(|| async {
        let answer = holder.get("/webhooks").await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    assert!(ended.expect_refusal(401, "UNAUTHORIZED").text.contains("time has passed"), "{}", ended.text);
}

#[tokio::test]
async fn keys_and_tokens_do_not_pass_for_each_other() {
    let world = World::start().await;
    let owner = world.owner();
    let key = owner.api_key("live", &["webhooks:manage", "events:manage"]).await;
    owner.bearing(key.text_of("key")).get("/webhooks").await.expect_problem(401, "invalid_token");
    let as_token = key.text_of("keyId").replace("key_", "tok_");
    owner.delete(&format!("/tokens/{as_token}")).await.expect_problem(404, "not_found");
    assert!(owner.get("/tokens").await.items().is_empty());

    let token = owner.post("/tokens", &json!({ "name": "x", "scopes": ["webhooks.read"] })).await;
    let at_v1 = world.nobody().at("/api/v1").bearing(token.text_of("token"));
    at_v1.get("/webhooks").await.expect_refusal(401, "UNAUTHORIZED");
    let as_key = token.text_of("tokenId").replace("tok_", "key_");
    owner.delete(&format!("/api-keys/{as_key}")).await.expect_problem(404, "not_found");
    assert_eq!(owner.get("/api-keys").await.items().len(), 1);
}

#[tokio::test]
async fn broken_keys_are_all_refused_alike() {
    let world = World::start().await;
    let good = world.owner().api_key("live", &["webhooks:manage"]).await.text_of("key");
    let other = world.owner().api_key("live", &["webhooks:manage"]).await.text_of("key");
    let mut answers = Vec::new();
    for broken in [
        good[..good.len() - 1].to_owned(),
        format!("{good}a"),
        good.replace("live", "test"),
        // Whole, but for a slip in its secret; and the secret of one with the id of another.
        format!("{}{}{}", &good[..40], if &good[40..41] == "a" { "b" } else { "a" }, &good[41..]),
        format!("{}{}", &good[..35], &other[35..]),
        "pxk_live_".to_owned(),
        "x".repeat(6000),
    ] {
        let answer = world.nobody().at("/api/v1").with("x-api-key", broken).get("/webhooks").await;
        answer.expect_refusal(401, "UNAUTHORIZED");
        answers.push(answer.json()["error"]["message"].clone());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}
