//! One signal, before it has a place in a ledger.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, Name, depth};

/// The longest text of a value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1024;
/// The longest text of metadata, in bytes.
pub const METADATA_BYTES_MAX: usize = 2 * 1024;
/// The longest name of a source, in characters.
pub const SOURCE_CHARS_MAX: usize = 128;

/// Something that somebody saw in a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// What kind of thing.
    pub key: Name,
    /// What it was worth, if it has a value.
    pub value: Option<Value>,
    /// How sure whoever says so is.
    pub confidence: Confidence,
    /// Who says so.
    pub source: Option<Source>,
    /// What no rule looks at.
    pub metadata: Option<Metadata>,
}

/// A text, a number, a flag, or an object, which no rule compares. Never null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(serde_json::Value);

/// An object in its sender's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(serde_json::Map<String, serde_json::Value>);

/// From 0 to 1. 1 if nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub struct Confidence(f64);

/// Who says so: 1 to [`SOURCE_CHARS_MAX`] characters, none of which is a control character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Source(Arc<str>);

/// Why a value or metadata was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// A list, or null where there must be something.
    #[error("it must be {wanted}")]
    Kind {
        /// What it must be.
        wanted: &'static str,
    },
    /// Its text is too long.
    #[error("it is {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// What was sent.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// It nests too deeply.
    #[error("it nests more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// JSON that no program could take: half of a surrogate pair, or a number beyond doubles.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// The parser's words.
        reason: String,
    },
}

/// The number is no confidence.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("confidence is {0}, the limits are 0 and 1")]
pub struct InvalidConfidence(f64);

impl Value {
    /// Reads a value.
    pub fn from_json(json: &RawValue) -> Result<Value, InvalidValue> {
        match read(json, VALUE_BYTES_MAX)? {
            serde_json::Value::Null | serde_json::Value::Array(_) => {
                Err(InvalidValue::Kind { wanted: "a text, a number, true, false or an object" })
            }
            value => Ok(Value(value)),
        }
    }

    /// The value as a tree.
    pub fn as_json(&self) -> &serde_json::Value {
        &self.0
    }
}

impl Metadata {
    /// Reads metadata.
    pub fn from_json(json: &RawValue) -> Result<Metadata, InvalidValue> {
        match read(json, METADATA_BYTES_MAX)? {
            serde_json::Value::Object(fields) => Ok(Metadata(fields)),
            _ => Err(InvalidValue::Kind { wanted: "an object" }),
        }
    }
}

fn read(json: &RawValue, bytes_max: usize) -> Result<serde_json::Value, InvalidValue> {
    let bytes = json.get().len();
    if bytes > bytes_max {
        return Err(InvalidValue::TooLarge { bytes, bytes_max });
    }
    let value: serde_json::Value = serde_json::from_str(json.get()).map_err(|error| {
        // The parser's line and column count from the value and not from the body.
        let reason = error.to_string();
        let end = reason.rfind(" at line ").unwrap_or(reason.len());
        InvalidValue::Unreadable { reason: reason[..end].to_owned() }
    })?;
    if depth(&value) > DEPTH_MAX { Err(InvalidValue::TooDeep) } else { Ok(value) }
}

impl Confidence {
    /// Nobody doubts it.
    pub const CERTAIN: Confidence = Confidence(1.0);

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Confidence {
    type Error = InvalidConfidence;

    fn try_from(number: f64) -> Result<Confidence, InvalidConfidence> {
        if (0.0..=1.0).contains(&number) { Ok(Confidence(number)) } else { Err(InvalidConfidence(number)) }
    }
}

impl Source {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Source, String> {
        let chars = text.chars().count();
        if !(1..=SOURCE_CHARS_MAX).contains(&chars) {
            return Err(format!("source is {chars} characters, the limits are 1 and {SOURCE_CHARS_MAX}"));
        }
        if text.chars().any(char::is_control) {
            return Err("source holds a control character".to_owned());
        }
        Ok(Source(text.into()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Value, InvalidValue> {
        Value::from_json(&RawValue::from_string(text.to_owned()).expect("JSON"))
    }

    #[test]
    fn a_value_is_a_scalar_or_a_small_object() {
        for good in ["1", "-0.5", "\"x\"", "true", r#"{"a":[1]}"#] {
            assert!(value(good).is_ok(), "{good}");
        }
        for bad in ["null", "[1]", "1e999", r#""\ud800""#] {
            assert!(value(bad).is_err(), "{bad}");
        }
        assert_eq!(
            value(&format!("\"{}\"", "x".repeat(VALUE_BYTES_MAX - 1))),
            Err(InvalidValue::TooLarge { bytes: 1025, bytes_max: 1024 })
        );
        let nested = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert!(value(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(value(&nested(DEPTH_MAX + 1)), Err(InvalidValue::TooDeep));
    }

    #[test]
    fn a_confidence_is_from_0_to_1() {
        for good in [0.0, 0.5, 1.0] {
            assert!(Confidence::try_from(good).is_ok());
        }
        for bad in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert!(Confidence::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_is_a_short_text() {
        assert!(Source::try_from("mobile app".to_owned()).is_ok());
        for bad in [String::new(), "x".repeat(129), "a\nb".to_owned()] {
            assert!(Source::try_from(bad).is_err());
        }
    }
}
