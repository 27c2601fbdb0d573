//! The document as a page that a person reads: made from it, whole, without a script.

mod curl;
mod fields;
mod kind;
mod markdown;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use serde_json::{Map, Value};

use crate::api::dialect::Dialect;
use crate::openapi::example::example;
use crate::openapi::of;
use crate::openapi::page::fields::{Field, Shape, fields_of, shapes};
use crate::openapi::page::markdown::{Html, html};

/// The one style sheet, which stands in the page and is allowed by its hash.
const STYLE: &str = include_str!("../../../templates/reference.css");

/// What a browser may do with the page: show it in its own style, and nothing else.
pub(super) fn policy() -> String {
    let style = BASE64.encode(digest(&SHA256, STYLE.as_bytes()).as_ref());
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page of an API.
pub(crate) fn page(dialect: Dialect) -> String {
    let document = of(dialect);
    let page = Page {
        style: STYLE,
        title: words(&document["info"]["title"]),
        version: words(&document["info"]["version"]),
        about: html(words(&document["info"]["description"])),
        v2: dialect == Dialect::V2,
        credentials: credentials(document),
        groups: groups(document),
        sent: sent(document),
        sent_headers: sent_headers(document),
        shapes: shapes(document),
    };
    page.render().expect("the template writes to memory")
}

#[derive(Template)]
#[template(path = "reference.html")]
struct Page<'a> {
    style: &'static str,
    title: &'a str,
    version: &'a str,
    about: Html,
    v2: bool,
    credentials: Vec<Field>,
    groups: Vec<Group<'a>>,
    /// What receivers get.
    sent: Vec<Sent<'a>>,
    sent_headers: Vec<Field>,
    /// Objects and words that others refer to.
    shapes: Vec<Shape>,
}

/// The routes of one resource.
struct Group<'a> {
    name: String,
    anchor: String,
    routes: Vec<Route<'a>>,
}

struct Route<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    /// The same route at the door for tokens.
    twin: Option<String>,
    summary: &'a str,
    about: Html,
    open: bool,
    parameters: Vec<Field>,
    /// The fields of the body, and whether it may be left out.
    body: Vec<Field>,
    body_required: bool,
    request: String,
    answers: Vec<Answer<'a>>,
    problems: Vec<Problem<'a>>,
}

struct Answer<'a> {
    status: &'a str,
    about: Html,
    /// What it is, with a link to its shape.
    kind: Option<Html>,
    example: Option<String>,
}

struct Problem<'a> {
    status: &'a str,
    code: &'a str,
    when: Html,
    remedy: Html,
}

/// An event that receivers may get.
struct Sent<'a> {
    name: &'a str,
    anchor: String,
    summary: &'a str,
    about: Html,
    payload: Vec<Field>,
    example: String,
}

fn groups(document: &Value) -> Vec<Group<'_>> {
    let group = |tag: &Value| {
        let name = words(&tag["name"]).to_owned();
        let operations = operations(document).filter(|(_, _, operation)| operation["tags"][0] == tag["name"]);
        let routes = operations.filter(|(_, _, operation)| !is_twin(operation));
        let routes = routes.map(|(path, method, operation)| route(document, path, method, operation));
        Group { anchor: name.replace(' ', "-"), routes: routes.collect(), name: capitalised(&name) }
    };
    list(&document["tags"]).iter().map(group).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    members(&document["paths"])
        .flat_map(|(path, item)| members(item).map(move |(method, operation)| (path, method, operation)))
}

/// The same route at the door that takes tokens only.
fn is_twin(operation: &Value) -> bool {
    words(&operation["operationId"]).ends_with("WithToken")
}

fn route<'a>(document: &'a Value, path: &'a str, method: &str, operation: &'a Value) -> Route<'a> {
    let twin = path.strip_prefix("/v2/handles/").map(|below| format!("/v2/public/handles/{below}"));
    let twin = twin.filter(|twin| document["paths"][twin.as_str()].get(method).is_some());
    let body = &operation["requestBody"];
    Route {
        id: words(&operation["operationId"]),
        method: method.to_uppercase(),
        path,
        twin,
        summary: words(&operation["summary"]),
        about: html(words(&operation["description"])),
        open: list(&operation["security"]).is_empty(),
        parameters: list(&operation["parameters"])
            .iter()
            .map(|it| Field::of_parameter(document, it))
            .collect(),
        body: fields_of(document, &body["content"]["application/json"]["schema"]),
        body_required: body["required"] == true,
        request: curl::request(document, path, method, operation),
        answers: answers(document, operation),
        problems: problems(document, operation),
    }
}

fn answers<'a>(document: &'a Value, operation: &'a Value) -> Vec<Answer<'a>> {
    let successes =
        members(&operation["responses"]).filter(|(status, _)| !is_problem(document, operation, status));
    successes
        .map(|(status, response)| {
            let content = members(&response["content"]).next();
            let kind = content.map(|(media_type, content)| {
                let kind = kind::of_answer(document, &content["schema"]);
                html(&if media_type == "application/json" { kind } else { format!("`{media_type}`") })
            });
            let example = content.and_then(|(_, content)| content.get("example")).filter(|it| it.is_object());
            Answer {
                status,
                about: html(words(&response["description"])),
                kind,
                example: example.map(pretty),
            }
        })
        .collect()
}

fn is_problem(document: &Value, operation: &Value, status: &str) -> bool {
    resolved(document, &operation["responses"][status]).get("x-problems").is_some()
}

fn problems<'a>(document: &'a Value, operation: &'a Value) -> Vec<Problem<'a>> {
    let all = members(&operation["responses"]).flat_map(|(status, response)| {
        list(&resolved(document, response)["x-problems"]).iter().map(move |problem| Problem {
            status,
            code: words(&problem["code"]),
            when: html(words(&problem["when"])),
            remedy: html(words(&problem["remedy"])),
        })
    });
    all.collect()
}

fn sent(document: &Value) -> Vec<Sent<'_>> {
    let components = document["components"]["schemas"].as_object().expect("a document has schemas");
    members(&document["webhooks"])
        .map(|(name, item)| event(document, components, name, &item["post"]))
        .collect()
}

fn event<'a>(document: &Value, components: &Map<String, Value>, name: &'a str, said: &'a Value) -> Sent<'a> {
    let schema = &said["requestBody"]["content"]["application/json"]["schema"];
    // The first of several shapes is the usual one.
    let body = schema["anyOf"].get(0).unwrap_or(schema);
    let payload = ["payload", "data"].into_iter().find_map(|field| body["properties"].get(field));
    Sent {
        name,
        anchor: format!("sent-{name}"),
        summary: words(&said["summary"]),
        about: html(words(&said["description"])),
        payload: payload.map(|payload| fields_of(document, payload)).unwrap_or_default(),
        example: pretty(&example(body, components, &[])),
    }
}

/// The headers of deliveries, which are the same for every event.
fn sent_headers(document: &Value) -> Vec<Field> {
    let first = members(&document["webhooks"]).next();
    let headers = first.map(|(_, item)| list(&item["post"]["parameters"])).unwrap_or_default();
    headers.iter().map(|header| Field::of_parameter(document, header)).collect()
}

fn credentials(document: &Value) -> Vec<Field> {
    let schemes = members(&document["components"]["securitySchemes"]);
    schemes.map(|(_, scheme)| Field::of_credential(scheme)).collect()
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|path| document.pointer(path.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("an example is JSON")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
