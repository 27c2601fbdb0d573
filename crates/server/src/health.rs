//! For whoever watches the process: whether it lives, whether it can work, and its figures.

use std::sync::Arc;

use angarium_engine::{Engine, Health};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::table::Table;
use crate::openapi::Operation;
use crate::openapi::schema::{flag, object, text};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Serialize, ToSchema)]
struct Readiness {
    ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    reasons: Vec<&'static str>,
}

/// The routes that need no credential. They say nothing about any handle.
pub(crate) fn table() -> Table {
    Table::default()
        .open(Method::GET, "/healthz", alive, describe_alive)
        .open(Method::GET, "/readyz", ready, describe_ready)
        .open(Method::GET, "/metrics", metrics, describe_metrics)
}

fn describe_alive() -> Operation {
    let alive = object().required("alive", flag().such_as(true)).schema();
    Operation::new("alive", "Whether the process lives").answer_in(200, "application/json", alive, "It does.")
}

fn describe_ready() -> Operation {
    Operation::new("ready", "Whether the process can work")
        .answer::<Readiness>(200, "It can.")
        .answer::<Readiness>(503, "It cannot; `reasons` says why.")
        .showing("reasons")
}

fn describe_metrics() -> Operation {
    let figures = "Figures of the process, in OpenMetrics text.";
    Operation::new("metrics", "Figures of the process").answer_in(200, OPEN_METRICS, text(), figures)
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
    engine.metrics.inbox_streams(engine.inbox.listeners());
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
