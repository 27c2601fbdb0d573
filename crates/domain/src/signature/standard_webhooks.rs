//! The `webhook-*` headers of Standard Webhooks 1.0: base64 over `{id}.{timestamp}.{body}`.
//!
//! Official libraries differ in how they split the list of tokens: one line, one space between,
//! no comma joins and nothing but tokens is what all of them read.

use data_encoding::BASE64;

use super::{ToSign, mac};
use crate::secret::{SigningKey, SigningKeys};

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

pub(super) fn sign(keys: &SigningKeys, request: &ToSign<'_>, headers: &mut Vec<(&'static str, String)>) {
    let id = request.event_id.to_string();
    let timestamp = request.at.as_seconds().to_string();
    let signature = signature(keys.live(request.at), &id, &timestamp, request.body);
    headers.push((ID, id));
    headers.push((TIMESTAMP, timestamp));
    headers.push((SIGNATURE, signature));
}

/// One token for each key, in the order given.
pub(super) fn signature<'k>(
    keys: impl Iterator<Item = &'k SigningKey>,
    id: &str,
    timestamp: &str,
    body: &[u8],
) -> String {
    let pieces = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let mut list = String::new();
    for key in keys {
        if !list.is_empty() {
            list.push(' ');
        }
        append_token(&mut list, key, &pieces);
    }
    list
}

fn append_token(list: &mut String, key: &SigningKey, pieces: &[&[u8]]) {
    if let Some(key) = key.hmac_with_bytes() {
        list.push_str("v1,");
        BASE64.encode_append(mac(key, pieces).as_ref(), list);
    } else if let Some(pair) = key.ed25519_pair() {
        // Pure Ed25519 reads its message twice, so it must lie in one piece.
        list.push_str("v1a,");
        BASE64.encode_append(pair.sign(&pieces.concat()).as_ref(), list);
    }
}
