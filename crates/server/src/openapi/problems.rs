//! The catalogue of problems: which codes stand at which status, and which routes may answer them.

use std::collections::BTreeMap;

use angarium_domain::access::Scope;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::dialect::Dialect;
use crate::api::v1::envelope;
use crate::auth::{Door, Need};
use crate::openapi::operation::{Brings, Operation};
use crate::openapi::schema::{Schema, choice, list, object, plain, text, whole, word};
use crate::openapi::words::{Day, Plan, RequestId};

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
const BAD_QUESTION: Shared = Shared {
    name: "BadQuestion",
    status: 400,
    codes: &[
        ("invalid_payload", "the body is not JSON, not an object, not UTF-8, or did not arrive in time"),
        ("invalid_<field>", "one field is missing, unknown or not valid; `details` says which"),
        ("validation_error", "several fields are; `details` names all of them"),
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
const UNAUTHORIZED_KEY: Shared = Shared {
    name: "Unauthorized",
    status: 401,
    codes: &[
        ("missing_bearer_token", "there is no key in `x-api-key` or `authorization: Bearer …`"),
        ("invalid_token", "the key is unknown or revoked, there are two of them, or it is none of this API"),
        ("token_expired", "it was good once"),
    ],
};
const NO_ROLE: (&str, &str) = ("insufficient_role", "the JWT's role on this handle is too low");
const NO_SCOPE: (&str, &str) = ("insufficient_scope", "the token lacks the scope");
const NO_SCOPE_OF_KEY: (&str, &str) = ("insufficient_scope", "the key lacks the scope");
const LOOP: (&str, &str) = ("loop_detected", "the request is an attempt of this service itself");
const SUSPENDED: (&str, &str) = (
    "handle_suspended",
    "whoever runs the service has suspended the handle, and this is no read; `reason` says why",
);
const SUSPENDED_OF_KEY: (&str, &str) =
    ("handle_suspended", "whoever runs the service has suspended the handle, and this is no read");
const NO_ADMIN: (&str, &str) =
    ("insufficient_role", "the JWT does not say that its subject is a platform admin");
const FORBIDDEN: Shared =
    Shared { name: "Forbidden", status: 403, codes: &[NO_ROLE, NO_SCOPE, SUSPENDED, LOOP] };
const FORBIDDEN_TO_PEOPLE: Shared =
    Shared { name: "ForbiddenToPeople", status: 403, codes: &[NO_ROLE, SUSPENDED, LOOP] };
const FORBIDDEN_TO_TOKENS: Shared =
    Shared { name: "ForbiddenToTokens", status: 403, codes: &[NO_SCOPE, SUSPENDED, LOOP] };
const FORBIDDEN_TO_KEYS: Shared =
    Shared { name: "Forbidden", status: 403, codes: &[NO_SCOPE_OF_KEY, SUSPENDED_OF_KEY, LOOP] };
const FORBIDDEN_TO_OTHERS: Shared =
    Shared { name: "ForbiddenToOthers", status: 403, codes: &[NO_ADMIN, LOOP] };
const FORBIDDEN_TO_ANYBODY: Shared = Shared { name: "ForbiddenToAnybody", status: 403, codes: &[LOOP] };
const NOTHING_THERE: (&str, &str) =
    ("not_found", "there is no such thing; what belongs to another handle answers the same");
const NO_SUCH_HANDLE: (&str, &str) =
    ("handle_not_found", "the handle in the path cannot be one, was deleted, or was never made");
const NO_HANDLE_OF_KEY: (&str, &str) =
    ("handle_not_found", "the key's handle was deleted, or was never made");
const NOT_FOUND: Shared = Shared { name: "NotFound", status: 404, codes: &[NOTHING_THERE, NO_SUCH_HANDLE] };
const NO_SUCH_THING: Shared = Shared { name: "NoSuchThing", status: 404, codes: &[NOTHING_THERE] };
const NO_HANDLE: Shared = Shared { name: "HandleNotFound", status: 404, codes: &[NO_SUCH_HANDLE] };
const NO_THING: Shared = Shared { name: "NotFound", status: 404, codes: &[NOTHING_THERE, NO_HANDLE_OF_KEY] };
const NO_HANDLE_THERE: Shared = Shared { name: "HandleNotFound", status: 404, codes: &[NO_HANDLE_OF_KEY] };
const TOO_EARLY: Shared = Shared {
    name: "RateLimited",
    status: 429,
    codes: &[(
        "rate_limited",
        "the caller asks too often, or the plan has no room for another write today; wait as long as `retry-after` says",
    )],
};
const ADDRESS_TOO_EARLY: Shared = Shared {
    name: "AddressRateLimited",
    status: 429,
    codes: &[("rate_limited", "the address asks too often; wait as long as `retry-after` says")],
};
const KEY_TOO_EARLY: Shared = Shared {
    name: "RateLimited",
    status: 429,
    codes: &[("rate_limited", "the key asks too often; wait as long as `retry-after` says")],
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
    BAD_QUESTION,
    BAD_QUERY,
    UNAUTHORIZED,
    FORBIDDEN,
    FORBIDDEN_TO_PEOPLE,
    FORBIDDEN_TO_TOKENS,
    FORBIDDEN_TO_OTHERS,
    FORBIDDEN_TO_ANYBODY,
    NOT_FOUND,
    NO_SUCH_THING,
    NO_HANDLE,
    CONFLICT,
    TOO_LARGE,
    UNSUPPORTED,
    KEY_REUSED,
    TOO_EARLY,
    ADDRESS_TOO_EARLY,
    INTERNAL,
    UNAVAILABLE,
];
const SHARED_V1: &[Shared] = &[
    BAD_BODY,
    BAD_QUERY,
    UNAUTHORIZED_KEY,
    FORBIDDEN_TO_KEYS,
    NO_THING,
    NO_HANDLE_THERE,
    CONFLICT,
    TOO_LARGE,
    UNSUPPORTED,
    KEY_REUSED,
    KEY_TOO_EARLY,
    INTERNAL,
    UNAVAILABLE,
];

/// What to do about a problem. Codes of the v1 API are told by those of v2, which are finer.
///
/// # Panics
///
/// If nothing is said about a code: a test builds every document.
fn remedy(code: &str) -> &'static str {
    match code {
        "invalid_payload" => "Send another body; the message says what is wrong with this one.",
        "invalid_<field>" | "validation_error" => "Change what `details` names.",
        "invalid_cursor" => "Begin again without a cursor.",
        "invalid_idempotency_key" => "Send another key, once.",
        "missing_bearer_token" => "Send a credential.",
        "invalid_token" => "Send another credential.",
        "token_expired" => "Get a new credential.",
        "insufficient_role" => "Ask an owner of the handle for the role that the message names.",
        "insufficient_scope" => "Use a credential with the scope that the message names.",
        "loop_detected" => "Give the webhook that leads here an address of a receiver.",
        "email_not_configured" => "Ask whoever runs the service to set `email.transport`.",
        "address_suppressed" => "Once the mailbox receives again, take it off the suppression list.",
        "stale_provider_reference" => {
            "Ask whoever runs the service: the mail provider knows its sender or its configuration set no longer."
        }
        "subscription_not_confirmed" => "Ask whoever reads the mailbox to follow the link in the mail.",
        "owner_default_email_unset" => "Set an owner default email first.",
        "live_key_required" => "Use a live key.",
        "handle_suspended" => "Ask whoever runs the service; reading still works.",
        "not_found" => "Look at the id and the handle.",
        "origin_not_allowed" => {
            "List the page's origin in the handle's context origins, or ask from a server."
        }
        "handle_not_found" => "A handle is 1 to 64 of `a-z`, `0-9`, `-` and `_`.",
        "address_expired" => "Ask for a new address: read the voice note again, or announce another one.",
        "upload_missing" => "Upload the file first.",
        "upload_finished" => "The file is there: say that the upload is complete.",
        "upload_running" => "Wait as long as `retry-after` says: an upload that is silent ends by itself.",
        "invalid_sha256" => "Upload the file that was declared, or announce another voice note.",
        "range_not_satisfiable" => "Ask for bytes that the file has.",
        "conflict" => "The message says what stands in the way; ask again when that has changed.",
        "payload_too_large" => "Send less at once; the message names the limit.",
        "unsupported_media_type" => "Send `content-type: application/json`, and no `content-encoding`.",
        "idempotency_key_reused" => "Use a new key for a new request.",
        "rate_limited" | "temporarily_unavailable" => {
            "Wait for as many seconds as `retry-after` says, and ask again."
        }
        "internal_error" => {
            "Ask again with the same idempotency key; give whoever runs the service the request's id."
        }
        other => panic!("openapi/problems.rs does not say what to do about {other}"),
    }
}

/// The body of every answer that is not a success (docs/problems.md).
pub(super) fn component(dialect: Dialect) -> (&'static str, Schema) {
    let detail = object()
        .required("field", text().about("Its path, such as `eventTypes[2]`.").such_as("eventTypes[2]"))
        .required("code", choice(&["required", "invalid", "unknown"]))
        .required("message", text().about("For people; it may change."));
    let details = list(detail.schema(), 1..=100).about("The fields at fault.");
    let message = text().about("For people; it may change.").such_as("there is nothing here");
    let code = text().about("For programs; it does not change.");
    let schema = match dialect {
        Dialect::V2 => {
            let limits = object().required("writesPerDay", whole(0..=u32::MAX));
            let usage =
                object().required("writesToday", whole(0..=u32::MAX)).required("writesDay", word::<Day>());
            object()
                .required("error", code.such_as("not_found"))
                .required("message", message)
                .required("requestId", word::<RequestId>())
                .sometimes("details", details)
                .sometimes("reason", text().about("Why the handle is suspended."))
                .sometimes("plan", word::<Plan>().about("Of the handle, where its plan has no room."))
                .sometimes("limits", limits.schema())
                .sometimes("usage", usage.schema())
        }
        Dialect::V1 => {
            let error = object()
                .required("code", code.such_as("NOT_FOUND"))
                .required("message", message)
                .required("requestId", word::<RequestId>())
                .sometimes("details", details);
            object().required("success", plain(json!({ "const": false }))).required("error", error.schema())
        }
    };
    (component_name(dialect), schema.schema().about("An answer that is not a success."))
}

/// The name of the component that every problem is an instance of.
fn component_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V2 => "Problem",
        Dialect::V1 => "Refusal",
    }
}

/// The components that routes refer to.
pub(super) fn responses(dialect: Dialect) -> impl Iterator<Item = (&'static str, Value)> {
    let shared = match dialect {
        Dialect::V2 => SHARED,
        Dialect::V1 => SHARED_V1,
    };
    shared.iter().map(move |shared| (shared.name, response(dialect, shared.status, shared.codes)))
}

/// All answers of a route that are not successes, by status.
pub(super) fn of_route(
    dialect: Dialect,
    operation: &Operation,
    access: Option<(Need, Door)>,
    brings: Brings,
) -> BTreeMap<u16, Value> {
    let mut by_status: BTreeMap<u16, (Option<&'static str>, Codes)> = BTreeMap::new();
    for shared in shared_by(operation, access, brings) {
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
        None => response(dialect, status, &codes),
    };
    by_status.into_iter().map(|(status, problems)| (status, value(status, problems))).collect()
}

fn shared_by(operation: &Operation, access: Option<(Need, Door)>, brings: Brings) -> Vec<Shared> {
    let mut shared = vec![INTERNAL];
    if let Some((need, door)) = access {
        shared.extend(refusals(operation, need, door));
        shared.push(UNAVAILABLE);
    }
    match brings {
        Brings::Write => shared.extend([BAD_BODY, CONFLICT, TOO_LARGE, UNSUPPORTED, KEY_REUSED]),
        Brings::Question => shared.extend([BAD_QUESTION, TOO_LARGE, UNSUPPORTED]),
        Brings::NoJson if operation.form.is_some() => shared.push(TOO_LARGE),
        Brings::NoJson if !operation.parameters.is_empty() => shared.push(BAD_QUERY),
        Brings::NoJson => {}
    }
    shared
}

/// What a guard refuses, and what is not there behind it.
fn refusals(operation: &Operation, need: Need, door: Door) -> Vec<Shared> {
    let names_a_thing = operation.thing.is_some();
    if door == Door::Keys {
        let missing = if names_a_thing { NO_THING } else { NO_HANDLE_THERE };
        return vec![UNAUTHORIZED_KEY, FORBIDDEN_TO_KEYS, missing, KEY_TOO_EARLY];
    }
    if door == Door::Anybody {
        return vec![FORBIDDEN_TO_ANYBODY, ADDRESS_TOO_EARLY];
    }
    if door == Door::Reporters {
        return vec![UNAUTHORIZED, FORBIDDEN_TO_ANYBODY, ADDRESS_TOO_EARLY];
    }
    let forbidden = match (need.scope, door) {
        (_, Door::Admins) => FORBIDDEN_TO_OTHERS,
        (None, _) => FORBIDDEN_TO_PEOPLE,
        (Some(_), Door::Public | Door::Agents) => FORBIDDEN_TO_TOKENS,
        (Some(_), _) => FORBIDDEN,
    };
    let missing = match (door, names_a_thing) {
        // What they have to do with a handle, their routes say themselves.
        (Door::Admins, false) => None,
        (Door::Admins, true) => Some(NO_SUCH_THING),
        (_, true) => Some(NOT_FOUND),
        (_, false) => Some(NO_HANDLE),
    };
    [UNAUTHORIZED, forbidden, TOO_EARLY].into_iter().chain(missing).collect()
}

fn response(dialect: Dialect, status: u16, codes: &[(&'static str, &str)]) -> Value {
    let mut headers = json!({ "x-request-id": { "$ref": "#/components/headers/RequestId" } });
    say_how_the_caller_stands(dialect, &mut headers);
    match status {
        401 => {
            headers["www-authenticate"] =
                json!({ "schema": { "const": "Bearer" }, "description": "`Bearer`." });
        }
        429 | 503 => headers["retry-after"] = json!({ "$ref": "#/components/headers/RetryAfter" }),
        _ => {}
    }
    let said = |code| said_of(dialect, status, code);
    let about = match dialect {
        Dialect::V2 => {
            codes.iter().map(|(code, when)| format!("`{code}`: {when}")).collect::<Vec<_>>().join("; ")
        }
        // One word for all of them.
        Dialect::V1 => {
            let reasons: Vec<_> = codes.iter().map(|(_, when)| *when).collect();
            format!("`{}`: {}", said(codes[0].0), reasons.join("; "))
        }
    };
    let shown =
        codes.iter().map(|(code, when)| json!({ "code": said(code), "when": when, "remedy": remedy(code) }));
    let (schema, example) = shape(dialect, status, codes);
    json!({
        "description": format!("{about}."),
        "headers": headers,
        "content": { "application/json": { "schema": schema, "example": example } },
        "x-problems": shown.collect::<Value>(),
    })
}

/// The word that a dialect has for a problem.
fn said_of(dialect: Dialect, status: u16, code: &'static str) -> &'static str {
    match dialect {
        Dialect::V2 => code,
        Dialect::V1 => envelope::code(StatusCode::from_u16(status).expect("a status of ours")),
    }
}

/// The schema of an answer with these codes, and one such answer.
fn shape(dialect: Dialect, status: u16, codes: &[(&'static str, &str)]) -> (Value, Value) {
    let whole = json!({ "$ref": format!("#/components/schemas/{}", component_name(dialect)) });
    let (code, when) = codes[0];
    let (message, request_id) = (when.replace('`', ""), "req_01kaj3n1rqe5x8fwk6kz3v8q2m");
    match dialect {
        Dialect::V2 => {
            let mut patterns: Vec<String> =
                codes.iter().map(|(code, _)| code.replace("<field>", "[A-Za-z0-9_]+")).collect();
            patterns.dedup();
            let error = json!({ "pattern": format!("^({})$", patterns.join("|")) });
            let code = code.replace("<field>", "eventTypes");
            (
                json!({ "allOf": [whole], "properties": { "error": error } }),
                json!({ "error": code, "message": message, "requestId": request_id }),
            )
        }
        Dialect::V1 => {
            let code = said_of(dialect, status, code);
            let error = json!({ "properties": { "code": { "const": code } } });
            let shown = json!({ "code": code, "message": message, "requestId": request_id });
            (
                json!({ "allOf": [whole], "properties": { "error": error } }),
                json!({ "success": false, "error": shown }),
            )
        }
    }
}

/// The headers that every answer of a route with a limit may have.
pub(super) fn say_how_the_caller_stands(dialect: Dialect, headers: &mut Value) {
    headers["ratelimit-policy"] = json!({ "$ref": "#/components/headers/RateLimitPolicy" });
    headers["ratelimit"] = json!({ "$ref": "#/components/headers/RateLimit" });
    if dialect == Dialect::V1 {
        for (name, component) in [
            ("x-ratelimit-limit", "XRateLimitLimit"),
            ("x-ratelimit-remaining", "XRateLimitRemaining"),
            ("x-ratelimit-reset", "XRateLimitReset"),
        ] {
            headers[name] = json!({ "$ref": format!("#/components/headers/{component}") });
        }
    }
}

/// What a route asks of its caller, in a sentence.
pub(super) fn need_in_words(need: Need, door: Door) -> String {
    let scope = need.scope.map(Scope::as_str);
    match (scope, door) {
        (_, Door::Admins) => "Needs a JWT of a platform admin; takes no tokens.".to_owned(),
        (_, Door::Reporters) => {
            "Takes a JWT or a personal access token, and needs none; one that is sent must be good."
                .to_owned()
        }
        (_, Door::Anybody) => "Needs no credential; requests are counted by address.".to_owned(),
        (Some(scope), Door::Keys) => format!("Needs an API key with the scope `{scope}`."),
        (Some(scope), Door::Public) => format!("Needs a personal access token with the scope `{scope}`."),
        (Some(scope), Door::Agents) => {
            format!("Needs a personal access token with the scopes `mcp.connect` and `{scope}`.")
        }
        (Some(scope), Door::Handles) => {
            format!("Needs a JWT with the role {} or a token with the scope `{scope}`.", need.role.as_str())
        }
        (None, _) => format!("Needs a JWT with the role {}; takes no tokens.", need.role.as_str()),
    }
}
