//! The reference pages: made from the documents, for people who read.

use std::collections::BTreeSet;

use angarium_server::openapi;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use http::StatusCode;
use serde_json::Value;

use crate::world::World;

/// What stands between two marks, wherever it does.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, item)| item.as_object().expect("methods").values().map(move |it| (path, it)))
}

async fn pages() -> [(String, &'static Value); 2] {
    let world = World::start().await;
    let page = async |path| world.nobody().get(path).await.expect(StatusCode::OK).text.clone();
    [(page("/docs/api").await, openapi::v2()), (page("/docs/api/v1").await, openapi::v1())]
}

#[tokio::test]
async fn every_route_stands_on_its_page_with_its_fields_and_problems() {
    for (page, document) in pages().await {
        for (path, operation) in operations(document) {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
            let id = operation["operationId"].as_str().expect("an id");
            if id.ends_with("WithToken") {
                continue;
            }
            let sections = between(&page, &format!("<section id=\"{id}\">"), "</section>");
            assert_eq!(sections.len(), 1, "{id}");
            let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let body = body.as_str().and_then(|path| document.pointer(path.trim_start_matches('#')));
            for field in body.iter().flat_map(|body| body["properties"].as_object().expect("fields").keys()) {
                assert!(sections[0].contains(&format!(">{field}</code>")), "{id}: {field}");
            }
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let reference = response["$ref"].as_str().map(|path| path.trim_start_matches('#'));
                let response =
                    reference.map_or(response, |path| document.pointer(path).expect("a component"));
                let Some(problems) = response["x-problems"].as_array() else {
                    assert!(sections[0].contains(&format!("Answer {status}")), "{id}: {status}");
                    continue;
                };
                let row = format!("<tr><td>{status}</td>");
                assert!(sections[0].matches(&row).count() >= problems.len(), "{id}: {status}");
            }
            assert!(sections[0].contains("curl "), "{id}");
            let twin = path.replace("/v2/handles/", "/v2/public/handles/");
            let has_twin = twin != *path && document["paths"].get(&twin).is_some();
            let said = sections[0].contains("With a token also at");
            assert!(has_twin || !said, "{id} has no twin at the door for tokens");
        }
    }
}

#[tokio::test]
async fn every_link_leads_to_a_place_on_the_page_and_no_place_is_named_twice() {
    for (page, _) in pages().await {
        let ids = between(&page, " id=\"", "\"");
        let places: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), places.len());
        let links = between(&page, "href=\"#", "\"");
        assert!(links.len() > 40, "only {} links", links.len());
        for link in links {
            assert!(places.contains(link), "nothing is called {link}");
        }
    }
}

#[tokio::test]
async fn a_page_runs_nothing_loads_nothing_and_has_one_style_that_its_policy_names() {
    let world = World::start().await;
    for path in ["/docs/api", "/docs/api/v1"] {
        let answer = world.nobody().get(path).await;
        let page = &answer.expect(StatusCode::OK).text;
        for forbidden in [
            "<script",
            "<img",
            "<link",
            "<iframe",
            " style=",
            " src=",
            "javascript:",
            "http://",
            "@import",
            "url(",
        ] {
            assert!(!page.contains(forbidden), "{path}: {forbidden}");
        }
        let styles = between(page, "<style>", "</style>");
        assert_eq!(styles.len(), 1);
        let hash = BASE64.encode(digest(&SHA256, styles[0].as_bytes()).as_ref());
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.contains(&format!("'sha256-{hash}'")),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        let tag = answer.header("etag").expect("a tag").to_owned();
        world.nobody().with("if-none-match", tag).get(path).await.expect(StatusCode::NOT_MODIFIED);
    }
}
