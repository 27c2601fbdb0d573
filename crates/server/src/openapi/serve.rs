//! The documents over HTTP: for anybody, and asked for again only when they changed.

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;
use std::sync::LazyLock;

use crate::api::table::Table;
use crate::openapi::schema::plain;
use crate::openapi::{Operation, text, v1, v2};

/// It changes with a new release at most; an hour of an old one harms nobody.
const KEPT: &str = "public, max-age=3600";

/// What is served, and a name for exactly these bytes.
struct Served {
    body: String,
    tag: HeaderValue,
}

/// The routes that need no credential.
pub(crate) fn table() -> Table {
    Table::default().open(Method::GET, "/openapi/v2.json", v2_document, describe_v2).open(
        Method::GET,
        "/openapi/v1.json",
        v1_document,
        describe_v1,
    )
}

fn describe_v2() -> Operation {
    describe("openapiV2", "This document")
}

fn describe_v1() -> Operation {
    describe("openapiV1", "The document of the v1 API")
}

fn describe(id: &'static str, summary: &'static str) -> Operation {
    let document = plain(json!({ "type": "object", "required": ["openapi", "info", "paths"] }))
        .such_as(json!({ "openapi": "3.1.0", "info": { "title": "Angarium", "version": "…" }, "paths": {} }));
    Operation::new(id, summary)
        .about("With `if-none-match` and its `etag`, it is sent only if it changed.")
        .answer_in(200, "application/json", document, "OpenAPI 3.1.")
        .unchanged()
}

async fn v2_document(headers: HeaderMap) -> Response {
    static V2: LazyLock<Served> = LazyLock::new(|| Served::new(text(v2())));
    V2.answer(&headers, "application/json")
}

async fn v1_document(headers: HeaderMap) -> Response {
    static V1: LazyLock<Served> = LazyLock::new(|| Served::new(text(v1())));
    V1.answer(&headers, "application/json")
}

impl Served {
    fn new(body: String) -> Served {
        let name = BASE64URL_NOPAD.encode(&digest(&SHA256, body.as_bytes()).as_ref()[..12]);
        let tag = HeaderValue::try_from(format!("\"{name}\"")).expect("base64url is visible ASCII");
        Served { body, tag }
    }

    fn answer(&'static self, headers: &HeaderMap, media_type: &'static str) -> Response {
        let kept = [(ETAG, self.tag.clone()), (CACHE_CONTROL, HeaderValue::from_static(KEPT))];
        if self.is_known(headers) {
            return (StatusCode::NOT_MODIFIED, kept).into_response();
        }
        (kept, [(CONTENT_TYPE, HeaderValue::from_static(media_type))], self.body.as_str()).into_response()
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let ours = self.tag.to_str().unwrap_or_default();
        known
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/") == ours)
    }
}
