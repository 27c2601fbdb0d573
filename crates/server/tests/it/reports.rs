//! Reports: with and without a credential, with their evidence, and who may read them.

use angarium_store::memory::MemoryStore;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of};

fn wish() -> Value {
    json!({ "summary": "deliveries stopped", "details": "at noon, all of them" })
}

fn with(fields: &Value) -> Value {
    let mut wish = wish();
    for (name, value) in fields.as_object().expect("fields") {
        wish[name] = value.clone();
    }
    wish
}

async fn report(client: &Client, body: &Value) -> Answer {
    client.at("/v2/support").post("/report", body).await
}

async fn read(world: &World, answer: &Answer) -> Value {
    let id = answer.expect(StatusCode::CREATED).text_of("reportId");
    assert!(id.starts_with("rep_"), "{id}");
    world.admin().get(&format!("/reports/{id}")).await.expect(StatusCode::OK).json()
}

#[tokio::test]
async fn a_report_comes_with_what_the_log_says_about_what_it_names() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    receiver.answer(404);
    let hook = json!({ "endpointUrl": receiver.url("/hook?token=hidden"), "eventTypes": ["a"] });
    let webhook = id_of(&owner.subscribe_with(&hook).await);
    let event = owner.publish("a").await;
    owner.deliveries_when("?status=dead", 1).await;

    let body = with(&json!({ "handle": "acme", "subscriptionId": webhook, "eventId": event,
        "requestId": "req_x", "sessionId": "s-1", "reproArtifact": "https://example.com/trace" }));
    let found = read(&world, &report(&owner, &body).await).await;
    assert_eq!(
        (&found["kind"], &found["handle"], &found["actor"]),
        (&json!("support"), &json!("acme"), &json!("jwt:tester"))
    );
    assert_eq!(found["about"]["sessionId"], "s-1");
    let evidence = &found["evidence"];
    assert_eq!(
        (&evidence["subscription"]["subscriptionId"], &evidence["subscription"]["status"]),
        (&json!(webhook), &json!("active"))
    );
    assert_eq!(
        (&evidence["event"]["eventId"], &evidence["event"]["origin"]),
        (&json!(event), &json!("live"))
    );
    let delivery = &evidence["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["attempts"][0]["status"]), (&json!("dead"), &json!(404)));
    let at = delivery["attempts"][0]["at"].as_str().expect("a time");
    assert!(
        at.ends_with('Z') && delivery["attempts"][0]["endpoint"].as_str().expect("where").ends_with("/hook")
    );
    assert!(!found.to_string().contains("hidden"), "{found}");

    // A token says itself which handle it is for.
    let holder = world.token_holder(&["events.read"]).await;
    let by_token = read(&world, &report(&holder, &with(&json!({ "eventId": event }))).await).await;
    assert_eq!(
        (&by_token["handle"], &by_token["evidence"]["event"]["eventId"]),
        (&json!("acme"), &json!(event))
    );
    let audit = owner.get("/audit?action=report.created").await.items();
    assert_eq!(audit.len(), 2);
}

#[tokio::test]
async fn a_subscription_is_found_by_each_of_its_names_and_also_when_it_is_gone() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = id_of(&owner.subscribe(&receiver, "/hook", &["a"]).await);
    owner.publish("a").await;
    owner.deliveries_when("?status=delivered", 1).await;
    for removed in [false, true] {
        if removed {
            owner.delete(&format!("/webhooks/{webhook}")).await.expect(StatusCode::NO_CONTENT);
        }
        for prefix in ["sub", "ems", "wh"] {
            let id = webhook.replacen("sub", prefix, 1);
            let body = with(&json!({ "handle": "acme", "subscriptionId": id }));
            let evidence = read(&world, &report(&owner, &body).await).await["evidence"].take();
            let found = &evidence["subscription"];
            let status = if removed { "removed" } else { "active" };
            assert_eq!((&found["subscriptionId"], &found["status"]), (&json!(webhook), &json!(status)));
            assert!(found["endpoint"].as_str().is_some_and(|text| text.ends_with("/hook")), "{found}");
            assert_eq!(evidence["deliveries"].as_array().map(Vec::len), Some(1));
        }
    }
}

#[tokio::test]
async fn what_another_handle_has_is_no_more_to_be_found_than_what_nobody_has() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    let webhook = id_of(&acme.subscribe(&receiver, "/hook", &["a"]).await);
    let event = acme.publish("b").await;
    for (field, foreign) in [("subscriptionId", &webhook), ("eventId", &event)] {
        let unknown = format!("{}{}", &foreign[..4], "0".repeat(26));
        let mut told = Vec::new();
        for id in [foreign.as_str(), &unknown, "nonsense"] {
            let answer = report(&beta, &with(&json!({ "handle": "beta", field: id }))).await;
            let mut body = answer.expect_problem(400, &format!("invalid_{field}")).json();
            body["requestId"] = json!("-");
            told.push(body);
        }
        assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    }
    report(&beta, &with(&json!({ "handle": "acme" }))).await.expect_problem(400, "invalid_handle");
    report(&beta, &with(&json!({ "handle": "no handle" }))).await.expect_problem(400, "invalid_handle");
    // A person may have a role on many handles, and must say which is meant.
    report(&acme, &with(&json!({ "eventId": event }))).await.expect_problem(400, "invalid_handle");
    assert!(world.admin().get("/reports").await.items().is_empty());
}

#[tokio::test]
async fn a_stranger_is_heard_and_a_bad_credential_is_not_taken_for_one() {
    let world = World::start().await;
    let event = world.owner().publish("a").await;
    let nobody = world.nobody();
    let body = with(&json!({ "handle": "acme", "eventId": event, "subscriptionId": "whatever" }));
    let found = read(&world, &report(&nobody, &body).await).await;
    assert_eq!(
        (&found["handle"], &found["actor"], &found["evidence"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!((&found["about"]["handle"], &found["about"]["eventId"]), (&json!("acme"), &json!(event)));
    for bad in ["nonsense", "patv1_tok_01arz3ndektsv4rrffq69g5fav.wrong"] {
        report(&nobody.bearing(bad), &body).await.expect_problem(401, "invalid_token");
    }
    report(&nobody.with("authorization", "Basic dTpw"), &body)
        .await
        .expect_problem(401, "missing_bearer_token");
}

#[tokio::test]
async fn content_is_reported_by_anybody_as_often_as_an_address_may() {
    let world = World::with(|settings| {
        settings.limits.reports_per_minute = 2;
        settings.limits.reports_burst = 2;
        settings.listen.trusted_proxies.clear();
    })
    .await;
    let public = world.nobody().at("/v2/public");
    let body =
        with(&json!({ "url": "https://example.com/page", "contact": "me@example.com", "handle": "acme" }));
    let found = read(&world, &public.post("/content-report", &body).await).await;
    assert_eq!((&found["kind"], &found["about"]["url"]), (&json!("content"), &body["url"]));
    // Strangers who report to support share the address's places.
    report(&world.nobody(), &wish()).await.expect(StatusCode::CREATED);
    let refused = public.post("/content-report", &body).await;
    assert!(refused.expect_problem(429, "rate_limited").header("retry-after").is_some());
    report(&world.nobody(), &wish()).await.expect_problem(429, "rate_limited");
    report(&world.owner(), &wish()).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn escalations_are_for_platform_admins_and_reports_are_theirs_to_read() {
    let world = World::start().await;
    let first = report(&world.owner(), &with(&json!({ "handle": "acme" }))).await.text_of("reportId");
    let event = world.owner().publish("a").await;
    let body = with(&json!({ "handle": "acme", "eventId": event, "reportId": first }));
    let found = read(&world, &world.admin().post("/escalations", &body).await).await;
    assert_eq!((&found["kind"], &found["about"]["reportId"]), (&json!("escalation"), &json!(first)));
    assert_eq!(found["evidence"]["event"]["eventId"], json!(event));
    world.nobody().at("/v2/public").post("/content-report", &wish()).await.expect(StatusCode::CREATED);

    let admin = world.admin();
    assert_eq!(admin.get("/reports").await.items().len(), 3);
    for kind in ["support", "escalation", "content"] {
        let listed = admin.get(&format!("/reports?kind={kind}")).await.items();
        assert_eq!((listed.len(), &listed[0]["kind"]), (1, &json!(kind)));
    }
    admin.get("/reports?kind=other").await.expect_problem(400, "invalid_kind");
    let page = admin.get("/reports?limit=2").await.json();
    let cursor = page["nextCursor"].as_str().expect("a cursor");
    assert_eq!(admin.get(&format!("/reports?limit=2&cursor={cursor}")).await.items().len(), 1);
    admin
        .get(&format!("/reports?limit=2&kind=support&cursor={cursor}"))
        .await
        .expect_problem(400, "invalid_cursor");
    admin.get("/reports/rep_01arz3ndektsv4rrffq69g5fav").await.expect_problem(404, "not_found");
    for (method, path) in
        [(Method::POST, "/escalations"), (Method::GET, "/reports"), (Method::GET, "/reports/x")]
    {
        let body = if method == Method::POST { "{}" } else { "" };
        let owner = world.owner().at("/v2/operator").send(method.clone(), path, body).await;
        owner.expect_problem(403, "insufficient_role");
        let nobody = world.nobody().at("/v2/operator").send(method, path, body).await;
        nobody.expect_problem(401, "missing_bearer_token");
    }
}

#[tokio::test]
async fn an_escalation_names_only_what_there_is() {
    let world = World::start().await;
    let (owner, admin) = (world.owner(), world.admin());
    let foreign = world.person("beta", "OWNER").publish("a").await;
    owner.publish("a").await;
    for (fields, code) in [
        (json!({ "handle": "no handle" }), "invalid_handle"),
        (json!({ "handle": "acme", "subscriptionId": "nonsense" }), "invalid_subscriptionId"),
        (json!({ "handle": "acme", "eventId": foreign }), "invalid_eventId"),
        (json!({ "reportId": "nonsense" }), "invalid_reportId"),
    ] {
        admin.post("/escalations", &with(&fields)).await.expect_problem(400, code);
    }
    assert!(admin.get("/reports").await.items().is_empty());
    admin.post("/escalations", &with(&json!({ "handle": "acme" }))).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_token_escalates_nothing() {
    let world = World::start().await;
    let holder = world.token_holder(&["events.read"]).await.at("/v2/operator");
    holder.post("/escalations", &wish()).await.expect_problem(401, "invalid_token");
    assert!(world.admin().get("/reports").await.items().is_empty());
}

#[tokio::test]
async fn nothing_is_escalated_of_a_handle_that_was_deleted() {
    let world = World::start().await;
    let admin = world.admin();
    admin.post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    let body = with(&json!({ "handle": "acme" }));
    admin.post("/escalations", &body).await.expect(StatusCode::CREATED);
    admin.delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    admin.post("/escalations", &body).await.expect_problem(404, "handle_not_found");
}

#[tokio::test]
async fn a_report_about_content_says_what_it_is_about_and_is_made_once() {
    let world = World::start().await;
    let public = world.nobody().at("/v2/public");
    let silent = public.post("/content-report", &json!({ "details": "a page" })).await;
    silent.expect_problem(400, "invalid_summary");
    assert_eq!(silent.fields_at_fault(), ["summary"]);
    let keyed = public.with("idempotency-key", "once");
    let first = keyed.post("/content-report", &wish()).await;
    let again = keyed.post("/content-report", &wish()).await;
    assert_eq!(again.expect(StatusCode::CREATED).text, first.expect(StatusCode::CREATED).text);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(world.admin().get("/reports").await.items().len(), 1);
}

#[tokio::test]
async fn a_report_has_its_limits_and_is_made_once() {
    let world = World::start().await;
    let owner = world.owner();
    let refused = async |fields: Value, code: &str| {
        report(&owner, &with(&fields)).await.expect_problem(400, code);
    };
    refused(json!({ "summary": "" }), "invalid_summary").await;
    refused(json!({ "summary": "x".repeat(201) }), "invalid_summary").await;
    refused(json!({ "summary": "two\nlines" }), "invalid_summary").await;
    refused(json!({ "details": "x".repeat(10_001) }), "invalid_details").await;
    refused(json!({ "details": "a\u{0}b" }), "invalid_details").await;
    refused(json!({ "sessionId": "\u{1b}[2J" }), "invalid_sessionId").await;
    refused(json!({ "sessionId": "x".repeat(201) }), "invalid_sessionId").await;
    refused(json!({ "odd": 1 }), "invalid_odd").await;
    report(&owner, &json!({})).await.expect_problem(400, "validation_error");

    let keyed = owner.with("idempotency-key", "once");
    let first = report(&keyed, &wish()).await;
    let again = report(&keyed, &wish()).await;
    assert_eq!((again.header("idempotent-replayed"), &again.text), (Some("true"), &first.text));
    report(&keyed, &with(&json!({ "sessionId": "s" }))).await.expect_problem(422, "idempotency_key_reused");
    let theirs = report(&world.nobody().with("idempotency-key", "once"), &wish()).await;
    assert_ne!(theirs.text_of("reportId"), first.text_of("reportId"));
}

#[tokio::test]
async fn a_suspended_handle_may_report_and_a_removed_one_takes_its_reports_along() {
    let world = World::start().await;
    let (owner, admin) = (world.owner(), world.admin());
    admin.post("/handles", &json!({ "handle": "acme" })).await.expect(StatusCode::CREATED);
    let suspension = json!({ "suspended": true, "reason": "an unpaid bill" });
    admin.patch("/handles/acme", &suspension).await.expect(StatusCode::OK);
    report(&owner, &with(&json!({ "handle": "acme" }))).await.expect(StatusCode::CREATED);
    report(&world.nobody(), &with(&json!({ "handle": "acme" }))).await.expect(StatusCode::CREATED);
    admin.delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    let left = eventually(|| async {
        let left = admin.get("/reports").await.items();
        (left.len() == 1).then_some(left)
    })
    .await;
    assert_eq!(left[0]["actor"], Value::Null);
    // Whose name is nobody's any more says so, also where a credential is still good.
    let answer = report(&owner, &with(&json!({ "handle": "acme" }))).await;
    answer.expect_problem(404, "handle_not_found");
    assert_eq!(admin.get("/reports").await.items().len(), 1);
}

#[tokio::test]
async fn a_stranger_says_less_than_somebody_who_is_known() {
    let world = World::start().await;
    let (nobody, owner) = (world.nobody(), world.owner());
    let said = |chars: usize| with(&json!({ "details": "x".repeat(chars) }));
    report(&nobody, &said(4_000)).await.expect(StatusCode::CREATED);
    report(&nobody, &said(4_001)).await.expect_problem(400, "invalid_details");
    report(&owner, &said(4_001)).await.expect(StatusCode::CREATED);
    let public = nobody.at("/v2/public");
    public.post("/content-report", &said(4_001)).await.expect_problem(400, "invalid_details");
    let url = with(&json!({ "url": "x".repeat(1_001) }));
    public.post("/content-report", &url).await.expect_problem(400, "invalid_url");
    let artifact = with(&json!({ "reproArtifact": "x".repeat(1_001) }));
    report(&nobody, &artifact).await.expect_problem(400, "invalid_reproArtifact");
    let large = "x".repeat(70_000);
    public
        .post("/content-report", &with(&json!({ "details": large })))
        .await
        .expect_problem(413, "payload_too_large");
}

#[tokio::test]
async fn strangers_behind_a_proxy_are_told_apart_by_what_it_says() {
    let world = World::start().await;
    let from = |address: &str| world.nobody().with("x-forwarded-for", address).with("idempotency-key", "1");
    let first = report(&from("203.0.113.7"), &wish()).await;
    let other = report(&from("198.51.100.9"), &with(&json!({ "sessionId": "s" }))).await;
    assert_eq!(read(&world, &first).await["ip"], "203.0.113.7");
    assert_eq!(read(&world, &other).await["ip"], "198.51.100.9");
    let again = report(&from("203.0.113.7"), &wish()).await;
    assert_eq!(again.text, first.text);
}

#[tokio::test]
async fn an_api_key_is_no_credential_for_reports_and_says_so() {
    let world = World::start().await;
    let holder = world.nobody().with("x-api-key", "pxk_live_whatever");
    report(&holder, &wish()).await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn a_platform_admin_closes_reports_and_opens_them_again() {
    let world = World::start().await;
    let (owner, admin) = (world.owner(), world.admin());
    let id = report(&owner, &with(&json!({ "handle": "acme" }))).await.text_of("reportId");
    report(&world.nobody(), &wish()).await.expect(StatusCode::CREATED);
    let path = format!("/reports/{id}");
    let say = async |body: Value| admin.patch(&path, &body).await;
    let listed = async |query: &str| {
        let items = admin.get(&format!("/reports?{query}")).await.items();
        items.iter().map(|report| report["reportId"] == id).collect::<Vec<_>>()
    };
    let open = admin.get(&path).await.json();
    assert_eq!((&open["status"], &open["closing"]), (&json!("open"), &Value::Null));

    let closed = say(json!({ "status": "closed", "note": "a typo" })).await.expect(StatusCode::OK).json();
    assert_eq!((&closed["status"], &closed["closing"]["note"]), (&json!("closed"), &json!("a typo")));
    assert_eq!(closed["closing"]["by"], "jwt:admin");
    assert_eq!(say(json!({ "status": "closed" })).await.expect(StatusCode::OK).json(), closed);
    assert_eq!(admin.get(&path).await.json(), closed);
    assert_eq!(listed("status=closed").await, [true]);
    assert_eq!(listed("status=open").await, [false]);
    assert!(listed("status=closed&kind=content").await.is_empty());
    let other = say(json!({ "status": "closed", "note": "their typo" })).await.json();
    assert_eq!(other["closing"]["note"], "their typo");
    assert_eq!(say(json!({ "status": "open" })).await.expect(StatusCode::OK).json(), open);
    let log = owner.get("/audit").await;
    assert!(!log.text.contains("typo"), "the note is for whoever runs the service: {}", log.text);
    let acts = log.items();
    let acts: Vec<_> = acts.iter().filter_map(|act| act["action"].as_str()).collect();
    assert_eq!(acts, ["report.opened", "report.closed", "report.closed", "report.created"]);

    say(json!({})).await.expect_problem(400, "invalid_status");
    say(json!({ "status": "done" })).await.expect_problem(400, "invalid_status");
    say(json!({ "status": "open", "note": "x" })).await.expect_problem(400, "invalid_note");
    say(json!({ "status": "closed", "note": "x".repeat(4_001) })).await.expect_problem(400, "invalid_note");
    owner
        .at("/v2/operator")
        .patch(&path, &json!({ "status": "closed" }))
        .await
        .expect_problem(403, "insufficient_role");
    let unknown = "/reports/rep_01arz3ndektsv4rrffq69g5fav";
    admin.patch(unknown, &json!({ "status": "closed" })).await.expect_problem(404, "not_found");
    admin.get("/reports?status=done").await.expect_problem(400, "invalid_status");
}

#[tokio::test]
async fn those_that_nobody_closed_are_counted_in_the_figures() {
    let store = MemoryStore::new();
    let world = World::on(&store).await;
    for _ in 0..2 {
        report(&world.nobody(), &wish()).await.expect(StatusCode::CREATED);
    }
    let id = report(&world.owner(), &wish()).await.text_of("reportId");
    let closed = world.admin().patch(&format!("/reports/{id}"), &json!({ "status": "closed" })).await;
    closed.expect(StatusCode::OK);
    world.service.stop().await;
    // They are counted at the start, and every few seconds.
    let world = World::on(&store).await;
    eventually(|| async {
        let figures = world.nobody().get("/metrics").await.text;
        let line = "angarium_reports_open{kind=\"support\"} 2";
        figures.lines().any(|found| found == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_platform_admin_removes_reports() {
    let world = World::start().await;
    let (owner, admin) = (world.owner(), world.admin());
    let id = report(&owner, &with(&json!({ "handle": "acme" }))).await.text_of("reportId");
    let path = format!("/reports/{id}");
    owner.at("/v2/operator").delete(&path).await.expect_problem(403, "insufficient_role");
    let keyed = admin.with("idempotency-key", "once");
    keyed.delete(&path).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(keyed.delete(&path).await.header("idempotent-replayed"), Some("true"));
    admin.delete(&path).await.expect_problem(404, "not_found");
    assert!(admin.get("/reports").await.items().is_empty());
    let audit = owner.get("/audit?action=report.removed").await.items();
    assert_eq!((audit.len(), &audit[0]["object"]), (1, &json!(id)));
}
