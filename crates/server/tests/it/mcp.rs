//! The door for agents, in the words of their protocol over real HTTP.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::time::Timestamp;
use angarium_server::settings::{HandlesRule, Settings};
use angarium_store::memory::MemoryStore;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::clock::HandClock;
use crate::credentials::in_seconds;
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of};

const EVERYTHING: [&str; 6] = [
    "mcp.connect",
    "context_store.manage",
    "webhooks.read",
    "webhooks.write",
    "deliveries.read",
    "deliveries.write",
];

/// A service that is known by the name that the tests' client asks for.
async fn world() -> World {
    World::with(|settings| settings.listen.public_url = Some("https://angarium.test".to_owned())).await
}

/// An agent with a token of `acme` with these scopes, at the door.
async fn agent(world: &World, scopes: &[&str]) -> Client {
    let holder = world.token_holder(scopes).await.at("/mcp/acme/mcp");
    holder.with("accept", "application/json, text/event-stream")
}

async fn say(agent: &Client, message: &Value) -> Answer {
    agent.send(Method::POST, "", message.to_string()).await
}

/// Asks for something, and answers the result.
async fn ask(agent: &Client, method: &str, params: Value) -> Value {
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let answer = say(agent, &message).await;
    assert_eq!(answer.expect(StatusCode::OK).header("content-type"), Some("application/json"));
    let answer = answer.json();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
    assert!(answer["error"].is_null(), "{answer}");
    answer["result"].clone()
}

/// Calls a tool, and answers what it says.
async fn call(agent: &Client, tool: &str, arguments: Value) -> Value {
    let result = ask(agent, "tools/call", json!({ "name": tool, "arguments": arguments })).await;
    assert_eq!(result["isError"], false, "{result}");
    let said: Value =
        serde_json::from_str(result["content"][0]["text"].as_str().expect("text")).expect("JSON");
    assert_eq!(said, result["structuredContent"]);
    said
}

/// Calls a tool that refuses, and answers its words.
async fn refused(agent: &Client, tool: &str, arguments: Value) -> String {
    let result = ask(agent, "tools/call", json!({ "name": tool, "arguments": arguments })).await;
    assert_eq!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn an_agent_introduces_itself_and_lists_tools() {
    let world = world().await;
    let agent = agent(&world, &EVERYTHING).await;
    let client = json!({ "name": "test", "version": "1" });
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    let welcome = ask(&agent, "initialize", hello).await;
    assert_eq!(
        (&welcome["protocolVersion"], &welcome["serverInfo"]["name"]),
        (&json!("2025-06-18"), &json!("angarium"))
    );
    assert!(welcome["capabilities"]["tools"].is_object(), "{welcome}");
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    say(&agent, &ready).await.expect(StatusCode::ACCEPTED);

    let tools = ask(&agent, "tools/list", json!({})).await["tools"].clone();
    let names: Vec<_> =
        tools.as_array().expect("tools").iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
    for name in [
        "context_store_search",
        "context_store_status",
        "webhooks_list",
        "webhooks_create",
        "webhooks_test",
        "webhooks_deliveries",
        "webhooks_replay",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn an_agent_searches_documents_and_looks_after_their_sources() {
    let world = world().await;
    let agent = agent(&world, &["mcp.connect", "context_store.manage"]).await;
    let inline = json!({ "name": "Notes", "kind": "inline", "documents": [{ "title": "Keys", "text": "Rotate the secret." }] });
    let source = world.owner().post("/context-sources", &inline).await.text_of("sourceId");
    let ready = async || {
        eventually(async || {
            let status = call(&agent, "context_store_status", json!({ "sourceId": source })).await;
            (status["status"] == "READY").then_some(())
        })
        .await;
    };
    ready().await;
    let found = call(&agent, "context_store_search", json!({ "q": "how to rotate?", "limit": 5 })).await;
    assert_eq!(found["items"][0]["text"], "Rotate the secret.");
    let all = call(&agent, "context_store_status", json!({})).await;
    assert_eq!(all["items"][0]["sourceId"], json!(source));
    let asked = call(&agent, "context_store_sync", json!({ "sourceId": source })).await;
    assert_eq!(asked["status"], "SYNCING");
    ready().await;
    let unknown =
        refused(&agent, "context_store_status", json!({ "sourceId": "src_01arz3ndektsv4rrffq69g5fav" }))
            .await;
    assert!(unknown.starts_with("not_found: "), "{unknown}");
}

#[tokio::test]
async fn an_agent_makes_a_webhook_tests_it_and_replays_what_failed() {
    let (world, receiver) = (world().await, Receiver::start().await);
    let agent = agent(&world, &EVERYTHING).await;
    let wish =
        json!({ "endpointUrl": receiver.url("/hook"), "eventTypes": ["order.*"], "idempotencyKey": "once" });
    let made = call(&agent, "webhooks_create", wish.clone()).await;
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{made}");
    assert_eq!(call(&agent, "webhooks_create", wish).await, made);
    let list = call(&agent, "webhooks_list", json!({})).await;
    assert_eq!(list["webhooks"].as_array().map(Vec::len), Some(1));

    receiver.answer(404);
    let tested = call(&agent, "webhooks_test", json!({ "subscriptionId": id_of(&made) })).await;
    let delivery = json!({ "deliveryId": tested["deliveryId"] });
    let dead = eventually(async || {
        let shown = call(&agent, "webhooks_deliveries", delivery.clone()).await;
        (shown["status"] == "dead").then_some(shown)
    })
    .await;
    assert_eq!(dead["attemptLog"][0]["status"], 404);
    receiver.answer(204);
    call(&agent, "webhooks_replay", delivery).await;
    let deliveries = eventually(async || {
        let found = call(&agent, "webhooks_deliveries", json!({ "status": "delivered" })).await;
        (found["items"].as_array().map(Vec::len) == Some(1)).then_some(found)
    })
    .await;
    assert_eq!(deliveries["items"][0]["replayOf"], dead["deliveryId"]);
    // What an agent does is in the audit log, in its token's name.
    let audit = world.owner().get("/audit?action=subscription.created").await.items();
    assert_eq!(audit.len(), 1);
    assert!(audit[0]["actor"].as_str().is_some_and(|actor| actor.starts_with("tok_")), "{audit:?}");
}

#[tokio::test]
async fn a_refusal_is_the_tools_answer_and_names_what_is_missing() {
    let world = world().await;
    let reader = agent(&world, &["mcp.connect", "webhooks.read"]).await;
    let wish = json!({ "endpointUrl": "https://hooks.example.com/", "eventTypes": ["*"] });
    let words = refused(&reader, "webhooks_create", wish).await;
    assert_eq!(words, "insufficient_scope: the token lacks the scope webhooks.write");
    let words = refused(&reader, "context_store_search", json!({ "q": "x" })).await;
    assert_eq!(words, "insufficient_scope: the token lacks the scope context_store.read");
    let words = refused(&reader, "webhooks_list", json!({ "limit": 1_000, "odd": 1 })).await;
    assert!(
        words.starts_with("validation_error: ") && words.contains("\nlimit: ") && words.contains("\nodd: "),
        "{words}"
    );
    let words = refused(&reader, "webhooks_test", json!({})).await;
    assert_eq!(words, "invalid_arguments: subscriptionId is required");
    let writer = agent(&world, &["mcp.connect", "webhooks.write"]).await;
    let words = refused(
        &writer,
        "webhooks_create",
        json!({ "endpointUrl": "https://10.0.0.1/", "eventTypes": ["*"] }),
    )
    .await;
    assert!(words.starts_with("invalid_endpointUrl: "), "{words}");
    let unknown = json!({ "subscriptionId": "sub_01arz3ndektsv4rrffq69g5fav" });
    let words = refused(&writer, "webhooks_test", unknown).await;
    assert!(words.starts_with("not_found: "), "{words}");
    for elsewhere in ["../../../beta/webhooks?x=", "stream", "null"] {
        let words = refused(&writer, "webhooks_test", json!({ "subscriptionId": elsewhere })).await;
        assert_eq!(words, "invalid_arguments: subscriptionId is no such id");
    }
    // What is left out may be said as null; a key that cannot be kept is not taken for none.
    let wish = json!({ "endpointUrl": "https://hooks.example.com/", "eventTypes": ["*"], "filter": null, "idempotencyKey": null });
    let (first, second) =
        (call(&writer, "webhooks_create", wish.clone()).await, call(&writer, "webhooks_create", wish).await);
    assert_ne!(id_of(&first), id_of(&second));
    let wish =
        json!({ "endpointUrl": "https://hooks.example.com/", "eventTypes": ["*"], "idempotencyKey": "a\nb" });
    let words = refused(&writer, "webhooks_create", wish).await;
    assert!(words.starts_with("invalid_arguments: idempotencyKey "), "{words}");
    let searcher = agent(&world, &["mcp.connect", "context_store.read"]).await;
    let words = refused(&searcher, "context_store_search", json!({ "q": "x".repeat(20_000) })).await;
    assert_eq!(words, "invalid_arguments: the arguments are longer than 16384 bytes as an address");
}

#[tokio::test]
async fn a_tool_that_is_called_too_often_says_when_to_ask_again() {
    let clock = Arc::new(HandClock::at(Timestamp::from_seconds(in_seconds(0))));
    let world = World::at(clock.clone(), |settings| {
        settings.listen.public_url = Some("https://angarium.test".to_owned());
        settings.limits.writes_per_minute = 1;
    })
    .await;
    let agent = agent(&world, &EVERYTHING).await;
    let wish = json!({ "endpointUrl": "https://hooks.example.com/", "eventTypes": ["*"] });
    let create = json!({ "name": "webhooks_create", "arguments": wish });
    call(&agent, "webhooks_create", wish.clone()).await;
    for (passed, wait) in [(0, 60), (59, 1)] {
        clock.advance(Duration::from_secs(passed));
        let result = ask(&agent, "tools/call", create.clone()).await;
        assert_eq!(result["isError"], true, "{result}");
        let told = &result["structuredContent"];
        assert_eq!(
            (&told["error"], &told["retryAfterSeconds"]),
            (&json!("rate_limited"), &json!(wait)),
            "{result}"
        );
        let words = result["content"][0]["text"].as_str().expect("text");
        assert!(words.ends_with(&format!("\nAsk again in {wait} s.")), "{words}");
    }
    // Tools that read have places of their own, and what waiting does not help says nothing of it.
    let list = call(&agent, "webhooks_list", json!({})).await;
    assert_eq!(list["webhooks"].as_array().map(Vec::len), Some(1));
    let unknown = json!({ "sourceId": "src_01arz3ndektsv4rrffq69g5fav" });
    let status = json!({ "name": "context_store_status", "arguments": unknown });
    let told = ask(&agent, "tools/call", status).await["structuredContent"].clone();
    assert_eq!((&told["error"], told.get("retryAfterSeconds")), (&json!("not_found"), None));
    clock.advance(Duration::from_secs(1));
    call(&agent, "webhooks_create", wish).await;
}

#[tokio::test]
async fn what_the_protocol_does_not_know_is_a_fault_of_the_protocol() {
    let world = world().await;
    let agent = agent(&world, &EVERYTHING).await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "rm", "arguments": {} } });
    let answer = say(&agent, &call).await.expect(StatusCode::OK).json();
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": "no/such", "params": {} });
    let answer = say(&agent, &unknown).await.json();
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    for nonsense in ["", "{", "[]", "7", "{}"] {
        agent.send(Method::POST, "", nonsense).await.expect_problem(400, "invalid_payload");
    }
}

#[tokio::test]
async fn the_door_takes_tokens_that_may_connect_to_their_own_handle() {
    let world = world().await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let at = |client: Client, handle: &str| {
        client.at(&format!("/mcp/{handle}/mcp")).with("accept", "application/json, text/event-stream")
    };
    say(&at(world.nobody(), "acme"), &ping).await.expect_problem(401, "missing_bearer_token");
    say(&at(world.owner(), "acme"), &ping).await.expect_problem(401, "invalid_token");
    let unconnected = world.token_holder(&["webhooks.read"]).await;
    say(&at(unconnected, "acme"), &ping).await.expect_problem(403, "insufficient_scope");
    let connected = world.token_holder(&["mcp.connect"]).await;
    say(&at(connected.clone(), "beta"), &ping).await.expect_problem(401, "invalid_token");
    say(&at(connected, "acme"), &ping).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn where_handles_are_declared_an_agent_finds_no_other() {
    let store = MemoryStore::new();
    let known_as = |settings: &mut Settings| {
        settings.listen.public_url = Some("https://angarium.test".to_owned());
    };
    let before = World::on_with(&store, known_as).await;
    let agent = agent(&before, &EVERYTHING).await;
    call(&agent, "webhooks_list", json!({})).await;
    before.service.stop().await;

    let world = World::on_with(&store, |settings| {
        known_as(settings);
        settings.auth.handles = HandlesRule::Declared;
    })
    .await;
    let agent = Client { address: world.service.address(), ..agent };
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    say(&agent, &ping).await.expect_problem(404, "handle_not_found");
    let declared = world.admin().post("/handles", &json!({ "handle": "beta" })).await;
    declared.expect(StatusCode::CREATED);
    let of_beta = world.token_holder_of("beta", &["mcp.connect"]).await.at("/mcp/beta/mcp");
    let of_beta = of_beta.with("accept", "application/json, text/event-stream");
    say(&of_beta, &ping).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn an_agent_of_a_suspended_handle_reads_and_changes_nothing() {
    let world = world().await;
    let agent = agent(&world, &EVERYTHING).await;
    let suspension = json!({ "suspended": true, "reason": "an unpaid bill" });
    world.admin().patch("/handles/acme", &suspension).await.expect(StatusCode::OK);
    let wish = json!({ "endpointUrl": "https://hooks.example.com/", "eventTypes": ["*"] });
    let words = refused(&agent, "webhooks_create", wish).await;
    assert!(words.starts_with("handle_suspended: ") && words.contains("an unpaid bill"), "{words}");
    assert_eq!(call(&agent, "webhooks_list", json!({})).await["webhooks"], json!([]));
}

#[tokio::test]
async fn names_and_pages_of_others_are_refused_before_anything_is_done() {
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    // A service that does not know the name that it is asked for: a name of somebody else's may lead here.
    let strange = World::start().await;
    say(&agent(&strange, &EVERYTHING).await, &ping).await.expect_problem(403, "host_not_allowed");
    let also = |settings: &mut angarium_server::settings::Settings| {
        settings.egress.own_hosts = vec!["angarium.test".to_owned()];
    };
    say(&agent(&World::with(also).await, &EVERYTHING).await, &ping).await.expect(StatusCode::OK);
    let world = world().await;
    let agent = agent(&world, &EVERYTHING).await;
    let page = agent.with("origin", "https://evil.example");
    say(&page, &ping).await.expect_problem(403, "host_not_allowed");
    say(&agent, &ping).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn the_door_has_the_limits_of_every_other() {
    let world = world().await;
    let agent = agent(&world, &EVERYTHING).await;
    for method in [Method::GET, Method::DELETE] {
        let refused = agent.send(method, "", "").await;
        refused.expect_problem(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), Some("POST"));
    }
    let large = format!("\"{}\"", "x".repeat(2 * 1024 * 1024));
    agent.send(Method::POST, "", large).await.expect_problem(413, "payload_too_large");
    let form = agent.with("content-type", "application/x-www-form-urlencoded");
    form.send(Method::POST, "", "a=b").await.expect_problem(415, "unsupported_media_type");
    let plain = world.token_holder(&["mcp.connect"]).await.at("/mcp/acme/mcp").with("accept", "text/plain");
    say(&plain, &json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }))
        .await
        .expect_problem(406, "not_acceptable");
    let mut counted = agent.send(Method::POST, "", "{").await;
    assert!(counted.headers.remove("ratelimit").is_some());
}
