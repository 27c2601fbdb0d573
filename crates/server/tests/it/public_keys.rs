//! Public keys: what verifies a delivery without being able to forge one.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::receiver::{Arrival, Receiver};
use crate::world::{World, id_of};

async fn subscribed(owner: &Client, receiver: &Receiver) -> Value {
    let wish = json!({ "endpointUrl": receiver.url("/hook"), "eventTypes": ["*"], "signingProfile": "standard-v1a" });
    owner.subscribe_with(&wish).await
}

async fn keys(owner: &Client, webhook: &Value) -> Vec<Value> {
    let answer = owner.get(&format!("/webhooks/{}/public-keys", id_of(webhook))).await;
    answer.expect(StatusCode::OK).json()["keys"].as_array().expect("keys").clone()
}

/// Which of the tokens in an arrival's signature a JWK verifies.
fn verified(arrival: &Arrival, jwk: &Value) -> Vec<usize> {
    let x = BASE64URL_NOPAD.decode(jwk["x"].as_str().expect("x").as_bytes()).expect("base64url");
    let (id, at) = (arrival.header("webhook-id"), arrival.header("webhook-timestamp"));
    let signed = [format!("{id}.{at}.").as_bytes(), &arrival.body].concat();
    let tokens = arrival.header("webhook-signature").split(' ').enumerate();
    let holds = |token: &str| {
        let signature = BASE64.decode(token.strip_prefix("v1a,").expect("v1a").as_bytes()).expect("base64");
        UnparsedPublicKey::new(&ED25519, &x).verify(&signed, &signature).is_ok()
    };
    tokens.filter(|(_, token)| holds(token)).map(|(place, _)| place).collect()
}

#[tokio::test]
async fn a_key_pairs_public_half_is_always_shown_and_verifies() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = subscribed(&owner, &receiver).await;
    assert_eq!(webhook["publicKey"], webhook["secret"]);
    let path = format!("/webhooks/{}", id_of(&webhook));
    assert_eq!(owner.get(&path).await.json()["publicKey"], webhook["publicKey"]);
    assert_eq!(owner.get("/webhooks").await.json()["webhooks"][0]["publicKey"], webhook["publicKey"]);

    let keys = keys(&owner, &webhook).await;
    let [jwk] = keys.as_slice() else { panic!("{keys:?}") };
    let fixed = [("kty", "OKP"), ("crv", "Ed25519"), ("alg", "EdDSA"), ("use", "sig")];
    for (member, value) in fixed {
        assert_eq!(jwk[member], value, "{member}");
    }
    assert_eq!((&jwk["publicKey"], &jwk["until"]), (&webhook["publicKey"], &Value::Null));
    assert_eq!(jwk["kid"].as_str().map(str::len), Some(43), "the thumbprint of a key");
    assert!(jwk.get("d").is_none());
    owner.publish("a").await;
    assert_eq!(verified(&receiver.received(1).await[0], jwk), [0]);
}

#[tokio::test]
async fn every_live_key_is_served_while_a_rotation_overlaps() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = subscribed(&owner, &receiver).await;
    let rotate = format!("/webhooks/{}/rotate-secret", id_of(&webhook));
    let rotated = owner.post(&rotate, &json!({ "overlapSeconds": 600 })).await.expect(StatusCode::OK).json();
    assert_eq!(rotated["publicKey"], rotated["secret"]);
    let both = keys(&owner, &webhook).await;
    assert_eq!(both.len(), 2);
    assert_eq!((&both[0]["publicKey"], &both[0]["until"]), (&rotated["publicKey"], &Value::Null));
    assert_eq!(both[1]["publicKey"], webhook["publicKey"]);
    assert!(both[1]["until"].is_string() && both[0]["kid"] != both[1]["kid"]);
    owner.publish("a").await;
    let arrival = receiver.received(1).await.remove(0);
    assert_eq!((verified(&arrival, &both[0]), verified(&arrival, &both[1])), (vec![0], vec![1]));

    owner.post(&rotate, &json!({ "overlapSeconds": 0 })).await.expect(StatusCode::OK);
    assert_eq!(keys(&owner, &webhook).await.len(), 1);
}

#[tokio::test]
async fn shared_secrets_have_no_public_key() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    assert_eq!(webhook.get("publicKey"), None);
    assert!(keys(&owner, &webhook).await.is_empty());
}

#[tokio::test]
async fn keys_of_another_handle_are_as_unknown_as_those_of_nobody() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let webhook = subscribed(&world.owner(), &receiver).await;
    let stranger = world.person("beta", "OWNER");
    let foreign = stranger.get(&format!("/webhooks/{}/public-keys", id_of(&webhook))).await;
    let unknown = stranger.get("/webhooks/sub_01arz3ndektsv4rrffq69g5fav/public-keys").await;
    foreign.expect_problem(404, "not_found");
    unknown.expect_problem(404, "not_found");
    assert_eq!(foreign.json()["message"], unknown.json()["message"]);
}
