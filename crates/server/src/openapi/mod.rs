//! The APIs described in OpenAPI 3.1, from the route tables that serve them (decision 0026).
//!
//! A route cannot be mounted without an [`Operation`]. What the tables have in common is added
//! here, so that a description says only what its handler's file knows.

mod answers;
mod document;
mod events_of_handle;
mod example;
#[cfg(test)]
mod forms;
mod operation;
mod outbound;
mod own_events;
mod page;
mod problems;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod words;

use std::sync::LazyLock;

use serde_json::{Value, json};

pub(crate) use document::Route;
pub(crate) use events_of_handle::events_of_handle;
pub(crate) use operation::Operation;
pub(crate) use page::page;
pub(crate) use serve::document_schema;

use crate::api;
use crate::api::dialect::Dialect;
use crate::openapi::document::{Head, document};

const V2_ABOUT: &str = "\
Angarium accepts events and delivers them, signed, to the webhooks that subscribe to them.\n\n\
Every answer carries `x-request-id`; every answer that is not a success has the shape `Problem`. \
A write may carry `idempotency-key`: repeated with the same key and body it happens once. \
Lists are paged, newest first. Fields that are not named here are refused by name. \
In answers a field without a value is `null`; the few that are absent at times are not listed as required.\n\n\
The paths under `/v2/public/` are twins for programs that hold a personal access token.";

const V1_ABOUT: &str = "\
The words of organizations for the webhooks that API v2 has more to say about: what is made here is seen there, \
and the other way round.\n\n\
An API key belongs to one handle, and the paths name none. A key `pxk_test_…` records and matches what it publishes, \
and never sends it. Every answer carries `x-request-id`; every success is `{success, data}`, every other answer has \
the shape `Refusal`. A write may carry `x-idempotency-key`: repeated with the same key and body it happens once. \
Fields that are not named here are refused by name.";

/// The document of the v2 API.
pub fn v2() -> &'static Value {
    of(Dialect::V2)
}

/// The document of the v1 API.
pub fn v1() -> &'static Value {
    of(Dialect::V1)
}

/// The document of an API.
pub(crate) fn of(dialect: Dialect) -> &'static Value {
    static V2: LazyLock<Value> = LazyLock::new(|| document(&head(Dialect::V2), &api::routes(Dialect::V2)));
    static V1: LazyLock<Value> = LazyLock::new(|| document(&head(Dialect::V1), &api::routes(Dialect::V1)));
    match dialect {
        Dialect::V2 => &V2,
        Dialect::V1 => &V1,
    }
}

fn head(dialect: Dialect) -> Head {
    let (title, about, security) = match dialect {
        Dialect::V2 => (
            "Angarium, API v2",
            V2_ABOUT,
            json!({
                "jwt": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A JSON Web Token whose claim `handles` gives its subject a role on the handle: \
                                    CREATOR, OPERATOR or OWNER, each of which may do what the ones before it may.",
                },
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "patv1_<id>.<secret>",
                    "description": "A personal access token of the handle, with scopes.",
                },
            }),
        ),
        Dialect::V1 => (
            "Angarium, API v1",
            V1_ABOUT,
            json!({
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "An API key, `pxk_live_…` or `pxk_test_…`, with scopes.",
                },
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "pxk_live_…",
                    "description": "The same key in the other header.",
                },
            }),
        ),
    };
    Head { dialect, title, about, security, webhooks: outbound::webhooks(dialect) }
}

/// A document as text, for a file.
pub fn text(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("a document is JSON");
    text.push('\n');
    text
}
