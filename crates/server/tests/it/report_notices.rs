//! Whoever runs the service is told of reports.

use std::sync::Arc;
use std::time::Duration;

use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_server::settings::{HandlesRule, Settings};
use angarium_store::memory::MemoryStore;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::clock::HandClock;
use crate::emails::{hand_mails_to, plain};
use crate::mail_server::{MailServer, Manners};
use crate::receiver::Receiver;
use crate::world::{World, eventually};

const REPORTS: &str = "support.report.received";

fn told_at_ops(settings: &mut Settings) {
    settings.support.handle = Some("ops".parse().expect("a handle"));
}

async fn report(client: &Client, summary: &str) -> String {
    let body = json!({ "summary": summary, "details": "since noon" });
    client.at("/v2/support").post("/report", &body).await.expect(StatusCode::CREATED).text_of("reportId")
}

/// The payloads of the events that tell of reports, newest first, once there are so many.
async fn told(world: &World, count: usize) -> Vec<Value> {
    let ops = world.person("ops", "OWNER");
    let events = eventually(|| async {
        let events = ops.get(&format!("/events?type={REPORTS}")).await.items();
        (events.len() == count).then_some(events)
    })
    .await;
    let mut payloads = Vec::new();
    for event in events {
        let id = event["eventId"].as_str().expect("an id");
        payloads.push(ops.get(&format!("/events/{id}")).await.json()["payload"].take());
    }
    payloads
}

#[tokio::test]
async fn they_are_told_by_mail_and_by_whatever_subscribed() {
    let server = MailServer::start(Manners::default()).await;
    let world = World::with(|settings| {
        hand_mails_to(&server, settings);
        told_at_ops(settings);
    })
    .await;
    let (ops, receiver) = (world.person("ops", "OWNER"), Receiver::start().await);
    let address = json!({ "email": "ops@example.com" });
    ops.put("/notifications/owner-default-email", &address).await.expect(StatusCode::OK);
    server.arrived_when(1).await;
    ops.subscribe(&receiver, "/reports", &[REPORTS]).await;
    // A program that wants everything of another handle hears nothing of it.
    world.owner().subscribe(&receiver, "/other", &["*"]).await;

    let id = report(&world.nobody(), "nothing arrives & <b>nobody</b> answers").await;
    let mail = server.arrived_when(2).await.remove(1);
    let text = plain(&mail);
    assert_eq!(mail.to, "ops@example.com");
    assert!(text.contains("Subject: ops: A report to support by strangers\r\n"), "{text}");
    assert!(text.contains(&format!("https://events.example.com/v2/operator/reports/{id}")), "{text}");
    // What a stranger wrote is text in the one part and no markup in the other.
    assert!(text.contains("nothing arrives & <b>nobody</b> answers"), "{text}");
    assert_eq!(text.matches("<b>").count(), 1, "{text}");
    let arrival = receiver.received(1).await.remove(0).json();
    assert_eq!((&arrival["type"], &arrival["handle"]), (&json!(REPORTS), &json!("ops")));
    let payload = &arrival["payload"];
    assert_eq!((&payload["count"], &payload["latest"]["reportId"]), (&json!(1), &json!(id)));
    assert_eq!((&payload["kind"], &payload["ofStrangers"]), (&json!("support"), &json!(true)));
    ops.expect_described(REPORTS).await;
    // The mail is a delivery like any other, and the inbox says nothing of it.
    ops.deliveries_when(&format!("?eventType={REPORTS}&status=delivered"), 2).await;
    assert_eq!(ops.inbox("").await["items"], json!([]));
    assert_eq!(receiver.count(), 1);

    // Escalations wait for nobody's reports.
    world
        .admin()
        .post("/escalations", &json!({ "summary": "s", "details": "d" }))
        .await
        .expect(StatusCode::CREATED);
    let mail = server.arrived_when(3).await.remove(2);
    assert!(plain(&mail).contains("Subject: ops: An escalation\r\n"), "{}", mail.text);
}

#[tokio::test]
async fn without_an_address_the_inbox_says_it_once() {
    let world = World::with(told_at_ops).await;
    let ops = world.person("ops", "OWNER");
    report(&world.owner(), "one").await;
    told(&world, 1).await;
    let items = ops.inbox("").await["items"].as_array().expect("items").clone();
    assert_eq!((items.len(), &items[0]["title"]), (1, &json!("A report to support")));
    assert!(
        items[0]["body"].as_str().is_some_and(|body| body.contains("No e-mail address is set")),
        "{items:?}"
    );

    let wanted = json!({ "inboxEventTypes": ["support.*"] });
    ops.put("/notification-settings", &wanted).await.expect(StatusCode::OK);
    report(&world.nobody(), "two").await;
    ops.deliveries_when(&format!("?eventType={REPORTS}&status=delivered"), 1).await;
    assert_eq!(ops.inbox("").await["items"].as_array().expect("items").len(), 2);
    let figures = world.nobody().get("/metrics").await.text;
    for line in
        ["angarium_report_notices_total{to=\"inbox\"} 2", "angarium_reports_total{kind=\"support\"} 2"]
    {
        assert!(figures.lines().any(|found| found == line), "{line}\n{figures}");
    }
}

#[tokio::test]
async fn what_comes_within_the_interval_gathers_and_strangers_gather_apart() {
    let clock = Arc::new(HandClock::at(SystemClock.now()));
    let world = World::at(clock.clone(), told_at_ops).await;
    let (known, nobody) = (world.owner(), world.nobody());
    report(&known, "one").await;
    told(&world, 1).await;
    report(&known, "two").await;
    let third = report(&known, "three").await;
    report(&nobody, "mine").await;
    let events = told(&world, 2).await;
    assert_eq!(events[0]["ofStrangers"], json!(true));

    clock.advance(Duration::from_mins(16));
    // Whoever comes then is not of the same sort, and wakes the teller.
    world
        .admin()
        .post("/escalations", &json!({ "summary": "s", "details": "d" }))
        .await
        .expect(StatusCode::CREATED);
    let events = told(&world, 4).await;
    let gathered = events.iter().find(|event| event["count"] == 2).expect("both together");
    let latest = &gathered["latest"];
    assert_eq!((&latest["reportId"], &latest["summary"]), (&json!(third), &json!("three")));
}

#[tokio::test]
async fn what_nobody_could_be_told_of_is_told_once_somebody_can() {
    let store = MemoryStore::new();
    let world = World::on(&store).await;
    let gone = report(&world.nobody(), "one").await;
    report(&world.owner(), "two").await;
    world.admin().delete(&format!("/reports/{gone}")).await.expect(StatusCode::NO_CONTENT);
    drop(world);
    let world = World::on_with(&store, told_at_ops).await;
    let events = told(&world, 2).await;
    let of_strangers = events.iter().find(|event| event["ofStrangers"] == true).expect("one");
    assert_eq!((&of_strangers["count"], &of_strangers["latest"]), (&json!(1), &Value::Null));
    world.person("ops", "OWNER").expect_described(REPORTS).await;
    // It is told once: the next start finds nothing.
    drop(world);
    let world = World::on_with(&store, told_at_ops).await;
    report(&world.nobody(), "three").await;
    world
        .admin()
        .post("/escalations", &json!({ "summary": "s", "details": "d" }))
        .await
        .expect(StatusCode::CREATED);
    let events = told(&world, 3).await;
    assert_eq!((&events[0]["kind"], &events[0]["count"]), (&json!("escalation"), &json!(1)));
}

#[tokio::test]
async fn reports_wait_for_a_handle_that_is_not_there_yet() {
    let world = World::with(|settings| {
        settings.auth.handles = HandlesRule::Declared;
        told_at_ops(settings);
    })
    .await;
    let (nobody, admin) = (world.nobody(), world.admin());
    report(&nobody, "one").await;
    admin.post("/handles", &json!({ "handle": "ops" })).await.expect(StatusCode::CREATED);
    admin.post("/escalations", &json!({ "summary": "s", "details": "d" })).await.expect(StatusCode::CREATED);
    let events = told(&world, 2).await;
    assert!(events.iter().any(|event| event["latest"]["summary"] == "one"), "{events:?}");
}
