//! Which tools there are, and what they take: said by the descriptions of the routes behind them.

use std::sync::{Arc, LazyLock};

use http::Method;
use jsonschema::Validator;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use crate::openapi;

/// How many references are followed into each other. Schemas of ours are not so deep.
const DEPTH_MAX: usize = 16;
/// The argument that makes a writing tool repeatable.
pub(super) const REPEAT_KEY: &str = "idempotencyKey";

/// A tool, and the operations that it stands for: the first whose ids are all given.
pub(super) struct Line {
    pub(super) name: &'static str,
    title: &'static str,
    about: &'static str,
    operations: &'static [&'static str],
}

/// One operation of the API.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: String,
    /// The ids in its path.
    pub(super) ids: Vec<Id>,
    /// Whether it takes a body.
    pub(super) has_body: bool,
    properties: Map<String, Value>,
    required: Vec<String>,
}

/// An id in a path.
pub(super) struct Id {
    pub(super) name: String,
    /// What it must be. Anything else might lead to another route than the tool's.
    form: Validator,
}

/// Every tool.
pub(super) const TOOLS: &[Line] = &[
    Line {
        name: "context_store_search",
        title: "Search documents",
        about: "Finds pieces of this handle's documents by their words. Needs context_store.read.",
        operations: &["searchContextStore"],
    },
    Line {
        name: "context_store_status",
        title: "How sources stand",
        about: "One source of documents, or all of them if no sourceId is given: searchable in READY and PREVIEW. \
                Needs context_store.read.",
        operations: &["getContextSource", "listContextSources"],
    },
    Line {
        name: "context_store_sync",
        title: "Bring a source up to date",
        about: "Reads a source's documents again in the background; context_store_status tells when it is done. Needs \
                context_store.manage.",
        operations: &["syncContextSource"],
    },
    Line {
        name: "webhooks_list",
        title: "List webhooks",
        about: "The webhooks of this handle. Needs webhooks.read.",
        operations: &["listWebhooks"],
    },
    Line {
        name: "webhooks_create",
        title: "Create a webhook",
        about: "Makes a webhook. The answer holds its signing secret, which is shown once. Needs webhooks.write.",
        operations: &["createWebhook"],
    },
    Line {
        name: "webhooks_test",
        title: "Test a webhook",
        about: "Sends a test event to one webhook; the deliveries tool tells what came of it. Needs webhooks.write.",
        operations: &["testWebhook"],
    },
    Line {
        name: "webhooks_deliveries",
        title: "Look at deliveries",
        about: "One delivery with every attempt, why it ended as it did and what to do, or a list of them if no deliveryId \
                is given. Needs deliveries.read.",
        operations: &["getDelivery", "listDeliveries"],
    },
    Line {
        name: "webhooks_replay",
        title: "Replay a delivery",
        about: "Delivers an event to its webhook once more. Needs deliveries.write.",
        operations: &["replayDelivery"],
    },
];

/// The tool with a name.
pub(super) fn line(name: &str) -> Option<&'static Line> {
    TOOLS.iter().find(|line| line.name == name)
}

impl Line {
    /// The operation that these arguments ask for.
    pub(super) fn route(&self, arguments: &Map<String, Value>) -> Result<&'static Route, String> {
        let routes = self.operations.iter().map(|id| route(id));
        let given = |id: &Id| arguments.contains_key(&id.name);
        let fitting = routes.clone().find(|route| route.ids.iter().all(given));
        let route = fitting.ok_or_else(|| {
            let missing = routes.flat_map(|route| &route.ids).find(|id| !given(id));
            format!("{} is required", missing.map_or("an id", |id| id.name.as_str()))
        })?;
        match route.ids.iter().find(|id| !id.form.is_valid(&arguments[&id.name])) {
            Some(id) => Err(format!("{} is no such id", id.name)),
            None => Ok(route),
        }
    }

    /// The tool in the words of the protocol.
    pub(super) fn tool(&self) -> Tool {
        let routes: Vec<&Route> = self.operations.iter().map(|id| route(id)).collect();
        let mut properties = Map::new();
        for route in &routes {
            properties.extend(route.properties.clone());
        }
        let in_all = |name: &&String| routes.iter().all(|route| route.required.contains(name));
        let required: Vec<&String> =
            routes.first().map(|route| &route.required).into_iter().flatten().filter(in_all).collect();
        let schema = json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        });
        let Value::Object(schema) = schema else { unreachable!("it was written as an object") };
        let reads = routes.iter().all(|route| route.method == Method::GET);
        let annotations = ToolAnnotations::with_title(self.title).read_only(reads);
        Tool::new(self.name, self.about, Arc::new(schema)).with_title(self.title).annotate(annotations)
    }
}

/// An operation by its id, from the document of the v2 API.
fn route(id: &str) -> &'static Route {
    static ROUTES: LazyLock<Vec<(String, Route)>> = LazyLock::new(|| routes(openapi::v2()));
    let found = ROUTES.iter().find(|(known, _)| known == id);
    &found.unwrap_or_else(|| panic!("no operation is called {id}")).1
}

fn routes(document: &Value) -> Vec<(String, Route)> {
    let wanted = |id: &Value| TOOLS.iter().any(|line| line.operations.iter().any(|known| id == known));
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if let (true, Some(id)) = (wanted(&operation["operationId"]), operation["operationId"].as_str()) {
                routes.push((id.to_owned(), Route::of(document, path, method, operation)));
            }
        }
    }
    routes
}

impl Route {
    fn of(document: &Value, path: &str, method: &str, operation: &Value) -> Route {
        let method = method.to_uppercase().parse().expect("the document names methods");
        let (mut properties, mut required, mut ids) = (Map::new(), Vec::new(), Vec::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = inlined(document, parameter, DEPTH_MAX);
            let (place, name) = (parameter["in"].as_str(), parameter["name"].as_str().unwrap_or_default());
            let name = match place {
                _ if name == "handle" => continue,
                Some("header") => REPEAT_KEY,
                _ => name,
            };
            let mut schema = parameter["schema"].clone();
            if let Some(about) = parameter["description"].as_str() {
                schema["description"] = json!(about);
            }
            if place == Some("path") {
                let form = jsonschema::validator_for(&schema).expect("the document's schemas are schemas");
                ids.push(Id { name: name.to_owned(), form });
            }
            if parameter["required"] == true {
                required.push(name.to_owned());
            }
            properties.insert(name.to_owned(), schema);
        }
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = inlined(document, body, DEPTH_MAX);
        for (name, schema) in body["properties"].as_object().into_iter().flatten() {
            properties.insert(name.clone(), schema.clone());
        }
        let of_body = body["required"].as_array().into_iter().flatten();
        required.extend(of_body.filter_map(|name| name.as_str().map(str::to_owned)));
        let has_body = !operation["requestBody"].is_null();
        Route { method, path: path.to_owned(), ids, has_body, properties, required }
    }
}

/// A value with what its references lead to in their place: a tool's schema stands alone.
fn inlined(document: &Value, value: &Value, depth: usize) -> Value {
    match value {
        Value::Object(fields) => match fields.get("$ref").and_then(Value::as_str) {
            Some(_) if depth == 0 => json!({}),
            Some(reference) => {
                let found = document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
                inlined(document, found, depth - 1)
            }
            None => {
                fields.iter().map(|(name, inner)| (name.clone(), inlined(document, inner, depth))).collect()
            }
        },
        Value::Array(items) => items.iter().map(|inner| inlined(document, inner, depth)).collect(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_schema_of_its_own() {
        for line in TOOLS {
            let tool = serde_json::to_value(line.tool()).expect("JSON");
            assert!(!tool.to_string().contains("$ref"), "{tool}");
            assert!(tool.to_string().len() < 20_000, "{} bytes of {}", tool.to_string().len(), line.name);
            assert_eq!(tool["inputSchema"]["type"], "object");
            assert!(jsonschema::meta::is_valid(&tool["inputSchema"]), "{tool}");
        }
    }

    #[test]
    fn the_operation_is_chosen_by_the_ids_that_are_given() {
        let arguments = |value: Value| value.as_object().cloned().expect("an object");
        let of = |name: &str, value: Value| {
            line(name).expect("a tool").route(&arguments(value)).map(|route| route.path.as_str())
        };
        assert_eq!(of("context_store_status", json!({})), Ok("/v2/handles/{handle}/context-sources"));
        let one = of("context_store_status", json!({ "sourceId": "src_01kjbv0tkgfjet4etw267583v2" }));
        assert_eq!(one, Ok("/v2/handles/{handle}/context-sources/{sourceId}"));
        assert_eq!(of("webhooks_test", json!({})), Err("subscriptionId is required".to_owned()));
        // Each of these would be the path of something else.
        for odd in [json!("stream"), json!("../x"), json!("dlv_1"), json!(7), json!("")] {
            let refused = of("webhooks_deliveries", json!({ "deliveryId": odd }));
            assert_eq!(refused, Err("deliveryId is no such id".to_owned()), "{odd}");
        }
    }

    #[test]
    fn arguments_are_those_of_the_routes() {
        let tool = serde_json::to_value(line("webhooks_create").expect("a tool").tool()).expect("JSON");
        let schema = &tool["inputSchema"];
        assert_eq!(schema["required"], json!(["endpointUrl", "eventTypes"]));
        assert!(
            schema["properties"]["signingProfile"].is_object()
                && schema["properties"][REPEAT_KEY].is_object()
        );
        assert_eq!(tool["annotations"]["readOnlyHint"], false);
        let search =
            serde_json::to_value(line("context_store_search").expect("a tool").tool()).expect("JSON");
        assert_eq!(
            (&search["inputSchema"]["required"], &search["annotations"]["readOnlyHint"]),
            (&json!(["q"]), &json!(true))
        );
    }
}
