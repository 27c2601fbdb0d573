//! The HTTP APIs over the engine: dialects that translate and do nothing else.

mod answer;
pub(crate) mod dialect;
pub(crate) mod form;
pub(crate) mod pages;
mod patterns;
mod query;
mod request;
pub(crate) mod table;
pub(crate) mod v1;
pub(crate) mod v2;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use http::StatusCode;
use tower_http::catch_panic::CatchPanicLayer;

use crate::api::dialect::Dialect;
use crate::api::table::Table;
use crate::health;
use crate::mail_pages;
use crate::mcp;
use crate::openapi::{Route, serve};
use crate::problem::Problem;
use crate::request_id::{after_panic, observe};
use crate::state::{App, Sources};

/// Every route, ready to serve.
///
/// Agents come in under one of `agent_hosts`.
pub(crate) fn router(app: &App, agent_hosts: Vec<String>) -> Router {
    // What tools ask is asked like anything else: with its own guard, log line and limits.
    let tools = framed(v2::table().router(app), app.sources()).with_state(app.clone());
    let agents = mcp::router(app, &tools, agent_hosts);
    let routes = v2_table().and(v1::table()).router(app).merge(agents);
    framed(routes, app.sources()).with_state(app.clone())
}

/// What an API consists of, for its document.
pub(crate) fn routes(dialect: Dialect) -> Vec<Route> {
    match dialect {
        Dialect::V2 => v2_table().described(),
        Dialect::V1 => v1::table().described(),
    }
}

fn v2_table() -> Table {
    v2::table().and(mail_pages::table()).and(health::table()).and(serve::table())
}

/// Puts routes into the layers that all of them share: whatever happens inside, what comes out has
/// our shape and a request id.
fn framed<S: Clone + Send + Sync + 'static>(routes: Router<S>, sources: &Sources) -> Router<S> {
    routes
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(from_fn_with_state(sources.clone(), observe))
}

async fn unknown_route() -> impl IntoResponse {
    Problem::not_found()
}

async fn method_not_allowed() -> impl IntoResponse {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address takes other methods")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use angarium_engine::clock::SystemClock;
    use angarium_engine::ids::RandomIds;
    use angarium_engine::traces::Traces;
    use axum::body::Body;
    use axum::routing::get;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn broken() {
        panic!("a secret reason");
    }

    async fn answer_to(path: &str) -> (StatusCode, String) {
        let ids = Arc::new(RandomIds::default());
        let sources = Sources { clock: Arc::new(SystemClock), ids, traces: Traces::off() };
        let both = Router::new().route("/broken", get(broken)).route("/api/v1/broken", get(broken));
        let router = framed(both, &sources);
        let request = Request::get(path).header("x-request-id", "mine").body(Body::empty());
        let response = router.oneshot(request.expect("a request")).await.expect("an answer");
        assert_eq!(response.headers()["x-request-id"], "mine");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_panic_is_answered_in_our_shape_and_without_its_reason() {
        let (status, body) = answer_to("/broken").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.starts_with(r#"{"error":"internal_error","message":""#), "{body}");
        assert!(body.ends_with(r#""requestId":"mine"}"#) && !body.contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_panic_under_v1_is_answered_in_its_shape() {
        let (status, body) = answer_to("/api/v1/broken").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let start = r#"{"success":false,"error":{"code":"INTERNAL_ERROR","message":""#;
        assert!(body.starts_with(start) && !body.contains("secret"), "{body}");
        assert!(body.ends_with(r#""requestId":"mine"}}"#), "{body}");
    }
}
