//! The events of one handle, for those who receive them: its catalogue as the webhooks of a document.

use angarium_domain::catalog::{Catalog, Entry};
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::api::dialect::Dialect;
use crate::openapi::document::prune;
use crate::openapi::outbound;
use crate::openapi::schema::{choice, named, word};
use crate::openapi::words::{self, Payload};

/// Members of a schema that hold examples of payloads, in which `$ref` is a key like any other.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];
/// Members of a schema whose own members are named by its author, and hold a schema each.
const NAMED: [&str; 5] = ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];

/// The document of a handle: no paths, and a webhook for each type of its catalogue, for each that is
/// built in, and one for types that the catalogue does not know.
pub(crate) fn events_of_handle(handle: &Handle, catalog: &Catalog) -> Value {
    let mut webhooks = outbound::webhooks(Dialect::V2);
    let mut schemas: Map<String, Value> =
        words::all().into_iter().map(|(name, schema)| (name.to_owned(), schema.into_value())).collect();
    for entry in catalog.entries() {
        let component = format!("payload.{}", entry.event_type);
        if let Some(schema) = payload_schema(entry, &component) {
            schemas.insert(component.clone(), schema);
        }
        webhooks[entry.event_type.as_str()] = delivery(entry, &component);
    }
    let changed = catalog.entries().map(|entry| entry.updated_at).max();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Events of {handle}"),
            // Another document has another version, and the same one the same.
            "version": changed.map_or_else(|| "empty".to_owned(), |at: Timestamp| at.to_string()),
            "description": "What webhooks of this handle receive. Each type of the catalogue is a webhook; `event` \
                            stands for types that the catalogue does not know.",
        },
        "webhooks": webhooks,
        "components": {
            "schemas": schemas,
            "parameters": outbound::headers(Dialect::V2),
            "responses": outbound::responses().collect::<Map<_, _>>(),
        },
    });
    prune(&mut document);
    document
}

fn delivery(entry: &Entry, component: &str) -> Value {
    let name = entry.event_type.as_str();
    let payload = if entry.schema.is_some() { named(component) } else { word::<Payload>() };
    let about = entry.description.as_deref().unwrap_or_default();
    let mut item = outbound::delivery(Dialect::V2, name, about, &choice(&[name]), &payload);
    if entry.deprecated {
        item["post"]["deprecated"] = json!(true);
    }
    item
}

/// The schema of a type's payloads, with its references at its new place.
fn payload_schema(entry: &Entry, component: &str) -> Option<Value> {
    let mut schema: Value = serde_json::from_str(entry.schema.as_ref()?.as_str()).ok()?;
    // An id of its own would make references start there, and the dialect is the document's.
    if let Some(members) = schema.as_object_mut() {
        members.retain(|name, _| name != "$id" && name != "$schema");
    }
    move_references(&mut schema, &format!("#/components/schemas/{component}"));
    Some(schema)
}

/// A schema's references point into itself: `#/…`, or `#` for all of it.
fn move_references(schema: &mut Value, root: &str) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| move_references(schema, root)),
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("$ref", Value::String(reference)) => {
                        *reference = format!("{root}{}", reference.trim_start_matches('#'));
                    }
                    (name, Value::Object(named)) if NAMED.contains(&name) => {
                        named.values_mut().for_each(|schema| move_references(schema, root));
                    }
                    (name, _) if DATA.contains(&name) => {}
                    (_, value) => move_references(value, root),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_move_with_their_schema_and_examples_stay() {
        let mut schema = json!({
            "properties": {
                "default": { "$ref": "#/$defs/x" },
                "all": { "$ref": "#" },
                "$ref": { "type": "string" },
            },
            "anyOf": [{ "$ref": "#/$defs/x" }],
            "examples": [{ "$ref": "#/as/it/is" }],
        });
        move_references(&mut schema, "#/components/schemas/payload.a");
        let expected = json!({
            "properties": {
                "default": { "$ref": "#/components/schemas/payload.a/$defs/x" },
                "all": { "$ref": "#/components/schemas/payload.a" },
                "$ref": { "type": "string" },
            },
            "anyOf": [{ "$ref": "#/components/schemas/payload.a/$defs/x" }],
            "examples": [{ "$ref": "#/as/it/is" }],
        });
        assert_eq!(schema, expected);
    }
}
