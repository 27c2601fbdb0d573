//! Calls of tools: requests to the routes that they stand for, and their answers.

use angarium_domain::handle::Handle;
use axum::Router;
use axum::body::{Body, Bytes};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
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
const PASSED_ON: [&str; 3] = ["x-forwarded-for", "traceparent", "tracestate"];

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
        let unknown = || ErrorData::invalid_params(format!("there is no tool {name:?}"), None);
        let line = line(name).ok_or_else(unknown)?;
        let access = parts.extensions.get::<Access>().expect("the guard stands before the door");
        let request = match line.route(&arguments) {
            Ok(route) => request(route, arguments, &access.handle, parts),
            Err(message) => return Ok(refused(&json!({ "error": "invalid_arguments", "message": message }))),
        };
        let Ok(answer) = self.api.clone().call(request).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok(told(head.status, &body))
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
        Ok(self.call(&request.name, arguments, parts).await?.into())
    }
}

/// The request that a tool stands for. What its route does not know, it refuses by name.
fn request(
    route: &Route,
    mut arguments: Map<String, Value>,
    handle: &Handle,
    parts: &Parts,
) -> Request<Body> {
    let mut path = route.path.replace("{handle}", handle.as_str());
    for name in &route.ids {
        let id = arguments.remove(name).map(|value| plain(&value)).unwrap_or_default();
        let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        path = path.replace(&format!("{{{name}}}"), &id);
    }
    let key = arguments.remove(REPEAT_KEY).filter(|_| route.has_body);
    let mut body = Body::empty();
    if route.has_body {
        body = Body::from(Value::Object(arguments).to_string());
    } else if !arguments.is_empty() {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(arguments.iter().map(|(name, value)| (name.as_str(), plain(value))));
        path = format!("{path}?{}", query.finish());
    }
    let mut request = Request::new(body);
    *request.method_mut() = route.method.clone();
    *request.uri_mut() = path.parse().unwrap_or_else(|_| http::Uri::from_static("/"));
    let headers = request.headers_mut();
    for name in PASSED_ON.map(HeaderName::from_static).into_iter().chain([AUTHORIZATION]) {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if route.has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(key) = key.and_then(|key| HeaderValue::from_str(&plain(&key)).ok()) {
        headers.insert(HeaderName::from_static("idempotency-key"), key);
    }
    // The log has both under one id: the call and what it came to.
    if let Some(id) = parts.extensions.get::<RequestId>()
        && let Ok(id) = HeaderValue::from_str(id.as_str())
    {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(peer) = parts.extensions.get::<Peer>() {
        request.extensions_mut().insert(*peer);
    }
    request
}

/// A value as it stands in an address.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A route's answer as a tool's: as data, and as text for those that read nothing else.
fn told(status: StatusCode, body: &Bytes) -> CallToolResult {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if !status.is_success() {
        return refused(&value);
    }
    let mut result = CallToolResult::success(vec![ContentBlock::text(value.to_string())]);
    result.structured_content = Some(value);
    result
}

/// A refusal is the tool's answer and no fault of the protocol's, so that the agent reads it.
fn refused(problem: &Value) -> CallToolResult {
    let word = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let mut text = format!("{}: {}", word("error"), word("message"));
    for detail in problem["details"].as_array().into_iter().flatten() {
        text = format!("{text}\n{}: {}", plain(&detail["field"]), plain(&detail["message"]));
    }
    let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
    result.structured_content = Some(problem.clone());
    result
}
