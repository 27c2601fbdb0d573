//! The OpenAPI documents: served, and true.

use angarium_server::openapi;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::contract::Document;
use crate::world::World;

const DOCUMENTS: [Document; 2] = [Document::V1, Document::V2];

/// An operation with its place in a document.
struct Operation {
    document: Document,
    at: String,
    path: &'static str,
    method: Method,
    said: &'static Value,
}

/// Every operation of every document.
fn operations() -> Vec<Operation> {
    let paths = DOCUMENTS.into_iter().flat_map(|document| {
        let paths = document.value()["paths"].as_object().expect("paths");
        paths.iter().map(move |(path, item)| (document, path, item))
    });
    let all = paths.flat_map(|(document, path, item)| {
        let methods = item.as_object().expect("methods");
        methods.iter().map(move |(method, said)| {
            let at = format!("/paths/{}/{method}", path.replace('/', "~1"));
            let method = method.to_uppercase().parse().expect("a method");
            Operation { document, at, path, method, said }
        })
    });
    all.collect()
}

impl Operation {
    /// The path with an example in each place that asks for something.
    fn path_with_ids(&self) -> String {
        let parameters = self.said["parameters"].as_array().into_iter().flatten();
        let named = parameters.filter(|parameter| parameter["in"] == "path");
        named.fold(self.path.replace("{handle}", "acme"), |path, parameter| {
            let word = parameter["schema"]["$ref"].as_str().expect("a word").trim_start_matches('#');
            let example = self.document.value().pointer(word).expect("a component")["examples"][0].as_str();
            let name = parameter["name"].as_str().expect("a name");
            path.replace(&format!("{{{name}}}"), example.expect("an example"))
        })
    }

    /// Somebody who may ask for it.
    async fn caller(&self, world: &World) -> Client {
        let caller = match (self.document, self.path.split('/').nth(2)) {
            (Document::V1, _) => world.organization().await,
            (Document::V2, Some("public")) => world.token_holder(&["events.write", "webhooks.write"]).await,
            (Document::V2, Some("mcp")) => world.token_holder(&["mcp.connect", "context_store.manage"]).await,
            (Document::V2, Some("operator")) => world.admin(),
            (Document::V2, _) => world.owner(),
        };
        caller.at("")
    }

    async fn ask(&self, caller: &Client, body: &str) -> Answer {
        caller.send(self.method.clone(), &self.path_with_ids(), body.to_owned()).await
    }

    /// The JSON that it takes, if it takes any.
    fn json(&self) -> Option<&'static Value> {
        self.said["requestBody"]["content"].get("application/json")
    }

    /// Asserts that a request was refused in the words of its API: v1 has one for all that can be wrong with
    /// a body.
    #[track_caller]
    fn expect_refused(&self, answer: &Answer, status: u16, code: &str) {
        assert_eq!(answer.status, status, "{}: {}", self.at, answer.text);
        match self.document {
            Document::V1 => answer.expect_refusal(status, "BAD_REQUEST"),
            Document::V2 => answer.expect_problem(status, code),
        };
    }
}

#[test]
fn the_documents_in_the_repository_are_those_that_are_served() {
    let kept = |text: &str| serde_json::from_str::<Value>(text).expect("a kept document");
    for (name, kept, served) in [
        ("v1", kept(include_str!("../../../../openapi/v1.json")), openapi::v1()),
        ("v2", kept(include_str!("../../../../openapi/v2.json")), openapi::v2()),
    ] {
        assert!(
            kept == *served,
            "the API has changed; write its document again, and look at what changed in it: \
             cargo run --package angarium-server -- openapi {name} > openapi/{name}.json"
        );
    }
}

#[tokio::test]
async fn the_documents_are_served_to_anybody_and_sent_again_only_when_they_changed() {
    let world = World::start().await;
    for (path, document) in [("/openapi/v1.json", openapi::v1()), ("/openapi/v2.json", openapi::v2())] {
        let first = world.nobody().get(path).await;
        assert_eq!(&first.expect(StatusCode::OK).json(), document);
        assert_eq!(first.header("cache-control"), Some("public, max-age=3600"));
        let tag = first.header("etag").expect("a tag").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = world.nobody().with("if-none-match", known).get(path).await;
            assert_eq!(
                (again.expect(StatusCode::NOT_MODIFIED).text.as_str(), again.header("etag")),
                ("", Some(&*tag))
            );
        }
        let changed = world.nobody().with("if-none-match", "\"other\"").get(path).await;
        changed.expect(StatusCode::OK);
    }
}

#[test]
fn every_schema_is_one_and_every_example_fits_it() {
    let operations = operations().into_iter().flat_map(|Operation { document, at, said, .. }| {
        let body = (document, format!("{at}/requestBody/content"), &said["requestBody"]["content"]);
        let responses = said["responses"].as_object().expect("responses").iter();
        let responses = responses.map(move |(status, response)| {
            (document, format!("{at}/responses/{status}/content"), &response["content"])
        });
        responses.chain([body]).collect::<Vec<_>>()
    });
    let shared = DOCUMENTS.into_iter().flat_map(|document| {
        let responses = document.value()["components"]["responses"].as_object().expect("responses");
        responses.iter().map(move |(name, response)| {
            (document, format!("/components/responses/{name}/content"), &response["content"])
        })
    });
    let mut examples = 0;
    for (document, at, content) in operations.chain(shared) {
        for (media_type, content) in content.as_object().into_iter().flatten() {
            let schema = document.validator(&format!("{at}/{}/schema", media_type.replace('/', "~1")));
            if let Some(example) = content.get("example") {
                let faults: Vec<_> = schema.iter_errors(example).map(|fault| fault.to_string()).collect();
                assert!(faults.is_empty(), "{at}: {faults:?}\n{example:#}");
                examples += 1;
            }
        }
    }
    assert!(examples > 60, "only {examples} examples");
}

#[test]
fn every_component_schema_can_be_compiled() {
    for document in DOCUMENTS {
        let schemas = document.value()["components"]["schemas"].as_object().expect("schemas");
        for name in schemas.keys() {
            drop(document.validator(&format!("/components/schemas/{name}")));
        }
    }
}

#[test]
fn objects_that_we_answer_are_closed() {
    fn open_objects(at: &str, schema: &Value, found: &mut Vec<String>) {
        if schema["type"] == "object"
            && schema.get("properties").is_some()
            && schema.get("additionalProperties").is_none()
        {
            found.push(at.to_owned());
        }
        match schema {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| open_objects(&format!("{at}/{key}"), value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| open_objects(at, value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for document in DOCUMENTS {
        open_objects("", &document.value()["components"]["schemas"], &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_body_is_said_to_hold_is_what_is_read_from_it() {
    let world = World::start().await;
    for operation in operations() {
        let Operation { document, at, said, .. } = &operation;
        let body = &said["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let Some(body) = body.as_str() else { continue };
        let schema = document.value().pointer(body.trim_start_matches('#')).expect("a component");
        let properties = schema["properties"].as_object().expect("fields");
        // A value that no field takes: a field that is read is `invalid` or passes, and one that is
        // not read is `unknown`.
        let nonsense = json!([[[]]]);
        let mut sent: serde_json::Map<String, Value> =
            properties.keys().map(|name| (name.clone(), nonsense.clone())).collect();
        sent.insert("notAField".to_owned(), nonsense);
        let caller = operation.caller(&world).await;
        let answer = operation.ask(&caller, &Value::Object(sent).to_string()).await;
        assert_eq!(answer.status, 400, "{at}: {}", answer.text);
        let body = answer.json();
        let details = if *document == Document::V1 { &body["error"]["details"] } else { &body["details"] };
        let details = details.as_array().expect("details").iter();
        let unknown = details.filter(|detail| detail["code"] == "unknown");
        let unknown: Vec<_> = unknown.map(|detail| detail["field"].as_str().unwrap_or_default()).collect();
        assert_eq!(unknown, ["notAField"], "{at}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_no_object_or_too_large_is_refused_on_every_route() {
    let world = World::with(|settings| settings.limits.body_bytes_max = 2048).await;
    let large = format!("{{\"odd\":\"{}\"}}", "x".repeat(2048));
    for operation in operations().iter().filter(|operation| operation.json().is_some()) {
        let caller = operation.caller(&world).await;
        let plain = caller.with("content-type", "text/plain");
        for (caller, body, status, code) in [
            (&plain, "{}", 415, "unsupported_media_type"),
            (&caller, "[", 400, "invalid_payload"),
            (&caller, "[]", 400, "invalid_payload"),
            (&caller, large.as_str(), 413, "payload_too_large"),
        ] {
            operation.expect_refused(&operation.ask(caller, body).await, status, code);
        }
    }
}

#[tokio::test]
async fn a_field_is_refused_on_every_route_that_takes_none() {
    let world = World::start().await;
    let takes_nothing = |operation: &&Operation| {
        let schema = operation.json().and_then(|json| json["schema"]["$ref"].as_str());
        let schema = schema.map(|word| operation.document.value().pointer(word.trim_start_matches('#')));
        let fields = schema.map(|schema| schema.expect("a component")["properties"].as_object());
        operation.method == Method::DELETE
            || fields.is_some_and(|fields| fields.is_some_and(serde_json::Map::is_empty))
    };
    for operation in operations().iter().filter(takes_nothing) {
        let answer = operation.ask(&operation.caller(&world).await, r#"{"odd":1}"#).await;
        operation.expect_refused(&answer, 400, "invalid_odd");
        assert_eq!(answer.fields_at_fault(), ["odd"], "{}: {}", operation.at, answer.text);
    }
}

#[tokio::test]
async fn a_key_that_is_no_key_is_refused_on_every_route_that_takes_one() {
    let world = World::start().await;
    for operation in operations() {
        let header = match operation.document {
            Document::V1 => "x-idempotency-key",
            Document::V2 => "idempotency-key",
        };
        let mut parameters = operation.said["parameters"].as_array().into_iter().flatten();
        if !parameters.any(|parameter| parameter["name"] == header) {
            continue;
        }
        // Nothing but the key is wrong with the request.
        let body = operation.json().map(|json| json["example"].to_string()).unwrap_or_default();
        let caller = operation.caller(&world).await.with(header, "a b");
        let answer = operation.ask(&caller, &body).await;
        operation.expect_refused(&answer, 400, "invalid_idempotency_key");
        assert!(answer.text.contains("an idempotency key is 1 to 255"), "{}: {}", operation.at, answer.text);
    }
}
