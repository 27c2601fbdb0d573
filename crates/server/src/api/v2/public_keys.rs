//! The public keys that verify a webhook's deliveries, as a JWK set (decisions/0014).

pub(super) mod docs;

use angarium_domain::ids::SubscriptionKind;
use angarium_domain::secret::PublicKey;
use angarium_domain::time::Timestamp;
use angarium_engine::{LivePublicKey, Subscriptions};
use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::extract::State;
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::found;
use crate::api::request::{PathId, Read};
use crate::openapi::words;
use crate::problem::Problem;

/// A JWK set.
#[derive(Serialize, ToSchema)]
#[schema(as = PublicKeys)]
pub(super) struct PublicKeysView {
    /// Newest first. Empty where secrets are shared.
    keys: Vec<JwkView>,
}

/// A JSON Web Key (RFC 7517, RFC 8037) with the two things that a receiver of ours wants besides.
#[derive(Serialize, ToSchema)]
#[schema(as = PublicKey)]
#[serde(rename_all = "camelCase")]
struct JwkView {
    #[schema(example = "OKP")]
    kty: &'static str,
    #[schema(example = "Ed25519")]
    crv: &'static str,
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    /// Its thumbprint (RFC 7638).
    #[schema(example = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
    kid: String,
    #[schema(example = "EdDSA")]
    alg: &'static str,
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    used_for: &'static str,
    /// The same key as Standard Webhooks shows it.
    public_key: String,
    /// When it stops signing; null for the newest.
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    until: Option<Timestamp>,
}

pub(super) async fn list(
    State(subscriptions): State<Subscriptions>,
    PathId(id): PathId<SubscriptionKind>,
    read: Read,
) -> Result<Json<PublicKeysView>, Problem> {
    let keys = subscriptions.public_keys(&read.handle, id).await?;
    found(keys.map(|keys| PublicKeysView { keys: keys.iter().map(JwkView::of).collect() }))
}

impl JwkView {
    fn of(live: &LivePublicKey) -> JwkView {
        let x = BASE64URL_NOPAD.encode(live.key.as_bytes());
        JwkView {
            kty: "OKP",
            crv: "Ed25519",
            kid: thumbprint(&x),
            x,
            alg: "EdDSA",
            used_for: "sig",
            public_key: PublicKey::to_string(&live.key),
            until: live.until,
        }
    }
}

/// The name of a key that anybody can compute from it (RFC 7638).
fn thumbprint(x: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64URL_NOPAD.encode(digest(&SHA256, members.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.3.
    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        assert_eq!(thumbprint(x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
