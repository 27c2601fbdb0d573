//! Examples, made from schemas: each word has one, and an object has those of its fields.

use serde_json::{Map, Value, json};

/// How deeply examples are made; a schema that refers to itself ends there.
const DEPTH_MAX: usize = 12;

/// What a value of this schema looks like: the fields that are always there, and those in `shown`.
pub(super) fn example(schema: &Value, components: &Map<String, Value>, shown: &[&str]) -> Value {
    Maker { components, shown }.value(schema, 0)
}

struct Maker<'a> {
    components: &'a Map<String, Value>,
    shown: &'a [&'a str],
}

impl Maker<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        let given = schema.get("example").or_else(|| schema["examples"].get(0));
        if let Some(given) = given.or_else(|| schema.get("const")).or_else(|| schema.get("default")) {
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
        let shown = properties
            .filter(|(name, _)| required.iter().any(|it| it == *name) || self.shown.contains(&name.as_str()));
        shown.map(|(name, field)| (name.clone(), self.value(field, depth + 1))).collect::<Map<_, _>>().into()
    }
}
