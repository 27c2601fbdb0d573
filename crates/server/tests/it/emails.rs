//! E-mail: consent, mails, their end, and mailboxes that do not receive, over real SMTP.

use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_server::settings::{EmailEncryption, EmailTransport, Settings};
use angarium_store::memory::MemoryStore;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::log::Pages;
use crate::mail_server::{Arrived, End, MailServer, Manners};
use crate::world::{World, eventually, id_of};

pub(crate) const EMAILS: &str = "/notifications/email-subscriptions";

/// A service that hands its mails to a server on loopback.
pub(crate) async fn world(server: &MailServer) -> World {
    World::with(|settings| hand_mails_to(server, settings)).await
}

/// Settings with which mails are handed to a server on loopback.
pub(crate) fn hand_mails_to(server: &MailServer, settings: &mut Settings) {
    settings.email.transport = EmailTransport::Smtp;
    settings.listen.public_url = Some("https://events.example.com".to_owned());
    settings.email.from = Some("Angarium <events@mail.example>".to_owned());
    settings.email.host = Some("127.0.0.1".to_owned());
    settings.email.port = server.address.port().into();
    settings.email.encryption = EmailEncryption::None;
}

pub(crate) async fn both() -> (World, MailServer) {
    let server = MailServer::start(Manners::default()).await;
    (world(&server).await, server)
}

/// The mail as people read it, without what its transfer added.
pub(crate) fn plain(mail: &Arrived) -> String {
    mail.text.replace("=\r\n", "").replace("=3D", "=")
}

/// The link to a page of this name in a mail.
#[track_caller]
pub(crate) fn link(mail: &Arrived, page: &str) -> String {
    let text = plain(mail);
    let start = format!("https://events.example.com/{page}/");
    let at = text.find(&start).unwrap_or_else(|| panic!("no link to {page} in\n{text}"));
    let token =
        text[at + start.len()..].split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    format!("/{page}/{}", token.into_iter().next().expect("a token"))
}

#[track_caller]
pub(crate) fn header(mail: &Arrived, name: &str) -> String {
    let head = mail.text.split("\r\n\r\n").next().expect("a head").replace("\r\n ", " ");
    let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in\n{}", mail.text))
}

impl Client {
    pub(crate) async fn ask(&self, email: &str, event_types: &[&str]) -> Answer {
        self.post(EMAILS, &json!({ "email": email, "eventTypes": event_types })).await
    }

    pub(crate) async fn post_form(&self, path: &str, form: &str) -> Answer {
        self.send(Method::POST, path, form.to_owned()).await
    }

    pub(crate) async fn emails(&self) -> Vec<Value> {
        let answer = self.get("/notifications").await.expect(StatusCode::OK).json();
        answer["emailSubscriptions"].as_array().expect("a list").clone()
    }
}

/// Somebody who has confirmed, and the mail that asked them.
pub(crate) async fn confirmed(
    world: &World,
    server: &MailServer,
    email: &str,
    event_types: &[&str],
) -> (String, Arrived) {
    let before = server.arrived().len();
    let id = id_of(&world.owner().ask(email, event_types).await.expect(StatusCode::CREATED).json());
    let mail = server.arrived_when(before + 1).await[before].clone();
    world.nobody().post_form(&link(&mail, "confirm"), "confirm=yes").await.expect(StatusCode::OK);
    (id, mail)
}

/// The only e-mail subscription, once it stands like this.
pub(crate) async fn standing_when(owner: &Client, status: &str) -> Value {
    eventually(|| async { owner.emails().await.into_iter().find(|shown| shown["status"] == status) }).await
}

pub(crate) async fn delivery_when(owner: &Client, query: &str, status: &str) -> Value {
    let query = format!("{query}&status={status}");
    owner.deliveries_when(&query, 1).await.remove(0)
}

#[tokio::test]
async fn whoever_confirms_is_told_and_nobody_before() {
    let (world, server) = both().await;
    let owner = world.owner();
    let asked = owner.ask("Anna@Example.com", &["order.*"]).await;
    let asked = asked.expect(StatusCode::CREATED).json();
    assert!(id_of(&asked).starts_with("ems_"), "{asked}");
    assert_eq!(
        (&asked["email"], &asked["status"]),
        (&json!("Anna@example.com"), &json!("pending_confirmation"))
    );
    assert!(asked["remedy"].as_str().is_some_and(|remedy| remedy.contains("link")), "{asked}");

    let question = server.arrived_when(1).await.remove(0);
    assert_eq!((question.from.as_str(), question.to.as_str()), ("events@mail.example", "Anna@example.com"));
    assert_eq!(header(&question, "Subject"), "Please confirm: e-mails from acme");
    owner.publish("order.early").await;

    // A scanner follows the link.
    let page = world.nobody().get(&link(&question, "confirm")).await;
    page.expect(StatusCode::OK);
    assert!(page.text.contains("Yes, I want that") && page.text.contains("order.*"), "{}", page.text);
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    assert_eq!(owner.emails().await[0]["status"], "pending_confirmation");

    for _ in 0..2 {
        let answer = world.nobody().post_form(&link(&question, "confirm"), "confirm=yes").await;
        assert!(answer.expect(StatusCode::OK).text.contains("Confirmed"), "{}", answer.text);
    }
    let shown = owner.emails().await.remove(0);
    assert_eq!((&shown["status"], &shown["remedy"]), (&json!("active"), &Value::Null));
    assert!(shown["confirmedAt"].is_string());

    let event = owner.publish("order.paid").await;
    let told = server.arrived_when(2).await.remove(1);
    assert_eq!(header(&told, "Subject"), "acme: order.paid");
    assert_eq!(header(&told, "List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    let delivery = delivery_when(&owner, &format!("?eventId={event}"), "delivered").await;
    assert_eq!(delivery["lastStatus"], 250);
    let id = delivery["deliveryId"].as_str().expect("an id");
    assert_eq!(header(&told, "Message-ID"), format!("<{id}@mail.example>"));
    assert!(!plain(&told).contains("/v2/"), "a reader has no credential for the log: {}", told.text);
    assert_eq!(server.arrived().len(), 2, "what was published before they confirmed was not sent");
}

#[tokio::test]
async fn what_a_type_means_is_the_subject() {
    let (world, server) = both().await;
    let owner = world.owner();
    owner.put("/event-types/order.paid", &json!({ "description": "An order was paid." })).await;
    confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    owner.publish("order.paid").await;
    assert_eq!(header(&server.arrived_when(2).await[1], "Subject"), "acme: An order was paid");
}

#[tokio::test]
async fn only_one_address_that_can_be_no_other_is_taken() {
    let (world, _server) = both().await;
    for email in [
        "",
        "anna",
        "a@b\r\nBcc: x@example.com",
        "Anna <anna@example.com>",
        "a@example.com,b@example.com",
        "anna@аррӏе.com",
        "\"a b\"@example.com",
        "a@localhost",
    ] {
        let answer = world.owner().ask(email, &["*"]).await;
        answer.expect_problem(400, "invalid_email");
    }
    let answer = world.owner().post(EMAILS, &json!({ "eventTypes": [] })).await;
    answer.expect_problem(400, "validation_error");
    assert_eq!(answer.fields_at_fault(), ["email", "eventTypes"]);
}

#[tokio::test]
async fn an_address_that_receives_mails_already_is_not_asked_again_and_its_id_is_named() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    let refused = owner.ask("ANNA@example.com", &["order.*"]).await;
    refused.expect_problem(409, "conflict");
    assert!(refused.text_of("message").contains(&id), "{}", refused.text);
    let shown = owner.emails().await;
    assert_eq!((shown.len(), &shown[0]["eventTypes"]), (1, &json!(["order.paid"])));
    assert_eq!(server.arrived().len(), 1);
}

#[tokio::test]
async fn an_address_is_asked_once_an_hour_however_often_somebody_asks() {
    let (world, server) = both().await;
    let owner = world.owner();
    let first = owner.ask("anna@example.com", &["order.paid"]).await.expect(StatusCode::CREATED).json();
    for _ in 0..5 {
        let again = owner.ask("ANNA@example.com", &["order.*"]).await.expect(StatusCode::CREATED).json();
        assert_eq!(id_of(&again), id_of(&first));
        assert_eq!(again["eventTypes"], json!(["order.*"]));
    }
    let question = server.arrived_when(1).await.remove(0);
    // Neither removal nor another handle is a way around.
    let path = format!("{EMAILS}/{}", id_of(&first));
    owner.delete(&path).await.expect(StatusCode::NO_CONTENT);
    world.nobody().get(&link(&question, "confirm")).await.expect_problem(404, "not_found");
    owner.ask("anna@example.com", &["*"]).await.expect(StatusCode::CREATED);
    let other = world.person("globex", "OWNER");
    other.ask("anna@example.com", &["*"]).await.expect(StatusCode::CREATED);
    other.ask("bob@example.com", &["*"]).await.expect(StatusCode::CREATED);
    let mails = server.arrived_when(2).await;
    assert_eq!(
        mails.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(),
        ["anna@example.com", "bob@example.com"]
    );
    let waiting = owner.deliveries_when("?status=pending", 1).await;
    assert!(waiting[0]["nextAttemptAt"].is_string(), "{}", waiting[0]);
}

#[tokio::test]
async fn strangers_cannot_be_asked_by_the_thousand() {
    let (world, server) = both().await;
    for n in 0..20 {
        world.owner().ask(&format!("a{n}@example.com"), &["*"]).await.expect(StatusCode::CREATED);
    }
    let refused = world.owner().ask("one-more@example.com", &["*"]).await;
    refused.expect_problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((3000..=3600).contains(&wait), "{wait}");
    server.arrived_when(20).await;
    world.person("globex", "OWNER").ask("b@example.com", &["*"]).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn one_click_ends_it_and_nothing_less_does() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["*"]).await;
    owner.publish("order.paid").await;
    let mail = server.arrived_when(2).await.remove(1);
    let way_out = link(&mail, "unsubscribe");
    assert_eq!(header(&mail, "List-Unsubscribe"), format!("<https://events.example.com{way_out}>"));

    let nobody = world.nobody();
    nobody.get(&way_out).await.expect(StatusCode::OK);
    nobody.post_form(&way_out, "").await.expect_problem(400, "invalid_payload");
    nobody.post_form(&way_out, "x=y").await.expect_problem(400, "invalid_payload");
    let forged = format!("{}A", &way_out[..way_out.len() - 1]);
    if forged != way_out {
        nobody.post_form(&forged, "List-Unsubscribe=One-Click").await.expect_problem(404, "not_found");
    }
    nobody
        .post_form("/unsubscribe/AAAA", "List-Unsubscribe=One-Click")
        .await
        .expect_problem(404, "not_found");
    let question = way_out.replace("/unsubscribe/", "/confirm/");
    nobody.post_form(&question, "confirm=yes").await.expect_problem(404, "not_found");
    assert_eq!(owner.emails().await[0]["status"], "active");

    for _ in 0..2 {
        nobody.post_form(&way_out, "List-Unsubscribe=One-Click").await.expect(StatusCode::OK);
    }
    assert_eq!(owner.emails().await[0]["status"], "unsubscribed");
    owner.publish("order.paid").await;
    let test = owner.post(&format!("{EMAILS}/{id}/test"), &json!({})).await;
    test.expect_problem(409, "subscription_not_confirmed");
    assert_eq!(server.arrived().len(), 2);
    let acts: Vec<_> = owner.get("/audit").await.items().iter().map(|act| act["action"].clone()).collect();
    for act in ["email.asked", "email.confirmed", "email.unsubscribed"] {
        assert!(acts.contains(&json!(act)), "{acts:?}");
    }
}

#[tokio::test]
async fn what_is_sent_to_a_link_is_a_short_form_that_is_text() {
    let (world, server) = both().await;
    let (owner, nobody) = (world.owner(), world.nobody());
    let form_of = |field: &str, bytes: usize| format!("{field}&x={}", "x".repeat(bytes - field.len() - 3));
    let refuses = async |page: &str, field: &str| {
        let large = nobody.post_form(page, &form_of(field, 4 * 1024 + 1)).await;
        large.expect_problem(413, "payload_too_large");
        let no_text = [field.as_bytes(), b"&x=\xff".as_slice()].concat();
        let odd = nobody.send(Method::POST, page, no_text).await;
        odd.expect_problem(400, "invalid_payload");
        assert!(odd.text_of("message").contains("UTF-8"), "{}", odd.text);
    };
    owner.ask("anna@example.com", &["order.paid"]).await.expect(StatusCode::CREATED);
    let question = link(&server.arrived_when(1).await[0], "confirm");
    refuses(&question, "confirm=yes").await;
    assert_eq!(owner.emails().await[0]["status"], "pending_confirmation");
    nobody.post_form(&question, &form_of("confirm=yes", 4 * 1024)).await.expect(StatusCode::OK);
    assert_eq!(owner.emails().await[0]["status"], "active");

    owner.publish("order.paid").await;
    let way_out = link(&server.arrived_when(2).await[1], "unsubscribe");
    refuses(&way_out, "List-Unsubscribe=One-Click").await;
    assert_eq!(owner.emails().await[0]["status"], "active");
    nobody.post_form(&way_out, &form_of("List-Unsubscribe=One-Click", 4 * 1024)).await.expect(StatusCode::OK);
    assert_eq!(owner.emails().await[0]["status"], "unsubscribed");
}

#[tokio::test]
async fn a_mailbox_ends_the_mails_of_its_own_reader_also_with_a_form_in_parts() {
    let (world, server) = both().await;
    let owner = world.owner();
    for email in ["anna@example.com", "bob@example.com"] {
        confirmed(&world, &server, email, &["order.paid"]).await;
    }
    owner.publish("order.paid").await;
    let mails = server.arrived_when(4).await;
    let to_anna = mails[2..].iter().find(|mail| mail.to == "anna@example.com").expect("a mail");
    let mailbox = world.nobody().with("content-type", "multipart/form-data; boundary=part");
    let form = "--part\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--part--\r\n";
    mailbox.post_form(&link(to_anna, "unsubscribe"), form).await.expect(StatusCode::OK);
    let shown = owner.emails().await;
    for (email, status) in [("anna@example.com", "unsubscribed"), ("bob@example.com", "active")] {
        let found = shown.iter().find(|one| one["email"] == email).expect("it is shown");
        assert_eq!(found["status"], status, "{email}");
    }
    let event = owner.publish("order.paid").await;
    delivery_when(&owner, &format!("?eventId={event}"), "delivered").await;
    assert_eq!(server.arrived_when(5).await[4].to, "bob@example.com");
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_is_sent_nothing_more_until_its_owner_says_so() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    server.behave(Manners { recipient: Some("550 5.1.1 no such user"), ..Manners::default() });
    let first = owner.publish("order.paid").await;
    let dead = delivery_when(&owner, &format!("?eventId={first}"), "dead").await;
    assert_eq!((&dead["reason"], &dead["lastStatus"]), (&json!("terminal_status"), &json!(550)));
    let shown = standing_when(&owner, "suppressed").await;
    assert!(shown["remedy"].as_str().is_some_and(|remedy| remedy.contains("suppression list")));

    server.behave(Manners::default());
    let second = owner.publish("order.paid").await;
    let dead = delivery_when(&owner, &format!("?eventId={second}"), "dead").await;
    assert_eq!((&dead["reason"], &dead["lastError"]), (&json!("suppressed"), &json!("suppressed")));
    let test = owner.post(&format!("{EMAILS}/{id}/test"), &json!({})).await;
    test.expect_problem(409, "address_suppressed");
    owner.ask("anna@example.com", &["*"]).await.expect_problem(409, "address_suppressed");
    assert_eq!(server.arrived().len(), 1, "nothing was sent to it");

    let lifted = owner.delete(&format!("{EMAILS}/{id}/suppression")).await;
    assert_eq!(lifted.expect(StatusCode::OK).json()["status"], "active");
    let third = owner.publish("order.paid").await;
    delivery_when(&owner, &format!("?eventId={third}"), "delivered").await;
}

#[tokio::test]
async fn a_full_mailbox_or_a_policy_does_not_suppress() {
    let (world, server) = both().await;
    let owner = world.owner();
    confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    server.behave(Manners { recipient: Some("550 5.7.1 rejected by policy"), ..Manners::default() });
    let event = owner.publish("order.paid").await;
    delivery_when(&owner, &format!("?eventId={event}"), "dead").await;
    standing_when(&owner, "degraded").await;
    server.behave(Manners::default());
    let event = owner.publish("order.paid").await;
    delivery_when(&owner, &format!("?eventId={event}"), "delivered").await;
    standing_when(&owner, "active").await;
}

#[tokio::test]
async fn a_mail_that_may_have_arrived_is_sent_again_under_the_same_name() {
    let (world, server) = both().await;
    let owner = world.owner();
    confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    server.behave(Manners { end: End::Dropped, ..Manners::default() });
    let event = owner.publish("order.paid").await;
    server.arrived_when(2).await;
    server.behave(Manners::default());
    let delivery = delivery_when(&owner, &format!("?eventId={event}"), "delivered").await;
    let id = delivery["deliveryId"].as_str().expect("an id");
    let life = owner.get(&format!("/deliveries/{id}")).await.json();
    assert_eq!(life["attemptLog"][0]["error"], "outcome_unknown");
    let advice = life["attemptLog"][0]["advice"].as_str().expect("advice");
    assert!(advice.contains("may have arrived"), "{advice}");
    let mails = server.arrived();
    assert_eq!(header(&mails[1], "Message-ID"), header(&mails[mails.len() - 1], "Message-ID"));
    let figures = world.nobody().get("/metrics").await.text;
    assert!(figures.contains("outcome=\"outcome_unknown\""), "{figures}");
}

#[tokio::test]
async fn a_relay_that_is_down_is_waited_for() {
    let (world, server) = both().await;
    let owner = world.owner();
    confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    server.behave(Manners { sender: Some("421 4.3.2 shutting down"), ..Manners::default() });
    let event = owner.publish("order.paid").await;
    delivery_when(&owner, &format!("?eventId={event}"), "retrying").await;
    server.behave(Manners::default());
    delivery_when(&owner, &format!("?eventId={event}"), "delivered").await;
}

#[tokio::test]
async fn the_log_tells_of_a_relay_once_when_it_goes_and_once_when_it_is_back() {
    let (_logging, pages) = Pages::begin();
    let (world, server) = both().await;
    let owner = world.owner();
    confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    server.behave(Manners { sender: Some("550 5.7.1 you may not send"), ..Manners::default() });
    let events = [owner.publish("order.paid").await, owner.publish("order.paid").await];
    for event in &events {
        delivery_when(&owner, &format!("?eventId={event}"), "retrying").await;
    }
    server.behave(Manners::default());
    for event in events {
        delivery_when(&owner, &format!("?eventId={event}"), "delivered").await;
    }
    let log = pages.text();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!((lines("the mail server takes no mails"), lines("takes mails again")), (1, 1), "{log}");
    assert!(log.contains("outcome=\"relay_refused\""), "{log}");
    assert_eq!(lines("anna"), 0, "{log}");
}

#[tokio::test]
async fn the_log_names_the_subscription_of_a_mailbox_that_bounced_and_who_is_told() {
    let (_logging, pages) = Pages::begin();
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    server.behave(Manners { recipient: Some("550 5.1.1 no such user"), ..Manners::default() });
    let event = owner.publish("order.paid").await;
    let dead = delivery_when(&owner, &format!("?eventId={event}"), "dead").await;
    let told = "no address is set to tell of deliveries that were given up";
    eventually(|| async { pages.text().contains(told).then_some(()) }).await;
    let log = pages.text();
    let suppressed = log.lines().find(|line| line.contains("a subscription stands otherwise"));
    let suppressed = suppressed.unwrap_or_else(|| panic!("{log}"));
    let delivery = dead["deliveryId"].as_str().expect("an id");
    for part in ["action=subscription.suppressed", "handle=acme", delivery, &id.replace("ems_", "sub_")] {
        assert!(suppressed.contains(part), "no {part} in {suppressed}");
    }
    let warned = log.lines().find(|line| line.contains(told)).expect("found before");
    assert!(warned.contains("WARN") && warned.contains("count=1"), "{warned}");
    assert!(!log.contains("anna"), "{log}");
}

#[tokio::test]
async fn a_test_says_which_mail_it_is() {
    let (world, server) = both().await;
    let owner = world.owner();
    let pending = owner.ask("bob@example.com", &["*"]).await.json();
    let path = format!("{EMAILS}/{}/test", id_of(&pending));
    owner.post(&path, &json!({})).await.expect_problem(409, "subscription_not_confirmed");
    server.arrived_when(1).await;

    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    let path = format!("{EMAILS}/{id}/test");
    let keyed = owner.with("idempotency-key", "once");
    let test = keyed.post(&path, &json!({})).await;
    let message = test.expect(StatusCode::ACCEPTED).text_of("messageId");
    let again = keyed.post(&path, &json!({})).await;
    assert_eq!(
        (again.text_of("messageId"), again.header("idempotent-replayed")),
        (message.clone(), Some("true"))
    );
    let mail = server.arrived_when(3).await.remove(2);
    assert_eq!(header(&mail, "Message-ID"), format!("<{message}@mail.example>"));
    let delivery = owner.get(&format!("/deliveries/{message}")).await.json();
    assert_eq!(delivery["eventType"], "email.test");
}

#[tokio::test]
async fn the_owner_s_address_changes_in_front_of_everybody() {
    let (world, server) = both().await;
    let owner = world.owner();
    let default = "/notifications/owner-default-email";
    let shown = |answer: Value| answer["ownerDefaultEmail"].clone();
    let unset = shown(owner.get("/notifications").await.json());
    assert_eq!((&unset["email"], &unset["status"]), (&Value::Null, &json!("unset")));
    assert!(unset["warning"].as_str().is_some_and(|warning| warning.contains("alerts")), "{unset}");
    let test = owner.post(&format!("{default}/test"), &json!({})).await;
    test.expect_problem(409, "owner_default_email_unset");

    let set = owner.put(default, &json!({ "email": "old@example.com" })).await;
    assert_eq!(
        set.expect(StatusCode::OK).json(),
        json!({ "email": "old@example.com", "status": "active", "warning": null })
    );
    assert_eq!(server.arrived_when(1).await[0].to, "old@example.com");
    owner.put(default, &json!({ "email": "old@example.com" })).await.expect(StatusCode::OK);

    owner.put(default, &json!({ "email": "new@example.com" })).await.expect(StatusCode::OK);
    let mails = server.arrived_when(3).await;
    let mut to: Vec<_> = mails[1..].iter().map(|mail| mail.to.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["new@example.com", "old@example.com"]);
    assert!(mails[1..].iter().all(|mail| plain(mail).contains("old@example.com")));

    let test = owner.post(&format!("{default}/test"), &json!({})).await;
    test.expect(StatusCode::ACCEPTED);
    assert_eq!(server.arrived_when(4).await[3].to, "new@example.com");
    owner.publish("order.paid").await;

    let cleared = owner.put(default, &json!({ "email": null })).await;
    assert_eq!(cleared.expect(StatusCode::OK).json()["status"], "unset");
    assert_eq!(server.arrived_when(5).await[4].to, "new@example.com");
    assert_eq!(owner.emails().await, Vec::<Value>::new());
    for body in [json!({}), json!({ "email": "nobody" }), json!({ "email": 1 })] {
        owner.put(default, &body).await.expect_problem(400, "invalid_email");
    }
}

#[tokio::test]
async fn a_service_without_a_mail_server_takes_no_addresses() {
    let world = World::start().await;
    let owner = world.owner();
    owner.ask("anna@example.com", &["*"]).await.expect_problem(409, "email_not_configured");
    let set = owner.put("/notifications/owner-default-email", &json!({ "email": "a@example.com" })).await;
    set.expect_problem(409, "email_not_configured");
    owner.put("/notifications/owner-default-email", &json!({ "email": null })).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_service_that_has_no_mail_server_any_more_sends_no_test() {
    let (server, store) = (MailServer::start(Manners::default()).await, MemoryStore::new());
    let world = World::on_with(&store, |settings| hand_mails_to(&server, settings)).await;
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.paid"]).await;
    let default = "/notifications/owner-default-email";
    world.owner().put(default, &json!({ "email": "owner@example.com" })).await.expect(StatusCode::OK);
    server.arrived_when(2).await;
    world.service.stop().await;

    let world = World::on(&store).await;
    let owner = world.owner();
    for way in [format!("{EMAILS}/{id}/test"), format!("{default}/test")] {
        owner.post(&way, &json!({})).await.expect_problem(409, "email_not_configured");
    }
    assert!(owner.get("/events?type=email.test").await.items().is_empty());
}

#[tokio::test]
async fn what_belongs_to_another_handle_is_not_there() {
    let (world, server) = both().await;
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["*"]).await;
    let stranger = world.person("globex", "OWNER");
    for id in [id.as_str(), "ems_01arz3ndektsv4rrffq69g5fav"] {
        stranger.delete(&format!("{EMAILS}/{id}")).await.expect_problem(404, "not_found");
        stranger.post(&format!("{EMAILS}/{id}/test"), &json!({})).await.expect_problem(404, "not_found");
        stranger.delete(&format!("{EMAILS}/{id}/suppression")).await.expect_problem(404, "not_found");
    }
    let webhook = id.replace("ems_", "sub_");
    world.owner().get(&format!("/webhooks/{webhook}")).await.expect_problem(404, "not_found");
    let receiver = crate::receiver::Receiver::start().await;
    let webhook = id_of(&world.owner().subscribe(&receiver, "/a", &["never.published"]).await);
    let email = webhook.replace("sub_", "ems_");
    world.owner().delete(&format!("{EMAILS}/{email}")).await.expect_problem(404, "not_found");
    assert_eq!(world.owner().emails().await.len(), 1);
}

/// A time of day so many minutes from now, in UTC.
fn in_minutes(minutes: i64) -> (String, i64) {
    let minute = SystemClock.now().as_millis() / 60_000 + minutes;
    (format!("{:02}:{:02}", minute / 60 % 24, minute % 60), minute * 60)
}

/// Quiet hours of every day that have begun, and when they are over.
fn quiet_now() -> (Value, String) {
    let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let ((from, _), (to, opens_at)) = (in_minutes(-60), in_minutes(120));
    let opens_at = angarium_domain::time::Timestamp::from_seconds(opens_at).to_string();
    (json!([{ "days": days, "from": from, "to": to }]), opens_at)
}

/// Waits until the only mail of an event was put off to a time.
async fn waits_until(owner: &Client, event: &str, time: &str) {
    eventually(|| async {
        let found = owner.deliveries(&format!("?eventId={event}")).await.remove(0);
        (found["nextAttemptAt"] == time && found["attempts"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_can_wait_waits_until_quiet_hours_are_over_and_what_is_critical_does_not() {
    let (world, server) = both().await;
    let owner = world.owner();
    confirmed(&world, &server, "anna@example.com", &["order.*", "payment.*"]).await;
    let (hours, opens_at) = quiet_now();
    let quiet = json!({ "criticalEventTypes": ["payment.*"], "timeZone": "UTC", "quietHours": hours });
    let set = owner.put("/notification-settings", &quiet).await.expect(StatusCode::OK).json();
    assert_eq!(set, owner.get("/notification-settings").await.json());
    assert_eq!((&set["senderDomain"], &set["alertIntervalSeconds"]), (&json!("mail.example"), &json!(900)));

    owner.put("/event-types/order.urgent", &json!({ "critical": true })).await;
    let waiting = owner.publish("order.paid").await;
    waits_until(&owner, &waiting, &opens_at).await;
    for event_type in ["payment.failed", "order.urgent"] {
        let event = owner.publish(event_type).await;
        delivery_when(&owner, &format!("?eventId={event}"), "delivered").await;
    }
    assert_eq!(server.arrived().len(), 3);

    owner.put("/notification-settings", &json!({})).await.expect(StatusCode::OK);
    let event = owner.publish("order.paid").await;
    delivery_when(&owner, &format!("?eventId={event}"), "delivered").await;
}

#[tokio::test]
async fn a_mail_that_waits_is_cancelled_with_its_subscription() {
    let (world, server) = both().await;
    let owner = world.owner();
    let (id, _) = confirmed(&world, &server, "anna@example.com", &["order.*"]).await;
    let (hours, opens_at) = quiet_now();
    let quiet = json!({ "timeZone": "UTC", "quietHours": hours });
    owner.put("/notification-settings", &quiet).await.expect(StatusCode::OK);
    let event = owner.publish("order.paid").await;
    waits_until(&owner, &event, &opens_at).await;
    owner.delete(&format!("{EMAILS}/{id}")).await.expect(StatusCode::NO_CONTENT);
    let ended = delivery_when(&owner, &format!("?eventId={event}"), "cancelled").await;
    assert_eq!((&ended["attempts"], &ended["nextAttemptAt"]), (&json!(0), &Value::Null));
    assert_eq!(server.arrived().len(), 1);
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_field_by_field() {
    let owner = World::start().await.owner();
    let hours = |days: &[&str], from: &str, to: &str| json!({ "quietHours": [{ "days": days, "from": from, "to": to }] });
    let week = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    for (body, code) in [
        (json!({ "alertIntervalSeconds": 1 }), "invalid_alertIntervalSeconds"),
        (json!({ "timeZone": "Mars/Olympus" }), "invalid_timeZone"),
        (json!({ "criticalEventTypes": ["a..b"] }), "invalid_criticalEventTypes"),
        (hours(&[], "22:00", "07:00"), "invalid_quietHours"),
        (hours(&["someday"], "22:00", "07:00"), "invalid_quietHours"),
        (hours(&["monday"], "25:00", "07:00"), "invalid_quietHours"),
        (hours(&week, "00:00", "00:00"), "invalid_quietHours"),
        (json!({ "senderDomain": "example.com" }), "invalid_senderDomain"),
    ] {
        owner.put("/notification-settings", &body).await.expect_problem(400, code);
    }
    let unset = owner.get("/notification-settings").await.expect(StatusCode::OK).json();
    assert_eq!((&unset["senderDomain"], &unset["senderDomainStatus"]), (&Value::Null, &json!("unset")));
}

#[tokio::test]
async fn failures_are_told_to_those_who_asked_and_otherwise_to_the_owner_s_address() {
    let (world, server) = both().await;
    let owner = world.owner();
    let receiver = crate::receiver::Receiver::start().await;
    receiver.answer(404);
    owner.put("/notifications/owner-default-email", &json!({ "email": "owner@example.com" })).await;
    server.arrived_when(1).await;
    owner.subscribe(&receiver, "/one", &["a"]).await;
    owner.publish("a").await;
    let alert = server.arrived_when(2).await.remove(1);
    assert_eq!(alert.to, "owner@example.com");
    assert_eq!(header(&alert, "Subject"), "acme: A delivery was given up (127.0.0.1)");
    assert!(
        plain(&alert).contains("https://events.example.com/v2/handles/acme/deliveries/dlv_"),
        "{}",
        alert.text
    );

    confirmed(&world, &server, "anna@example.com", &["webhook.delivery.terminal_failure"]).await;
    owner.subscribe(&receiver, "/two", &["b"]).await;
    owner.publish("b").await;
    let told = server.arrived_when(4).await.remove(3);
    assert_eq!(told.to, "anna@example.com");
    assert!(!plain(&told).contains("/v2/"), "{}", told.text);
    assert_eq!(server.arrived().len(), 4, "nobody else was told");
}
