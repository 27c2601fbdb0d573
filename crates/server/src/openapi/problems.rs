//! The catalogue of problems: which codes stand at which status, and which routes may answer them.

use std::collections::BTreeMap;

use angarium_domain::access::Scope;
use serde_json::{Value, json};

use crate::auth::{Door, Need};
use crate::openapi::operation::Operation;
use crate::openapi::schema::{Schema, list, object, text, word};
use crate::openapi::words::RequestId;

/// The name of the component that every problem is an instance of.
const COMPONENT: &str = "Problem";

/// Problems of one status: codes, and when each is answered.
type Codes = Vec<(&'static str, &'static str)>;

/// Problems that many routes have in common: a component's name, a status and its codes.
struct Shared {
    name: &'static str,
    status: u16,
    codes: &'static [(&'static str, &'static str)],
}

const BAD_BODY: Shared = Shared {
    name: "BadRequest",
    status: 400,
    codes: &[
        ("invalid_payload", "the body is not JSON, not an object, not UTF-8, or did not arrive in time"),
        ("invalid_<field>", "one field is missing, unknown or not valid; `details` says which"),
        ("validation_error", "several fields are; `details` names all of them"),
        ("invalid_idempotency_key", "the key is not 1 to 255 visible ASCII characters"),
    ],
};
const BAD_QUERY: Shared = Shared {
    name: "BadQuery",
    status: 400,
    codes: &[
        ("invalid_<field>", "one parameter is unknown or not valid; `details` says which"),
        ("validation_error", "several parameters are; `details` names all of them"),
        ("invalid_cursor", "the cursor belongs to another list, other filters or another handle"),
    ],
};
const UNAUTHORIZED: Shared = Shared {
    name: "Unauthorized",
    status: 401,
    codes: &[
        ("missing_bearer_token", "there is no `authorization: Bearer …`"),
        ("invalid_token", "the credential is unknown, revoked, wrongly signed, or of a kind not taken here"),
        ("token_expired", "it was good once"),
    ],
};
const NO_ROLE: (&str, &str) = ("insufficient_role", "the JWT's role on this handle is too low");
const NO_SCOPE: (&str, &str) = ("insufficient_scope", "the token lacks the scope");
const FORBIDDEN: Shared = Shared { name: "Forbidden", status: 403, codes: &[NO_ROLE, NO_SCOPE] };
const FORBIDDEN_TO_PEOPLE: Shared = Shared { name: "ForbiddenToPeople", status: 403, codes: &[NO_ROLE] };
const FORBIDDEN_TO_TOKENS: Shared = Shared { name: "ForbiddenToTokens", status: 403, codes: &[NO_SCOPE] };
const NOT_FOUND: Shared = Shared {
    name: "NotFound",
    status: 404,
    codes: &[
        ("not_found", "there is no such thing; what belongs to another handle answers the same"),
        ("handle_not_found", "the handle in the path cannot be one"),
    ],
};
const NO_HANDLE: Shared = Shared {
    name: "HandleNotFound",
    status: 404,
    codes: &[("handle_not_found", "the handle in the path cannot be one")],
};
const CONFLICT: Shared = Shared {
    name: "Conflict",
    status: 409,
    codes: &[("conflict", "the first request with this idempotency key is still running")],
};
const TOO_LARGE: Shared = Shared {
    name: "PayloadTooLarge",
    status: 413,
    codes: &[("payload_too_large", "the body, or an event's payload, is larger than its limit")],
};
const UNSUPPORTED: Shared = Shared {
    name: "UnsupportedMediaType",
    status: 415,
    codes: &[("unsupported_media_type", "the body is not `application/json`, or is compressed")],
};
const KEY_REUSED: Shared = Shared {
    name: "IdempotencyKeyReused",
    status: 422,
    codes: &[("idempotency_key_reused", "the key was used with another body within 24 hours")],
};
const INTERNAL: Shared = Shared {
    name: "InternalError",
    status: 500,
    codes: &[("internal_error", "something went wrong in the service; the request's id finds it in the log")],
};
const UNAVAILABLE: Shared = Shared {
    name: "Unavailable",
    status: 503,
    codes: &[("temporarily_unavailable", "nothing was stored; wait as long as `retry-after` says")],
};
const SHARED: &[Shared] = &[
    BAD_BODY,
    BAD_QUERY,
    UNAUTHORIZED,
    FORBIDDEN,
    FORBIDDEN_TO_PEOPLE,
    FORBIDDEN_TO_TOKENS,
    NOT_FOUND,
    NO_HANDLE,
    CONFLICT,
    TOO_LARGE,
    UNSUPPORTED,
    KEY_REUSED,
    INTERNAL,
    UNAVAILABLE,
];

/// The body of every answer that is not a success (docs/problems.md).
pub(super) fn component() -> (&'static str, Schema) {
    let detail = object()
        .required("field", text().about("Its path, such as `eventTypes[2]`.").such_as("eventTypes[2]"))
        .required("code", crate::openapi::schema::choice(&["required", "invalid", "unknown"]))
        .required("message", text().about("For people; it may change."));
    let problem = object()
        .required("error", text().about("For programs; it does not change.").such_as("not_found"))
        .required("message", text().about("For people; it may change.").such_as("there is nothing here"))
        .required("requestId", word::<RequestId>())
        .sometimes("details", list(detail.schema(), 1..=100).about("The fields at fault."));
    (COMPONENT, problem.schema().about("An answer that is not a success."))
}

/// The components that routes refer to.
pub(super) fn responses() -> impl Iterator<Item = (&'static str, Value)> {
    SHARED.iter().map(|shared| (shared.name, response(shared.status, shared.codes)))
}

/// All answers of a route that are not successes, by status.
pub(super) fn of_route(
    operation: &Operation,
    access: Option<(Need, Door)>,
    writes: bool,
) -> BTreeMap<u16, Value> {
    let mut by_status: BTreeMap<u16, (Option<&'static str>, Codes)> = BTreeMap::new();
    for shared in shared_by(operation, access, writes) {
        by_status.insert(shared.status, (Some(shared.name), shared.codes.to_vec()));
    }
    for &(status, code, when) in &operation.problems {
        let (name, codes) = by_status.entry(status).or_default();
        // What is the route's own is no longer what the component says.
        *name = None;
        codes.push((code, when));
    }
    let value = |status, (name, codes): (Option<&str>, Codes)| match name {
        Some(name) => json!({ "$ref": format!("#/components/responses/{name}") }),
        None => response(status, &codes),
    };
    by_status.into_iter().map(|(status, problems)| (status, value(status, problems))).collect()
}

fn shared_by(operation: &Operation, access: Option<(Need, Door)>, writes: bool) -> Vec<Shared> {
    let mut shared = vec![INTERNAL];
    if let Some((need, door)) = access {
        let forbidden = match (need.scope, door) {
            (None, _) => FORBIDDEN_TO_PEOPLE,
            (Some(_), Door::Public) => FORBIDDEN_TO_TOKENS,
            (Some(_), _) => FORBIDDEN,
        };
        let missing = if operation.thing.is_some() { NOT_FOUND } else { NO_HANDLE };
        shared.extend([UNAUTHORIZED, forbidden, missing, UNAVAILABLE]);
    }
    if writes {
        shared.extend([BAD_BODY, CONFLICT, TOO_LARGE, UNSUPPORTED, KEY_REUSED]);
    } else if !operation.parameters.is_empty() {
        shared.push(BAD_QUERY);
    }
    shared
}

fn response(status: u16, codes: &[(&str, &str)]) -> Value {
    let about: Vec<String> = codes.iter().map(|(code, when)| format!("`{code}`: {when}")).collect();
    let mut patterns: Vec<String> =
        codes.iter().map(|(code, _)| code.replace("<field>", "[A-Za-z0-9_]+")).collect();
    patterns.dedup();
    let pattern = format!("^({})$", patterns.join("|"));
    let mut headers = json!({ "x-request-id": { "$ref": "#/components/headers/RequestId" } });
    match status {
        401 => {
            headers["www-authenticate"] =
                json!({ "schema": { "const": "Bearer" }, "description": "`Bearer`." });
        }
        429 | 503 => headers["retry-after"] = json!({ "$ref": "#/components/headers/RetryAfter" }),
        _ => {}
    }
    let schema = json!({
        "allOf": [{ "$ref": format!("#/components/schemas/{COMPONENT}") }],
        "properties": { "error": { "pattern": pattern } },
    });
    let example = json!({
        "error": codes[0].0.replace("<field>", "eventTypes"),
        "message": codes[0].1.replace('`', ""),
        "requestId": "req_01kaj3n1rqe5x8fwk6kz3v8q2m",
    });
    json!({
        "description": format!("{}.", about.join("; ")),
        "headers": headers,
        "content": { "application/json": { "schema": schema, "example": example } },
    })
}

/// What a route asks of its caller, in a sentence.
pub(super) fn need_in_words(need: Need, door: Door) -> String {
    let scope = need.scope.map(Scope::as_str);
    match (scope, door) {
        (Some(scope), Door::Public) => format!("Needs a personal access token with the scope `{scope}`."),
        (Some(scope), _) => {
            format!("Needs a JWT with the role {} or a token with the scope `{scope}`.", need.role.as_str())
        }
        (None, _) => format!("Needs a JWT with the role {}; takes no tokens.", need.role.as_str()),
    }
}
