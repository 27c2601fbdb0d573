//! The names that handles and their programs give: of signals, triggers, rules and sessions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name.
pub const NAME_CHARS_MAX: usize = 128;

/// Words that stand in a path where the id of a session would.
pub const RESERVED: [&str; 4] = ["rules", "signals", "resolve", "prefetch"];

/// 1 to [`NAME_CHARS_MAX`] of `a-z`, `A-Z`, `0-9`, `_`, `.`, `:` and `-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not 1 to {NAME_CHARS_MAX} characters of a-z, A-Z, 0-9, '_', '.', ':' and '-'")]
pub struct InvalidName {
    shown: String,
}

/// Names a session of a handle: a [`Name`] that can stand in a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SessionId(Name);

/// The text does not name a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessionId {
    /// It is no name at all.
    #[error(transparent)]
    NoName(#[from] InvalidName),
    /// A path could not hold it.
    #[error(
        "{name:?} cannot name a session: rules, signals, resolve, prefetch, '.' and '..' mean something in paths"
    )]
    Reserved {
        /// The name.
        name: String,
    },
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Name, InvalidName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
        if (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Name(text.into()))
        } else {
            Err(InvalidName { shown: text.chars().take(NAME_CHARS_MAX + 1).collect() })
        }
    }
}

impl SessionId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<SessionId, InvalidSessionId> {
        let name: Name = text.parse()?;
        if RESERVED.contains(&text) || text == "." || text == ".." {
            return Err(InvalidSessionId::Reserved { name: text.to_owned() });
        }
        Ok(SessionId(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_of_characters_that_need_no_escape() {
        for good in ["view", "cart.add:v2", "A-1_b", ".", &"k".repeat(128)] {
            assert_eq!(good.parse::<Name>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a b", "a/b", "é", "a\n", &"k".repeat(129)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_session_is_not_called_like_a_route() {
        assert!("sess-1".parse::<SessionId>().is_ok());
        for bad in ["rules", "signals", "resolve", "prefetch", ".", "..", "", "a b"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
