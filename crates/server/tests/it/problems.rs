//! Whatever goes wrong, the answer has one shape and the request has an id.

use http::{Method, StatusCode};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn unknown_addresses_and_methods_answer_like_everything_else() {
    let world = World::start().await;
    let nobody = world.nobody();
    for path in [
        "/",
        "/v2",
        "/v2/handles/acme",
        "/v2/handles/acme/unknown",
        "/v3/x",
        "/v2/handles/acme/webhooks/",
        "//",
    ] {
        nobody.get(path).await.expect_problem(404, "not_found");
    }
    let put = nobody.send(Method::PUT, "/v2/handles/acme/webhooks", "").await;
    put.expect_problem(405, "method_not_allowed");
    assert!(
        put.header("allow").is_some_and(|methods| methods.contains("POST") && methods.contains("GET")),
        "{put:?}"
    );
    nobody.send(Method::DELETE, "/healthz", "").await.expect_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_callers_request_id_is_kept_and_others_are_made() {
    let world = World::start().await;
    let kept = world.owner().with("x-request-id", "trace-1/a:b").get("/webhooks").await;
    assert_eq!(kept.header("x-request-id"), Some("trace-1/a:b"));
    for strange in [String::new(), "a b".to_owned(), "x".repeat(129)] {
        let made = world.owner().with("x-request-id", strange).get("/webhooks").await;
        assert!(
            made.header("x-request-id").is_some_and(|id| id.starts_with("req_") && id.len() == 30),
            "{made:?}"
        );
    }
    let problem = world.nobody().with("x-request-id", "mine").get("/nowhere").await;
    assert_eq!(problem.expect_problem(404, "not_found").text_of("requestId"), "mine");
}

#[tokio::test]
async fn bodies_are_plain_json_within_their_limit() {
    let world = World::with(|settings| settings.limits.body_bytes_max = 2048).await;
    let owner = world.owner();
    let event = json!({ "type": "a", "payload": {} });
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "multipart/form-data"),
        ("content-encoding", "gzip"),
    ] {
        owner.with(name, value).post("/events", &event).await.expect_problem(415, "unsupported_media_type");
    }
    owner
        .with("content-type", "application/json; charset=utf-8")
        .post("/events", &event)
        .await
        .expect(StatusCode::ACCEPTED);
    let large = json!({ "type": "a", "payload": { "x": "y".repeat(2048) } });
    owner.post("/events", &large).await.expect_problem(413, "payload_too_large");
}

#[tokio::test]
async fn who_may_not_write_is_told_so_before_the_body_is_read() {
    let world = World::with(|settings| settings.limits.body_bytes_max = 2048).await;
    let large = json!({ "type": "a", "payload": { "x": "y".repeat(4096) } });
    let answer = world.nobody().at("/v2/handles/acme").post("/events", &large).await;
    answer.expect_problem(401, "missing_bearer_token");
}

#[tokio::test]
async fn the_process_tells_how_it_is_without_a_credential() {
    let world = World::start().await;
    world.nobody().get("/healthz").await.expect(StatusCode::OK);
    let ready = world.nobody().get("/readyz").await;
    assert_eq!(ready.expect(StatusCode::OK).json(), json!({ "ready": true }));
    world.owner().publish("a").await;
    let metrics = world.nobody().get("/metrics").await;
    assert!(metrics.expect(StatusCode::OK).text.trim_end().ends_with("# EOF"), "{}", metrics.text);
    assert!(!metrics.text.contains("acme"), "{}", metrics.text);
}
