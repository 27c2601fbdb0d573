//! Every exchange of every test, held against the OpenAPI document of its API.
//!
//! The client of these tests calls [`check`] for each answer, so a route that answers a status, a
//! field or a media type that its description does not name fails the test that met it.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use angarium_server::openapi;
use http::{Method, StatusCode};
use jsonschema::{Registry, RegistryBuilder, Validator};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::client::Answer;

/// An API's document, and what an answer without a success looks like in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Document {
    V1,
    V2,
}

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
    // What a browser asks before a page may ask is between the two of them.
    if asked.method == Method::OPTIONS {
        return;
    }
    let path = asked.target.split('?').next().unwrap_or_default();
    if path.starts_with("/mcp/") {
        // Described by its own protocol, and tested in its words.
        return;
    }
    let document = Document::of(path);
    let status = answer.status.as_u16();
    let here = format!("{} {} answered {status}", asked.method, asked.target);
    let Some((template, item)) = document.path_item(path) else {
        assert_eq!(status, 404, "{here}, and no description has this path");
        return document.expect_valid(document.problem(), &answer.json(), &here);
    };
    let method = asked.method.as_str().to_lowercase();
    let operation = &item[&method];
    if operation.is_null() {
        assert_eq!(status, 405, "{here}, and its description does not name this method");
        return document.expect_valid(document.problem(), &answer.json(), &here);
    }
    let described = Described { document, operation, at: format!("/paths/{}/{method}", escaped(template)) };
    described.check_answer(answer, &here);
    if answer.status.is_success() {
        described.check_request(asked, &here);
    }
}

/// An operation, and where it stands in its document.
struct Described {
    document: Document,
    operation: &'static Value,
    at: String,
}

impl Described {
    #[track_caller]
    fn check_answer(&self, answer: &Answer, here: &str) {
        let Described { document, operation, at } = self;
        let status = answer.status.as_u16().to_string();
        let found = &operation["responses"][&status];
        assert!(!found.is_null(), "{here}, which its description does not name: {}", answer.text);
        let (response, at) = match found["$ref"].as_str() {
            Some(reference) => document.resolved(reference),
            None => (found, format!("{at}/responses/{status}")),
        };
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = header["$ref"].as_str().map_or(header, |reference| document.resolved(reference).0);
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
        let kind = format!("{}/*", media_type.split('/').next().unwrap_or_default());
        let described = content.contains_key(media_type) || content.contains_key(&kind);
        assert!(described, "{here} as {media_type:?}, which is not described");
        if media_type == "application/json" {
            document.expect_valid(&format!("{at}/content/application~1json/schema"), &answer.json(), here);
            check_request_id(*document, answer, here);
        }
    }

    #[track_caller]
    fn check_request(&self, asked: &Asked<'_>, here: &str) {
        let Described { document, operation, at } = self;
        let (query, body) = (asked.target.split_once('?').map_or("", |(_, query)| query), asked.body);
        // Writes do not look at the query.
        let query = if asked.method == Method::GET { query } else { "" };
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            let known = operation["parameters"].as_array().into_iter().flatten();
            let known = known
                .filter(|parameter| parameter["in"] == "query")
                .any(|parameter| parameter["name"] == *name);
            assert!(known, "{here} to the parameter {name:?}, which is not described");
        }
        let described = operation.get("requestBody");
        if body.is_empty() {
            let required = described.is_some_and(|described| described["required"] == true);
            return assert!(!required, "{here} without a body, which its description demands");
        }
        // The events of a batch are judged one by one: those that are not as described are refused in the
        // answer, beside others that are accepted.
        let judged_singly =
            operation["operationId"].as_str().is_some_and(|id| id.starts_with("publishEvents"));
        if described.is_some() && !judged_singly {
            // What holds a number beyond doubles is JSON, but no value that a validator could look at.
            let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
            let content = described.and_then(|described| described["content"].as_object()).expect("a body");
            let media_type = escaped(content.keys().next().expect("a media type"));
            document.expect_valid(&format!("{at}/requestBody/content/{media_type}/schema"), &body, here);
        }
    }
}

impl Document {
    /// The document that an address belongs to.
    fn of(path: &str) -> Document {
        if path == "/api/v1" || path.starts_with("/api/v1/") { Document::V1 } else { Document::V2 }
    }

    pub(crate) fn value(self) -> &'static Value {
        match self {
            Document::V1 => openapi::v1(),
            Document::V2 => openapi::v2(),
        }
    }

    /// The schema of answers that are no success.
    fn problem(self) -> &'static str {
        match self {
            Document::V1 => "/components/schemas/Refusal",
            Document::V2 => "/components/schemas/Problem",
        }
    }

    fn urn(self) -> &'static str {
        match self {
            Document::V1 => "urn:angarium:v1",
            Document::V2 => "urn:angarium:v2",
        }
    }

    /// The template that a path fits, and what may be asked there. A template without a name in its
    /// place is meant before one with a name.
    fn path_item(self, path: &str) -> Option<(&'static str, &'static Value)> {
        let paths = self.value()["paths"].as_object().expect("a document has paths");
        let fitting = paths.iter().filter(|(template, _)| fits(template, path));
        fitting
            .min_by_key(|(template, _)| template.matches('{').count())
            .map(|(template, item)| (template.as_str(), item))
    }

    fn resolved(self, reference: &str) -> (&'static Value, String) {
        let at = reference.trim_start_matches('#').to_owned();
        let found = self.value().pointer(&at).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        (found, at)
    }

    #[track_caller]
    fn expect_valid(self, schema_at: &str, value: &Value, here: &str) {
        static VALIDATORS: Mutex<BTreeMap<(Document, String), Validator>> = Mutex::new(BTreeMap::new());
        let mut validators = VALIDATORS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (self, schema_at.to_owned());
        let validator = validators.entry(key).or_insert_with(|| self.validator(schema_at));
        let faults: Vec<String> = validator
            .iter_errors(value)
            .map(|fault| format!("{} ({}): {fault}", fault.instance_path(), fault.schema_path()))
            .collect();
        assert!(faults.is_empty(), "{here}, which is not as described:\n{}\n{value:#}", faults.join("\n"));
    }

    /// The validator of the schema at a place of the document.
    pub(crate) fn validator(self, schema_at: &str) -> Validator {
        static REGISTRY: LazyLock<Registry<'static>> = LazyLock::new(|| {
            let documents = [Document::V1, Document::V2].map(|it| (it.urn(), it.value().clone()));
            Registry::new()
                .extend(documents)
                .and_then(RegistryBuilder::prepare)
                .expect("references lead somewhere")
        });
        // Characters that a fragment cannot hold, such as the braces of a path, are escaped.
        let fragment =
            schema_at.replace('%', "%25").replace('{', "%7B").replace('}', "%7D").replace(' ', "%20");
        jsonschema::options()
            .with_registry(&REGISTRY)
            .should_validate_formats(true)
            .build(&json!({ "$ref": format!("{}#{fragment}", self.urn()) }))
            .unwrap_or_else(|error| panic!("{schema_at} is not a schema: {error}"))
    }
}

/// What is accepted says under which id. An answer that is given again says the first one.
#[track_caller]
fn check_request_id(document: Document, answer: &Answer, here: &str) {
    if answer.status != StatusCode::ACCEPTED || answer.headers.contains_key("idempotent-replayed") {
        return;
    }
    let body = answer.json();
    let said = if document == Document::V1 { &body["data"]["requestId"] } else { &body["requestId"] };
    assert_eq!(said.as_str(), answer.header("x-request-id"), "{here} with an id of another request");
}

fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let alike = |(wanted, given): (&str, &str)| {
        if wanted.starts_with('{') { !given.is_empty() } else { wanted == given }
    };
    wanted.clone().count() == given.clone().count() && std::iter::zip(&mut wanted, &mut given).all(alike)
}

/// A part of a JSON pointer.
fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}
