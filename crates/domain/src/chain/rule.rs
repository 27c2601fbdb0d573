//! A rule: which signals it asks for, and what is decided when they are there.

use std::cmp::Ordering;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::signal::{Confidence, Value};
use super::{DEPTH_MAX, Evidence, Name, depth};
use crate::filter::order;
use crate::time::Timestamp;

/// The longest text of a decision, in bytes.
pub const DECISION_BYTES_MAX: usize = 4 * 1024;
/// The most conditions of a rule, in all of its groups together.
pub const CONDITIONS_MAX: usize = 20;
/// What a priority may be.
pub const PRIORITIES: RangeInclusive<i32> = -1_000_000..=1_000_000;
/// How long a window or a cooldown may be, in seconds: thirty days.
pub const SECONDS: RangeInclusive<u32> = 1..=30 * 24 * 3600;

/// What is decided upon which signals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name; no other rule of the handle has it.
    pub rule_id: Name,
    /// What it answers to.
    pub trigger: Name,
    /// Higher goes first. Equal ones go by their names.
    pub priority: i32,
    /// What must be there; not empty.
    pub when: When,
    /// What it says then.
    pub decision: Decision,
    /// How long it rests in a session after it has decided there.
    pub cooldown_seconds: Option<u32>,
}

/// Groups of conditions, all of which must hold. An empty group holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct When {
    /// Each must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<Condition>,
    /// One must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<Condition>,
    /// None may hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub none: Vec<Condition>,
}

/// Enough signals of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which kind.
    pub signal_key: Name,
    /// Worth exactly this; none for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Wanted>,
    /// How many are enough; 1 at least.
    pub min_count: u32,
    /// Those less sure do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<Confidence>,
    /// Older ones do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_seconds: Option<u32>,
}

/// A value that a signal may be asked for: a text, a number or a flag. Numbers are equal if they are worth
/// the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct Wanted(serde_json::Value);

/// An object in its owner's words, with its owner's order of keys. Cheap to clone.
#[derive(Clone)]
pub struct Decision(Arc<RawValue>);

/// Why a decision was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDecision {
    /// It is a list, a text, a number or a literal.
    #[error("a decision must be an object")]
    NotAnObject,
    /// Its text is too long.
    #[error("the decision is {bytes} bytes, the limit is {DECISION_BYTES_MAX}")]
    TooLarge {
        /// What was sent.
        bytes: usize,
    },
    /// It nests too deeply.
    #[error("the decision nests more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// No program could take it.
    #[error("the decision cannot be read: it holds half of a surrogate pair or a number beyond doubles")]
    Unreadable,
}

/// The value is none that a rule can ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rule can ask for a text, a number, true or false")]
pub struct InvalidWanted;

impl When {
    /// How many conditions there are.
    pub fn conditions(&self) -> usize {
        self.all.len() + self.any.len() + self.none.len()
    }
}

impl Condition {
    /// Whether a signal of its kind counts, were it not for its age.
    pub(super) fn counts(&self, evidence: &Evidence) -> bool {
        let is_worth = |wanted: &Wanted| evidence.value.as_ref().is_some_and(|value| wanted.is(value));
        self.value.as_ref().is_none_or(is_worth)
            && self.min_confidence.is_none_or(|least| evidence.confidence >= least)
    }

    /// When a signal stops being young enough; none for never.
    pub(super) fn old_at(&self, evidence: &Evidence) -> Option<Timestamp> {
        let window = std::time::Duration::from_secs(u64::from(self.within_seconds?));
        Some(evidence.at + window)
    }
}

impl Wanted {
    fn is(&self, value: &Value) -> bool {
        order(&self.0, value.as_json()) == Ordering::Equal
    }
}

impl TryFrom<serde_json::Value> for Wanted {
    type Error = InvalidWanted;

    fn try_from(value: serde_json::Value) -> Result<Wanted, InvalidWanted> {
        match value {
            value @ (serde_json::Value::String(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Bool(_)) => Ok(Wanted(value)),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                Err(InvalidWanted)
            }
        }
    }
}

impl Decision {
    /// Reads a decision.
    pub fn from_json(json: &RawValue) -> Result<Decision, InvalidDecision> {
        let text = json.get();
        if text.len() > DECISION_BYTES_MAX {
            return Err(InvalidDecision::TooLarge { bytes: text.len() });
        }
        match serde_json::from_str(text).map_err(|_| InvalidDecision::Unreadable)? {
            value @ serde_json::Value::Object(_) if depth(&value) <= DEPTH_MAX => {
                Ok(Decision(json.to_owned().into()))
            }
            serde_json::Value::Object(_) => Err(InvalidDecision::TooDeep),
            _ => Err(InvalidDecision::NotAnObject),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Decision {
    fn eq(&self, other: &Decision) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Decision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decision, D::Error> {
        Decision::from_json(&Box::<RawValue>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
