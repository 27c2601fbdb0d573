//! For whoever watches the process: whether it lives, whether it can work, and its figures.

use std::sync::Arc;

use angarium_engine::{Engine, Health};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::state::App;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

/// The routes that need no credential. They say nothing about any handle.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

async fn alive() -> impl IntoResponse {
    Json(serde_json::json!({ "alive": true }))
}

async fn ready(State(engine): State<Arc<Engine>>) -> Response {
    let reasons = reasons_against(&engine.health().await);
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons })).into_response()
}

async fn metrics(State(engine): State<Arc<Engine>>) -> impl IntoResponse {
    engine.metrics.listeners(engine.live.listeners());
    ([(CONTENT_TYPE, OPEN_METRICS)], engine.metrics.encode())
}

fn reasons_against(health: &Health) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if let Err(error) = &health.store {
        tracing::error!(%error, "the store cannot be written");
        reasons.push("the store cannot be written");
    }
    if !health.dispatcher_moving {
        reasons.push("the dispatcher is stuck");
    }
    if health.draining {
        reasons.push("the process is shutting down");
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_against_readiness_is_named() {
        let well = Health { store: Ok(()), dispatcher_moving: true, draining: false };
        assert!(reasons_against(&well).is_empty());
        let store = Err(angarium_store::StoreError::Unavailable { reason: "disk full".to_owned() });
        let ill = Health { store, dispatcher_moving: false, draining: true };
        assert_eq!(reasons_against(&ill).len(), 3);
    }
}
