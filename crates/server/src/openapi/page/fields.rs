//! Tables of fields: of bodies, of shapes that others refer to, of parameters.

use serde_json::Value;

use crate::openapi::page::kind::kind;
use crate::openapi::page::markdown::{Html, html};
use crate::openapi::page::{list, members, resolved, words};

/// How deeply the fields of fields are shown in one table.
const DEPTH_MAX: usize = 3;

/// A row of a table.
pub(super) struct Field {
    /// How many names of other fields stand before its own.
    pub(super) depth: usize,
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) kind: Html,
    pub(super) about: Html,
}

/// An object or a word that others refer to.
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) about: Html,
    /// What it is, if it is no object.
    pub(super) kind: Option<Html>,
    pub(super) fields: Vec<Field>,
    pub(super) example: Option<String>,
}

impl Field {
    pub(super) fn of_parameter(document: &Value, parameter: &Value) -> Field {
        let parameter = resolved(document, parameter);
        let place = match words(&parameter["in"]) {
            "path" => "path",
            "header" => "header",
            _ => "query",
        };
        Field {
            depth: 0,
            name: words(&parameter["name"]).to_owned(),
            required: parameter["required"] == true,
            kind: html(&format!("{place}: {}", kind(document, &parameter["schema"]))),
            about: html(&about(document, parameter, &parameter["schema"])),
        }
    }

    pub(super) fn of_credential(scheme: &Value) -> Field {
        let bearer = || format!("authorization: Bearer {}", words(&scheme["bearerFormat"]));
        let header = scheme["name"].as_str().map_or_else(bearer, |name| format!("{name}: …"));
        Field {
            depth: 0,
            name: header,
            required: false,
            kind: html(""),
            about: html(words(&scheme["description"])),
        }
    }
}

/// The fields of an object, and those of objects in it that have no name of their own.
pub(super) fn fields_of(document: &Value, schema: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(document, resolved(document, schema), 0, &mut fields);
    fields
}

fn collect(document: &Value, schema: &Value, depth: usize, fields: &mut Vec<Field>) {
    let required: Vec<&str> = list(&schema["required"]).iter().map(words).collect();
    let mut named: Vec<_> = members(&schema["properties"]).collect();
    // What must be there comes first.
    named.sort_by_key(|(name, _)| !required.contains(name));
    for (name, field) in named {
        fields.push(Field {
            depth,
            name: name.to_owned(),
            required: required.contains(&name),
            kind: html(&kind(document, field)),
            about: html(&about(document, field, field)),
        });
        if depth < DEPTH_MAX {
            let inner = if field["items"].is_object() { &field["items"] } else { field };
            collect(document, inner, depth + 1, fields);
        }
    }
}

/// What is said of a field, or of the word that it is, and what stands for an absent value.
fn about(document: &Value, said: &Value, schema: &Value) -> String {
    let forms = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    let form = forms.and_then(|forms| forms.get(0)).unwrap_or(schema);
    let places = [said, form, resolved(document, form)];
    let about = places.iter().find_map(|place| place["description"].as_str()).unwrap_or_default();
    match schema.get("default") {
        Some(default) => format!("{about} Default: `{default}`.").trim().to_owned(),
        None => about.to_owned(),
    }
}

/// Every component that is not shown where it is used.
pub(super) fn shapes(document: &Value) -> Vec<Shape> {
    let schemas = &document["components"]["schemas"];
    let bodies: Vec<&str> = bodies(document).collect();
    let shown =
        members(schemas).filter(|(name, schema)| !bodies.contains(name) && schema.get("enum").is_none());
    shown.map(|(name, schema)| shape(document, name, schema)).collect()
}

fn shape(document: &Value, name: &str, schema: &Value) -> Shape {
    let fields = fields_of(document, schema);
    let example = schema.get("examples").and_then(|examples| examples.get(0)).map(Value::to_string);
    Shape {
        name: name.to_owned(),
        about: html(words(&schema["description"])),
        kind: fields.is_empty().then(|| html(&kind(document, schema))),
        example: example.filter(|_| fields.is_empty()),
        fields,
    }
}

/// The components that stand with the route that takes them.
fn bodies(document: &Value) -> impl Iterator<Item = &str> {
    let operations = members(&document["paths"]).flat_map(|(_, item)| members(item));
    operations.filter_map(|(_, operation)| {
        let path = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()?;
        path.rsplit('/').next()
    })
}
