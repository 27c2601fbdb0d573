//! JSON Web Tokens, good and forged.

use std::io::Write;
use std::path::PathBuf;

use angarium_server::settings::{KeyAlgorithm, PublicKeySettings};
use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::client::Client;
use crate::credentials::{SECRET, claims, in_seconds, jwt, signed};
use crate::world::World;

async fn status_with(client: &Client, token: impl Into<String>) -> (StatusCode, String) {
    let answer = client.bearing(token).get("/webhooks").await;
    let code = answer.json()["error"].as_str().unwrap_or_default().to_owned();
    (answer.status, code)
}

#[track_caller]
fn expect_invalid((status, code): (StatusCode, String)) {
    assert_eq!((status, code.as_str()), (StatusCode::UNAUTHORIZED, "invalid_token"));
}

#[track_caller]
fn expect_no_role((status, code): (StatusCode, String)) {
    assert_eq!((status, code.as_str()), (StatusCode::FORBIDDEN, "insufficient_role"));
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_star_stands_for_every_handle() {
    let world = World::start().await;
    let anywhere = signed(
        &json!({ "sub": "root", "exp": in_seconds(60), "handles": { "*": "CREATOR", "acme": "OPERATOR" } }),
    );
    world
        .person("beta", "OWNER")
        .bearing(anywhere.clone())
        .get("/tokens")
        .await
        .expect_problem(403, "insufficient_role");
    world.owner().bearing(anywhere).get("/tokens").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_token_of_another_handle_or_of_none_has_no_role_here() {
    let world = World::start().await;
    let acme = world.owner();
    expect_no_role(status_with(&acme, jwt("beta", "OWNER")).await);
    for handles in [
        json!({}),
        json!([]),
        json!("acme"),
        json!({ "acme": "ADMIN" }),
        json!({ "acme": 3 }),
        json!({ "Acme": "OWNER" }),
    ] {
        expect_no_role(status_with(&acme, signed(&with(claims("acme", "OWNER"), "handles", handles))).await);
    }
}

#[tokio::test]
async fn a_token_is_good_for_a_minute_beyond_its_end_and_no_longer() {
    let world = World::start().await;
    let ending = |seconds| signed(&with(claims("acme", "OWNER"), "exp", json!(in_seconds(seconds))));
    assert_eq!(status_with(&world.owner(), ending(-30)).await.0, StatusCode::OK);
    let expired = status_with(&world.owner(), ending(-62)).await;
    assert_eq!(expired, (StatusCode::UNAUTHORIZED, "token_expired".to_owned()));
}

#[tokio::test]
async fn a_token_without_an_end_or_from_the_future_is_not_valid() {
    let world = World::start().await;
    let endless = json!({ "sub": "x", "handles": { "acme": "OWNER" } });
    expect_invalid(status_with(&world.owner(), signed(&endless)).await);
    for end in [json!("soon"), json!(null), json!(-1)] {
        expect_invalid(status_with(&world.owner(), signed(&with(claims("acme", "OWNER"), "exp", end))).await);
    }
    let early = with(claims("acme", "OWNER"), "nbf", json!(in_seconds(300)));
    expect_invalid(status_with(&world.owner(), signed(&early)).await);
}

#[tokio::test]
async fn forged_tokens_are_not_valid() {
    let world = World::start().await;
    let good = jwt("acme", "OWNER");
    let payload = good.split('.').nth(1).expect("claims").to_owned();
    let unsigned = |header: &str| format!("{}.{payload}.", BASE64URL_NOPAD.encode(header.as_bytes()));
    let other = encode(
        &Header::new(Algorithm::HS256),
        &claims("acme", "OWNER"),
        &EncodingKey::from_secret(b"another secret"),
    )
    .expect("a token");
    let stronger = encode(
        &Header::new(Algorithm::HS512),
        &claims("acme", "OWNER"),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .expect("a token");
    let swapped = format!(
        "{}.{}.{}",
        good.split('.').next().expect("a header"),
        BASE64URL_NOPAD.encode(claims("acme", "OWNER").to_string().replace("tester", "hacker").as_bytes()),
        good.split('.').nth(2).expect("a signature")
    );
    for forged in [
        unsigned(r#"{"alg":"none"}"#),
        unsigned(r#"{"alg":"None","typ":"JWT"}"#),
        unsigned(r#"{"alg":"HS256"}"#),
        unsigned("{}"),
        other,
        stronger,
        swapped,
        format!("{good}x"),
        good.rsplit_once('.').expect("a signature").0.to_owned(),
        "a.b.c".to_owned(),
        "...".to_owned(),
        "x".repeat(5000),
    ] {
        expect_invalid(status_with(&world.owner(), forged).await);
    }
    assert_eq!(status_with(&world.owner(), good).await.0, StatusCode::OK);
}

#[tokio::test]
async fn issuer_and_audience_must_be_ours_once_they_are_set() {
    let world = World::with(|settings| {
        settings.auth.issuer = Some("https://issuer.example".to_owned());
        settings.auth.audience = Some("angarium".to_owned());
    })
    .await;
    let token = |issuer: &str, audience: Value| {
        signed(&with(with(claims("acme", "OWNER"), "iss", json!(issuer)), "aud", audience))
    };
    assert_eq!(
        status_with(&world.owner(), token("https://issuer.example", json!("angarium"))).await.0,
        StatusCode::OK
    );
    assert_eq!(
        status_with(&world.owner(), token("https://issuer.example", json!(["x", "angarium"]))).await.0,
        StatusCode::OK
    );
    expect_invalid(status_with(&world.owner(), token("https://issuer.example", json!("other"))).await);
    expect_invalid(status_with(&world.owner(), token("https://evil.example", json!("angarium"))).await);
    expect_invalid(status_with(&world.owner(), jwt("acme", "OWNER")).await);
}

/// A key pair with its public half in a file.
struct Issuer {
    pair: KeyPair,
    file: NamedTempFile,
    algorithm: Algorithm,
}

impl Issuer {
    fn new(kind: &'static SignatureAlgorithm, algorithm: Algorithm) -> Issuer {
        let pair = KeyPair::generate_for(kind).expect("a key pair");
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(pair.public_key_pem().as_bytes()).expect("a written file");
        Issuer { pair, file, algorithm }
    }

    fn key(&self) -> EncodingKey {
        let pem = self.pair.serialize_pem();
        let key = match self.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => EncodingKey::from_ed_pem(pem.as_bytes()),
        };
        key.expect("a signing key")
    }

    fn token(&self, kid: Option<&str>) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(self.algorithm) };
        encode(&header, &claims("acme", "OWNER"), &self.key()).expect("a token")
    }

    fn settings(&self, algorithm: KeyAlgorithm, kid: Option<&str>) -> PublicKeySettings {
        PublicKeySettings { file: PathBuf::from(self.file.path()), algorithm, kid: kid.map(str::to_owned) }
    }
}

#[tokio::test]
async fn public_keys_of_every_kind_verify_the_tokens_of_their_own_kid() {
    let rsa = Issuer::new(&PKCS_RSA_SHA256, Algorithm::RS256);
    let ec = Issuer::new(&PKCS_ECDSA_P256_SHA256, Algorithm::ES256);
    let ed = Issuer::new(&PKCS_ED25519, Algorithm::EdDSA);
    let world = World::with(|settings| {
        settings.auth.public_keys = vec![
            rsa.settings(KeyAlgorithm::RS256, Some("rsa")),
            ec.settings(KeyAlgorithm::ES256, Some("ec")),
            ed.settings(KeyAlgorithm::EdDSA, None),
        ];
    })
    .await;
    let owner = world.owner();
    for token in
        [rsa.token(Some("rsa")), rsa.token(None), ec.token(Some("ec")), ed.token(None), ed.token(Some("any"))]
    {
        assert_eq!(status_with(&owner, token).await.0, StatusCode::OK);
    }
    for kid in ["ec", "../../../etc/passwd", "rsa\u{0}", ""] {
        expect_invalid(status_with(&owner, rsa.token(Some(kid))).await);
    }
    // The classic confusion: the public key, which everybody has, used as an HMAC secret.
    for kid in [None, Some("rsa".to_owned())] {
        let header = Header { kid, ..Header::new(Algorithm::HS256) };
        let confused = EncodingKey::from_secret(rsa.pair.public_key_pem().as_bytes());
        expect_invalid(
            status_with(&owner, encode(&header, &claims("acme", "OWNER"), &confused).expect("a token")).await,
        );
    }
}

#[tokio::test]
async fn keys_of_a_published_set_verify_tokens() {
    let ed = Issuer::new(&PKCS_ED25519, Algorithm::EdDSA);
    let x = BASE64URL_NOPAD.encode(ed.pair.public_key_raw());
    let mut file = NamedTempFile::new().expect("a file");
    let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "2026", "x": x }] });
    file.write_all(set.to_string().as_bytes()).expect("a written file");
    let world = World::with(|settings| settings.auth.jwks = file.path().to_str().map(str::to_owned)).await;
    assert_eq!(status_with(&world.owner(), ed.token(Some("2026"))).await.0, StatusCode::OK);
    expect_invalid(status_with(&world.owner(), ed.token(Some("2025"))).await);
}
