//! The OpenAPI document: served, and true.

use angarium_server::openapi;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::validator;
use crate::world::World;

/// Every operation with its place in the document, its path and its method.
fn operations() -> Vec<(String, &'static str, Method, &'static Value)> {
    let paths = openapi::v2()["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods");
        methods.iter().map(move |(method, operation)| {
            let at = format!("/paths/{}/{method}", path.replace('/', "~1"));
            (at, path.as_str(), method.to_uppercase().parse().expect("a method"), operation)
        })
    });
    all.filter(|(_, _, _, operation)| operation.get("x-undescribed").is_none()).collect()
}

/// The path with an example in each place that asks for something.
fn with_ids(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let named = parameters.filter(|parameter| parameter["in"] == "path");
    named.fold(path.replace("{handle}", "acme"), |path, parameter| {
        let word = parameter["schema"]["$ref"].as_str().expect("a word").trim_start_matches('#');
        let example = openapi::v2().pointer(word).expect("a component")["examples"][0].as_str();
        let name = parameter["name"].as_str().expect("a name");
        path.replace(&format!("{{{name}}}"), example.expect("an example"))
    })
}

#[test]
fn the_document_in_the_repository_is_the_one_that_is_served() {
    let kept: Value =
        serde_json::from_str(include_str!("../../../../openapi/v2.json")).expect("a kept document");
    assert!(
        kept == *openapi::v2(),
        "the API has changed; write its document again, and look at what changed in it: \
         cargo run --package angarium-server -- openapi > openapi/v2.json"
    );
}

#[tokio::test]
async fn the_document_is_served_to_anybody_and_sent_again_only_when_it_changed() {
    let world = World::start().await;
    let first = world.nobody().get("/openapi/v2.json").await;
    assert_eq!(&first.expect(StatusCode::OK).json(), openapi::v2());
    assert_eq!(first.header("cache-control"), Some("public, max-age=3600"));
    let tag = first.header("etag").expect("a tag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = world.nobody().with("if-none-match", known).get("/openapi/v2.json").await;
        assert_eq!(
            (again.expect(StatusCode::NOT_MODIFIED).text.as_str(), again.header("etag")),
            ("", Some(&*tag))
        );
    }
    let changed = world.nobody().with("if-none-match", "\"other\"").get("/openapi/v2.json").await;
    changed.expect(StatusCode::OK);
}

#[test]
fn every_schema_is_one_and_every_example_fits_it() {
    let mut examples = 0;
    for (at, _, _, operation) in operations() {
        let mut contents = vec![(format!("{at}/requestBody/content"), &operation["requestBody"]["content"])];
        let responses = operation["responses"].as_object().expect("responses");
        for (status, response) in responses {
            contents.push((format!("{at}/responses/{status}/content"), &response["content"]));
        }
        for (at, content) in contents {
            for (media_type, content) in content.as_object().into_iter().flatten() {
                let schema = validator(&format!("{at}/{}/schema", media_type.replace('/', "~1")));
                if let Some(example) = content.get("example") {
                    let faults: Vec<_> = schema.iter_errors(example).map(|fault| fault.to_string()).collect();
                    assert!(faults.is_empty(), "{at}: {faults:?}\n{example:#}");
                    examples += 1;
                }
            }
        }
    }
    assert!(examples > 40, "only {examples} examples");
}

#[test]
fn every_component_schema_can_be_compiled() {
    let schemas = openapi::v2()["components"]["schemas"].as_object().expect("schemas");
    for name in schemas.keys() {
        drop(validator(&format!("/components/schemas/{name}")));
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
    open_objects("", &openapi::v2()["components"]["schemas"], &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_body_is_said_to_hold_is_what_is_read_from_it() {
    let world = World::start().await;
    for (at, path, method, operation) in operations() {
        let Some(body) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        else {
            continue;
        };
        let schema = openapi::v2().pointer(body.trim_start_matches('#')).expect("a component");
        let properties = schema["properties"].as_object().expect("fields");
        // A value that no field takes: a field that is read is `invalid` or passes, and one that is
        // not read is `unknown`.
        let nonsense = json!([[[]]]);
        let mut sent: serde_json::Map<String, Value> =
            properties.keys().map(|name| (name.clone(), nonsense.clone())).collect();
        sent.insert("notAField".to_owned(), nonsense);
        let path = with_ids(path, operation);
        let caller = if path.starts_with("/v2/public/") {
            world.token_holder(&["events.write", "webhooks.write"]).await.at("")
        } else {
            world.owner().at("")
        };
        let answer = caller.send(method, &path, Value::Object(sent).to_string()).await;
        assert_eq!(answer.status, 400, "{at}: {}", answer.text);
        let details = answer.json()["details"].as_array().cloned().expect("details");
        let unknown: Vec<_> = details.iter().filter(|detail| detail["code"] == "unknown").collect();
        let unknown: Vec<_> =
            unknown.iter().map(|detail| detail["field"].as_str().unwrap_or_default()).collect();
        assert_eq!(unknown, ["notAField"], "{at}: {}", answer.text);
    }
}
