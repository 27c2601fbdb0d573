//! The door for agents that speak the Model Context Protocol: tools that are routes
//! ([decision 0035](../../../../decisions/0035-tools-are-routes.md)).
//!
//! The official library speaks the protocol. A tool becomes a request to the route that it stands
//! for, with the caller's own token: it may do what the route lets it do, and nothing else.

mod call;
mod tools;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use angarium_domain::access::{Role, Scope};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRef, Request};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde::de::IgnoredAny;

use crate::auth::{Door, Guard, Need, guard};
use crate::limits::Limits;
use crate::problem::Problem;
use crate::rate::Class;
use crate::settings::Settings;
use crate::state::App;
use call::{ANSWERED_WITHIN, Agent};

/// Where the door is.
const PATH: &str = "/mcp/{handle}/mcp";
/// A refusal of the library's is a sentence; more than that is not read.
const SENTENCE_BYTES_MAX: usize = 4 * 1024;
/// The longest that any request may take.
const HANDLED_WITHIN: Duration = ANSWERED_WITHIN.saturating_add(Duration::from_secs(5));
/// Said to whoever asks under another name, or from a page.
const STRANGE_HOST: &str = "agents ask under a name of this service and from no page of a browser: its operator names it in \
                            listen.public_url or egress.own_hosts";

type Protocol = StreamableHttpService<Agent, NeverSessionManager>;

/// The names under which agents may ask: those of the service itself, and loopback. A page in a
/// browser that has its name lead here (DNS rebinding) asks under its own.
pub(crate) fn hosts(settings: &Settings, listening: SocketAddr) -> Vec<String> {
    let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let public = settings.listen.public_url.as_deref().and_then(|address| url::Url::parse(address).ok());
    hosts.extend(public.and_then(|address| address.host_str().map(str::to_owned)));
    hosts.extend(settings.egress.own_hosts.iter().cloned());
    if !listening.ip().is_unspecified() {
        hosts.push(listening.ip().to_string());
    }
    hosts
}

/// The door, over the routes that its tools stand for. It keeps no sessions: a restart costs clients
/// nothing, and clients cost nothing between two requests.
pub(crate) fn router(app: &App, api: &Router, hosts: Vec<String>) -> Router<App> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(hosts)
        .with_max_request_body_bytes(Limits::from_ref(app).body_bytes_max)
        .enforce_origin_validation();
    let agent = Agent::new(api.clone());
    let sessions = Arc::new(NeverSessionManager::default());
    let protocol = StreamableHttpService::new(move || Ok(agent.clone()), sessions, config);
    let limits = Limits::from_ref(app);
    let serve = any(move |request: Request| serve(protocol.clone(), limits, request));
    let need = Need { role: Role::Owner, scope: Some(Scope::McpConnect) };
    let guarded = Guard { app: app.clone(), need, door: Door::Agents, class: Class::Read };
    Router::new().route(PATH, serve.layer(from_fn_with_state(guarded, guard)))
}

async fn serve(protocol: Protocol, limits: Limits, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = match parts.method {
        Method::POST => message(limits.read(&parts.headers, body).await?)?,
        _ => Bytes::new(),
    };
    let handled = protocol.handle(http::Request::from_parts(parts, Full::new(body)));
    // A tool has its own, shorter time; this is for whatever else might not end.
    let handled = tokio::time::timeout(HANDLED_WITHIN, handled).await;
    let response = handled.map_err(|_| Problem::internal())?;
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if response.status().is_success() || is_json {
        return Ok(response.map(Body::new));
    }
    Ok(in_our_shape(response).await)
}

/// A body that is JSON; the library looks at what it says.
fn message(body: Bytes) -> Result<Bytes, Problem> {
    serde_json::from_slice::<IgnoredAny>(&body)
        .map_err(|error| Problem::invalid_payload(format!("the body is not JSON: {error}")))?;
    Ok(body)
}

/// What the library refuses in a sentence, as every other refusal is.
async fn in_our_shape<B>(response: http::Response<B>) -> Response
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = response.into_parts();
    let sentence = Limited::new(body, SENTENCE_BYTES_MAX).collect().await;
    let sentence = sentence.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    let sentence = sentence.unwrap_or_default();
    let (code, sentence) = match head.status {
        StatusCode::FORBIDDEN => ("host_not_allowed", STRANGE_HOST.to_owned()),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", sentence),
        StatusCode::NOT_ACCEPTABLE => ("not_acceptable", sentence),
        status if status.is_server_error() => return Problem::internal().into_response(),
        _ => ("invalid_payload", sentence),
    };
    // It says so of JSON that is none of the protocol's messages.
    let status = match head.status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => StatusCode::BAD_REQUEST,
        status => status,
    };
    let mut answer = Problem::new(status, code, sentence).into_response();
    if let Some(allow) = head.headers.get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow.clone());
    }
    answer
}
