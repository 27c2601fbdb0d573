//! What a schema comes to when its references are written out.
//!
//! A reference may only point into its own schema, and not round in a circle. So trying a schema on a
//! payload ends, and takes at most as many steps as there are values in both, multiplied.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::schema::Fault;
use super::{PATTERNS_MAX, SCHEMA_DEPTH_MAX, SCHEMA_VALUES_MAX};

/// Members that hold examples of payloads, in which `$ref` is a key like any other.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];
/// References that depend on where one comes from, or that give names to places. We follow pointers only.
const REFUSED: [&str; 6] =
    ["$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"];

/// Counts the values of a schema with every reference written out.
pub(super) fn measure(schema: &Value) -> Result<usize, Fault> {
    let mut measure = Measure { schema, known: HashMap::new(), patterns: 0 };
    let Size { values, .. } = measure.value(schema, 1)?;
    if values > SCHEMA_VALUES_MAX {
        return Err(Fault::TooManyValues);
    }
    if measure.patterns > PATTERNS_MAX {
        return Err(Fault::TooManyPatterns { patterns: measure.patterns });
    }
    Ok(values)
}

/// What something comes to with its references written out.
#[derive(Clone, Copy)]
struct Size {
    values: usize,
    levels: usize,
}

struct Measure<'s> {
    schema: &'s Value,
    /// What a reference comes to; nothing, while we are still finding out.
    known: HashMap<&'s str, Option<Size>>,
    patterns: usize,
}

impl<'s> Measure<'s> {
    fn value(&mut self, value: &'s Value, depth: usize) -> Result<Size, Fault> {
        if depth > SCHEMA_DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        match value {
            Value::Object(members) => self.object(members, depth),
            Value::Array(elements) => sum(elements.iter().map(|element| self.value(element, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(ONE),
        }
    }

    fn object(&mut self, members: &'s Map<String, Value>, depth: usize) -> Result<Size, Fault> {
        let referred = match members.get("$ref") {
            Some(Value::String(pointer)) => Some(self.reference(pointer, depth + 1)),
            _ => None,
        };
        let own = members.iter().map(|(key, value)| self.member(key, value, depth));
        sum(referred.into_iter().chain(own))
    }

    fn member(&mut self, key: &'s str, value: &'s Value, depth: usize) -> Result<Size, Fault> {
        match (key, value) {
            ("$id", _) if depth > 1 => Err(Fault::Unsupported { keyword: "$id" }),
            (key, Value::String(_) | Value::Bool(_) | Value::Object(_)) if REFUSED.contains(&key) => {
                let keyword = REFUSED.into_iter().find(|refused| *refused == key);
                Err(Fault::Unsupported { keyword: keyword.expect("it is one of them") })
            }
            (key, data) if DATA.contains(&key) => plain(data, depth + 1),
            ("pattern", Value::String(_)) => {
                self.patterns += 1;
                Ok(ONE)
            }
            ("patternProperties", Value::Object(patterns)) => {
                self.patterns += patterns.len();
                self.value(value, depth + 1)
            }
            (_, value) => self.value(value, depth + 1),
        }
    }

    fn reference(&mut self, pointer: &'s str, depth: usize) -> Result<Size, Fault> {
        match self.known.get(pointer) {
            Some(Some(size)) if depth + size.levels > SCHEMA_DEPTH_MAX + 1 => return Err(Fault::TooDeep),
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(Fault::Circular { reference: pointer.into() }),
            None => {}
        }
        let target = self.target(pointer)?;
        self.known.insert(pointer, None);
        // A chain of references is as deep as what it comes to: neither we nor the validator may run
        // out of stack on it.
        let size = self.value(target, depth)?;
        self.known.insert(pointer, Some(size));
        Ok(size)
    }

    fn target(&self, pointer: &str) -> Result<&'s Value, Fault> {
        let elsewhere = || Fault::Elsewhere { reference: pointer.into() };
        let path = pointer.strip_prefix('#').ok_or_else(elsewhere)?;
        if !path.is_empty() && !path.starts_with('/') {
            return Err(elsewhere());
        }
        self.schema.pointer(path).ok_or_else(|| Fault::Nowhere { reference: pointer.into() })
    }
}

const ONE: Size = Size { values: 1, levels: 1 };

/// Counts values that are no schemas.
fn plain(value: &Value, depth: usize) -> Result<Size, Fault> {
    if depth > SCHEMA_DEPTH_MAX {
        return Err(Fault::TooDeep);
    }
    match value {
        Value::Object(members) => sum(members.values().map(|value| plain(value, depth + 1))),
        Value::Array(elements) => sum(elements.iter().map(|element| plain(element, depth + 1))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(ONE),
    }
}

/// An object or list, and what is in it.
fn sum(parts: impl Iterator<Item = Result<Size, Fault>>) -> Result<Size, Fault> {
    let mut total = ONE;
    for part in parts {
        let part = part?;
        total.values = total.values.saturating_add(part.values);
        total.levels = total.levels.max(1 + part.levels);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_counted_with_references_written_out() {
        assert_eq!(measure(&json!(true)), Ok(1));
        assert_eq!(measure(&json!({ "type": "object", "required": ["a", "b"] })), Ok(5));
        let shared = json!({ "$defs": { "n": { "minimum": 0 } }, "items": { "$ref": "#/$defs/n" } });
        // The root, $defs, n, its minimum; items, its $ref, and n with its minimum again.
        assert_eq!(measure(&shared), Ok(8));
    }

    #[test]
    fn references_that_go_round_in_a_circle_are_refused() {
        for circle in [
            json!({ "$ref": "#" }),
            json!({ "properties": { "child": { "$ref": "#" } } }),
            json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "items": { "$ref": "#/$defs/a" } } } }),
        ] {
            assert!(matches!(measure(&circle), Err(Fault::Circular { .. })), "{circle}");
        }
    }

    #[test]
    fn references_that_multiply_at_each_step_are_refused_and_not_followed() {
        let mut definitions = Map::new();
        for n in 0..8 {
            let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
            definitions.insert(format!("d{n}"), json!({ "allOf": vec![next; 10] }));
        }
        definitions.insert("d8".to_owned(), json!({ "type": "string" }));
        let schema = json!({ "$ref": "#/$defs/d0", "$defs": definitions });
        assert_eq!(measure(&schema), Err(Fault::TooManyValues));
    }

    #[test]
    fn a_chain_of_references_is_as_deep_as_what_it_comes_to() {
        // Named so that each is known before it is referred to, and the other way round.
        for (name, next) in [("up", -1), ("down", 1)] {
            let mut definitions = Map::new();
            for n in 0_i32..2000 {
                let to = (n + next).rem_euclid(2001);
                definitions
                    .insert(format!("{name}{n:04}"), json!({ "$ref": format!("#/$defs/{name}{to:04}") }));
            }
            definitions.insert(format!("{name}2000"), json!({ "type": "string" }));
            assert_eq!(measure(&json!({ "$defs": definitions })), Err(Fault::TooDeep), "{name}");
        }
    }

    #[test]
    fn references_stay_in_their_schema() {
        for reference in ["https://example.com/schema.json", "other.json#/a", "file:///etc/passwd", "#name"] {
            assert!(
                matches!(measure(&json!({ "$ref": reference })), Err(Fault::Elsewhere { .. })),
                "{reference}"
            );
        }
        assert!(matches!(measure(&json!({ "$ref": "#/$defs/no" })), Err(Fault::Nowhere { .. })));
        let nested = json!({ "items": { "$id": "https://example.com/" } });
        assert_eq!(measure(&nested), Err(Fault::Unsupported { keyword: "$id" }));
        assert_eq!(
            measure(&json!({ "$dynamicRef": "#x" })),
            Err(Fault::Unsupported { keyword: "$dynamicRef" })
        );
    }

    #[test]
    fn in_data_a_reference_is_a_key_like_any_other() {
        let schema = json!({ "enum": [{ "$ref": "https://example.com/" }], "properties": { "$ref": { "type": "string" } } });
        assert!(measure(&schema).is_ok());
    }

    #[test]
    fn depth_size_and_patterns_are_limited() {
        let deep = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "not": inner }));
        assert!(measure(&deep(32)).is_ok());
        assert_eq!(measure(&deep(33)), Err(Fault::TooDeep));
        assert_eq!(measure(&json!({ "enum": vec![1; 10_000] })), Err(Fault::TooManyValues));
        let patterns = |count: usize| json!({ "allOf": vec![json!({ "pattern": "a" }); count] });
        assert!(measure(&patterns(50)).is_ok());
        assert_eq!(measure(&patterns(51)), Err(Fault::TooManyPatterns { patterns: 51 }));
    }
}
