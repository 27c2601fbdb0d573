//! Calls of tools: requests to the routes that they stand for, and their answers.

use std::time::Duration;

use angarium_domain::handle::Handle;
use axum::Router;
use axum::body::{Body, Bytes};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, response};
use http_body_util::{BodyExt, Limited};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value, json};
use tower::Service;

use crate::auth::Access;
use crate::mcp::tools::{Line, REPEAT_KEY, Route, TOOLS, line};
use crate::peer::Peer;
use crate::request_id::{REQUEST_ID, RequestId};

/// What a request for a tool passes on to its route, besides the token.
const PASSED_ON: [&str; 4] = ["authorization", "x-forwarded-for", "traceparent", "tracestate"];
/// The longest answer that is passed on: a page of the longest things there are is shorter.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The longest that a route may take: longer than any write waits.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// As much of a name that nobody knows as is repeated.
const NAME_CHARS_SHOWN: usize = 64;
/// The longest address of a route with its arguments.
const ADDRESS_BYTES_MAX: usize = 16 * 1024;

/// What agents are told of the service.
const INSTRUCTIONS: &str = "Search the documents of this handle with context_store_search, and look after its webhooks. \
                            An error names the scope that the token lacks, or the argument that is wrong.";

/// Whoever answers agents: the routes, in the words of the protocol.
#[derive(Clone)]
pub(super) struct Agent {
    api: Router,
}

impl Agent {
    pub(super) fn new(api: Router) -> Agent {
        Agent { api }
    }

    async fn call(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        parts: &Parts,
    ) -> Result<CallToolResult, ErrorData> {
        let unknown = || {
            let name: String = name.chars().take(NAME_CHARS_SHOWN).collect();
            ErrorData::invalid_params(format!("there is no tool {name:?}"), None)
        };
        let line = line(name).ok_or_else(unknown)?;
        let access = parts.extensions.get::<Access>().expect("the guard stands before the door");
        // Models often say null for what they leave out.
        let arguments: Map<_, _> = arguments.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let request =
            line.route(&arguments).and_then(|route| request(route, arguments, &access.handle, parts));
        match request {
            Ok(request) => self.asked(request).await,
            Err(message) => Ok(refused(json!({ "error": "invalid_arguments", "message": message }), None)),
        }
    }

    /// Asks a route. Those of tools answer soon and briefly; one that does not is none of theirs.
    async fn asked(&self, request: Request<Body>) -> Result<CallToolResult, ErrorData> {
        let answered = async {
            let Ok(answer) = self.api.clone().call(request).await;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            body.map(|body| told(&head, &body.to_bytes()))
        };
        match tokio::time::timeout(ANSWERED_WITHIN, answered).await {
            Ok(Ok(told)) => Ok(told),
            Ok(Err(_)) | Err(_) => Err(ErrorData::internal_error("the service did not answer", None)),
        }
    }
}

impl ServerHandler for Agent {
    fn get_info(&self) -> ServerConfig {
        let identity = Implementation::new("angarium", env!("CARGO_PKG_VERSION")).with_title("Angarium");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(identity)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.iter().map(Line::tool).collect()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        line(name).map(Line::tool)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<Parts>().expect("every request comes over HTTP");
        let arguments = request.arguments.unwrap_or_default();
        tokio::select! {
            // Whoever asked has gone.
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
            told = self.call(&request.name, arguments, parts) => Ok(told?.into()),
        }
    }
}

/// The request that a tool stands for, or what is wrong with its arguments. What its route does not know,
/// the route refuses by name.
fn request(
    route: &Route,
    mut arguments: Map<String, Value>,
    handle: &Handle,
    parts: &Parts,
) -> Result<Request<Body>, String> {
    let mut path = route.path.replace("{handle}", handle.as_str());
    for id in &route.ids {
        let text = arguments.remove(&id.name).map(|value| plain(&value)).unwrap_or_default();
        path = path.replace(&format!("{{{}}}", id.name), &text);
    }
    let key = if route.has_body { arguments.remove(REPEAT_KEY) } else { None };
    let key = key.map(|key| repeat_key(&key)).transpose()?;
    let mut body = Body::empty();
    if route.has_body {
        body = Body::from(Value::Object(arguments).to_string());
    } else if !arguments.is_empty() {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(arguments.iter().map(|(name, value)| (name.as_str(), plain(value))));
        path = format!("{path}?{}", query.finish());
    }
    if path.len() > ADDRESS_BYTES_MAX {
        return Err(format!("the arguments are longer than {ADDRESS_BYTES_MAX} bytes as an address"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = route.method.clone();
    *request.uri_mut() = path.parse().map_err(|_| "the arguments make no address".to_owned())?;
    *request.headers_mut() = headers(route, key, parts);
    if let Some(peer) = parts.extensions.get::<Peer>() {
        request.extensions_mut().insert(*peer);
    }
    Ok(request)
}

fn headers(route: &Route, key: Option<HeaderValue>, parts: &Parts) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in PASSED_ON.map(HeaderName::from_static) {
        for value in parts.headers.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    if route.has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(key) = key {
        headers.insert(HeaderName::from_static("idempotency-key"), key);
    }
    // The log has both under one id: the call and what it came to.
    if let Some(id) = parts.extensions.get::<RequestId>()
        && let Ok(id) = HeaderValue::from_str(id.as_str())
    {
        headers.insert(REQUEST_ID, id);
    }
    headers
}

/// The key as a header's value; the route looks at its length.
fn repeat_key(key: &Value) -> Result<HeaderValue, String> {
    let visible = key.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let value = visible.and_then(|text| HeaderValue::from_str(text).ok());
    value.ok_or_else(|| format!("{REPEAT_KEY} is no text of visible ASCII characters"))
}

/// A value as it stands in an address.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A route's answer as a tool's: as data, and as text for those that read nothing else.
fn told(head: &response::Parts, body: &Bytes) -> CallToolResult {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if !head.status.is_success() {
        let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        return refused(value, wait);
    }
    let mut result = CallToolResult::success(vec![ContentBlock::text(value.to_string())]);
    result.structured_content = Some(value);
    result
}

/// A refusal is the tool's answer and no fault of the protocol's, so that the agent reads it, and when to
/// ask again.
fn refused(mut problem: Value, retry_after_seconds: Option<u64>) -> CallToolResult {
    let word = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let mut text = format!("{}: {}", word("error"), word("message"));
    for detail in problem["details"].as_array().into_iter().flatten() {
        text = format!("{text}\n{}: {}", plain(&detail["field"]), plain(&detail["message"]));
    }
    if let (Some(seconds), Value::Object(fields)) = (retry_after_seconds, &mut problem) {
        text = format!("{text}\nAsk again in {seconds} s.");
        fields.insert("retryAfterSeconds".to_owned(), json!(seconds));
    }
    let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
    result.structured_content = Some(problem);
    result
}
