//! What platform admins do with handles.

use angarium_server::settings::Settings;
use angarium_store::memory::MemoryStore;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::credentials::{in_seconds, signed};
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of};

const ROUTES: &[(&str, &str)] = &[
    ("POST", "/handles"),
    ("GET", "/handles"),
    ("GET", "/handles/acme"),
    ("PATCH", "/handles/acme"),
    ("DELETE", "/handles/acme"),
];

async fn ask(client: &Client, row: &(&str, &str)) -> crate::client::Answer {
    let body = if row.0 == "POST" || row.0 == "PATCH" { "{}" } else { "" };
    client.send(Method::from_bytes(row.0.as_bytes()).expect("a method"), row.1, body).await
}

async fn create(world: &World, body: &Value) -> Value {
    world.admin().post("/handles", body).await.expect(StatusCode::CREATED).json()
}

/// Suspends acme, or lets it go on.
async fn suspend(world: &World, body: &Value) {
    world.admin().patch("/handles/acme", body).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn only_platform_admins_look_after_handles() {
    let world = World::start().await;
    let holder = world.token_holder(&["webhooks.write"]).await.at("/v2/operator");
    for row in ROUTES {
        ask(&world.nobody().at("/v2/operator"), row).await.expect_problem(401, "missing_bearer_token");
        ask(&holder, row).await.expect_problem(401, "invalid_token");
        for claim in [json!(false), json!("true"), json!(1)] {
            let claims = json!({ "sub": "x", "exp": in_seconds(60), "handles": { "*": "OWNER" }, "platform_admin": claim });
            let owner = world.nobody().at("/v2/operator").bearing(signed(&claims));
            ask(&owner, row).await.expect_problem(403, "insufficient_role");
        }
    }
    // To look after handles is no role on any of them.
    world.admin().at("/v2/handles/acme").get("/webhooks").await.expect_problem(403, "insufficient_role");
}

#[tokio::test]
async fn a_made_handle_is_shown_with_what_it_uses() {
    let world = World::start().await;
    let made = create(&world, &json!({ "handle": "acme", "plan": "pro", "timeZone": "europe/berlin" })).await;
    assert_eq!((&made["plan"], &made["timeZone"]), (&json!("pro"), &json!("Europe/Berlin")));
    assert_eq!((&made["status"], &made["declared"]), (&json!("active"), &json!(true)));
    world.token_holder(&["webhooks.write"]).await;
    world.organization().await;
    let shown = world.admin().get("/handles/acme").await.expect(StatusCode::OK).json();
    assert_eq!(shown["counts"], json!({ "webhooks": 0, "tokens": 1, "apiKeys": 1 }));
    assert_eq!(shown["limits"], json!({ "writesPerDay": 10 }));
    assert_eq!(shown["usage"]["writesToday"], 2);
    assert_eq!(shown["createdAt"], made["createdAt"]);
    world.admin().post("/handles", &json!({ "handle": "acme" })).await.expect_problem(409, "conflict");
    for path in ["/handles/beta", "/handles/Not%20One"] {
        world.admin().get(path).await.expect_problem(404, "handle_not_found");
        world.admin().patch(path, &json!({})).await.expect_problem(404, "handle_not_found");
        world.admin().delete(path).await.expect_problem(404, "handle_not_found");
    }
}

#[tokio::test]
async fn a_handle_that_is_not_valid_is_not_made_or_changed() {
    let world = World::start().await;
    for (body, code) in [
        (json!({}), "invalid_handle"),
        (json!({ "handle": "Not One" }), "invalid_handle"),
        (json!({ "handle": "a", "plan": "gold" }), "invalid_plan"),
        (json!({ "handle": "a", "timeZone": "Mars/Olympus" }), "invalid_timeZone"),
        (json!({ "handle": "a", "suspended": true }), "invalid_suspended"),
        (json!({ "plan": "gold", "timeZone": "x" }), "validation_error"),
    ] {
        world.admin().post("/handles", &body).await.expect_problem(400, code);
    }
    create(&world, &json!({ "handle": "acme" })).await;
    for (body, code) in [
        (json!({ "plan": 7 }), "invalid_plan"),
        (json!({ "reason": "x" }), "invalid_reason"),
        (json!({ "suspended": true, "reason": "" }), "invalid_reason"),
        (json!({ "suspended": true, "reason": "x".repeat(301) }), "invalid_reason"),
        (json!({ "suspended": "yes" }), "invalid_suspended"),
        (json!({ "handle": "beta" }), "invalid_handle"),
    ] {
        world.admin().patch("/handles/acme", &body).await.expect_problem(400, code);
    }
}

#[tokio::test]
async fn handles_are_listed_by_name_a_page_at_a_time() {
    let world = World::start().await;
    for name in ["delta", "beta", "acme"] {
        create(&world, &json!({ "handle": name })).await;
    }
    // It exists by virtue of a credential, and is listed once something was written about it.
    world.person("carol", "OWNER").post("/tokens", &json!({ "name": "x", "scopes": ["events.read"] })).await;
    let first = world.admin().get("/handles?limit=3").await;
    let names = |answer: &crate::client::Answer| {
        answer
            .items()
            .iter()
            .map(|item| item["handle"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["acme", "beta", "carol"]);
    assert_eq!(first.items()[2]["declared"], false);
    let second = world.admin().get(&format!("/handles?limit=3&cursor={}", first.text_of("nextCursor"))).await;
    assert_eq!(names(&second), ["delta"]);
    assert_eq!(second.json()["nextCursor"], Value::Null);
    world.admin().get("/handles?cursor=%20").await.expect_problem(400, "invalid_cursor");
    world.admin().get("/handles?plan=free").await.expect_problem(400, "invalid_plan");
}

#[tokio::test]
async fn writes_about_handles_are_repeated_under_their_key() {
    let world = World::start().await;
    let keyed = world.admin().with("idempotency-key", "once");
    for replayed in [None, Some("true")] {
        let made = keyed.post("/handles", &json!({ "handle": "acme" })).await;
        assert_eq!(made.expect(StatusCode::CREATED).header("idempotent-replayed"), replayed);
    }
    let other = keyed.post("/handles", &json!({ "handle": "beta" })).await;
    other.expect_problem(422, "idempotency_key_reused");
    for _ in 0..2 {
        keyed.delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn where_handles_are_declared_no_credential_brings_one_into_being() {
    use angarium_server::settings::HandlesRule;
    let world = World::with(|settings| settings.auth.handles = HandlesRule::Declared).await;
    let event = json!({ "type": "a", "payload": {} });
    for client in [world.owner(), world.person("acme", "CREATOR")] {
        client.get("/webhooks").await.expect_problem(404, "handle_not_found");
    }
    world.owner().post("/events", &event).await.expect_problem(404, "handle_not_found");
    world.owner().post("/tokens", &json!({})).await.expect_problem(404, "handle_not_found");
    create(&world, &json!({ "handle": "acme" })).await;
    world.owner().post("/events", &event).await.expect(StatusCode::ACCEPTED);
    world.owner().get("/webhooks").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn keys_open_nothing_of_a_handle_that_was_not_declared() {
    use angarium_server::settings::HandlesRule;
    let store = MemoryStore::new();
    let key = World::on(&store).await.organization().await;
    let declared = |settings: &mut Settings| settings.auth.handles = HandlesRule::Declared;
    let world = World::on_with(&store, declared).await;
    let program = Client { address: world.service.address(), ..key };
    let event = json!({ "type": "a", "payload": {} });
    program.get("/webhooks").await.expect_refusal(404, "NOT_FOUND");
    program.post("/events", &event).await.expect_refusal(404, "NOT_FOUND");
    create(&world, &json!({ "handle": "acme" })).await;
    program.get("/webhooks").await.data(200);
    program.post("/events", &event).await.data(202);
}

#[tokio::test]
async fn keys_of_a_suspended_handle_read_and_those_of_a_deleted_one_open_nothing() {
    let world = World::start().await;
    create(&world, &json!({ "handle": "acme", "plan": "free" })).await;
    let program = world.organization().await;
    let event = json!({ "type": "a", "payload": {} });
    let receiver = Receiver::start().await;
    let webhook = json!({ "name": "x", "url": receiver.url("/hook"), "events": ["order.paid"] });
    // The plan's day has room for one more write, and v1 takes none of it.
    for _ in 0..3 {
        program.post("/webhooks", &webhook).await.data(201);
    }
    suspend(&world, &json!({ "suspended": true, "reason": "unpaid since March" })).await;
    for refused in [program.post("/events", &event).await, program.post("/webhooks", &webhook).await] {
        refused.expect_refusal(403, "FORBIDDEN");
        assert!(refused.text.contains("unpaid since March"), "{}", refused.text);
    }
    assert_eq!(program.get("/webhooks").await.data(200)["webhooks"].as_array().map(Vec::len), Some(3));
    suspend(&world, &json!({ "suspended": false })).await;
    program.post("/events", &event).await.data(202);

    world.admin().delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    eventually(|| async {
        (world.admin().get("/handles/acme").await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    create(&world, &json!({ "handle": "acme" })).await;
    program.get("/webhooks").await.expect_refusal(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_deleted_handle_leaves_no_catalogue_to_whoever_has_its_name_next() {
    let world = World::start().await;
    let owner = world.owner();
    let schema = json!({ "schema": { "type": "object", "required": ["n"] } });
    owner.put("/event-types/order.paid", &schema).await.expect(StatusCode::CREATED);
    let without_n = json!({ "type": "order.paid", "payload": {} });
    owner.post("/events", &without_n).await.expect_problem(400, "invalid_payload");
    world.admin().delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    eventually(|| async {
        (world.admin().get("/handles/acme").await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    create(&world, &json!({ "handle": "acme" })).await;
    owner.post("/events", &without_n).await.expect(StatusCode::ACCEPTED);
    owner.get("/event-types/order.paid").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_suspended_handle_reads_and_holds_everything_until_it_goes_on() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    create(&world, &json!({ "handle": "acme" })).await;
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    owner.post(&format!("/webhooks/{}/pause", id_of(&webhook)), &json!({})).await.expect(StatusCode::OK);
    owner.publish("order.paid").await;
    suspend(&world, &json!({ "suspended": true, "reason": "unpaid since March" })).await;

    for answer in [
        owner.post("/events", &json!({ "type": "a", "payload": {} })).await,
        owner.post("/events/batch", &json!({ "events": [{ "type": "a", "payload": {} }] })).await,
        owner.post("/tokens", &json!({ "name": "x", "scopes": ["events.read"] })).await,
        owner.post(&format!("/webhooks/{}/resume", id_of(&webhook)), &json!({})).await,
    ] {
        answer.expect_problem(403, "handle_suspended");
        assert_eq!(answer.json()["reason"], "unpaid since March");
    }
    owner.get("/webhooks").await.expect(StatusCode::OK);
    // A question that needs a body is still a question.
    let question = json!({ "filter": { "n": 1 }, "payload": {} });
    owner.post("/filters/check", &question).await.expect(StatusCode::OK);
    let shown = world.admin().get("/handles/acme").await.json();
    assert_eq!(
        (&shown["status"], &shown["suspension"]["reason"]),
        (&json!("suspended"), &json!("unpaid since March"))
    );

    suspend(&world, &json!({ "suspended": false })).await;
    assert_eq!(receiver.count(), 0);
    owner.post(&format!("/webhooks/{}/resume", id_of(&webhook)), &json!({})).await.expect(StatusCode::OK);
    receiver.received(1).await;
}

#[tokio::test]
async fn deliveries_of_a_suspended_handle_wait_and_go_out_afterwards() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    create(&world, &json!({ "handle": "acme" })).await;
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["*"]).await;
    receiver.answer(503);
    let event_id = owner.publish("order.paid").await;
    receiver.received(1).await;
    suspend(&world, &json!({ "suspended": true })).await;
    receiver.answer(204);
    let held = owner.deliveries_when("?status=held", 1).await;
    assert_eq!(held[0]["eventId"], event_id.as_str());
    assert_eq!(held[0]["nextAttemptAt"], Value::Null);
    let attempts = held[0]["attempts"].clone();
    suspend(&world, &json!({ "suspended": false })).await;
    let delivered = owner.deliveries_when("?status=delivered", 1).await;
    assert!(delivered[0]["attempts"].as_u64() > attempts.as_u64(), "{delivered:?}");
}

#[tokio::test]
async fn a_deleted_handle_is_gone_with_everything_and_begins_anew() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    create(&world, &json!({ "handle": "acme" })).await;
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let holder = world.token_holder(&["events.write", "events.read"]).await;
    receiver.answer(503);
    for _ in 0..3 {
        holder.publish("order.paid").await;
    }
    let other = world.person("beta", "OWNER");
    other.publish("order.paid").await;

    let deleted = world.admin().delete("/handles/acme").await;
    deleted.expect(StatusCode::ACCEPTED);
    assert_eq!(
        (deleted.text_of("status").as_str(), deleted.json()["requestId"].is_string()),
        ("deleting", true)
    );
    owner.get("/webhooks").await.expect_problem(404, "handle_not_found");
    owner
        .post("/events", &json!({ "type": "a", "payload": {} }))
        .await
        .expect_problem(404, "handle_not_found");
    eventually(|| async {
        (world.admin().get("/handles/acme").await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    holder.get("/events").await.expect_problem(401, "invalid_token");

    create(&world, &json!({ "handle": "acme", "plan": "free" })).await;
    assert_eq!(owner.get("/events").await.items().len(), 0);
    assert_eq!(owner.get("/tokens").await.items().len(), 0);
    owner.get(&format!("/webhooks/{}", id_of(&webhook))).await.expect_problem(404, "not_found");
    other.get("/events").await.expect(StatusCode::OK);
    assert_eq!(other.get("/events").await.items().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_for_a_handle_once_its_deletion_is_answered() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    create(&world, &json!({ "handle": "acme" })).await;
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    owner.post(&format!("/webhooks/{}/pause", id_of(&webhook)), &json!({})).await.expect(StatusCode::OK);
    for _ in 0..5 {
        owner.publish("order.paid").await;
    }
    world.admin().delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    eventually(|| async {
        (world.admin().get("/handles/acme").await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    // Somebody else's delivery comes through, so what was to be sent would have been.
    let other = world.person("beta", "OWNER");
    other.subscribe(&receiver, "/beta", &["*"]).await;
    other.publish("order.paid").await;
    let arrived = receiver.received(1).await;
    assert_eq!(arrived.iter().map(|arrival| arrival.path.as_str()).collect::<Vec<_>>(), ["/beta"]);
}

#[tokio::test]
async fn the_handle_s_zone_that_settings_show_can_be_sent_back_and_follows_the_handle() {
    let world = World::start().await;
    let (owner, admin) = (world.owner(), world.admin());
    admin
        .post("/handles", &json!({ "handle": "acme", "timeZone": "Asia/Tokyo" }))
        .await
        .expect(StatusCode::CREATED);
    let shown = async || owner.get("/notification-settings").await.expect(StatusCode::OK).json();
    let said = shown().await;
    assert_eq!(said["timeZone"], "Asia/Tokyo");
    owner.put("/notification-settings", &said).await.expect(StatusCode::OK);
    admin.patch("/handles/acme", &json!({ "timeZone": "Europe/Berlin" })).await.expect(StatusCode::OK);
    assert_eq!(shown().await["timeZone"], "Europe/Berlin");
    let named = json!({ "timeZone": "America/Lima" });
    owner.put("/notification-settings", &named).await.expect(StatusCode::OK);
    admin.patch("/handles/acme", &json!({ "timeZone": "Asia/Tokyo" })).await.expect(StatusCode::OK);
    assert_eq!(shown().await["timeZone"], "America/Lima");
}
