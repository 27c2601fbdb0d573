//! The documents over HTTP, for programs and as pages for people: for anybody, and asked for again only when they changed.

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;
use std::sync::LazyLock;

use crate::api::dialect::Dialect;
use crate::api::table::Table;
use crate::openapi::schema::{Schema, plain, text as text_of_any_length};
use crate::openapi::{Operation, of, page, text};

const HTML: &str = "text/html; charset=utf-8";
/// It changes with a new release at most; an hour of an old one harms nobody.
const KEPT: &str = "public, max-age=3600";

/// What is served, and a name for exactly these bytes.
struct Served {
    body: String,
    media_type: &'static str,
    /// What a browser may do with it, where that is more than nothing.
    policy: Option<HeaderValue>,
    tag: HeaderValue,
}

/// The routes that need no credential.
pub(crate) fn table() -> Table {
    Table::default()
        .open(Method::GET, "/openapi/v2.json", v2_document, describe_v2)
        .open(Method::GET, "/openapi/v1.json", v1_document, describe_v1)
        .open(Method::GET, "/docs/api", v2_page, describe_v2_page)
        .open(Method::GET, "/docs/api/v1", v1_page, describe_v1_page)
}

fn describe_v2() -> Operation {
    describe("openapiV2", "This document")
}

fn describe_v1() -> Operation {
    describe("openapiV1", "The document of the v1 API")
}

fn describe_v2_page() -> Operation {
    describe_page("referenceV2", "This reference, for people")
}

fn describe_v1_page() -> Operation {
    describe_page("referenceV1", "The reference of the v1 API, for people")
}

fn describe_page(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary)
        .about("Made from the document. It runs no script and loads nothing.")
        .answer_in(200, HTML, text_of_any_length(), "One page of HTML.")
        .unchanged()
}

/// What every document is.
pub(crate) fn document_schema() -> Schema {
    plain(json!({ "type": "object", "required": ["openapi", "info"] }))
        .such_as(json!({ "openapi": "3.1.0", "info": { "title": "Angarium", "version": "…" }, "paths": {} }))
}

fn describe(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary)
        .about("With `if-none-match` and its `etag`, it is sent only if it changed.")
        .answer_in(200, "application/json", document_schema(), "OpenAPI 3.1.")
        .unchanged()
}

async fn v2_document(headers: HeaderMap) -> Response {
    static SERVED: LazyLock<Served> = LazyLock::new(|| Served::document(Dialect::V2));
    SERVED.answer(&headers)
}

async fn v1_document(headers: HeaderMap) -> Response {
    static SERVED: LazyLock<Served> = LazyLock::new(|| Served::document(Dialect::V1));
    SERVED.answer(&headers)
}

async fn v2_page(headers: HeaderMap) -> Response {
    static SERVED: LazyLock<Served> = LazyLock::new(|| Served::page(Dialect::V2));
    SERVED.answer(&headers)
}

async fn v1_page(headers: HeaderMap) -> Response {
    static SERVED: LazyLock<Served> = LazyLock::new(|| Served::page(Dialect::V1));
    SERVED.answer(&headers)
}

impl Served {
    fn document(dialect: Dialect) -> Served {
        Served::new(text(of(dialect)), "application/json", None)
    }

    fn page(dialect: Dialect) -> Served {
        let policy = HeaderValue::try_from(page::policy()).expect("a policy is visible ASCII");
        Served::new(page::page(dialect), HTML, Some(policy))
    }

    fn new(body: String, media_type: &'static str, policy: Option<HeaderValue>) -> Served {
        let name = BASE64URL_NOPAD.encode(&digest(&SHA256, body.as_bytes()).as_ref()[..12]);
        let tag = HeaderValue::try_from(format!("\"{name}\"")).expect("base64url is visible ASCII");
        Served { body, media_type, policy, tag }
    }

    fn answer(&'static self, headers: &HeaderMap) -> Response {
        let kept = [(ETAG, self.tag.clone()), (CACHE_CONTROL, HeaderValue::from_static(KEPT))];
        if self.is_known(headers) {
            return (StatusCode::NOT_MODIFIED, kept).into_response();
        }
        let media_type = [(CONTENT_TYPE, HeaderValue::from_static(self.media_type))];
        let mut response = (kept, media_type, self.body.as_str()).into_response();
        if let Some(policy) = &self.policy {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.clone());
        }
        response
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
