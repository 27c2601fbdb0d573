//! Chains: signals to sessions, and decisions upon them.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::time::Timestamp;
use angarium_server::settings::Settings;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Answer, Client};
use crate::clock::HandClock;
use crate::credentials::in_seconds;
use crate::receiver::Receiver;
use crate::world::World;

pub(crate) fn rule(rule_id: &str, more: &Value) -> Value {
    let mut rule = json!({
        "ruleId": rule_id, "trigger": "checkout", "when": { "all": [{ "signalKey": "view" }] },
        "decision": { "offer": rule_id },
    });
    for (field, value) in more.as_object().expect("fields") {
        rule[field] = value.clone();
    }
    rule
}

/// A service where acme has these rules, and anybody who asks it.
pub(crate) async fn ruled_by(rules: Value, change: impl FnOnce(&mut Settings)) -> (World, Client) {
    let world = World::with(change).await;
    world.owner().put("/chain/rules", &json!({ "rules": rules })).await.expect(StatusCode::OK);
    let anybody = world.nobody().at("/v2/public/chain");
    (world, anybody)
}

pub(crate) fn unlimited(settings: &mut Settings) {
    settings.limits.signals_per_minute = 0;
}

pub(crate) fn views(session: &str, count: usize) -> Value {
    json!({ "handle": "acme", "sessionId": session, "signals": vec![json!({ "type": "view" }); count] })
}

pub(crate) fn question(session: &str) -> Value {
    json!({ "handle": "acme", "sessionId": session, "trigger": "checkout" })
}

pub(crate) async fn decided(client: &Client, session: &str) -> Value {
    client.post("/resolve", &question(session)).await.expect(StatusCode::OK).json()
}

#[tokio::test]
async fn the_playbook_of_lifecycle_messaging_is_played_through() {
    let (world, anybody) = ruled_by(json!([rule("welcome", &json!({}))]), |_| {}).await;
    let lm_01 = r#"{"handle":"acme","sessionId":"sess-1","signals":[{"type":"view"}]}"#;
    let appended = anybody.send(Method::POST, "/signals", lm_01).await;
    let request_id = appended.header("x-request-id").expect("an id").to_owned();
    let expected = json!({ "accepted": 1, "sessionId": "sess-1", "sequence": 1, "requestId": request_id });
    assert_eq!(appended.expect(StatusCode::ACCEPTED).json(), expected);

    let lm_02 = r#"{"handle":"acme","sessionId":"sess-1","trigger":"checkout"}"#;
    let resolved = anybody.send(Method::POST, "/resolve", lm_02).await;
    let decision = resolved.expect(StatusCode::OK).json();
    assert_eq!(
        (&decision["handle"], &decision["sessionId"], &decision["trigger"]),
        (&json!("acme"), &json!("sess-1"), &json!("checkout"))
    );
    assert_eq!(
        (&decision["decision"], &decision["ruleId"]),
        (&json!({ "offer": "welcome" }), &json!("welcome"))
    );
    assert_eq!(decision["matchedSignals"], json!([{ "sequence": 1, "signalKey": "view" }]));
    let explained =
        json!([{ "ruleId": "welcome", "outcome": "matched", "coolingUntil": null, "failed": null }]);
    assert_eq!(decision["explain"], explained);
    assert!(decision["decisionId"].as_str().is_some_and(|id| id.starts_with("dec_")), "{decision}");

    let lm_03 = r#"{"handle":"acme","sessionId":"sess-1","triggers":["exit","checkout"]}"#;
    let prefetched = anybody.send(Method::POST, "/prefetch", lm_03).await.expect(StatusCode::OK).json();
    let of = |at: usize, field: &str| prefetched["decisions"][at][field].clone();
    assert_eq!(
        (of(0, "trigger"), of(0, "decision"), of(0, "explain")),
        (json!("exit"), json!(null), json!([]))
    );
    assert_eq!((of(1, "trigger"), of(1, "ruleId")), (json!("checkout"), json!("welcome")));

    let lm_05 = json!({ "endpointUrl": "https://hooks.example.com/test", "eventTypes": ["link.clicked"] });
    world.person("acme", "CREATOR").post("/webhooks", &lm_05).await.expect_problem(403, "insufficient_role");
}

#[tokio::test]
async fn a_signal_says_as_much_as_it_likes_and_is_shown_as_it_came() {
    let world = World::start().await;
    let creator = world.person("acme", "CREATOR");
    let signals = json!({ "sessionId": "s", "signals": [
        { "signalKey": "cart.add", "signalValue": { "sku": "A1" }, "confidence": 0.25, "source": "web shop",
          "metadata": { "page": "/cart" } },
        { "type": "view" },
    ] });
    creator.post("/chain/signals", &signals).await.expect(StatusCode::ACCEPTED);
    let session = creator.get("/chain/s").await.expect(StatusCode::OK).json();
    assert_eq!((&session["sequence"], &session["cooldowns"]), (&json!(2), &json!([])));
    let mut shown = session["signals"].clone();
    for signal in shown.as_array_mut().expect("signals") {
        signal.as_object_mut().expect("a signal").remove("receivedAt").expect("a time");
    }
    assert_eq!(
        shown,
        json!([
            { "sequence": 1, "signalKey": "cart.add", "signalValue": { "sku": "A1" }, "confidence": 0.25,
              "source": "web shop", "metadata": { "page": "/cart" } },
            { "sequence": 2, "signalKey": "view", "signalValue": null, "confidence": 1.0, "source": null, "metadata": null },
        ])
    );
    // A session of another handle, and one that there never was.
    for somebody in [world.person("beta", "OWNER").get("/chain/s"), creator.get("/chain/t")] {
        somebody.await.expect_problem(404, "not_found");
    }
}

#[track_caller]
pub(crate) fn expect_fault(answer: &Answer, code: &str, fields: &[&str]) {
    answer.expect_problem(400, code);
    assert_eq!(answer.fields_at_fault(), fields, "{}", answer.text);
}

#[tokio::test]
async fn what_is_wrong_with_signals_is_named_field_by_field() {
    let (_world, anybody) = ruled_by(json!([]), |_| {}).await;
    let signals = |signals: Value| json!({ "handle": "acme", "sessionId": "s", "signals": signals });
    let cases = [
        (json!({ "sessionId": "s", "signals": [{ "type": "view" }] }), "invalid_handle", vec!["handle"]),
        (
            json!({ "handle": "acme", "signals": [{ "type": "view" }] }),
            "invalid_sessionId",
            vec!["sessionId"],
        ),
        (json!({ "handle": "acme", "sessionId": "s" }), "invalid_signals", vec!["signals"]),
        (json!({}), "validation_error", vec!["handle", "sessionId", "signals"]),
        (views("rules", 1), "invalid_sessionId", vec!["sessionId"]),
        (views("a/b", 1), "invalid_sessionId", vec!["sessionId"]),
        (views("s", 0), "invalid_signals", vec!["signals"]),
        (views("s", 51), "invalid_signals", vec!["signals"]),
        (signals(json!([1])), "validation_error", vec!["signals[0]", "signals[0].signalKey"]),
        (signals(json!([{}])), "invalid_signals", vec!["signals[0].signalKey"]),
        (signals(json!([{ "type": "a b" }])), "invalid_signals", vec!["signals[0].type"]),
        (signals(json!([{ "type": "a", "signalKey": "b" }])), "invalid_signals", vec!["signals[0].type"]),
        (
            signals(json!([{ "type": "a" }, { "type": "a", "odd": 1 }])),
            "invalid_signals",
            vec!["signals[1].odd"],
        ),
        (
            signals(
                json!([{ "type": "a", "confidence": 1.5, "signalValue": [1], "metadata": "x", "source": "" }]),
            ),
            "validation_error",
            vec![
                "signals[0].signalValue",
                "signals[0].confidence",
                "signals[0].source",
                "signals[0].metadata",
            ],
        ),
        (
            signals(json!([{ "type": "a", "signalValue": "x".repeat(1023) }])),
            "invalid_signals",
            vec!["signals[0].signalValue"],
        ),
        (
            signals(json!([{ "type": "a", "metadata": { "x": "x".repeat(2048) } }])),
            "invalid_signals",
            vec!["signals[0].metadata"],
        ),
    ];
    for (body, code, fields) in cases {
        expect_fault(&anybody.post("/signals", &body).await, code, &fields);
    }
    let trigger = json!({ "handle": "acme", "sessionId": "s" });
    expect_fault(&anybody.post("/resolve", &trigger).await, "invalid_trigger", &["trigger"]);
    expect_fault(&anybody.post("/prefetch", &trigger).await, "invalid_triggers", &["triggers"]);
    let many = json!({ "handle": "acme", "sessionId": "s", "triggers": vec!["t"; 21] });
    expect_fault(&anybody.post("/prefetch", &many).await, "invalid_triggers", &["triggers"]);
    let body = format!("{{\"handle\":\"acme\",\"odd\":\"{}\"}}", "x".repeat(64 * 1024));
    anybody.send(Method::POST, "/signals", body).await.expect_problem(413, "payload_too_large");
    anybody.send(Method::POST, "/signals", "[]").await.expect_problem(400, "invalid_payload");
}

#[tokio::test]
async fn the_body_names_no_other_handle_than_the_path() {
    let world = World::start().await;
    let creator = world.person("acme", "CREATOR");
    creator.post("/chain/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    let other = json!({ "handle": "beta", "sessionId": "s", "signals": [{ "type": "view" }] });
    expect_fault(&creator.post("/chain/signals", &other).await, "invalid_handle", &["handle"]);
}

#[tokio::test]
async fn rules_are_taken_as_a_whole_or_not_at_all() {
    let world = World::start().await;
    let owner = world.owner();
    assert_eq!(
        owner.get("/chain/rules").await.expect(StatusCode::OK).json(),
        json!({ "rules": [], "publish": { "signals": false, "decisions": false }, "public": true,
            "updatedAt": null })
    );
    let full = json!({ "signalKey": "view", "value": 1.5, "minCount": 2, "minConfidence": 0.5, "withinSeconds": 60 });
    let rules = json!([
        rule("later", &json!({ "when": { "any": [full], "none": [{ "signalKey": "left" }] } })),
        rule("sooner", &json!({ "priority": 7, "cooldownSeconds": 60 })),
    ]);
    let written = json!({ "rules": rules, "publish": { "decisions": true } });
    let put = owner.put("/chain/rules", &written).await.expect(StatusCode::OK).json();
    assert_eq!(owner.get("/chain/rules").await.json(), put);
    assert_eq!(put["publish"], json!({ "signals": false, "decisions": true }));
    let ids: Vec<_> = put["rules"].as_array().expect("rules").iter().map(|rule| &rule["ruleId"]).collect();
    assert_eq!(ids, ["sooner", "later"]);
    assert_eq!(put["rules"][1]["when"]["any"][0], full);
    assert_eq!((&put["rules"][1]["priority"], &put["rules"][0]["cooldownSeconds"]), (&json!(0), &json!(60)));

    let of = |rules: Value| json!({ "rules": rules });
    let cases = [
        (json!({}), "invalid_rules", vec!["rules"]),
        (of(json!([rule("a", &json!({ "when": {} }))])), "invalid_rules", vec!["rules[0].when"]),
        (of(json!([rule("a", &json!({})), rule("a", &json!({}))])), "invalid_rules", vec!["rules[1].ruleId"]),
        (
            of(json!([{}])),
            "validation_error",
            vec!["rules[0].ruleId", "rules[0].trigger", "rules[0].when", "rules[0].decision"],
        ),
        (
            of(json!([rule("a", &json!({ "odd": 1, "priority": 2_000_000 }))])),
            "validation_error",
            vec!["rules[0].priority", "rules[0].odd"],
        ),
        (of(json!([rule("a", &json!({ "decision": "text" }))])), "invalid_rules", vec!["rules[0].decision"]),
        (
            of(json!([rule("a", &json!({ "decision": { "x": "x".repeat(4096) } }))])),
            "invalid_rules",
            vec!["rules[0].decision"],
        ),
        (
            of(json!([rule("a", &json!({ "cooldownSeconds": 0 }))])),
            "invalid_rules",
            vec!["rules[0].cooldownSeconds"],
        ),
        (
            of(json!([rule(
                "a",
                &json!({ "when": { "all": [{ "signalKey": "x", "minCount": 0, "value": {}, "odd": 1 }] } })
            )])),
            "validation_error",
            vec!["rules[0].when.all[0].value", "rules[0].when.all[0].minCount", "rules[0].when.all[0].odd"],
        ),
        (
            of(json!([rule(
                "a",
                &json!({ "when": { "some": [], "any": vec![json!({ "signalKey": "x" }); 21] } })
            )])),
            "invalid_rules",
            vec!["rules[0].when.some"],
        ),
        (
            of(json!([rule("a", &json!({ "when": { "any": vec![json!({ "signalKey": "x" }); 21] } }))])),
            "invalid_rules",
            vec!["rules[0].when"],
        ),
        (of((0..101).map(|n| rule(&format!("r{n}"), &json!({}))).collect()), "invalid_rules", vec!["rules"]),
    ];
    for (body, code, fields) in cases {
        expect_fault(&owner.put("/chain/rules", &body).await, code, &fields);
    }
    assert_eq!(owner.get("/chain/rules").await.json(), put);
    assert_eq!(world.person("beta", "OWNER").get("/chain/rules").await.json()["rules"], json!([]));
    let audited = owner.get("/audit").await.items();
    assert_eq!(audited[0]["action"], "chain.rules_replaced");
}

#[tokio::test]
async fn rules_that_are_too_large_together_are_refused_with_the_limit() {
    let world = World::start().await;
    let owner = world.owner();
    let large = json!({ "decision": { "text": "x".repeat(4_000) } });
    let of = |count: usize| -> Value {
        let rules: Vec<_> = (0..count).map(|n| rule(&format!("r{n}"), &large)).collect();
        json!({ "rules": rules })
    };
    let refused = owner.put("/chain/rules", &of(70)).await;
    expect_fault(&refused, "invalid_rules", &["rules"]);
    assert!(refused.text.contains("the limit is 262144"), "{}", refused.text);
    assert_eq!(owner.get("/chain/rules").await.json()["rules"], json!([]));
    owner.put("/chain/rules", &of(50)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_a_session_is_not_there() {
    let world = World::start().await;
    let creator = world.person("acme", "CREATOR");
    creator.post("/chain/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    let long = "s".repeat(1_000);
    for session in ["s%20s", "s%2Fs", long.as_str()] {
        creator.get(&format!("/chain/{session}")).await.expect_problem(404, "not_found");
    }
    creator.get("/chain/s").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_decision_says_why_it_was_not_another() {
    let rules = json!([
        rule(
            "buyer",
            &json!({ "priority": 2, "when": { "all": [{ "signalKey": "view" }, { "signalKey": "buy", "minCount": 2 }] } })
        ),
        rule(
            "looker",
            &json!({ "when": { "all": [{ "signalKey": "view", "minCount": 2 }], "none": [{ "signalKey": "buy", "minCount": 2 }] } })
        ),
    ]);
    let (_world, anybody) = ruled_by(rules, |_| {}).await;
    let nothing = decided(&anybody, "s").await;
    assert_eq!((&nothing["decision"], &nothing["ruleId"]), (&json!(null), &json!(null)));
    assert_eq!(
        nothing["explain"][0]["failed"],
        json!({ "group": "all", "index": 0, "signalKey": "view", "found": 0, "needed": 1 })
    );
    anybody.post("/signals", &views("s", 2)).await.expect(StatusCode::ACCEPTED);
    let decision = decided(&anybody, "s").await;
    assert_eq!(decision["ruleId"], "looker");
    let outcomes: Vec<_> =
        decision["explain"].as_array().expect("rules").iter().map(|it| it["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "matched"]);
    assert_eq!(decision["explain"][0]["failed"]["index"], 1);
}

pub(crate) async fn at_hand(change: impl FnOnce(&mut Settings)) -> (World, Arc<HandClock>, Client) {
    let clock = Arc::new(HandClock::at(Timestamp::from_seconds(in_seconds(0))));
    let world = World::at(clock.clone(), change).await;
    let anybody = world.nobody().at("/v2/public/chain");
    (world, clock, anybody)
}

#[tokio::test]
async fn a_rule_rests_in_its_session_after_it_has_decided_there() {
    let (world, clock, anybody) = at_hand(|_| {}).await;
    let rules =
        json!([rule("once", &json!({ "priority": 1, "cooldownSeconds": 60 })), rule("then", &json!({}))]);
    world.owner().put("/chain/rules", &json!({ "rules": rules })).await.expect(StatusCode::OK);
    for session in ["s", "t"] {
        anybody.post("/signals", &views(session, 1)).await.expect(StatusCode::ACCEPTED);
    }
    // What would be decided makes no rule rest.
    let triggers = json!({ "handle": "acme", "sessionId": "s", "triggers": ["checkout"] });
    let ahead = anybody.post("/prefetch", &triggers).await.json();
    assert_eq!(ahead["decisions"][0]["ruleId"], "once");
    let first = decided(&anybody, "s").await;
    assert_eq!((&first["ruleId"], &first["expiresAt"]), (&json!("once"), &first["resolvedAt"]));
    let second = decided(&anybody, "s").await;
    assert_eq!(
        (&second["ruleId"], &second["explain"][0]["outcome"]),
        (&json!("then"), &json!("cooling_down"))
    );
    assert_eq!(second["explain"][0]["coolingUntil"], second["expiresAt"]);
    assert_eq!(decided(&anybody, "t").await["ruleId"], "once");
    let resting = world.owner().get("/chain/s").await.json()["cooldowns"].clone();
    assert_eq!((&resting[0]["ruleId"], &resting[0]["decisionId"]), (&json!("once"), &first["decisionId"]));
    clock.advance(Duration::from_secs(59));
    assert_eq!(decided(&anybody, "s").await["ruleId"], "then");
    clock.advance(Duration::from_secs(1));
    assert_eq!(decided(&anybody, "s").await["ruleId"], "once");
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_gets_the_decision_after_which_a_rule_rests() {
    let (_world, anybody) =
        ruled_by(json!([rule("once", &json!({ "cooldownSeconds": 3600 }))]), |_| {}).await;
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        let anybody = anybody.clone();
        asking.spawn(async move { decided(&anybody, "s").await["ruleId"].clone() });
    }
    let answers = asking.join_all().await;
    assert_eq!(answers.iter().filter(|rule_id| **rule_id == "once").count(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_session_takes_exactly_two_hundred_signals_however_many_come_at_once() {
    let (world, anybody) = ruled_by(json!([]), unlimited).await;
    let mut sending = JoinSet::new();
    for _ in 0..48 {
        let anybody = anybody.clone();
        sending.spawn(async move { anybody.post("/signals", &views("s", 5)).await });
    }
    let answers = sending.join_all().await;
    let (taken, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == StatusCode::ACCEPTED);
    assert_eq!((taken.len(), refused.len()), (40, 8));
    for answer in refused {
        answer.expect_problem(429, "rate_limited");
        let wait: u64 = answer.header("retry-after").expect("a wait").parse().expect("seconds");
        assert!((29 * 86_400..=30 * 86_400).contains(&wait), "{wait}");
    }
    let mut sequences: Vec<u64> =
        taken.iter().map(|answer| answer.json()["sequence"].as_u64().expect("a number")).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=40).map(|n| n * 5).collect::<Vec<u64>>());
    let session = world.owner().get("/chain/s").await.json();
    assert_eq!(session["signals"].as_array().map(Vec::len), Some(200));
    // Other sessions have room.
    anybody.post("/signals", &views("t", 5)).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn signals_expire_and_make_room() {
    let (world, clock, anybody) = at_hand(unlimited).await;
    world
        .owner()
        .put("/chain/rules", &json!({ "rules": [rule("a", &json!({}))] }))
        .await
        .expect(StatusCode::OK);
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    clock.advance(Duration::from_hours(30 * 24 - 1));
    let decision = decided(&anybody, "s").await;
    assert_eq!(decision["ruleId"], "a");
    clock.advance(Duration::from_hours(1));
    assert_eq!(decided(&anybody, "s").await["ruleId"], json!(null));
    world.admin().get("/handles/acme").await.expect(StatusCode::OK);
    let creator = world.nobody().at("/v2/handles/acme").bearing(far_ahead());
    creator.get("/chain/s").await.expect_problem(404, "not_found");
}

/// A person's JWT for months.
fn far_ahead() -> String {
    let mut claims = crate::credentials::claims("acme", "OWNER");
    claims["exp"] = json!(in_seconds(90 * 86_400));
    crate::credentials::signed(&claims)
}

#[tokio::test]
async fn a_session_takes_sixty_signals_a_minute_whoever_sends_them() {
    let (world, clock, anybody) = at_hand(|_| {}).await;
    let creator = world.person("acme", "CREATOR");
    creator.post("/chain/signals", &views("s", 50)).await.expect(StatusCode::ACCEPTED);
    let refused = anybody.post("/signals", &views("s", 11)).await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Those that were refused took no place.
    anybody.post("/signals", &views("s", 10)).await.expect(StatusCode::ACCEPTED);
    creator.post("/chain/signals", &views("s", 1)).await.expect_problem(429, "rate_limited");
    anybody.post("/signals", &views("t", 1)).await.expect(StatusCode::ACCEPTED);
    clock.advance(Duration::from_secs(1));
    creator.post("/chain/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn an_address_asks_so_often_without_a_credential_and_no_more() {
    let (_world, anybody) = ruled_by(json!([]), |settings| settings.limits.public_per_minute = 2).await;
    let from = |address: &str| anybody.with("x-forwarded-for", address);
    let first = from("192.0.2.1").post("/resolve", &question("s")).await;
    assert_eq!(first.expect(StatusCode::OK).header("ratelimit-policy"), Some("\"public\";q=2;w=60"));
    from("192.0.2.1").post("/signals", &json!({})).await.expect_problem(400, "validation_error");
    let refused = from("192.0.2.1").post("/resolve", &question("s")).await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("30"));
    from("192.0.2.2").post("/resolve", &question("s")).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn strangers_find_handles_that_are_there_and_make_none() {
    let world = World::start().await;
    let anybody = world.nobody().at("/v2/public/chain");
    for (path, body) in [("/signals", views("s", 1)), ("/resolve", question("s"))] {
        anybody.post(path, &body).await.expect_problem(404, "handle_not_found");
    }
    let impossible = json!({ "handle": "No Handle", "sessionId": "s", "trigger": "t" });
    anybody.post("/resolve", &impossible).await.expect_problem(404, "handle_not_found");
    assert_eq!(world.admin().get("/handles").await.items(), [json!(null); 0]);
    // An event is enough to be known by.
    world.owner().publish("order.paid").await;
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn where_handles_are_declared_strangers_find_no_others() {
    let world = World::with(|settings| {
        settings.auth.handles = angarium_server::settings::HandlesRule::Declared;
    })
    .await;
    let anybody = world.nobody().at("/v2/public/chain");
    anybody.post("/resolve", &question("s")).await.expect_problem(404, "handle_not_found");
    let declared = world.admin().post("/handles", &json!({ "handle": "acme" })).await;
    declared.expect(StatusCode::CREATED);
    anybody.post("/resolve", &question("s")).await.expect(StatusCode::OK);
    let suspended = json!({ "suspended": true, "reason": "unpaid bills" });
    world.admin().patch("/handles/acme", &suspended).await.expect(StatusCode::OK);
    for (path, body) in [("/signals", views("s", 1)), ("/resolve", question("s"))] {
        let refused = anybody.post(path, &body).await;
        refused.expect_problem(403, "handle_suspended");
        assert!(!refused.text.contains("unpaid"), "{}", refused.text);
    }
    world.owner().post("/chain/signals", &views("s", 1)).await.expect_problem(403, "handle_suspended");
    world.admin().delete("/handles/acme").await.expect(StatusCode::ACCEPTED);
    anybody.post("/resolve", &question("s")).await.expect_problem(404, "handle_not_found");
}

#[tokio::test]
async fn strangers_find_no_handle_that_is_closed_to_them() {
    let (world, anybody) = ruled_by(json!([rule("a", &json!({}))]), |_| {}).await;
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    let owner = world.owner();
    owner.put("/context-origins", &json!({ "origins": [SHOP] })).await.expect(StatusCode::OK);
    let put = async |public: Value| {
        let body = json!({ "rules": [rule("a", &json!({}))], "public": public });
        owner.put("/chain/rules", &body).await
    };
    expect_fault(&put(json!("no")).await, "invalid_public", &["public"]);
    assert_eq!(put(json!(false)).await.expect(StatusCode::OK).json()["public"], json!(false));
    for stranger in [anybody.clone(), anybody.with("origin", SHOP)] {
        for (path, body) in [("/signals", views("s", 1)), ("/resolve", question("s"))] {
            stranger.post(path, &body).await.expect_problem(404, "handle_not_found");
        }
        let ahead = json!({ "handle": "acme", "sessionId": "s", "triggers": ["checkout"] });
        stranger.post("/prefetch", &ahead).await.expect_problem(404, "handle_not_found");
    }
    owner.post("/chain/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    // Other pages of the rulebook leave the doors as they are.
    owner.put("/context-origins", &json!({ "origins": [] })).await.expect(StatusCode::OK);
    anybody.post("/resolve", &question("s")).await.expect_problem(404, "handle_not_found");
    put(json!(true)).await.expect(StatusCode::OK);
    assert_eq!(decided(&anybody, "s").await["ruleId"], "a");
}

#[tokio::test]
async fn a_repeated_append_is_one_append() {
    let (world, anybody) = ruled_by(json!([rule("a", &json!({ "cooldownSeconds": 60 }))]), |_| {}).await;
    let keyed = anybody.with("idempotency-key", "k");
    let first = keyed.post("/signals", &views("s", 2)).await;
    let again = keyed.post("/signals", &views("s", 2)).await;
    assert_eq!(again.expect(StatusCode::ACCEPTED).text, first.expect(StatusCode::ACCEPTED).text);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    keyed.post("/signals", &views("s", 3)).await.expect_problem(422, "idempotency_key_reused");
    // Another session's body is another body, and a caller with a credential has keys of their own.
    let creator = world.person("acme", "CREATOR").with("idempotency-key", "k");
    creator.post("/chain/signals", &views("s", 2)).await.expect(StatusCode::ACCEPTED);
    assert_eq!(world.owner().get("/chain/s").await.json()["sequence"], 4);
    let decision = keyed.post("/resolve", &question("s")).await;
    let repeated = keyed.post("/resolve", &question("s")).await;
    assert_eq!(repeated.expect(StatusCode::OK).text, decision.expect(StatusCode::OK).text);
    assert_eq!(decided(&anybody, "s").await["ruleId"], json!(null));
}

#[tokio::test]
async fn signals_and_decisions_are_published_where_the_handle_says_so() {
    let world = World::start().await;
    let (owner, receiver) = (world.owner(), Receiver::start().await);
    let hook = json!({ "endpointUrl": receiver.url("/in"), "eventTypes": ["chain.*"], "ordered": true });
    owner.subscribe_with(&hook).await;
    let put = async |signals: bool, decisions: bool| {
        let publish = json!({ "signals": signals, "decisions": decisions });
        let body = json!({ "rules": [rule("a", &json!({}))], "publish": publish });
        owner.put("/chain/rules", &body).await.expect(StatusCode::OK);
    };
    put(false, false).await;
    owner.post("/chain/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    owner.post("/chain/resolve", &question("s")).await.expect(StatusCode::OK);
    assert_eq!(owner.get("/events").await.items(), [json!(null); 0]);
    put(true, true).await;
    owner.post("/chain/signals", &views("s", 2)).await.expect(StatusCode::ACCEPTED);
    let decision = owner.post("/chain/resolve", &question("s")).await.json();
    // No rule, nothing to tell.
    let nothing = json!({ "sessionId": "s", "trigger": "other" });
    owner.post("/chain/resolve", &nothing).await.expect(StatusCode::OK);
    let arrived: Vec<Value> = receiver.received(3).await.iter().map(super::receiver::Arrival::json).collect();
    let told: Vec<_> = arrived.iter().map(|it| (&it["type"], &it["payload"]["sequence"])).collect();
    let (signal, decided) = (json!("chain.signal.received"), json!("chain.decision.resolved"));
    assert_eq!(told, [(&signal, &json!(2)), (&signal, &json!(3)), (&decided, &json!(null))]);
    let payload = &arrived[2]["payload"];
    for field in ["decisionId", "sessionId", "trigger", "ruleId", "decision", "matchedSignals", "resolvedAt"]
    {
        assert_eq!(payload[field], decision[field], "{field}");
    }
    assert_eq!(owner.get("/events").await.items().len(), 3);
}

#[tokio::test]
async fn what_is_told_of_a_session_has_it_as_its_ordering_key() {
    let world = World::start().await;
    let owner = world.owner();
    let publish = json!({ "signals": true, "decisions": true });
    let rules = json!({ "rules": [rule("a", &json!({}))], "publish": publish });
    owner.put("/chain/rules", &rules).await.expect(StatusCode::OK);
    for session in ["s", "t"] {
        owner.post("/chain/signals", &views(session, 1)).await.expect(StatusCode::ACCEPTED);
        owner.post("/chain/resolve", &question(session)).await.expect(StatusCode::OK);
    }
    for event_type in ["chain.signal.received", "chain.decision.resolved"] {
        let mut keys = Vec::new();
        for item in owner.get(&format!("/events?type={event_type}")).await.items() {
            let id = item["eventId"].as_str().expect("an id");
            let told = owner.get(&format!("/events/{id}")).await.expect(StatusCode::OK).json();
            assert_eq!(told["orderingKey"], told["payload"]["sessionId"], "{told}");
            keys.push(told["orderingKey"].as_str().expect("a key").to_owned());
        }
        keys.sort_unstable();
        assert_eq!(keys, ["s", "t"], "{event_type}");
        owner.expect_described(event_type).await;
    }
}

pub(crate) const SHOP: &str = "https://shop.example.com";

pub(crate) async fn preflight(anybody: &Client, origin: &str) -> Answer {
    let asked = anybody.with("origin", origin).with("access-control-request-method", "POST");
    let asked = asked.with("access-control-request-headers", "content-type,idempotency-key");
    asked.send(Method::OPTIONS, "/signals", "").await
}

#[tokio::test]
async fn pages_may_ask_for_handles_that_list_their_origin() {
    let (world, anybody) = ruled_by(json!([]), |_| {}).await;
    let shop = anybody.with("origin", SHOP);
    // None is listed at first. A server, which names no origin, is not refused.
    let refused = shop.post("/resolve", &question("s")).await;
    refused.expect_problem(403, "origin_not_allowed");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    anybody.post("/resolve", &question("s")).await.expect(StatusCode::OK);
    assert_eq!(preflight(&anybody, SHOP).await.header("access-control-allow-origin"), None);

    let owner = world.owner();
    assert_eq!(owner.get("/context-origins").await.expect(StatusCode::OK).json(), json!({ "origins": [] }));
    let listed = json!({ "origins": ["https://shop.example.com", "http://localhost:3000"] });
    let put = owner.put("/context-origins", &listed).await;
    let sorted = json!({ "origins": ["http://localhost:3000", "https://shop.example.com"] });
    assert_eq!(put.expect(StatusCode::OK).json(), sorted);
    let told = preflight(&anybody, SHOP).await;
    assert!(told.status.is_success() && told.text.is_empty(), "{told:?}");
    assert_eq!(told.header("access-control-allow-origin"), Some(SHOP));
    assert_eq!(told.header("access-control-allow-methods"), Some("POST"));
    assert!(told.header("access-control-allow-headers").is_some_and(|all| all.contains("idempotency-key")));
    assert_eq!(told.header("access-control-max-age"), Some("600"));
    assert_eq!(told.header("access-control-allow-credentials"), None);
    let answer = shop.post("/signals", &views("s", 1)).await;
    assert_eq!(answer.expect(StatusCode::ACCEPTED).header("access-control-allow-origin"), Some(SHOP));
    assert!(answer.header("vary").is_some_and(|vary| vary.to_lowercase().contains("origin")));
    // What is wrong may be read by the page, too.
    let wrong = shop.post("/signals", &json!({})).await;
    wrong.expect_problem(400, "validation_error");
    assert_eq!(wrong.header("access-control-allow-origin"), Some(SHOP));

    // A page of somebody's is no page of everybody's.
    world.person("beta", "OWNER").publish("a").await;
    let other = json!({ "handle": "beta", "sessionId": "s", "trigger": "t" });
    shop.post("/resolve", &other).await.expect_problem(403, "origin_not_allowed");
    for origin in
        ["https://evil.example.com", "http://shop.example.com", "https://shop.example.com:8443", "null"]
    {
        let evil = anybody.with("origin", origin).post("/resolve", &question("s")).await;
        evil.expect_problem(403, "origin_not_allowed");
        assert_eq!(preflight(&anybody, origin).await.header("access-control-allow-origin"), None, "{origin}");
    }
    owner.put("/context-origins", &json!({ "origins": ["*"] })).await.expect(StatusCode::OK);
    anybody
        .with("origin", "https://evil.example.com")
        .post("/resolve", &question("s"))
        .await
        .expect(StatusCode::OK);
    assert_eq!(owner.get("/context-origins").await.json(), json!({ "origins": ["*"] }));
}

#[tokio::test]
async fn a_page_that_is_not_listed_is_refused_at_every_public_door() {
    let (world, anybody) = ruled_by(json!([rule("a", &json!({}))]), |_| {}).await;
    let owner = world.owner();
    owner.put("/context-origins", &json!({ "origins": [SHOP] })).await.expect(StatusCode::OK);
    let ahead = json!({ "handle": "acme", "sessionId": "s", "triggers": ["checkout"] });
    for (path, body) in [("/signals", views("s", 1)), ("/resolve", question("s")), ("/prefetch", ahead)] {
        let evil = anybody.with("origin", "https://evil.example.com").post(path, &body).await;
        evil.expect_problem(403, "origin_not_allowed");
        assert_eq!(evil.header("access-control-allow-origin"), None, "{path}");
        let listed = anybody.with("origin", SHOP).post(path, &body).await;
        assert!(listed.status.is_success(), "{path}: {}", listed.text);
    }
    assert_eq!(owner.get("/chain/s").await.json()["sequence"], 1);
}

#[tokio::test]
async fn origins_are_listed_as_browsers_write_them() {
    let world = World::start().await;
    let owner = world.owner();
    let many: Vec<String> = (0..51).map(|n| format!("https://a{n}.example")).collect();
    let cases = [
        (json!({}), "origins"),
        (json!({ "origins": ["https://a.example", "https://a.example/"] }), "origins[1]"),
        (json!({ "origins": ["http://a.example"] }), "origins[0]"),
        (json!({ "origins": ["https://*.a.example"] }), "origins[0]"),
        (json!({ "origins": ["https://a.example", "https://a.example"] }), "origins[1]"),
        (json!({ "origins": ["*", "https://a.example"] }), "origins"),
        (json!({ "origins": many }), "origins"),
    ];
    for (body, field) in cases {
        expect_fault(&owner.put("/context-origins", &body).await, "invalid_origins", &[field]);
    }
    // Rules and origins are replaced each for itself.
    owner.put("/context-origins", &json!({ "origins": [SHOP] })).await.expect(StatusCode::OK);
    owner.put("/chain/rules", &json!({ "rules": [rule("a", &json!({}))] })).await.expect(StatusCode::OK);
    assert_eq!(owner.get("/context-origins").await.json(), json!({ "origins": [SHOP] }));
    owner.put("/context-origins", &json!({ "origins": [] })).await.expect(StatusCode::OK);
    assert_eq!(owner.get("/chain/rules").await.json()["rules"][0]["ruleId"], "a");
}

#[tokio::test]
async fn appending_costs_a_plan_a_write_and_deciding_does_not() {
    let world = World::start().await;
    let declared = world.admin().post("/handles", &json!({ "handle": "acme", "plan": "free" })).await;
    declared.expect(StatusCode::CREATED);
    let creator = world.person("acme", "CREATOR");
    for _ in 0..2 {
        creator.post("/chain/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
    }
    let refused = creator.post("/chain/signals", &views("s", 1)).await;
    assert_eq!(refused.expect_problem(429, "rate_limited").json()["plan"], "free");
    creator.post("/chain/resolve", &question("s")).await.expect(StatusCode::OK);
    // What anybody may do costs nothing.
    let anybody = world.nobody().at("/v2/public/chain");
    anybody.post("/signals", &views("s", 1)).await.expect(StatusCode::ACCEPTED);
}
