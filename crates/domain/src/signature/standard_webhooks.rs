//! The `webhook-*` headers of Standard Webhooks 1.0: base64 over `{id}.{timestamp}.{body}`.
//!
//! Official libraries differ in how they split the list of tokens: one line, one space between,
//! no comma joins and nothing but tokens is what all of them read.

use data_encoding::BASE64;

use super::{ToSign, mac};
use crate::secret::{SigningKey, SigningKeys};

pub(super) const ID: &str = "webhook-id";
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
pub(super) const SIGNATURE: &str = "webhook-signature";

/// Which kind of key a token was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// HMAC-SHA256 with a shared secret.
    V1,
    /// Ed25519 with a key pair.
    V1a,
}

impl Version {
    fn as_str(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V1a => "v1a",
        }
    }

    /// What a well-formed list holds, for messages.
    pub(super) fn shape(self) -> &'static str {
        match self {
            Version::V1 => "a list with v1, and base64 of 32 bytes",
            Version::V1a => "a list with v1a, and base64 of 64 bytes",
        }
    }

    /// How long a signature of this version is, in bytes.
    fn signature_bytes(self) -> usize {
        match self {
            Version::V1 => 32,
            Version::V1a => 64,
        }
    }
}

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

/// The texts after `version,` in a list of tokens; other versions and what is no token are passed over.
fn encoded(list: &str, version: Version) -> impl Iterator<Item = &str> {
    let tokens = list.split(' ').filter_map(|token| token.split_once(','));
    tokens.filter(move |(name, _)| *name == version.as_str()).map(|(_, encoded)| encoded)
}

/// Whether a list names a version at all.
pub(super) fn names(list: &str, version: Version) -> bool {
    encoded(list, version).next().is_some()
}

/// The signatures of one version in a list; empty if no token of it is well-formed.
pub(super) fn read(list: &str, version: Version) -> Vec<Vec<u8>> {
    let decoded = encoded(list, version).filter_map(|text| BASE64.decode(text.as_bytes()).ok());
    decoded.filter(|bytes| bytes.len() == version.signature_bytes()).collect()
}
