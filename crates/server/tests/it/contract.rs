//! Every exchange of every test, held against the OpenAPI document of the API.
//!
//! The client of these tests calls [`check`] for each answer, so a route that answers a status, a
//! field or a media type that its description does not name fails the test that met it.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use angarium_server::openapi;
use http::Method;
use jsonschema::{Registry, RegistryBuilder, Validator};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::client::Answer;

const DOCUMENT: &str = "urn:angarium:v2";

/// What was asked.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    /// The path and the query.
    pub(crate) target: &'a str,
    pub(crate) body: &'a [u8],
}

/// Holds an exchange against the document. A request that was refused may have been wrong on
/// purpose, so requests are judged only where they succeeded.
#[track_caller]
pub(crate) fn check(asked: &Asked<'_>, answer: &Answer) {
    let path = asked.target.split('?').next().unwrap_or_default();
    if path.starts_with("/api/") {
        return; // Another API, with a document of its own.
    }
    let status = answer.status.as_u16();
    let here = format!("{} {} answered {status}", asked.method, asked.target);
    let Some((template, item)) = path_item(path) else {
        assert_eq!(status, 404, "{here}, and no description has this path");
        return expect_valid("/components/schemas/Problem", &answer.json(), &here);
    };
    let method = asked.method.as_str().to_lowercase();
    let operation = &item[&method];
    if operation.is_null() {
        assert_eq!(status, 405, "{here}, and its description does not name this method");
        return expect_valid("/components/schemas/Problem", &answer.json(), &here);
    }
    if operation["x-undescribed"] == true {
        return;
    }
    let operation_at = format!("/paths/{}/{method}", escaped(template));
    check_answer(operation, &operation_at, answer, &here);
    if answer.status.is_success() {
        check_request(operation, &operation_at, asked, &here);
    }
}

#[track_caller]
fn check_answer(operation: &Value, operation_at: &str, answer: &Answer, here: &str) {
    let status = answer.status.as_u16().to_string();
    let found = &operation["responses"][&status];
    assert!(!found.is_null(), "{here}, which its description does not name: {}", answer.text);
    let (response, at) = match found["$ref"].as_str() {
        Some(reference) => resolved(reference),
        None => (found, format!("{operation_at}/responses/{status}")),
    };
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = header["$ref"].as_str().map_or(header, |reference| resolved(reference).0);
        let missing = header["required"] == true && !answer.headers.contains_key(name.as_str());
        assert!(!missing, "{here} without {name}");
    }
    let media_type = answer.header("content-type");
    let Some(content) = response["content"].as_object() else {
        assert_eq!(
            (answer.text.as_str(), media_type),
            ("", None),
            "{here} with a body, and none is described"
        );
        return;
    };
    let media_type = media_type.unwrap_or_default();
    assert!(content.contains_key(media_type), "{here} as {media_type:?}, which is not described");
    if media_type == "application/json" {
        expect_valid(&format!("{at}/content/application~1json/schema"), &answer.json(), here);
    }
}

#[track_caller]
fn check_request(operation: &Value, operation_at: &str, asked: &Asked<'_>, here: &str) {
    let (query, body) = (asked.target.split_once('?').map_or("", |(_, query)| query), asked.body);
    // Writes do not look at the query.
    let query = if asked.method == Method::GET { query } else { "" };
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        let known = operation["parameters"].as_array().into_iter().flatten();
        let known =
            known.filter(|parameter| parameter["in"] == "query").any(|parameter| parameter["name"] == *name);
        assert!(known, "{here} to the parameter {name:?}, which is not described");
    }
    let described = operation.get("requestBody");
    if body.is_empty() {
        let required = described.is_some_and(|described| described["required"] == true);
        return assert!(!required, "{here} without a body, which its description demands");
    }
    // The events of a batch are judged one by one: those that are not as described are refused in the
    // answer, beside others that are accepted.
    let judged_singly = operation["operationId"].as_str().is_some_and(|id| id.starts_with("publishEvents"));
    if described.is_some() && !judged_singly {
        // What holds a number beyond doubles is JSON, but no value that a validator could look at.
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
        expect_valid(&format!("{operation_at}/requestBody/content/application~1json/schema"), &body, here);
    }
}

/// The template that a path fits, and what may be asked there. A template without a name in its
/// place is meant before one with a name.
fn path_item(path: &str) -> Option<(&'static str, &'static Value)> {
    let paths = openapi::v2()["paths"].as_object().expect("a document has paths");
    let fitting = paths.iter().filter(|(template, _)| fits(template, path));
    fitting
        .min_by_key(|(template, _)| template.matches('{').count())
        .map(|(template, item)| (template.as_str(), item))
}

fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let alike = |(wanted, given): (&str, &str)| {
        if wanted.starts_with('{') { !given.is_empty() } else { wanted == given }
    };
    wanted.clone().count() == given.clone().count() && std::iter::zip(&mut wanted, &mut given).all(alike)
}

fn resolved(reference: &str) -> (&'static Value, String) {
    let at = reference.trim_start_matches('#').to_owned();
    let found = openapi::v2().pointer(&at).unwrap_or_else(|| panic!("{reference} leads nowhere"));
    (found, at)
}

/// A part of a JSON pointer.
fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

#[track_caller]
fn expect_valid(schema_at: &str, value: &Value, here: &str) {
    static VALIDATORS: Mutex<BTreeMap<String, Validator>> = Mutex::new(BTreeMap::new());
    let mut validators = VALIDATORS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let validator = validators.entry(schema_at.to_owned()).or_insert_with(|| validator(schema_at));
    let faults: Vec<String> = validator
        .iter_errors(value)
        .map(|fault| format!("{} ({}): {fault}", fault.instance_path(), fault.schema_path()))
        .collect();
    assert!(faults.is_empty(), "{here}, which is not as described:\n{}\n{value:#}", faults.join("\n"));
}

/// The validator of the schema at a place of the document.
pub(crate) fn validator(schema_at: &str) -> Validator {
    static REGISTRY: LazyLock<Registry<'static>> = LazyLock::new(|| {
        let document = openapi::v2().clone();
        Registry::new()
            .add(DOCUMENT, document)
            .and_then(RegistryBuilder::prepare)
            .expect("references lead somewhere")
    });
    // Characters that a fragment cannot hold, such as the braces of a path, are escaped.
    let fragment = schema_at.replace('%', "%25").replace('{', "%7B").replace('}', "%7D").replace(' ', "%20");
    jsonschema::options()
        .with_registry(&REGISTRY)
        .should_validate_formats(true)
        .build(&json!({ "$ref": format!("{DOCUMENT}#{fragment}") }))
        .unwrap_or_else(|error| panic!("{schema_at} is not a schema: {error}"))
}
