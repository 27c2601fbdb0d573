//! Who may do what: every route with every role, every scope, and at both doors.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::time::Timestamp;
use angarium_server::settings::HandlesRule;
use http::{Method, StatusCode};
use serde_json::json;

use crate::client::{Answer, Client};
use crate::clock::HandClock;
use crate::credentials::{in_seconds, signed};
use crate::world::World;

/// A route: method, path, the least role, and the scope of tokens, if it takes any.
pub(crate) type Row = (&'static str, &'static str, &'static str, Option<&'static str>);

const EVENT: &str = "/events/evt_01arz3ndektsv4rrffq69g5fav";
pub(crate) const TABLE: &[Row] = &[
    ("POST", "/events", "OPERATOR", Some("events.write")),
    ("POST", "/events/batch", "OPERATOR", Some("events.write")),
    ("GET", "/events", "CREATOR", Some("events.read")),
    ("GET", EVENT, "CREATOR", Some("events.read")),
    ("POST", "/webhooks", "OPERATOR", Some("webhooks.write")),
    ("GET", "/webhooks", "CREATOR", Some("webhooks.read")),
    ("GET", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav", "CREATOR", Some("webhooks.read")),
    ("PATCH", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav", "OPERATOR", Some("webhooks.write")),
    ("DELETE", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav", "OPERATOR", Some("webhooks.write")),
    ("GET", "/webhooks/stats", "CREATOR", Some("webhooks.read")),
    ("GET", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav/stats", "CREATOR", Some("webhooks.read")),
    ("POST", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav/test", "OPERATOR", Some("webhooks.write")),
    ("GET", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav/public-keys", "CREATOR", Some("webhooks.read")),
    ("POST", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav/verify", "OPERATOR", Some("webhooks.write")),
    ("POST", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav/rotate-secret", "OPERATOR", Some("webhooks.write")),
    ("POST", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav/pause", "OPERATOR", Some("webhooks.write")),
    ("POST", "/webhooks/sub_01arz3ndektsv4rrffq69g5fav/resume", "OPERATOR", Some("webhooks.write")),
    ("PUT", "/event-types/order.paid", "OPERATOR", Some("event_types.write")),
    ("GET", "/event-types", "CREATOR", Some("event_types.read")),
    ("GET", "/event-types/order.paid", "CREATOR", Some("event_types.read")),
    ("GET", "/openapi.json", "CREATOR", Some("event_types.read")),
    ("DELETE", "/event-types/order.paid", "OPERATOR", Some("event_types.write")),
    ("GET", "/notifications", "CREATOR", Some("notifications.read")),
    ("GET", "/mobile/inbox", "CREATOR", Some("inbox.read")),
    ("POST", "/mobile/inbox", "OPERATOR", Some("inbox.write")),
    ("GET", "/mobile/inbox/stream?x=1", "CREATOR", Some("inbox.read")),
    ("POST", "/mobile/inbox/read-all", "CREATOR", Some("inbox.write")),
    ("POST", "/mobile/inbox/inb_01arz3ndektsv4rrffq69g5fav/seen", "CREATOR", Some("inbox.write")),
    ("POST", "/mobile/inbox/inb_01arz3ndektsv4rrffq69g5fav/read", "CREATOR", Some("inbox.write")),
    ("POST", "/mobile/inbox/inb_01arz3ndektsv4rrffq69g5fav/unread", "CREATOR", Some("inbox.write")),
    ("POST", "/mobile/inbox/inb_01arz3ndektsv4rrffq69g5fav/archive", "CREATOR", Some("inbox.write")),
    ("POST", "/mobile/inbox/inb_01arz3ndektsv4rrffq69g5fav/unarchive", "CREATOR", Some("inbox.write")),
    ("POST", "/notifications/email-subscriptions", "OPERATOR", Some("notifications.write")),
    (
        "DELETE",
        "/notifications/email-subscriptions/ems_01arz3ndektsv4rrffq69g5fav",
        "OPERATOR",
        Some("notifications.write"),
    ),
    (
        "POST",
        "/notifications/email-subscriptions/ems_01arz3ndektsv4rrffq69g5fav/test",
        "OPERATOR",
        Some("notifications.write"),
    ),
    (
        "DELETE",
        "/notifications/email-subscriptions/ems_01arz3ndektsv4rrffq69g5fav/suppression",
        "OPERATOR",
        Some("notifications.write"),
    ),
    ("PUT", "/notifications/owner-default-email", "OWNER", None),
    ("GET", "/notification-settings", "OPERATOR", Some("notifications.read")),
    ("PUT", "/notification-settings", "OWNER", None),
    ("POST", "/notifications/owner-default-email/test", "OWNER", None),
    ("POST", "/filters/check", "CREATOR", Some("webhooks.read")),
    ("GET", "/deliveries", "CREATOR", Some("deliveries.read")),
    // A stream does not end: one that is refused for its filter was let in.
    ("GET", "/deliveries/stream?status=none", "CREATOR", Some("deliveries.read")),
    ("GET", "/deliveries/dlv_01arz3ndektsv4rrffq69g5fav", "CREATOR", Some("deliveries.read")),
    ("POST", "/deliveries/dlv_01arz3ndektsv4rrffq69g5fav/replay", "OPERATOR", Some("deliveries.write")),
    ("GET", "/dead-letters", "CREATOR", Some("deliveries.read")),
    ("GET", "/dead-letters/dlv_01arz3ndektsv4rrffq69g5fav", "CREATOR", Some("deliveries.read")),
    ("DELETE", "/dead-letters/dlv_01arz3ndektsv4rrffq69g5fav", "OPERATOR", Some("deliveries.write")),
    ("POST", "/replays", "OPERATOR", Some("deliveries.write")),
    ("GET", "/replays", "CREATOR", Some("deliveries.read")),
    ("GET", "/replays/rpl_01arz3ndektsv4rrffq69g5fav", "CREATOR", Some("deliveries.read")),
    ("POST", "/replays/rpl_01arz3ndektsv4rrffq69g5fav/cancel", "OPERATOR", Some("deliveries.write")),
    ("POST", "/context-sources", "OPERATOR", Some("context_store.manage")),
    ("GET", "/context-sources", "CREATOR", Some("context_store.read")),
    ("GET", "/context-sources/src_01arz3ndektsv4rrffq69g5fav", "CREATOR", Some("context_store.read")),
    ("PATCH", "/context-sources/src_01arz3ndektsv4rrffq69g5fav", "OPERATOR", Some("context_store.manage")),
    (
        "POST",
        "/context-sources/src_01arz3ndektsv4rrffq69g5fav/sync",
        "OPERATOR",
        Some("context_store.manage"),
    ),
    ("DELETE", "/context-sources/src_01arz3ndektsv4rrffq69g5fav", "OPERATOR", Some("context_store.manage")),
    ("GET", "/context-store/search?q=x", "CREATOR", Some("context_store.read")),
    ("POST", "/chain/signals", "CREATOR", Some("chain.write")),
    ("POST", "/chain/resolve", "CREATOR", Some("chain.read")),
    ("POST", "/chain/prefetch", "CREATOR", Some("chain.read")),
    ("GET", "/chain/sess-1", "CREATOR", Some("chain.read")),
    ("GET", "/chain/rules", "OPERATOR", Some("chain.manage")),
    ("PUT", "/chain/rules", "OPERATOR", Some("chain.manage")),
    ("GET", "/context-origins", "OPERATOR", Some("chain.manage")),
    ("PUT", "/context-origins", "OPERATOR", Some("chain.manage")),
    ("POST", "/mobile/voice-notes", "CREATOR", Some("mobile.write")),
    ("GET", "/mobile/voice-notes", "CREATOR", Some("mobile.read")),
    ("GET", "/mobile/voice-notes/vn_01arz3ndektsv4rrffq69g5fav", "CREATOR", Some("mobile.read")),
    ("DELETE", "/mobile/voice-notes/vn_01arz3ndektsv4rrffq69g5fav", "OPERATOR", Some("mobile.write")),
    (
        "POST",
        "/mobile/voice-notes/vn_01arz3ndektsv4rrffq69g5fav/upload-complete",
        "CREATOR",
        Some("mobile.write"),
    ),
    ("GET", "/audit", "OWNER", Some("audit.read")),
    ("POST", "/tokens", "OPERATOR", None),
    ("GET", "/tokens", "OPERATOR", None),
    ("DELETE", "/tokens/tok_01arz3ndektsv4rrffq69g5fav", "OPERATOR", None),
    ("POST", "/api-keys", "OWNER", None),
    ("GET", "/api-keys", "OWNER", None),
    ("DELETE", "/api-keys/key_01arz3ndektsv4rrffq69g5fav", "OWNER", None),
];
const ROLES: [&str; 3] = ["CREATOR", "OPERATOR", "OWNER"];
/// What changes nothing though it is no GET: questions that need a body.
pub(crate) const QUESTIONS: [&str; 2] = ["/filters/check", "/chain/prefetch"];
const SCOPES: [&str; 21] = [
    "events.write",
    "events.read",
    "webhooks.write",
    "webhooks.read",
    "deliveries.write",
    "deliveries.read",
    "audit.read",
    "event_types.write",
    "event_types.read",
    "notifications.read",
    "mcp.connect",
    "context_store.manage",
    "context_store.read",
    "inbox.write",
    "inbox.read",
    "chain.write",
    "chain.read",
    "chain.manage",
    "mobile.write",
    "mobile.read",
    "notifications.write",
];

/// Asks with an empty object: access is decided before anything is missed in it.
pub(crate) async fn ask(client: &Client, row: &Row) -> Answer {
    let body = if ["POST", "PATCH", "PUT"].contains(&row.0) { "{}" } else { "" };
    client.send(Method::from_bytes(row.0.as_bytes()).expect("a method"), row.1, body).await
}

/// Asks as [`ask`] does, and publishes where that can be: whether a handle may is looked at behind the body.
async fn ask_with_events(client: &Client, row: &Row) -> Answer {
    let body = match (row.0, row.1) {
        ("POST", "/events") => r#"{"type":"a","payload":{}}"#,
        ("POST", "/events/batch") => r#"{"events":[{"type":"a","payload":{}}]}"#,
        _ => return ask(client, row).await,
    };
    client.send(Method::POST, row.1, body).await
}

/// Whether a route is also below `/v2/public`.
fn has_twin(row: &Row) -> bool {
    row.1.starts_with("/events") || row.1.starts_with("/webhooks")
}

#[track_caller]
fn expect_admitted(answer: &Answer, row: &Row) {
    let refused = matches!(
        answer.status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED
    );
    assert!(!refused && !answer.status.is_server_error(), "{row:?}: {}", answer.text);
}

#[tokio::test]
async fn a_role_opens_its_own_routes_and_those_of_lesser_roles() {
    let world = World::start().await;
    for row in TABLE {
        for role in ROLES {
            let answer = ask(&world.person("acme", role), row).await;
            let rank = |role: &str| ROLES.iter().position(|known| *known == role);
            if rank(role) < rank(row.2) {
                answer.expect_problem(403, "insufficient_role");
            } else {
                expect_admitted(&answer, row);
            }
        }
    }
}

#[tokio::test]
async fn a_scope_opens_its_own_routes_and_no_other() {
    let world = World::start().await;
    for scope in SCOPES {
        let holder = world.token_holder(&[scope]).await;
        for row in TABLE {
            let answer = ask(&holder, row).await;
            match row.3 {
                Some(needed) if needed == scope => expect_admitted(&answer, row),
                // Whoever manages the context store reads it, too.
                Some("context_store.read") if scope == "context_store.manage" => {
                    expect_admitted(&answer, row);
                }
                Some(_) => drop(answer.expect_problem(403, "insufficient_scope")),
                None => drop(answer.expect_problem(401, "invalid_token")),
            }
        }
    }
}

#[tokio::test]
async fn the_public_twins_take_tokens_and_no_jwt() {
    let world = World::start().await;
    let public = "/v2/public/handles/acme";
    let holder = world.token_holder(&SCOPES).await.at(public);
    for row in TABLE {
        if has_twin(row) {
            expect_admitted(&ask(&holder, row).await, row);
            ask(&world.owner().at(public), row).await.expect_problem(401, "invalid_token");
        } else {
            ask(&holder, row).await.expect_problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_credential() {
    let world = World::start().await;
    for row in TABLE {
        let answer = ask(&world.nobody().at("/v2/handles/acme"), row).await;
        answer.expect_problem(401, "missing_bearer_token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
}

#[tokio::test]
async fn a_suspended_handle_is_told_why_on_every_write_and_may_read_all_that_it_has() {
    let world = World::start().await;
    let (admin, owner) = (world.admin(), world.owner());
    admin.post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    let holder = world.token_holder(&SCOPES).await;
    let (public, agent) = (holder.at("/v2/public/handles/acme"), holder.at("/v2/mcp/acme"));
    let suspended = json!({ "suspended": true, "reason": "unpaid since March" });
    admin.patch("/handles/acme", &suspended).await.expect(StatusCode::OK);
    for row in TABLE {
        let twin = has_twin(row).then_some(&public);
        for caller in [&owner, &holder].into_iter().chain(twin) {
            // A token is refused for what it is, where it is not taken.
            if row.3.is_none() && caller.bearer == holder.bearer {
                continue;
            }
            let answer = ask_with_events(caller, row).await;
            if row.0 == "GET" || QUESTIONS.contains(&row.1) {
                expect_admitted(&answer, row);
            } else {
                answer.expect_problem(403, "handle_suspended");
                assert_eq!(answer.json()["reason"], "unpaid since March", "{row:?}");
            }
        }
    }
    let sync = "/context-store/sources/src_01arz3ndektsv4rrffq69g5fav/sync";
    agent.post(sync, &json!({})).await.expect_problem(403, "handle_suspended");
}

#[tokio::test]
async fn no_route_knows_a_handle_that_nobody_declared_where_they_are_declared() {
    let world = World::with(|settings| settings.auth.handles = HandlesRule::Declared).await;
    let owner = world.owner();
    for row in TABLE {
        ask(&owner, row).await.expect_problem(404, "handle_not_found");
    }
    world.admin().post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    owner.get("/webhooks").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_jwt_whose_time_has_passed_says_so_on_every_route() {
    let world = World::start().await;
    // Longer ago than clocks may differ.
    let claims = json!({ "sub": "tester", "exp": in_seconds(-3600), "handles": { "acme": "OWNER" } });
    let expired = world.owner().bearing(signed(&claims));
    for row in TABLE {
        ask(&expired, row).await.expect_problem(401, "token_expired");
    }
}

#[tokio::test]
async fn a_token_whose_time_has_passed_says_so_on_every_route_that_takes_tokens() {
    let now = Timestamp::from_seconds(in_seconds(0));
    let clock = Arc::new(HandClock::at(now));
    let world = World::at(clock.clone(), |_| {}).await;
    let brief = json!({ "name": "brief", "scopes": SCOPES, "expiresAt": now + Duration::from_mins(1) });
    let made = world.owner().post("/tokens", &brief).await;
    let holder = world.owner().bearing(made.expect(StatusCode::CREATED).text_of("token"));
    holder.get("/webhooks").await.expect(StatusCode::OK);
    clock.advance(Duration::from_secs(61));
    let public = holder.at("/v2/public/handles/acme");
    for row in TABLE {
        let code = if row.3.is_some() { "token_expired" } else { "invalid_token" };
        ask(&holder, row).await.expect_problem(401, code);
        if has_twin(row) {
            ask(&public, row).await.expect_problem(401, "token_expired");
        }
    }
}
