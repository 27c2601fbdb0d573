//! The HTTP APIs over the engine: dialects that translate and do nothing else.

mod answer;
mod form;
mod query;
mod request;
pub(crate) mod v2;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use http::StatusCode;
use tower_http::catch_panic::CatchPanicLayer;

use crate::health;
use crate::problem::Problem;
use crate::request_id::{after_panic, observe};
use crate::state::App;

/// Every route, with the layers that all of them share.
pub(crate) fn router(app: &App) -> Router {
    v2::routes(app)
        .merge(health::routes())
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(from_fn_with_state(app.sources().clone(), observe))
        .with_state(app.clone())
}

async fn unknown_route() -> impl IntoResponse {
    Problem::not_found()
}

async fn method_not_allowed() -> impl IntoResponse {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address takes other methods")
}
