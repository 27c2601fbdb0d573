//! Event types and the patterns that select them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest event type, in bytes (contract 2).
pub const EVENT_TYPE_BYTES_MAX: usize = 128;

/// A dotted name such as `order.fulfilled`: segments of `[a-zA-Z0-9_]`, at most 128 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Arc<str>);

/// The text is not an event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an event type: dotted segments of a-z, A-Z, 0-9 and _, at most 128 characters")]
pub struct InvalidEventType {
    text: String,
}

/// The text is neither an event type, nor a prefix followed by `.*`, nor `*`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an event type, a pattern such as order.*, or *")]
pub struct InvalidPattern {
    text: String,
}

/// What a subscription asks for (contract 3: exact names, `prefix.*` and `*`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventPattern {
    /// One type and no other.
    Exact(EventType),
    /// Every type below this one: `order.*` selects `order.paid` and `order.item.added`, not `order`.
    Below(EventType),
    /// Every type.
    All,
}

impl EventType {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl EventPattern {
    /// Whether events of this type are wanted.
    pub fn matches(&self, event_type: &EventType) -> bool {
        match self {
            EventPattern::Exact(wanted) => wanted == event_type,
            EventPattern::Below(prefix) => {
                event_type.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
            }
            EventPattern::All => true,
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(EVENT_TYPE_BYTES_MAX + 8).collect()
}

impl FromStr for EventType {
    type Err = InvalidEventType;

    fn from_str(text: &str) -> Result<EventType, InvalidEventType> {
        let segment = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if text.len() <= EVENT_TYPE_BYTES_MAX && text.split('.').all(segment) {
            Ok(EventType(text.into()))
        } else {
            Err(InvalidEventType { text: shown(text) })
        }
    }
}

impl FromStr for EventPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<EventPattern, InvalidPattern> {
        let parse = |name: &str| name.parse().map_err(|_| InvalidPattern { text: shown(text) });
        if text == "*" {
            return Ok(EventPattern::All);
        }
        match text.strip_suffix(".*") {
            Some(prefix) => parse(prefix).map(EventPattern::Below),
            None => parse(text).map(EventPattern::Exact),
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventPattern::Exact(name) => write!(f, "{name}"),
            EventPattern::Below(prefix) => write!(f, "{prefix}.*"),
            EventPattern::All => f.write_str("*"),
        }
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(EventType);
as_text!(EventPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, event_type: &str, expected: bool) {
        let pattern: EventPattern = pattern.parse().expect("a pattern");
        assert_eq!(pattern.matches(&event_type.parse().expect("a type")), expected);
    }

    #[test]
    fn exact_names_match_themselves_only() {
        check("order.paid", "order.paid", true);
        check("order.paid", "order.paid.twice", false);
        check("order", "order.paid", false);
        check("order.paid", "Order.paid", false);
    }

    #[test]
    fn a_prefix_matches_below_itself_at_every_depth() {
        check("order.*", "order.paid", true);
        check("order.*", "order.item.added", true);
        check("order.*", "order", false);
        check("order.*", "orders.paid", false);
    }

    #[test]
    fn a_star_matches_everything() {
        check("*", "webhook.test", true);
    }

    #[test]
    fn broken_names_are_refused() {
        let long = "a".repeat(129);
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a-b", "é", "a.*", "*", "a\nb", "../x", &long] {
            assert!(bad.parse::<EventType>().is_err(), "{bad}");
        }
        for bad in ["", "**", ".*", "a*", "*.a", "a.*.b", "a.**"] {
            assert!(bad.parse::<EventPattern>().is_err(), "{bad}");
        }
        assert!("a".repeat(128).parse::<EventType>().is_ok());
    }
}
