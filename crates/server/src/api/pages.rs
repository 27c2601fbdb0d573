//! Pages in browsers, of other origins than ours: what a browser asks beforehand, and what it lets a page
//! read.
//!
//! The handle is in the body, and a browser asks beforehand without one. So it is told whether any handle
//! lists its page's origin; the request itself is refused by its handler if its own handle does not.
//! Credentials of browsers, which are cookies, are never asked for.
//!
//! Addresses of files are credentials themselves, made for whoever records or plays: any page that has one may use it.

use std::time::Duration;

use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, IF_RANGE, ORIGIN, RANGE, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::state::App;

/// How long a browser may remember the answer.
const REMEMBERED: Duration = Duration::from_mins(10);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const RATE: HeaderName = HeaderName::from_static("ratelimit");
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Which pages of other origins may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    /// None.
    None,
    /// Those that a handle lists.
    Listed,
    /// Any.
    Any,
}

impl Pages {
    /// A route with the answers that browsers want. Its guard stands before all of it: whether an origin is
    /// listed is a look into the store.
    pub(super) fn layered(self, route: MethodRouter<App>, method: &Method, app: &App) -> MethodRouter<App> {
        let layer = match self {
            Pages::None => return route,
            Pages::Listed => for_listed(app),
            Pages::Any => for_any(method),
        };
        // The layer answers in the place of this handler, which must be there to be answered for.
        route.on(MethodFilter::OPTIONS, async || ()).layer(layer.max_age(REMEMBERED))
    }
}

fn for_listed(app: &App) -> CorsLayer {
    let app = app.clone();
    let listed = move |origin: HeaderValue, _: &http::request::Parts| {
        let app = app.clone();
        async move { is_listed(&app, &origin).await }
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::async_predicate(listed))
        .allow_methods([Method::POST])
        .allow_headers([CONTENT_TYPE, IDEMPOTENCY_KEY, REQUEST_ID, TRACE_PARENT])
        .expose_headers([REQUEST_ID, RETRY_AFTER, REPLAYED, RATE, RATE_POLICY])
        .vary([ORIGIN])
}

fn for_any(method: &Method) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([method.clone()])
        .allow_headers([CONTENT_TYPE, RANGE, IF_RANGE, IF_NONE_MATCH, REQUEST_ID, TRACE_PARENT])
        .expose_headers([ACCEPT_RANGES, CONTENT_RANGE, ETAG, REQUEST_ID, RETRY_AFTER])
}

/// A refusal that any page may read: it comes before anybody has looked whose page it is, and says
/// nothing of any handle.
pub(crate) fn readable(mut refusal: Response) -> Response {
    let exposed = HeaderValue::from_static("x-request-id, retry-after, ratelimit, ratelimit-policy");
    let headers = refusal.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    refusal
}

async fn is_listed(app: &App, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    app.engine().chains.is_origin_of_anybody(origin).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "whether an origin is listed could not be read; the page is told that it is not");
        false
    })
}
