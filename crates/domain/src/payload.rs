//! The payload of an event: a JSON object, kept as the bytes that were accepted.
//!
//! We never parse and print a payload: the receiver gets the publisher's bytes,
//! with its number formats, key order and duplicate keys, under our signature.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

/// How deeply arrays and objects may nest (contract 1.6).
pub const DEPTH_MAX: usize = 64;

/// The text of one JSON object.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

/// Why a payload was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPayload {
    /// Valid JSON, but a list, a string, a number or a literal.
    #[error("payload must be a JSON object")]
    NotAnObject,
    /// Larger than the operator allows.
    #[error("payload is {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// What was sent.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// Nested more deeply than [`DEPTH_MAX`].
    #[error("payload nests more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// Holds half of a surrogate pair, which no receiver can decode.
    #[error("payload holds the escape of a lone surrogate, which is not a character")]
    LoneSurrogate,
}

impl Payload {
    /// Takes a JSON text whose grammar the parser has already accepted.
    pub fn from_json(json: &RawValue, bytes_max: usize) -> Result<Payload, InvalidPayload> {
        let text = json.get();
        if text.len() > bytes_max {
            return Err(InvalidPayload::TooLarge { bytes: text.len(), bytes_max });
        }
        if !text.starts_with('{') {
            return Err(InvalidPayload::NotAnObject);
        }
        inspect(text.as_bytes())?;
        Ok(Payload(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// The payload of an event that we publish ourselves.
    ///
    /// # Panics
    ///
    /// If `value` is not an object: that is a mistake in our code.
    pub fn of_our_own(value: &serde_json::Value) -> Payload {
        assert!(value.is_object(), "our own payloads are objects");
        Payload(value.to_string().into())
    }

    /// Takes back what [`Payload::as_bytes`] gave to the store.
    pub fn from_stored(bytes: Bytes) -> Payload {
        Payload(bytes)
    }

    /// The accepted bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The payload as a tree, for those who look into it; nobody sends what this gives.
    ///
    /// Of duplicate keys the last counts. A number that no double can hold becomes the largest or
    /// smallest that one can, so that it still compares as what it is: large.
    pub fn to_value(&self) -> Value {
        let text = self.as_str();
        serde_json::from_str(text).unwrap_or_else(|_| {
            serde_json::from_str(&saturated(text)).expect("numbers were all that the tree could not hold")
        })
    }

    /// The accepted text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a payload was text when it was accepted")
    }
}

/// One pass over valid JSON for what the grammar does not forbid: depth and lone surrogates.
fn inspect(json: &[u8]) -> Result<(), InvalidPayload> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(InvalidPayload::TooDeep);
                }
            }
            b'}' | b']' => depth -= 1,
            b'"' => at = end_of_string(json, at + 1)?,
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Valid JSON with its numbers brought into the range of doubles.
fn saturated(json: &str) -> String {
    let bytes = json.as_bytes();
    let mut within = String::with_capacity(json.len());
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at + 1).expect("it was inspected when it was accepted") + 1,
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(bytes, at);
                let number: f64 = json[at..end].parse().expect("the parser accepted the number");
                if number.is_infinite() {
                    within.push_str(&json[copied..at]);
                    write!(within, "{:e}", f64::MAX.copysign(number)).expect("a string takes every text");
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    within.push_str(&json[copied..]);
    within
}

/// The index behind the number that begins at `at`.
fn end_of_number(json: &[u8], at: usize) -> usize {
    let length =
        json[at..].iter().take_while(|byte| matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E' | b'0'..=b'9'));
    at + length.count()
}

/// The index of the closing quote of the string whose content begins at `at`.
fn end_of_string(json: &[u8], mut at: usize) -> Result<usize, InvalidPayload> {
    loop {
        match json[at] {
            b'"' => return Ok(at),
            b'\\' if json[at + 1] == b'u' => {
                at += match code_unit(json, at) {
                    0xD800..0xDC00 if followed_by_low_surrogate(json, at + 6) => 12,
                    0xD800..0xE000 => return Err(InvalidPayload::LoneSurrogate),
                    _ => 6,
                }
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn followed_by_low_surrogate(json: &[u8], at: usize) -> bool {
    json[at..].starts_with(b"\\u") && (0xDC00..0xE000).contains(&code_unit(json, at))
}

/// The value of the `\uXXXX` at `at`.
fn code_unit(json: &[u8], at: usize) -> u32 {
    json[at + 2..at + 6].iter().fold(0, |value, digit| {
        value * 16 + char::from(*digit).to_digit(16).expect("the parser accepted the escape")
    })
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &Result<(), InvalidPayload>) {
        let raw: &RawValue = serde_json::from_str(json).expect("valid JSON");
        assert_eq!(&Payload::from_json(raw, 1000).map(|_| ()), expected, "{json}");
    }

    #[test]
    fn accepted_bytes_are_kept_as_they_came() {
        let json = r#"{ "b":1.0, "a":1e400, "a":"\u00e9\ud834\udd1e" }"#;
        let raw: &RawValue = serde_json::from_str(json).expect("valid JSON");
        assert_eq!(Payload::from_json(raw, 1000).expect("a payload").as_str(), json);
    }

    #[test]
    fn a_tree_holds_every_number_that_the_text_may_hold() {
        let tree = |json: &str| {
            let raw: &RawValue = serde_json::from_str(json).expect("valid JSON");
            Payload::from_json(raw, 1000).expect("a payload").to_value()
        };
        assert_eq!(
            tree(r#"{"a":[1e400,-1e400,1.5,"1e400","\"-9e999"],"1e400":-9E+999,"b":{}}"#),
            serde_json::json!({"a": [f64::MAX, f64::MIN, 1.5, "1e400", "\"-9e999"], "1e400": f64::MIN, "b": {}})
        );
        let digits = format!(r#"{{"a":{}}}"#, "9".repeat(400));
        assert_eq!(tree(&digits), serde_json::json!({"a": f64::MAX}));
        assert_eq!(tree(r#"{"a":1e-400,"b":1,"b":2}"#), serde_json::json!({"a": 0.0, "b": 2}));
    }

    #[test]
    fn only_objects_are_payloads() {
        for json in ["[]", "1", "null", "\"{}\"", "true"] {
            check(json, &Err(InvalidPayload::NotAnObject));
        }
    }

    #[test]
    fn sixty_four_levels_are_enough() {
        let nested = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth - 1) + "{", "}".repeat(depth));
        check(&nested(64), &Ok(()));
        check(&nested(65), &Err(InvalidPayload::TooDeep));
        check(r#"{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}"#, &Ok(()));
    }

    #[test]
    fn half_of_a_surrogate_pair_is_refused() {
        for json in [
            r#"{"a":"\ud834"}"#,
            r#"{"a":"\udd1e"}"#,
            r#"{"a":"\ud834\n"}"#,
            r#"{"\ud834x":1}"#,
            r#"{"a":"\ud834\ud834"}"#,
        ] {
            check(json, &Err(InvalidPayload::LoneSurrogate));
        }
        check(r#"{"a":"\\ud834"}"#, &Ok(()));
        check(r#"{"a":"\"\\"}"#, &Ok(()));
    }

    #[test]
    fn size_is_limited() {
        let json = format!("{{\"a\":\"{}\"}}", "x".repeat(1000));
        check(&json, &Err(InvalidPayload::TooLarge { bytes: 1008, bytes_max: 1000 }));
    }
}
