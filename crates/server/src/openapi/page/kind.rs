//! What a value is, in a few words of Markdown: its type, its limits, or the name of its shape.

use serde_json::Value;

use crate::openapi::page::{list, members, resolved, words};

/// The kind of a value. Choices are listed; other named shapes are a link to their place on the page.
pub(super) fn kind(document: &Value, schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return choices(resolved(document, schema)).unwrap_or_else(|| format!("[{name}](#{name})"));
    }
    if let Some(forms) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        let forms = list(forms).iter().map(|form| kind(document, form));
        return forms.collect::<Vec<_>>().join(" or ");
    }
    if let Some(only) = schema.get("const") {
        return format!("`{only}`");
    }
    if let Some(choices) = choices(schema) {
        return choices;
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().map(words).collect(),
        one => vec![words(one)],
    };
    let kinds = types.into_iter().map(|kind| of_type(document, schema, kind));
    kinds.collect::<Vec<_>>().join(" or ")
}

/// The kind of a whole answer: an object without a name has no table, so its fields are named here.
pub(super) fn of_answer(document: &Value, schema: &Value) -> String {
    let fields =
        members(&schema["properties"]).map(|(name, field)| format!("`{name}`: {}", kind(document, field)));
    match fields.collect::<Vec<_>>() {
        none if none.is_empty() => kind(document, schema),
        fields => format!("object of {}", fields.join("; ")),
    }
}

fn of_type(document: &Value, schema: &Value, name: &str) -> String {
    match name {
        "array" if schema["items"].is_object() => {
            let what = format!("list of {}", kind(document, &schema["items"]));
            with_limits(&what, &schema["minItems"], &schema["maxItems"], "")
        }
        "array" => "list".to_owned(),
        "integer" => with_limits("whole number", &schema["minimum"], &schema["maximum"], ""),
        "number" => with_limits("number", &schema["minimum"], &schema["maximum"], ""),
        "string" => of_text(schema),
        "object" if schema["additionalProperties"].is_object() => {
            let what = format!("object of {}", kind(document, &schema["additionalProperties"]));
            with_limits(&what, &schema["minProperties"], &schema["maxProperties"], " fields")
        }
        "boolean" => "true or false".to_owned(),
        "" => "any value".to_owned(),
        other => other.to_owned(),
    }
}

fn of_text(schema: &Value) -> String {
    let what = match schema["format"].as_str() {
        Some("date-time") => "time, RFC 3339",
        Some("uri") => "URL",
        _ => "text",
    };
    let limited = with_limits(what, &schema["minLength"], &schema["maxLength"], " characters");
    match schema["pattern"].as_str() {
        // A table's cell ends at a bar, and so may a pattern in code.
        Some(pattern) => format!("{limited}, `{pattern}`"),
        None => limited,
    }
}

fn choices(schema: &Value) -> Option<String> {
    let shown = |choice: &Value| match choice.as_str() {
        Some(word) => format!("`{word}`"),
        None => choice.to_string(),
    };
    Some(schema["enum"].as_array()?.iter().map(shown).collect::<Vec<_>>().join(", "))
}

fn with_limits(what: &str, least: &Value, most: &Value, unit: &str) -> String {
    match (least.as_u64().filter(|least| *least > 0), most.as_u64()) {
        (Some(least), Some(most)) if least == most => format!("{what}, {least}{unit}"),
        (Some(least), Some(most)) => format!("{what}, {least} to {most}{unit}"),
        (None, Some(most)) => format!("{what}, at most {most}{unit}"),
        (Some(least), None) => format!("{what}, at least {least}{unit}"),
        (None, None) => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: &Value, expected: &str) {
        let document = json!({ "components": { "schemas": {
            "Choice": { "type": "string", "enum": ["a", "b"] },
            "Shape": { "type": "object", "properties": {} },
        } } });
        assert_eq!(kind(&document, schema), expected);
    }

    #[test]
    fn limits_stand_beside_the_type() {
        check(&json!({ "type": "integer", "minimum": 1, "maximum": 30 }), "whole number, 1 to 30");
        check(
            &json!({ "type": ["string", "null"], "minLength": 0, "maxLength": 9 }),
            "text, at most 9 characters or null",
        );
        check(
            &json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
            "list of text, at least 1",
        );
        check(&json!({ "type": "object", "additionalProperties": { "type": "string" } }), "object of text");
        check(&json!({ "const": true }), "`true`");
    }

    #[test]
    fn an_answer_without_a_name_names_its_fields() {
        let schema = json!({ "type": "object", "properties": {
            "data": { "$ref": "#/components/schemas/Shape" }, "success": { "const": true },
        } });
        assert_eq!(of_answer(&json!({}), &schema), "object of `data`: [Shape](#Shape); `success`: `true`");
        assert_eq!(of_answer(&json!({}), &json!({ "type": "string" })), "text");
    }

    #[test]
    fn choices_are_listed_and_shapes_are_named() {
        let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        check(&named("Choice"), "`a`, `b`");
        check(&json!({ "anyOf": [named("Shape"), { "type": "null" }] }), "[Shape](#Shape) or null");
    }
}
