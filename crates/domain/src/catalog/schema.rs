//! A JSON Schema that payloads must fit.

use std::fmt;
use std::sync::{Arc, OnceLock};

use jsonschema::{Draft, PatternOptions, Validator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::references::measure;
use super::{FAULTS_MAX, PATTERNS_MAX, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_VALUES_MAX};

/// The one dialect, which `$schema` may name.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The most memory of one compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// The most steps of one trial: values of the schema times values of the payload. About a fifth of a
/// second on one core.
const STEPS_MAX: usize = 20_000_000;

/// A checked JSON Schema, draft 2020-12. Cheap to clone.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    text: Box<RawValue>,
    /// Made when the first payload is judged: a catalogue is read more often than it is needed.
    validator: OnceLock<(Validator, usize)>,
}

/// Why a schema was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct InvalidSchema {
    /// Where in the schema, as a JSON pointer; empty if it is about all of it.
    pub pointer: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Longer than [`SCHEMA_BYTES_MAX`].
    #[error("the schema is {bytes} bytes, the limit is {SCHEMA_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Something else than an object or a boolean, or JSON that cannot be read.
    #[error("a schema is an object or a boolean")]
    NotASchema,
    /// Nested more deeply than [`SCHEMA_DEPTH_MAX`].
    #[error("the schema nests more than {SCHEMA_DEPTH_MAX} levels deep")]
    TooDeep,
    /// More than [`SCHEMA_VALUES_MAX`].
    #[error(
        "the schema holds more than {SCHEMA_VALUES_MAX} values, counted with every reference written out"
    )]
    TooManyValues,
    /// More than [`PATTERNS_MAX`].
    #[error("the schema holds {patterns} patterns, the limit is {PATTERNS_MAX}")]
    TooManyPatterns {
        /// How many it holds.
        patterns: usize,
    },
    /// Another dialect than ours.
    #[error("$schema is {dialect:?}; payloads are judged by {DIALECT}")]
    Dialect {
        /// What `$schema` says.
        dialect: String,
    },
    /// A reference out of the schema, or one that is no pointer.
    #[error(
        "{reference:?} is not a reference within this schema; write # and a JSON pointer, such as #/$defs/address"
    )]
    Elsewhere {
        /// The reference.
        reference: String,
    },
    /// A reference to nothing.
    #[error("{reference:?} points at nothing in this schema")]
    Nowhere {
        /// The reference.
        reference: String,
    },
    /// References in a circle.
    #[error("{reference:?} leads back to itself; a schema must end somewhere")]
    Circular {
        /// One of the references.
        reference: String,
    },
    /// A keyword of the draft that we do not follow.
    #[error("{keyword} is not supported here; use $ref with a JSON pointer")]
    Unsupported {
        /// The keyword.
        keyword: &'static str,
    },
    /// Not valid by the draft, such as a pattern that is none.
    #[error("{reason}")]
    Invalid {
        /// The validator's words.
        reason: String,
    },
}

/// What of a payload does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Where in the payload, as a JSON pointer, and what is wrong there; at least one, at most [`FAULTS_MAX`].
    pub faults: Vec<(String, String)>,
}

impl Schema {
    /// Reads and tries out a schema.
    pub fn from_json(json: &RawValue) -> Result<Schema, InvalidSchema> {
        let bytes = json.get().len();
        if bytes > SCHEMA_BYTES_MAX {
            return Err(Fault::TooLong { bytes }.into());
        }
        let compiled = compile(json)?;
        Ok(Schema(Arc::new(Compiled { text: json.to_owned(), validator: OnceLock::from(compiled) })))
    }

    /// The text, as its owner wrote it.
    pub fn as_str(&self) -> &str {
        self.0.text.get()
    }

    /// Whether a payload fits.
    ///
    /// # Errors
    ///
    /// What does not, or that the payload has too many values to be tried.
    pub fn judge(&self, payload: &Value) -> Result<(), Mismatch> {
        let compiled = || compile(&self.0.text).expect("it was tried out before it was stored");
        let (validator, schema_values) = self.0.validator.get_or_init(compiled);
        let values = values_in(payload);
        if values.saturating_mul(*schema_values) > STEPS_MAX {
            let most = STEPS_MAX / schema_values;
            return Err(Mismatch::of_all(format!(
                "the payload holds {values} values, its schema can try {most}"
            )));
        }
        if validator.is_valid(payload) {
            return Ok(());
        }
        let fault = |error: jsonschema::ValidationError<'_>| {
            (error.instance_path().as_str().to_owned(), error.masked().to_string())
        };
        Err(Mismatch { faults: validator.iter_errors(payload).take(FAULTS_MAX).map(fault).collect() })
    }
}

impl Mismatch {
    fn of_all(words: String) -> Mismatch {
        Mismatch { faults: vec![(String::new(), words)] }
    }
}

fn compile(json: &RawValue) -> Result<(Validator, usize), InvalidSchema> {
    let schema: Value = serde_json::from_str(json.get()).map_err(|_| Fault::NotASchema)?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err(Fault::NotASchema.into());
    }
    if let Some(dialect) = schema.get("$schema")
        && dialect.as_str().is_none_or(|dialect| dialect.trim_end_matches('#') != DIALECT)
    {
        let dialect = dialect.as_str().map_or_else(|| dialect.to_string(), str::to_owned);
        return Err(Fault::Dialect { dialect }.into());
    }
    let values = measure(&schema)?;
    // Without features for it the library fetches nothing; `offline` says so where one looks for it.
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(false)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX));
    let validator = options.build(&schema).map_err(|error| InvalidSchema {
        pointer: error.instance_path().as_str().to_owned(),
        fault: Fault::Invalid { reason: error.masked().to_string() },
    })?;
    Ok((validator, values))
}

fn values_in(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(values_in).sum(),
        Value::Array(elements) => elements.iter().map(values_in).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

impl From<Fault> for InvalidSchema {
    fn from(fault: Fault) -> InvalidSchema {
        InvalidSchema { pointer: String::new(), fault }
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Schema {}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.text.serialize(serializer)
    }
}

/// What was stored was checked before; it is compiled when it is needed.
impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Schema, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Schema(Arc::new(Compiled { text, validator: OnceLock::new() })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    fn read(schema: &Value) -> Result<Schema, InvalidSchema> {
        Schema::from_json(&to_raw_value(schema).expect("JSON"))
    }

    #[track_caller]
    fn check(schema: &Value, payload: &Value, faults: &[(&str, &str)]) {
        let schema = read(schema).expect("a schema");
        let stored: Schema = serde_json::from_str(schema.as_str()).expect("a schema");
        for schema in [schema, stored] {
            let found = schema.judge(payload).err().map_or(Vec::new(), |mismatch| mismatch.faults);
            let found: Vec<_> = found.iter().map(|(at, words)| (at.as_str(), words.as_str())).collect();
            assert_eq!(found, faults);
        }
    }

    #[test]
    fn faults_are_placed_and_do_not_repeat_the_payload() {
        let schema = json!({
            "type": "object", "required": ["id"],
            "properties": { "total": { "type": "number", "minimum": 0 }, "lines": { "items": { "$ref": "#/$defs/line" } } },
            "$defs": { "line": { "properties": { "sku": { "type": "string", "pattern": "^[A-Z]\\d+$" } } } },
        });
        check(&schema, &json!({ "id": 1, "total": 2, "lines": [{ "sku": "A1" }] }), &[]);
        check(
            &schema,
            &json!({ "total": -1, "lines": [{ "sku": "A1" }, { "sku": "secret" }] }),
            &[
                ("", "\"id\" is a required property"),
                ("/lines/1/sku", "value does not match \"^[A-Z]\\d+$\""),
                ("/total", "value is less than the minimum of 0"),
            ],
        );
    }

    #[test]
    fn at_most_twenty_faults_are_told() {
        let schema =
            read(&json!({ "properties": { "n": { "items": { "type": "string" } } } })).expect("a schema");
        let mismatch = schema.judge(&json!({ "n": vec![1; 1000] })).expect_err("numbers are no texts");
        assert_eq!(mismatch.faults.len(), FAULTS_MAX);
    }

    #[test]
    fn formats_are_notes_as_the_draft_says() {
        check(&json!({ "properties": { "at": { "format": "date-time" } } }), &json!({ "at": "noon" }), &[]);
    }

    #[test]
    fn what_is_no_schema_of_the_draft_is_refused_with_its_place() {
        for (schema, pointer, words) in [
            (json!([]), "", "an object or a boolean"),
            (json!({ "type": "text" }), "/type", "is not valid"),
            (json!({ "properties": { "a": { "pattern": "(" } } }), "", ""),
            (json!({ "pattern": "(?<=a)b" }), "", ""),
            (json!({ "pattern": "(a)\\1" }), "", ""),
            (json!({ "pattern": "(a{1000}){1000}" }), "", ""),
            (json!({ "$schema": "http://json-schema.org/draft-07/schema#" }), "", "2020-12"),
            (json!({ "$ref": "https://example.com/x.json" }), "", "within this schema"),
            (json!({ "description": "x".repeat(70_000) }), "", "the limit is 65536"),
        ] {
            let error = read(&schema).expect_err("refused");
            assert!(error.to_string().contains(words), "{schema}: {error}");
            assert!(error.pointer.starts_with(pointer), "{schema}: {}", error.pointer);
        }
        for fine in
            [json!(true), json!({}), json!({ "$schema": DIALECT, "$id": "https://example.com/order.json" })]
        {
            assert!(read(&fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn a_payload_that_would_take_too_long_is_refused() {
        let schema =
            read(&json!({ "properties": { "n": { "items": { "enum": (0..5000).collect::<Vec<_>>() } } } }));
        let schema = schema.expect("a schema");
        assert!(schema.judge(&json!({ "n": vec![4999; 1000] })).is_ok());
        let mismatch = schema.judge(&json!({ "n": vec![4999; 5000] })).expect_err("too much");
        assert!(mismatch.faults[0].1.contains("5002 values"), "{mismatch:?}");
    }

    #[test]
    fn patterns_take_time_that_grows_with_the_text_and_no_faster() {
        // Backtracking would need longer than the universe has.
        check(
            &json!({ "properties": { "a": { "pattern": "^(a+)+$" } } }),
            &json!({ "a": format!("{}b", "a".repeat(5000)) }),
            &[("/a", "value does not match \"^(a+)+$\"")],
        );
    }
}
