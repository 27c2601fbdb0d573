//! Mails to those who did not ask for them: how few there are, whoever tries (security, row 79).

use std::sync::Arc;
use std::time::Duration;

use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use http::StatusCode;
use serde_json::json;

use crate::clock::HandClock;
use crate::credentials::{in_seconds, signed};
use crate::emails::{EMAILS, both, confirmed, delivery_when, hand_mails_to, link, standing_when};
use crate::mail_server::{MailServer, Manners};
use crate::receiver::Receiver;
use crate::world::{World, eventually, id_of};

const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

#[tokio::test]
async fn a_question_is_not_replayed_one_by_one_or_by_the_hundred() {
    let (world, server) = both().await;
    let owner = world.owner();
    owner.ask("anna@example.com", &["*"]).await.expect(StatusCode::CREATED);
    let asked = delivery_when(&owner, "?eventType=email.confirmation", "delivered").await;
    let id = asked["deliveryId"].as_str().expect("an id");
    let replayed = owner.post(&format!("/deliveries/{id}/replay"), &json!({})).await;
    replayed.expect_problem(409, "conflict");
    assert!(replayed.text.contains("email.confirmation"), "{}", replayed.text);
    let wish = json!({ "filter": { "eventType": "email.confirmation", "status": ["delivered"] } });
    let job = owner.post("/replays", &wish).await;
    let path =
        format!("/replays/{}", job.expect(StatusCode::ACCEPTED).json()["replayId"].as_str().expect("an id"));
    let done = eventually(|| async {
        let job = owner.get(&path).await.json();
        (job["status"] == "completed").then_some(job)
    })
    .await;
    assert_eq!((&done["replayed"], &done["skipped"]), (&json!(0), &json!(1)));
    assert_eq!(server.arrived().len(), 1);
}

#[tokio::test]
async fn a_mail_is_replayed_to_the_address_that_confirmed() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (_, question) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    owner.publish("order.paid").await;
    let sent = delivery_when(&owner, "?eventType=order.paid", "delivered").await;
    let way_out = link(&server.arrived_when(2).await[1], "unsubscribe");
    let replay = format!("/deliveries/{}/replay", sent["deliveryId"].as_str().expect("an id"));
    owner.post(&replay, &json!({ "to": "original" })).await.expect(StatusCode::ACCEPTED);
    assert_eq!(server.arrived_when(3).await[2].to, question.to);

    world.nobody().post_form(&way_out, ONE_CLICK).await.expect(StatusCode::OK);
    for to in ["original", "current"] {
        owner.post(&replay, &json!({ "to": to })).await.expect_problem(409, "conflict");
    }
}

#[tokio::test]
async fn test_mails_to_one_mailbox_are_few_in_an_hour() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    let default = "/notifications/owner-default-email";
    owner.put(default, &json!({ "email": "anna@example.com" })).await.expect(StatusCode::OK);
    server.arrived_when(2).await;
    // Both of the ways to it are counted together.
    let ways = [format!("{EMAILS}/{id}/test"), format!("{default}/test")];
    for n in 0..5 {
        owner.post(&ways[n % 2], &json!({})).await.expect(StatusCode::ACCEPTED);
    }
    for way in &ways {
        let refused = owner.post(way, &json!({})).await;
        refused.expect_problem(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
        assert!((3000..=3600).contains(&wait), "{wait}");
    }
    server.arrived_when(7).await;
    let (other, _) = confirmed(&world, &server, "bob@example.com", &["order.paid"]).await;
    owner.post(&format!("{EMAILS}/{other}/test"), &json!({})).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_handle_sends_few_test_mails_in_an_hour_however_many_mailboxes_it_has() {
    let (world, server) = both().await;
    let owner = world.owner();
    let mut ways = Vec::new();
    for n in 0..5 {
        let email = format!("reader{n}@example.com");
        let (id, _) = confirmed(&world, &server, &email, &["order.paid"]).await;
        ways.push(format!("{EMAILS}/{id}/test"));
    }
    for n in 0..20 {
        owner.post(&ways[n % 4], &json!({})).await.expect(StatusCode::ACCEPTED);
    }
    // The fifth mailbox was sent none yet.
    let refused = owner.post(&ways[4], &json!({})).await;
    refused.expect_problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((3000..=3600).contains(&wait), "{wait}");
    server.arrived_when(5 + 20).await;
    let (other, default) = (world.person("globex", "OWNER"), "/notifications/owner-default-email");
    other.put(default, &json!({ "email": "reader4@example.com" })).await.expect(StatusCode::OK);
    other.post(&format!("{default}/test"), &json!({})).await.expect(StatusCode::ACCEPTED);
    assert_eq!(owner.get("/events?type=email.test&limit=100").await.items().len(), 20);
}

#[tokio::test]
async fn test_mails_and_notices_are_not_replayed() {
    let ((world, server), receiver) = (both().await, Receiver::start().await);
    let owner = world.owner();
    let default = "/notifications/owner-default-email";
    owner.put(default, &json!({ "email": "owner@example.com" })).await.expect(StatusCode::OK);
    owner.post(&format!("{default}/test"), &json!({})).await.expect(StatusCode::ACCEPTED);
    receiver.answer(404);
    owner.subscribe(&receiver, "/hook", &["order.paid"]).await;
    owner.publish("order.paid").await;
    for event_type in ["email.owner_default_changed", "email.test", "email.owner_alert"] {
        let sent = delivery_when(&owner, &format!("?eventType={event_type}"), "delivered").await;
        let replay = format!("/deliveries/{}/replay", sent["deliveryId"].as_str().expect("an id"));
        let refused = owner.post(&replay, &json!({})).await;
        refused.expect_problem(409, "conflict");
        assert!(refused.text_of("message").contains(event_type), "{}", refused.text);
    }
    assert_eq!(server.arrived().len(), 3);
    // What a webhook was sent is, so it is the mails that are not.
    receiver.answer(204);
    let dead = owner.deliveries_when("?eventType=order.paid&status=dead", 1).await.remove(0);
    let replay = format!("/deliveries/{}/replay", dead["deliveryId"].as_str().expect("an id"));
    owner.post(&replay, &json!({})).await.expect(StatusCode::ACCEPTED);
    owner.deliveries_when("?eventType=order.paid&status=delivered", 1).await;
}

#[tokio::test]
async fn a_question_that_was_taken_back_keeps_nobody_else_s_from_arriving() {
    let (world, _server) = both().await;
    let owner = world.owner();
    for _ in 0..6 {
        let asked = owner.ask("anna@example.com", &["*"]).await;
        let path = format!("{EMAILS}/{}", id_of(&asked.expect(StatusCode::CREATED).json()));
        owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    }
    let other = world.person("globex", "OWNER");
    let asked = other.ask("anna@example.com", &["*"]).await.expect(StatusCode::CREATED).json();
    let waits = other.deliveries_when("?eventType=email.confirmation&status=pending", 1).await.remove(0);
    let instant = |text: &serde_json::Value| -> angarium_domain::time::Timestamp {
        text.as_str().expect("a time").parse().expect("a time")
    };
    let (put_at, until) = (instant(&waits["nextAttemptAt"]), instant(&asked["confirmUntil"]));
    let created_at = instant(&asked["createdAt"]);
    assert!(put_at.since(created_at).as_secs() <= 3600, "{waits}");
    assert_eq!(until.since(put_at).as_secs(), 72 * 3600, "{asked}");
}

#[tokio::test]
async fn whoever_reads_mails_of_a_suspended_handle_ends_them_all_the_same() {
    let (world, server) = both().await;
    let owner = world.owner();
    confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    owner.publish("order.paid").await;
    let way_out = link(&server.arrived_when(2).await[1], "unsubscribe");
    let suspended = json!({ "suspended": true, "reason": "unpaid since March" });
    world.admin().patch("/handles/acme", &suspended).await.expect(StatusCode::OK);
    world.nobody().post_form(&way_out, ONE_CLICK).await.expect(StatusCode::OK);
    world.admin().patch("/handles/acme", &json!({ "suspended": false })).await.expect(StatusCode::OK);
    assert_eq!(owner.emails().await[0]["status"], "unsubscribed");
}

#[tokio::test]
async fn nobody_publishes_what_angarium_says_of_itself() {
    let (world, _server) = both().await;
    let owner = world.owner();
    let key = world.key_holder("acme", "live", &["events:manage"]).await;
    for event_type in
        ["email.confirmation", "email.owner_default_changed", "webhook.delivery.terminal_failure"]
    {
        let event = json!({ "type": event_type, "payload": { "email": "anna@example.com" } });
        let refused = owner.post("/events", &event).await;
        refused.expect_problem(400, "invalid_type");
        assert_eq!(refused.fields_at_fault(), ["type"]);
        assert!(refused.text.contains(event_type) && refused.text.contains("built in"), "{}", refused.text);
        let batch = owner.post("/events/batch", &json!({ "events": [event] })).await;
        assert_eq!(batch.expect(StatusCode::ACCEPTED).json()["events"][0]["error"], "invalid_type");
        key.post("/events", &event).await.expect_refusal(400, "BAD_REQUEST");
    }
    owner.ask("anna@example.com", &["*"]).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_not_suppressed_is_not_taken_off_the_list() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    let lifted = owner.delete(&format!("{EMAILS}/{id}/suppression")).await;
    assert_eq!(lifted.expect(StatusCode::OK).json()["status"], "active");
    let acts = owner.get("/audit").await.items();
    assert!(acts.iter().all(|act| act["action"] != "email.suppression_lifted"), "{acts:?}");
}

#[tokio::test]
async fn a_bounce_outlives_the_subscription_that_it_came_to() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    owner.put("/notifications/owner-default-email", &json!({ "email": "Anna@example.com" })).await;
    server.arrived_when(2).await;
    server.behave(Manners { recipient: Some("550 5.1.1 no such user"), ..Manners::default() });
    owner.publish("order.paid").await;
    standing_when(&owner, "suppressed").await;
    server.behave(Manners::default());

    // The alert of it is for the other subscription of the mailbox, which is sent nothing and says so.
    let dead = delivery_when(&owner, "?eventType=email.owner_alert", "dead").await;
    assert_eq!(dead["reason"], "suppressed");
    let default = owner.get("/notifications").await.json()["ownerDefaultEmail"].clone();
    assert_eq!(default["status"], "suppressed");

    owner.delete(&format!("{EMAILS}/{id}")).await.expect(StatusCode::NO_CONTENT);
    let again = owner.ask("ANNA@example.com", &["order.paid"]).await.expect(StatusCode::CREATED).json();
    assert_eq!(again["status"], "suppressed");
    let id = id_of(&again);
    assert_eq!(owner.deliveries("?eventType=email.confirmation&status=pending").await.len(), 0);
    let lifted = owner.delete(&format!("{EMAILS}/{id}/suppression")).await;
    assert_eq!(lifted.expect(StatusCode::OK).json()["status"], "pending_confirmation");
    let acts = owner.get("/audit").await.items();
    assert!(acts.iter().any(|act| act["action"] == "email.suppression_lifted"), "{acts:?}");
    owner.ask("anna@example.com", &["order.paid"]).await.expect(StatusCode::CREATED);
    owner.deliveries_when("?eventType=email.confirmation&status=pending", 1).await;
    assert_eq!(server.arrived().len(), 2, "nothing was sent to it meanwhile");
}

#[tokio::test]
async fn whoever_ended_their_mails_is_asked_once_and_then_left_alone() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    owner.publish("order.paid").await;
    let way_out = link(&server.arrived_when(2).await[1], "unsubscribe");
    world.nobody().post_form(&way_out, ONE_CLICK).await.expect(StatusCode::OK);
    owner.delete(&format!("{EMAILS}/{id}")).await.expect(StatusCode::NO_CONTENT);
    let again = owner.ask("anna@example.com", &["order.paid"]).await.expect(StatusCode::CREATED).json();
    owner.delete(&format!("{EMAILS}/{}", id_of(&again))).await.expect(StatusCode::NO_CONTENT);
    let refused = owner.ask("anna@example.com", &["order.paid"]).await;
    refused.expect_problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!(wait > 29 * 86_400, "{wait}");
    // Nor is it named without a question.
    let named =
        owner.put("/notifications/owner-default-email", &json!({ "email": "anna@example.com" })).await;
    named.expect_problem(429, "rate_limited");
    world.person("globex", "OWNER").ask("anna@example.com", &["*"]).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn consent_is_to_the_words_that_were_read() {
    let (world, server) = both().await;
    let (owner, nobody) = (world.owner(), world.nobody());
    owner.ask("anna@example.com", &["order.refunded"]).await.expect(StatusCode::CREATED);
    let page = link(&server.arrived_when(1).await[0], "confirm");
    let form_of = |html: &str| {
        let read = html.split("name=\"read\" value=\"").nth(1).expect("what was read");
        format!("confirm=yes&read={}", read.split('"').next().expect("a digest"))
    };
    let narrow = form_of(&nobody.get(&page).await.text);
    owner.ask("anna@example.com", &["*"]).await.expect(StatusCode::CREATED);
    let again = nobody.post_form(&page, &narrow).await;
    assert!(again.expect(StatusCode::OK).text.contains("Yes, I want that"), "{}", again.text);
    assert_eq!(owner.emails().await[0]["status"], "pending_confirmation");
    nobody.post_form(&page, "").await.expect_problem(400, "invalid_payload");
    nobody.post_form(&page, &form_of(&again.text)).await.expect(StatusCode::OK);
    assert_eq!(owner.emails().await[0]["status"], "active");
    // What was read matters as long as it is not decided.
    assert!(nobody.post_form(&page, &narrow).await.text.contains("Confirmed"));
}

#[tokio::test]
async fn a_link_that_asks_for_consent_has_expired_after_three_days() {
    let server = MailServer::start(Manners::default()).await;
    let clock = Arc::new(HandClock::at(SystemClock.now()));
    let world = World::at(clock.clone(), |settings| hand_mails_to(&server, settings)).await;
    let claims = json!({ "sub": "tester", "exp": in_seconds(30 * 86_400), "handles": { "acme": "OWNER" } });
    let (nobody, owner) = (world.nobody(), world.nobody().at("/v2/handles/acme").bearing(signed(&claims)));
    owner.ask("anna@example.com", &["order.paid"]).await.expect(StatusCode::CREATED);
    let page = link(&server.arrived_when(1).await[0], "confirm");
    clock.advance(Duration::from_secs(72 * 3600 - 1));
    let open = nobody.get(&page).await;
    assert!(open.expect(StatusCode::OK).text.contains("Yes, I want that"), "{}", open.text);

    clock.advance(Duration::from_secs(1));
    for late in [nobody.get(&page).await, nobody.post_form(&page, "confirm=yes").await] {
        let told = &late.expect(StatusCode::OK).text;
        assert!(told.contains("This link has expired") && !told.contains("Yes, I want that"), "{told}");
    }
    assert_eq!(owner.emails().await[0]["status"], "pending_confirmation");
    // Whoever is asked again has a link that is good.
    owner.ask("anna@example.com", &["order.paid"]).await.expect(StatusCode::CREATED);
    let page = link(&server.arrived_when(2).await[1], "confirm");
    nobody.post_form(&page, "confirm=yes").await.expect(StatusCode::OK);
    assert_eq!(owner.emails().await[0]["status"], "active");
}

#[tokio::test]
async fn whoever_never_answered_gives_their_place_to_somebody_else() {
    let server = MailServer::start(Manners::default()).await;
    let clock = Arc::new(HandClock::at(SystemClock.now()));
    let world = World::at(clock.clone(), |settings| hand_mails_to(&server, settings)).await;
    let claims = json!({ "sub": "tester", "exp": in_seconds(30 * 86_400), "handles": { "acme": "OWNER" } });
    let owner = world.nobody().at("/v2/handles/acme").bearing(signed(&claims));
    // A typing error, which bounces at once.
    server.behave(Manners { recipient: Some("550 5.1.1 no such user"), ..Manners::default() });
    owner.ask("typo@example.com", &["a"]).await.expect(StatusCode::CREATED);
    standing_when(&owner, "suppressed").await;
    server.behave(Manners::default());
    for number in 1..50 {
        if number % 20 == 0 {
            clock.advance(Duration::from_mins(61));
        }
        owner.ask(&format!("r{number}@example.com"), &["a"]).await.expect(StatusCode::CREATED);
    }
    clock.advance(Duration::from_mins(61));
    let refused = owner.ask("late@example.com", &["a"]).await;
    refused.expect_problem(409, "conflict");
    assert!(refused.text.contains("50"), "{}", refused.text);

    // The first twenty can answer no more; the others can, for an hour or two.
    clock.advance(Duration::from_hours(70));
    owner.ask("late@example.com", &["a"]).await.expect(StatusCode::CREATED);
    let shown = owner.emails().await;
    assert_eq!(shown.len(), 50);
    let is_there = |email: &str| shown.iter().any(|one| one["email"] == email);
    assert!(is_there("late@example.com") && is_there("r1@example.com") && !is_there("typo@example.com"));
    let acts = owner.get("/audit?action=email.lapsed").await.items();
    assert_eq!(acts.len(), 1);
    // That it bounced is not forgotten with it.
    let again = owner.ask("typo@example.com", &["a"]).await.expect(StatusCode::CREATED).json();
    assert_eq!(again["status"], "suppressed");
    // Whoever is asked again needs no other place.
    owner.ask("r1@example.com", &["b"]).await.expect(StatusCode::CREATED);
    assert_eq!(owner.emails().await.len(), 50);
}
