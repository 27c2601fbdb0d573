//! The APIs described in OpenAPI 3.1, from the route tables that serve them (decision 0026).
//!
//! A route cannot be mounted without an [`Operation`]. What the tables have in common is added
//! here, so that a description says only what its handler's file knows.

mod answers;
mod document;
mod example;
mod operation;
mod outbound;
mod problems;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod words;

use std::sync::LazyLock;

use serde_json::{Value, json};

pub(crate) use document::Route;
pub(crate) use operation::Operation;

use crate::api;
use crate::openapi::document::{Head, document};

const V2_ABOUT: &str = "\
Angarium accepts events and delivers them, signed, to the webhooks that subscribe to them.\n\n\
Every answer carries `x-request-id`; every answer that is not a success has the shape `Problem`. \
A write may carry `idempotency-key`: repeated with the same key and body it happens once. \
Lists are paged, newest first. Fields that are not named here are refused by name. \
In answers a field without a value is `null`; the few that are absent at times are not listed as required.\n\n\
The paths under `/v2/public/` are twins for programs that hold a personal access token.";

/// The document of the v2 API.
pub fn v2() -> &'static Value {
    static V2: LazyLock<Value> = LazyLock::new(|| {
        let head = Head {
            title: "Angarium, API v2",
            about: V2_ABOUT,
            security: json!({
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
            webhooks: outbound::webhooks(),
        };
        document(&head, &api::v2_routes())
    });
    &V2
}

/// A document as text, for a file.
pub fn text(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("a document is JSON");
    text.push('\n');
    text
}
