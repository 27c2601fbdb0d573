//! The span of a request, and the trace that its caller says it belongs to.

use std::sync::Arc;

use angarium_domain::handle::Handle;
use angarium_domain::trace_context::TraceContext;
use angarium_engine::traces::{Span, Traces};
use axum::extract::{MatchedPath, Request};
use http::{Extensions, HeaderMap, Method, StatusCode};

/// Routes that machines ask every few seconds, and that nobody wants to see in a trace.
const UNTRACED: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// The span of the request at hand, left on it for whoever continues the trace.
#[derive(Clone)]
struct Recorded(Arc<TraceContext>);

/// Begins the span of a request. None if there is no tracer, or it is not recorded.
pub(crate) fn begin(traces: &Traces, request: &mut Request) -> Option<Span> {
    if !traces.is_on() {
        return None;
    }
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    if route.is_some_and(|route| UNTRACED.contains(&route)) {
        return None;
    }
    let method = method(request.method());
    let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let mut span = traces.request(name, of_headers(request.headers()).as_ref())?;
    span.set("http.request.method", method);
    span.set("url.scheme", "http");
    if let Some(route) = route {
        // The template and not the path: a path may hold anything.
        span.set("http.route", route.to_owned());
    }
    request.extensions_mut().insert(Recorded(Arc::new(span.context())));
    Some(span)
}

/// Ends it with what came of the request.
pub(crate) fn end(mut span: Span, request_id: &str, handle: Option<&Handle>, status: StatusCode) {
    span.set("angarium.request.id", request_id.to_owned());
    if let Some(handle) = handle {
        span.set("angarium.handle", handle.to_string());
    }
    span.set("http.response.status_code", i64::from(status.as_u16()));
    // What the caller did wrong is no failure of ours.
    if status.is_server_error() {
        span.fail(status.as_str().to_owned());
    }
}

/// The span that what a request causes follows from: ours if it is recorded, or else the caller's.
pub(crate) fn trace(extensions: &Extensions, headers: &HeaderMap) -> Option<Arc<TraceContext>> {
    let recorded = extensions.get::<Recorded>().map(|recorded| recorded.0.clone());
    recorded.or_else(|| of_headers(headers).map(Arc::new))
}

fn of_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let parent = parents.next()?.to_str().ok()?;
    // Two parents are none.
    if parents.next().is_some() {
        return None;
    }
    let states: Vec<&str> =
        headers.get_all("tracestate").iter().filter_map(|state| state.to_str().ok()).collect();
    let state = (!states.is_empty()).then(|| states.join(","));
    TraceContext::of_headers(parent, state.as_deref())
}

/// One of few words, whatever the caller wrote.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(headers: &[(&'static str, &'static str)]) -> Option<TraceContext> {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append(name, value);
        }
        of_headers(&map)
    }

    #[test]
    fn states_of_several_headers_are_one_list() {
        let headers = [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")];
        assert_eq!(read(&headers).expect("a context").state.as_deref(), Some("a=1,b=2"));
    }

    #[test]
    fn a_state_without_a_parent_and_two_parents_name_no_trace() {
        assert_eq!(read(&[("tracestate", "a=1")]), None);
        assert_eq!(read(&[("traceparent", PARENT), ("traceparent", PARENT)]), None);
        assert!(read(&[("traceparent", PARENT)]).is_some());
    }
}
