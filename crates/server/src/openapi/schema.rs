//! Schemas of what callers send, written with the limits of the domain.

use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// The schema of one value, in JSON Schema 2020-12.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema(Value);

/// The schema of an object under construction. It is closed: what it does not name is refused.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

/// A named word of the API, such as an id: a reference to its component.
pub(crate) fn word<T: ToSchema>() -> Schema {
    named(&T::name())
}

/// A reference to a component by its name.
pub(crate) fn named(component: &str) -> Schema {
    Schema(json!({ "$ref": format!("#/components/schemas/{component}") }))
}

/// Text of any length.
pub(crate) fn text() -> Schema {
    Schema(json!({ "type": "string" }))
}

/// Text of so many characters.
pub(crate) fn text_of(chars: RangeInclusive<usize>) -> Schema {
    Schema(json!({ "type": "string", "minLength": chars.start(), "maxLength": chars.end() }))
}

/// A whole number within limits.
pub(crate) fn whole(range: RangeInclusive<u32>) -> Schema {
    Schema(json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() }))
}

/// True or false.
pub(crate) fn flag() -> Schema {
    Schema(json!({ "type": "boolean" }))
}

/// A list of so many.
pub(crate) fn list(items: Schema, count: RangeInclusive<usize>) -> Schema {
    let Schema(items) = items;
    Schema(json!({ "type": "array", "items": items, "minItems": count.start(), "maxItems": count.end() }))
}

/// One of these words, as they are written on the wire.
pub(crate) fn choice<T: Serialize>(words: &[T]) -> Schema {
    Schema(json!({ "type": "string", "enum": words }))
}

/// One of several forms.
pub(crate) fn either(forms: impl IntoIterator<Item = Schema>) -> Schema {
    let forms: Vec<Value> = forms.into_iter().map(Schema::into_value).collect();
    Schema(json!({ "anyOf": forms }))
}

/// An object whose fields are named one by one.
pub(crate) fn object() -> Object {
    Object { properties: Map::new(), required: Vec::new() }
}

/// A schema in plain JSON, for what the other functions cannot say.
pub(crate) fn plain(schema: Value) -> Schema {
    Schema(schema)
}

impl Schema {
    /// What it means.
    pub(crate) fn about(self, words: &str) -> Schema {
        self.with("description", words)
    }

    /// What an absent value stands for.
    pub(crate) fn or(self, default: impl Serialize) -> Schema {
        self.with("default", default)
    }

    /// What one looks like.
    pub(crate) fn such_as(self, example: impl Serialize) -> Schema {
        self.with("examples", [example])
    }

    /// That nothing is twice in a list.
    pub(crate) fn each_once(self) -> Schema {
        self.with("uniqueItems", true)
    }

    /// A regular expression that it matches.
    pub(crate) fn matching(self, pattern: &str) -> Schema {
        self.with("pattern", pattern)
    }

    /// The most characters of a text that a pattern describes.
    pub(crate) fn with_length_max(self, chars: usize) -> Schema {
        self.with("maxLength", chars)
    }

    /// A format that JSON Schema knows.
    pub(crate) fn in_format(self, format: &str) -> Schema {
        self.with("format", format)
    }

    /// The same, or `null`.
    pub(crate) fn or_null(self) -> Schema {
        let Schema(Value::Object(mut schema)) = self else { return self };
        if let Some(Value::String(kind)) = schema.get("type").cloned() {
            schema.insert("type".to_owned(), json!([kind, "null"]));
            if let Some(Value::Array(words)) = schema.get_mut("enum") {
                words.push(Value::Null);
            }
            return Schema(Value::Object(schema));
        }
        // Words about the field stay outside, where readers look for them.
        let outside = ["description", "default", "examples"].map(|key| schema.remove_entry(key));
        let mut whole: Map<_, _> = outside.into_iter().flatten().collect();
        whole.insert("anyOf".to_owned(), json!([schema, { "type": "null" }]));
        Schema(Value::Object(whole))
    }

    pub(crate) fn into_value(self) -> Value {
        self.0
    }

    fn with(self, key: &str, value: impl Serialize) -> Schema {
        let Schema(mut schema) = self;
        schema[key] = serde_json::to_value(value).expect("words about a schema are JSON");
        Schema(schema)
    }
}

impl Object {
    /// A field that must be there.
    pub(crate) fn required(mut self, field: &'static str, schema: Schema) -> Object {
        self.required.push(field);
        self.field(field, schema)
    }

    /// A field that may be left out, or be `null`, which says the same.
    pub(crate) fn optional(self, field: &'static str, schema: Schema) -> Object {
        self.field(field, schema.or_null())
    }

    /// A field that is there when it has a value and never `null`: the form of stored objects.
    pub(crate) fn sometimes(self, field: &'static str, schema: Schema) -> Object {
        self.field(field, schema)
    }

    /// An object that may hold further fields.
    pub(crate) fn open_schema(self) -> Schema {
        let Schema(mut schema) = self.schema();
        schema["additionalProperties"] = json!(true);
        Schema(schema)
    }

    pub(crate) fn schema(self) -> Schema {
        let Object { properties, required } = self;
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        Schema(schema)
    }

    fn field(mut self, field: &str, schema: Schema) -> Object {
        self.properties.insert(field.to_owned(), schema.into_value());
        self
    }
}
