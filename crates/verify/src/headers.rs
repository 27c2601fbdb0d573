//! The headers that prove an origin, and what is read from them.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

pub(crate) const ARJUN_SIGNATURE: &str = "x-arjun-signature";
/// What comes before the digits.
const ARJUN_PREFIX: &str = "sha256=";
/// What a well-formed value is, for messages.
pub(crate) const ARJUN_SHAPE: &str = "sha256= and 64 hex digits";

pub(crate) const PLATFORMXE_SIGNATURE: &str = "x-event-signature";
pub(crate) const PLATFORMXE_TIMESTAMP: &str = "x-event-timestamp";
/// What a well-formed signature is, for messages.
pub(crate) const PLATFORMXE_SHAPE: &str = "64 hex digits";

pub(crate) const STANDARD_ID: &str = "webhook-id";
pub(crate) const STANDARD_TIMESTAMP: &str = "webhook-timestamp";
pub(crate) const STANDARD_SIGNATURE: &str = "webhook-signature";

/// The bytes behind an `x-arjun-signature`, if it has the right shape.
pub(crate) fn read_arjun(value: &str) -> Option<Vec<u8>> {
    read_platformxe(value.strip_prefix(ARJUN_PREFIX)?)
}

/// The bytes behind an `x-event-signature`, if it has the right shape.
pub(crate) fn read_platformxe(value: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(value.as_bytes()).ok().filter(|bytes| bytes.len() == 32)
}

/// Which kind of key a token of `webhook-signature` was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
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
    pub(crate) fn shape(self) -> &'static str {
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

    /// The texts after `version,` in a list of tokens; other versions and what is no token are
    /// passed over.
    fn encoded(self, list: &str) -> impl Iterator<Item = &str> {
        let tokens = list.split(' ').filter_map(|token| token.split_once(','));
        tokens.filter(move |(name, _)| *name == self.as_str()).map(|(_, encoded)| encoded)
    }

    /// Whether a list names this version at all.
    pub(crate) fn is_in(self, list: &str) -> bool {
        self.encoded(list).next().is_some()
    }

    /// The signatures of this version in a list; empty if no token of it is well-formed.
    pub(crate) fn read(self, list: &str) -> Vec<Vec<u8>> {
        let decoded = self.encoded(list).filter_map(|text| BASE64.decode(text.as_bytes()).ok());
        decoded.filter(|bytes| bytes.len() == self.signature_bytes()).collect()
    }
}
