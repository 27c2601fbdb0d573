//! The handle: a tenant, who owns subscriptions and events.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A handle's name: 1 to 64 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit.
///
/// Cheap to clone: it is on every event, delivery and log line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Arc<str>);

/// The text is not a handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a handle is 1 to 64 characters of a-z, 0-9, '-' and '_', and begins with a letter or digit")]
pub struct InvalidHandle;

impl Handle {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = InvalidHandle;

    fn from_str(text: &str) -> Result<Handle, InvalidHandle> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if begins_well && text.len() <= 64 && text.bytes().all(allowed) {
            Ok(Handle(text.into()))
        } else {
            Err(InvalidHandle)
        }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Handle, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_a_path_and_a_log_line_are_handles() {
        for good in ["acme", "a", "0x", "gharart-eu_2", &"a".repeat(64)] {
            assert_eq!(good.parse::<Handle>().map(|h| h.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-a", "_a", "Acme", "a.b", "a/b", "a b", "é", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Handle>(), Err(InvalidHandle), "{bad}");
        }
    }
}
