//! The outermost layer: every request gets an id, a log line, and an answer in our shape.

use std::sync::Arc;

use angarium_domain::access::Mode;
use angarium_domain::handle::Handle;
use angarium_domain::ids::RequestId as GeneratedId;
use angarium_engine::{Caller, new_id};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Extensions, HeaderName, HeaderValue};
use tokio::time::Instant;
use tracing::Instrument;

use crate::api::dialect::Dialect;
use crate::loops;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::rate::Standing;
use crate::safe_headers;
use crate::state::Sources;
use crate::telemetry;

/// The header that carries the id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that we take from a caller (contract 1.2).
const CHARS_MAX: usize = 128;

/// The id of the request at hand: the caller's own, or one that we made.
#[derive(Debug, Clone)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whose request it was, left on the response by the guard for the log line.
#[derive(Debug, Clone)]
pub(crate) struct ServedHandle(pub(crate) Handle);

/// Runs a request with an id, and renders and logs what came of it.
pub(crate) async fn observe(State(sources): State<Sources>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = callers_own(&request).unwrap_or_else(|| made(&sources));
    let method = request.method().clone();
    // The template and not the path: a path holds ids and may hold anything.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let dialect = Dialect::of(request.uri().path());
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(dialect);
    let traced = telemetry::request::begin(&sources.traces, &mut request);
    let trace_id = traced.as_ref().map(|span| span.context().to_string());

    // What goes wrong further in is logged with the request that it went wrong for.
    let span = tracing::error_span!("request", request_id = id.as_str());
    let response = match loops::refuse(request.headers()) {
        Ok(()) => next.run(request).instrument(span).await,
        Err(problem) => problem.into_response(),
    };
    let handle = response.extensions().get::<ServedHandle>().cloned();
    let standing = response.extensions().get::<Standing>().copied();
    let mut response = rendered(response, dialect, &id);
    if let Some(standing) = standing {
        dialect.write_standing(&standing, sources.clock.now(), response.headers_mut());
    }
    let value = HeaderValue::from_str(id.as_str()).expect("an id is visible ASCII");
    response.headers_mut().insert(REQUEST_ID, value);
    safe_headers::complete(response.headers_mut());
    if let Some(span) = traced {
        telemetry::request::end(
            span,
            id.as_str(),
            handle.as_ref().map(|served| &served.0),
            response.status(),
        );
    }
    tracing::info!(
        target: "angarium::access",
        request_id = id.as_str(),
        trace_id,
        handle = handle.as_ref().map(|served| served.0.as_str()),
        method = method.as_str(),
        route = route.as_ref().map(MatchedPath::as_str),
        status = response.status().as_u16(),
        duration_ms = started.elapsed().as_micros() as f64 / 1000.0,
    );
    response
}

/// The answer to a request whose handler panicked. The panic itself is logged by the hook.
pub(crate) fn after_panic(_panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Problem::internal().into_response()
}

/// Who asks, with what is known of the request; live, unless the credential says otherwise.
pub(crate) fn caller(extensions: &Extensions, handle: Handle, actor: String) -> Caller {
    let request_id = extensions.get::<RequestId>().expect("observe runs before every handler");
    let ip = extensions.get::<Peer>().map(|peer| peer.0);
    Caller {
        handle,
        actor,
        request_id: request_id.as_str().to_owned(),
        ip,
        mode: Mode::Live,
        trace: None,
        draw: None,
    }
}

fn rendered(mut response: Response, dialect: Dialect, id: &RequestId) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.render(dialect, id.as_str(), &response),
        None => response,
    }
}

fn callers_own(request: &Request) -> Option<RequestId> {
    let text = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| RequestId(text.into()))
}

fn made(sources: &Sources) -> RequestId {
    let id: GeneratedId = new_id(&*sources.ids, sources.clock.now());
    RequestId(id.to_string().into())
}
