//! Repeating a write safely: the same key with the same body is the same write.
//!
//! Source: contract 1.3 and draft-ietf-httpapi-idempotency-key-header.

use std::time::Duration;

use bytes::Bytes;

use crate::time::Timestamp;

/// How long a key is remembered (contract 1.3).
pub const KEY_KEPT: Duration = Duration::from_hours(24);
/// The longest key, in characters (contract 1.3).
pub const KEY_CHARS_MAX: usize = 255;

/// The key in a header's value: 1 to [`KEY_CHARS_MAX`] visible ASCII characters, bare or in double
/// quotes. `"abc"` and `abc` are the same key.
pub fn key_in(value: &str) -> Option<&str> {
    let key = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let fits = (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(key)
}

/// Tenant, method, path and key as one text: the same write has the same scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(String);

impl Scope {
    /// Joins the parts. None of them can hold a line break.
    pub fn new(tenant: &str, method: &str, path: &str, key: &str) -> Scope {
        Scope(format!("{tenant}\n{method}\n{path}\n{key}"))
    }

    /// The same write as one that everybody makes for themselves: the last part, whatever it holds, is
    /// who makes it.
    #[must_use]
    pub fn of(&self, actor: &str) -> Scope {
        Scope(format!("{}\n{actor}", self.0))
    }

    /// Takes back what [`Scope::as_str`] gave to the store.
    pub fn from_stored(text: String) -> Scope {
        Scope(text)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was answered to the first write under a key. It may hold a secret that is shown once, so
/// stores seal the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Which write.
    pub scope: Scope,
    /// SHA-256 of the request's body.
    pub fingerprint: [u8; 32],
    /// The status that was answered.
    pub status: u16,
    /// The body that was answered.
    pub body: Bytes,
    /// When the key may be used for something else.
    pub expires_at: Timestamp,
}

/// What a key that was seen before says about a new request.
#[derive(Clone, PartialEq, Eq)]
pub enum Seen {
    /// The same request: answer as then.
    Replay(Record),
    /// Another request under the same key: refuse it.
    Reused,
}

impl Record {
    /// When the first write under the key was made: every key is remembered equally long.
    pub fn made_at(&self) -> Timestamp {
        self.expires_at.saturating_sub(KEY_KEPT)
    }

    /// Compares a new request's fingerprint with the first one's.
    pub fn judge(self, fingerprint: &[u8; 32]) -> Seen {
        if self.fingerprint == *fingerprint { Seen::Replay(self) } else { Seen::Reused }
    }
}
