//! Examples, made from schemas: each word has one, and an object has those of its fields.

use serde_json::{Map, Value, json};

use crate::openapi::answers::may_be_null;

/// How deeply examples are made; a schema that refers to itself ends there.
const DEPTH_MAX: usize = 12;

/// A field that stands in an example although others leave it out or hold `null`, and its value there if
/// that is not the one of its schema.
pub(super) type Shown = (&'static str, Option<Value>);

/// What a value of this schema looks like: the fields that are always there, and those in `shown`, which
/// have a value where others may be `null`.
pub(super) fn example(schema: &Value, components: &Map<String, Value>, shown: &[Shown]) -> Value {
    Maker { components, shown }.value(schema, 0)
}

/// The example that a schema gives itself.
fn given(schema: &Value) -> Option<&Value> {
    schema.get("example").or_else(|| schema["examples"].get(0))
}

/// Whether a value is meant for this field, and not for one of the same name in another object.
fn could_hold(field: &Value, value: &Value) -> bool {
    match field["type"].as_str().or_else(|| field["type"][0].as_str()) {
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(_) => !value.is_array() && !value.is_object(),
        None => true,
    }
}

struct Maker<'a> {
    components: &'a Map<String, Value>,
    shown: &'a [Shown],
}

impl Maker<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        if let Some(given) = given(schema).or_else(|| schema.get("const")).or_else(|| schema.get("default")) {
            return given.clone();
        }
        if depth == DEPTH_MAX {
            return Value::Null;
        }
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or_default();
            return self.value(&self.components[name], depth + 1);
        }
        let forms = schema.get("anyOf").or_else(|| schema.get("oneOf"));
        if let Some(form) = forms.and_then(|forms| forms.get(0)) {
            return self.value(form, depth + 1);
        }
        if let Some(first) = schema["enum"].get(0) {
            return first.clone();
        }
        self.of_type(schema, depth)
    }

    fn of_type(&self, schema: &Value, depth: usize) -> Value {
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default();
        match kind {
            "object" => self.object(schema, depth),
            "array" if schema["items"].is_object() => json!([self.value(&schema["items"], depth + 1)]),
            "array" => {
                let places = schema["prefixItems"].as_array().map(Vec::as_slice).unwrap_or_default();
                places.iter().map(|place| self.value(place, depth + 1)).collect()
            }
            "string" => json!("text"),
            "integer" => {
                schema.get("minimum").filter(|least| least.as_u64() > Some(1)).cloned().unwrap_or(json!(1))
            }
            "number" => json!(1.5),
            "boolean" => json!(false),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = |name: &String| self.shown.iter().find(|(shown, _)| shown == name);
        let there =
            properties.filter(|(name, _)| required.iter().any(|it| it == *name) || named(name).is_some());
        let value = |(name, field): (&String, &Value)| {
            let value = match named(name) {
                Some((_, Some(value))) if could_hold(field, value) => value.clone(),
                // Most of what may be without a value is: a webhook is not gone and disabled at once.
                None if may_be_null(field) && given(field).is_none() => Value::Null,
                Some(_) | None => self.value(field, depth + 1),
            };
            (name.clone(), value)
        };
        there.map(value).collect::<Map<_, _>>().into()
    }
}
