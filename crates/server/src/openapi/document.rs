//! One OpenAPI 3.1 document, made of a route table.

use std::collections::BTreeSet;

use angarium_domain::access::Scope;
use angarium_domain::idempotency::KEY_CHARS_MAX;
use http::Method;
use serde_json::{Map, Value, json};

use crate::api::dialect::{Dialect, V1_ROOT};
use crate::auth::{Door, Need};
use crate::openapi::example::example;
use crate::openapi::operation::{Answer, Body, Brings, Operation};
use crate::openapi::schema::{named, object, text, word};
use crate::openapi::words::{self, Handle};
use crate::openapi::{answers, outbound, problems};

/// One line of a route table, without its handler.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// How it is asked for.
    pub(crate) method: Method,
    /// The whole path, with names in braces.
    pub(crate) path: String,
    /// What its guard asks; none for a route that anybody may use.
    pub(crate) access: Option<(Need, Door)>,
    /// What its file says about it.
    pub(crate) operation: Operation,
}

/// What stands at the beginning of a document.
pub(super) struct Head {
    /// Whose words the document is in.
    pub(super) dialect: Dialect,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) security: Value,
    pub(super) webhooks: Value,
}

/// The document of an API with these routes.
///
/// # Panics
///
/// If two routes have one operation id, two schemas one name, a path an id that its description does
/// not name, or a route no success. All of them are mistakes in a description, and a test builds every
/// document.
pub(super) fn document(head: &Head, routes: &[Route]) -> Value {
    let components = components(head.dialect, routes);
    let mut paths = Map::new();
    let mut ids = BTreeSet::new();
    for route in routes {
        let operation = operation(head.dialect, route, &components);
        assert!(ids.insert(operation["operationId"].to_string()), "one operation id twice: {operation}");
        let methods = paths.entry(shown_path(route)).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_lowercase()] = operation;
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": head.title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": head.about,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The service that this document comes from." }],
        "tags": tags(routes),
        "paths": paths,
        "webhooks": head.webhooks.clone(),
    });
    let responses = problems::responses(head.dialect).map(|(name, value)| (name.to_owned(), value));
    let mut parameters = outbound::headers(head.dialect);
    parameters.insert("Handle".to_owned(), handle_in_path());
    document["components"] = json!({
        "schemas": components,
        "responses": responses.chain(outbound::responses()).collect::<Map<_, _>>(),
        "headers": headers(),
        "parameters": parameters,
        "securitySchemes": head.security.clone(),
    });
    prune(&mut document);
    document
}

fn handle_in_path() -> Value {
    json!({ "name": "handle", "in": "path", "required": true, "schema": word::<Handle>().into_value() })
}

/// The path as readers see it: the id by its own name.
fn shown_path(route: &Route) -> String {
    let Some(placeholder) = placeholder(&route.path) else { return route.path.clone() };
    let Some((name, _)) = &route.operation.thing else {
        panic!("{} does not say what {placeholder} in its path is", route.path);
    };
    route.path.replace(placeholder, &format!("{{{name}}}"))
}

/// The word in braces below the handle.
fn placeholder(path: &str) -> Option<&str> {
    path.split('/').find(|part| part.starts_with('{') && *part != "{handle}")
}

fn operation(dialect: Dialect, route: &Route, components: &Map<String, Value>) -> Value {
    let Route { access, operation, .. } = route;
    let brings = brings(route);
    let keyed = brings == Brings::Write;
    let need = access.map(|(need, door)| problems::need_in_words(need, door));
    let about: Vec<&str> = operation.about.into_iter().chain(need.as_deref()).collect();
    let mut responses: Map<String, Value> = problems::of_route(dialect, operation, *access, brings)
        .into_iter()
        .map(|(status, response)| (status.to_string(), response))
        .collect();
    assert!(!operation.answers.is_empty(), "{} does not say what it answers", route.path);
    for answer in &operation.answers {
        responses
            .insert(answer.status.to_string(), success(dialect, answer, access.is_some(), keyed, components));
    }
    let mut shown = json!({
        "operationId": id_of(route),
        "summary": operation.summary,
        "description": about.join("\n\n"),
        "tags": [tag_of(route)],
        "security": security(*access),
        "parameters": parameters(dialect, route, keyed),
        "responses": responses,
    });
    if let Some((field, value)) = route.operation.form {
        shown["requestBody"] = form_body(field, value);
    } else if let Some(body) = body_of(route) {
        let media_type = if operation.by_a_service { "text/plain" } else { "application/json" };
        shown["requestBody"] = request_body(&body, media_type, components);
    }
    if let Some(media_type) = operation.file {
        let file = json!({ "type": "string", "format": "binary" });
        shown["requestBody"] = json!({ "required": true, "content": { media_type: { "schema": file } } });
    }
    shown
}

/// The twin at the public door is another operation, so it has another id.
fn id_of(route: &Route) -> String {
    let twin = matches!(route.access, Some((_, Door::Public)));
    format!("{}{}", route.operation.id, if twin { "WithToken" } else { "" })
}

fn brings(route: &Route) -> Brings {
    route.operation.brings(route.access.is_some() && route.method != Method::GET)
}

/// The body that a route takes. One that needs none takes an empty object as well.
fn body_of(route: &Route) -> Option<Body> {
    let nothing = || Body { name: "Nothing", schema: object().schema(), required: false };
    let takes = brings(route) != Brings::NoJson && route.method != Method::DELETE;
    route.operation.body.clone().or_else(|| takes.then(nothing))
}

/// What a browser sends, or a mailbox in its place.
fn form_body(field: &str, value: &str) -> Value {
    let schema =
        json!({ "type": "object", "required": [field], "properties": { field: { "const": value } } });
    let form = json!({ "schema": schema, "example": { field: value } });
    json!({ "required": true, "content": { "application/x-www-form-urlencoded": form } })
}

fn request_body(body: &Body, media_type: &str, components: &Map<String, Value>) -> Value {
    let schema = named(body.name).into_value();
    let example = example(&schema, components, &[]);
    json!({
        "required": body.required,
        "content": { media_type: { "schema": schema, "example": example } },
    })
}

fn success(
    dialect: Dialect,
    answer: &Answer,
    limited: bool,
    keyed: bool,
    components: &Map<String, Value>,
) -> Value {
    let mut headers = json!({ "x-request-id": { "$ref": "#/components/headers/RequestId" } });
    if limited {
        problems::say_how_the_caller_stands(dialect, &mut headers);
    }
    if keyed {
        headers["idempotent-replayed"] = json!({ "$ref": "#/components/headers/IdempotentReplayed" });
    }
    let mut shown = json!({ "description": answer.about, "headers": headers });
    if let Some((media_type, schema)) = &answer.content {
        let schema = schema.clone().into_value();
        let example = example(&schema, components, &answer.shown);
        shown["content"] = json!({ *media_type: { "schema": schema, "example": example } });
    }
    shown
}

fn parameters(dialect: Dialect, route: &Route, keyed: bool) -> Vec<Value> {
    let mut parameters = Vec::new();
    if route.path.contains("{handle}") {
        parameters.push(json!({ "$ref": "#/components/parameters/Handle" }));
    }
    if let Some((name, schema)) = &route.operation.thing {
        let schema = schema.clone().into_value();
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    parameters.extend(route.operation.parameters.iter().cloned());
    if keyed {
        parameters.push(idempotency_key(dialect));
    }
    parameters
}

fn idempotency_key(dialect: Dialect) -> Value {
    let name = dialect.idempotency_key();
    let about = "The same key with the same body is the same write: it happens once, and its answer is given again. \
                 Kept for 24 hours.";
    let key = text().matching(&format!("^[!-~]{{1,{KEY_CHARS_MAX}}}$")).such_as("order-42-paid");
    json!({ "name": name.as_str(), "in": "header", "description": about, "schema": key.into_value() })
}

fn security(access: Option<(Need, Door)>) -> Value {
    let Some((need, door)) = access else { return json!([]) };
    if door == Door::Admins {
        return json!([{ "jwt": ["platform_admin"] }]);
    }
    if door == Door::Anybody {
        return json!([]);
    }
    if door == Door::Reporters {
        return json!([{}, { "jwt": [] }, { "token": [] }]);
    }
    let with = |scheme: &str, word: &str| json!({ scheme: [word] });
    let person = with("jwt", need.role.as_str());
    let Some(scope) = need.scope.map(Scope::as_str) else { return json!([person]) };
    match door {
        Door::Handles | Door::Admins | Door::Anybody | Door::Reporters => {
            json!([person, with("token", scope)])
        }
        Door::Public => json!([with("token", scope)]),
        Door::Agents => json!([{ "token": [Scope::McpConnect.as_str(), scope] }]),
        Door::Keys => json!([with("apiKey", scope), with("bearer", scope)]),
    }
}

/// The first word of the path below the handle, or the root of v1, as a heading.
fn tag_of(route: &Route) -> String {
    if matches!(route.access, Some((_, Door::Admins))) {
        return "operator".to_owned();
    }
    if let Some(heading) = route.operation.heading {
        return heading.to_owned();
    }
    let below = route.path.split_once("{handle}/").map(|(_, below)| below);
    let roots = [V1_ROOT, Door::Anybody.root()];
    let below =
        below.or_else(|| roots.iter().find_map(|root| route.path.strip_prefix(root)?.strip_prefix('/')));
    let Some(below) = below else { return "service".to_owned() };
    below.split('/').next().unwrap_or_default().replace('-', " ")
}

/// Headings in the order of the table.
fn tags(routes: &[Route]) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let names = routes.iter().map(tag_of);
    names.filter(|name| seen.insert(name.clone())).map(|name| json!({ "name": name })).collect()
}

fn components(dialect: Dialect, routes: &[Route]) -> Map<String, Value> {
    let mut components = Map::new();
    for (name, schema) in routes.iter().flat_map(|route| route.operation.components.clone()) {
        let earlier = components.insert(name.clone(), schema.clone());
        assert!(earlier.is_none_or(|earlier| earlier == schema), "two schemas are called {name}");
    }
    // Words come last: a derived schema knows them only as references to themselves.
    let ours = words::all().into_iter().chain([problems::component(dialect)]);
    let ours: Map<_, _> = ours.map(|(name, schema)| (name.to_owned(), schema.into_value())).collect();
    answers::close_all(&mut components, &ours);
    components.extend(ours);
    for body in routes.iter().filter_map(body_of) {
        let earlier = components.insert(body.name.to_owned(), body.schema.clone().into_value());
        let same = earlier.is_none_or(|earlier| earlier == body.schema.into_value());
        assert!(same, "two bodies are called {}", body.name);
    }
    components
}

fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "Names this request. A caller's own, 1 to 128 visible ASCII characters, is kept.",
            "required": true,
            "schema": word::<words::RequestId>().into_value(),
        },
        "IdempotentReplayed": {
            "description": "`true` if this is the answer that was given to the same write before.",
            "schema": { "type": "string", "const": "true" },
        },
        "RateLimitPolicy": {
            "description": "Of a route that has a limit: which bucket, how many requests a full one holds (`q`), \
                            and after how many seconds an empty one is full (`w`).",
            "schema": { "type": "string", "examples": ["\"read\";q=6000;w=60"] },
        },
        "RateLimit": {
            "description": "How many requests are left (`r`), and in how many seconds the bucket is full again \
                            or, on a 429, when there is one (`t`).",
            "schema": { "type": "string", "examples": ["\"read\";r=5999;t=1"] },
        },
        "XRateLimitLimit": {
            "description": "How many requests a key has after a silence.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "XRateLimitRemaining": {
            "description": "How many of them are left.",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "XRateLimitReset": {
            "description": "The Unix second at which all of them are there again or, on a 429, at which there is one.",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "RetryAfter": {
            "description": "After how many seconds asking again makes sense.",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        },
    })
}

/// Removes the components that nothing refers to.
pub(super) fn prune(document: &mut Value) {
    loop {
        let text = document.to_string();
        let used = |kind: &str, name: &str| text.contains(&format!("\"#/components/{kind}/{name}\""));
        let mut removed = false;
        let kinds = document["components"].as_object_mut().expect("components are an object");
        for (kind, members) in kinds.iter_mut().filter(|(kind, _)| *kind != "securitySchemes") {
            let members = members.as_object_mut().expect("components of a kind are an object");
            let before = members.len();
            members.retain(|name, _| used(kind, name));
            removed |= members.len() != before;
        }
        if !removed {
            return;
        }
    }
}
