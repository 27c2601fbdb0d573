//! What answers promise, said strictly: no field beside the named ones, and none missing.
//!
//! A derived schema says less than our answers do. In our answers a field without a value is `null`
//! and not absent, so every field that may be `null` is always there. A field that is there at times
//! only says so by `#[schema(value_type = …, required = false)]`, which takes its `null` away.

use serde_json::{Map, Value, json};

/// Closes every object in these components. `others` are components that are complete already.
pub(super) fn close_all(components: &mut Map<String, Value>, others: &Map<String, Value>) {
    let before = components.clone();
    for schema in components.values_mut() {
        close(schema, &before, others);
    }
}

fn close(schema: &mut Value, components: &Map<String, Value>, others: &Map<String, Value>) {
    if schema.get("allOf").is_some() {
        flatten(schema, components, others);
    }
    if schema["type"] == "object" && schema.get("properties").is_some() {
        close_object(schema);
    }
    for key in ["items", "additionalProperties"] {
        if schema.get(key).is_some_and(Value::is_object) {
            close(&mut schema[key], components, others);
        }
    }
    for key in ["oneOf", "anyOf", "prefixItems"] {
        for form in schema.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            close(form, components, others);
        }
    }
    for field in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        close(field.1, components, others);
    }
}

fn close_object(schema: &mut Value) {
    let mut required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if may_be_null(field) && !required.iter().any(|it| it == name) {
            required.push(json!(name));
        }
    }
    if !required.is_empty() {
        schema["required"] = Value::Array(required);
    }
    if schema.get("additionalProperties").is_none() {
        schema["additionalProperties"] = json!(false);
    }
}

pub(super) fn may_be_null(field: &Value) -> bool {
    let typed = field["type"].as_array().is_some_and(|types| types.iter().any(|it| it == "null"));
    let forms = field.get("oneOf").or_else(|| field.get("anyOf")).and_then(Value::as_array);
    typed || forms.is_some_and(|forms| forms.iter().any(|form| form["type"] == "null"))
}

/// Writes the parts of a flattened struct as one object: closed parts could not be combined.
fn flatten(schema: &mut Value, components: &Map<String, Value>, others: &Map<String, Value>) {
    let parts = schema["allOf"].as_array().cloned().unwrap_or_default();
    let mut whole = json!({ "type": "object", "properties": {}, "required": [] });
    if let Some(about) = schema.get("description") {
        whole["description"] = about.clone();
    }
    for mut part in parts {
        if let Some(name) = part["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            part = components.get(name).or_else(|| others.get(name)).cloned().unwrap_or_default();
        }
        if part.get("allOf").is_some() {
            flatten(&mut part, components, others);
        }
        for (name, field) in part["properties"].as_object().into_iter().flatten() {
            whole["properties"][name] = field.clone();
        }
        let required = whole["required"].as_array_mut().expect("made above");
        required.extend(part["required"].as_array().into_iter().flatten().cloned());
    }
    *schema = whole;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_null_is_always_there_and_nothing_else_is_added() {
        let mut components = json!({ "A": {
            "type": "object",
            "required": ["a"],
            "properties": { "a": {}, "b": { "type": ["string", "null"] }, "c": { "type": "string" } },
        } });
        close_all(components.as_object_mut().expect("an object"), &Map::new());
        assert_eq!(components["A"]["required"], json!(["a", "b"]));
        assert_eq!(components["A"]["additionalProperties"], json!(false));
    }

    #[test]
    fn the_parts_of_a_flattened_struct_become_one_closed_object() {
        let mut components = json!({
            "A": { "type": "object", "required": ["a"], "properties": { "a": {} } },
            "B": { "allOf": [
                { "$ref": "#/components/schemas/A" },
                { "type": "object", "required": ["b"], "properties": { "b": {} } },
            ] },
        });
        close_all(components.as_object_mut().expect("an object"), &Map::new());
        assert_eq!(components["B"]["required"], json!(["a", "b"]));
        assert_eq!(components["B"]["additionalProperties"], json!(false));
        assert!(components["B"].get("allOf").is_none());
    }
}
