//! Proof of origin: the headers that a receiver can check.
//!
//! Pure over bytes: the body is hashed where it lies, and the time is an argument. A request is
//! signed anew for each attempt, because receivers refuse a signature that is five minutes old.

mod arjun;
mod platformxe;
mod standard_webhooks;

use std::fmt;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use crate::event_type::EventType;
use crate::ids::EventId;
use crate::secret::{SigningKey, SigningKeys};
use crate::time::Timestamp;

/// Which headers prove a request's origin (contract 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum SigningProfile {
    /// `x-arjun-*` and `webhook-*`; the default of the v2 API.
    #[default]
    #[serde(rename = "arjun")]
    Arjun,
    /// `x-event-*` and `webhook-*`; the default of the v1 API.
    #[serde(rename = "platformxe")]
    Platformxe,
    /// `webhook-*` alone, with shared secrets.
    #[serde(rename = "standard")]
    Standard,
    /// `webhook-*` alone, with Ed25519 key pairs: the receiver holds nothing worth stealing.
    #[serde(rename = "standard-v1a")]
    StandardV1a,
}

/// What one attempt sends, as far as its signature covers it.
#[derive(Debug, Clone, Copy)]
pub struct ToSign<'a> {
    /// The same on every attempt and replay.
    pub event_id: EventId,
    /// What happened.
    pub event_type: &'a EventType,
    /// From 1.
    pub attempt: u32,
    /// The moment of sending.
    pub at: Timestamp,
    /// The exact bytes that are sent.
    pub body: &'a [u8],
}

impl SigningProfile {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SigningProfile::Arjun => "arjun",
            SigningProfile::Platformxe => "platformxe",
            SigningProfile::Standard => "standard",
            SigningProfile::StandardV1a => "standard-v1a",
        }
    }

    /// Whether new secrets of this profile are Ed25519 key pairs.
    pub fn is_asymmetric(self) -> bool {
        self == SigningProfile::StandardV1a
    }

    /// Whether `key` may become the newest key of a subscription with this profile.
    ///
    /// Older keys of the other kind may overlap with it: `webhook-signature` carries both.
    pub fn accepts(self, key: &SigningKey) -> bool {
        self.is_asymmetric() == key.ed25519_pair().is_some()
    }

    /// The signature headers of one attempt: lower-case names, each at most once.
    ///
    /// # Panics
    ///
    /// If the profile is [`SigningProfile::Arjun`] or [`SigningProfile::Platformxe`] and no live
    /// key is a shared secret. [`SigningProfile::accepts`] keeps that from being stored.
    pub fn headers(self, keys: &SigningKeys, request: &ToSign<'_>) -> Vec<(&'static str, String)> {
        let mut headers = Vec::with_capacity(7);
        let newest = || newest_shared(keys, request.at);
        match self {
            SigningProfile::Arjun => arjun::sign(newest(), request, &mut headers),
            SigningProfile::Platformxe => platformxe::sign(newest(), request, &mut headers),
            SigningProfile::Standard | SigningProfile::StandardV1a => {}
        }
        standard_webhooks::sign(keys, request, &mut headers);
        headers
    }
}

impl fmt::Display for SigningProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text key of the newest shared secret: what the single-valued headers are made with.
fn newest_shared(keys: &SigningKeys, now: Timestamp) -> &hmac::Key {
    let newest = keys.live(now).find_map(SigningKey::hmac_with_text);
    newest.expect("a profile with a header of its own accepts shared secrets only")
}

/// HMAC-SHA256 over pieces that are not copied together.
fn mac(key: &hmac::Key, pieces: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for piece in pieces {
        context.update(piece);
    }
    context.sign()
}

#[cfg(test)]
mod tests;
