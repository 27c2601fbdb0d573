//! The owner's default address: who may end it, and that its end is seen.

use std::sync::Arc;
use std::time::Duration;

use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::clock::HandClock;
use crate::credentials::{claims, in_seconds, signed};
use crate::emails::{both, hand_mails_to, link, plain};
use crate::mail_server::{MailServer, Manners};
use crate::world::{World, eventually};

const DEFAULT: &str = "/notifications/owner-default-email";
const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

impl Client {
    async fn name_default(&self, email: &str) -> Value {
        self.put(DEFAULT, &json!({ "email": email })).await.expect(StatusCode::OK).json()
    }

    async fn default_email(&self) -> Value {
        self.get("/notifications").await.json()["ownerDefaultEmail"].clone()
    }

    async fn has_item(&self, title: &str) -> bool {
        let inbox = self.inbox("").await;
        inbox["items"].as_array().is_some_and(|items| items.iter().any(|item| item["title"] == title))
    }
}

#[tokio::test]
async fn an_address_of_before_ends_nothing_for_the_address_of_now() {
    let (world, server) = both().await;
    let (owner, nobody) = (world.owner(), world.nobody());
    owner.name_default("old@example.com").await;
    let way_out_of_old = link(&server.arrived_when(1).await[0], "unsubscribe");
    owner.name_default("new@example.com").await;
    let mails = server.arrived_when(3).await;
    let to = |address: &str| mails[1..].iter().find(|mail| mail.to == address).expect("a mail");
    assert!(!plain(to("old@example.com")).contains("/unsubscribe/"), "{}", to("old@example.com").text);
    nobody.get(&way_out_of_old).await.expect_problem(404, "not_found");
    nobody.post_form(&way_out_of_old, ONE_CLICK).await.expect_problem(404, "not_found");
    assert_eq!(owner.default_email().await["status"], "active");

    let way_out = link(to("new@example.com"), "unsubscribe");
    nobody.post_form(&way_out, ONE_CLICK).await.expect(StatusCode::OK);
    let shown = owner.default_email().await;
    assert_eq!((&shown["email"], &shown["status"]), (&json!("new@example.com"), &json!("unsubscribed")));
    assert!(shown["warning"].as_str().is_some_and(|warning| warning.contains("no more mails")), "{shown}");
    assert!(owner.has_item("The owner default e-mail was unsubscribed").await);
}

#[tokio::test]
async fn whoever_ended_it_is_asked_before_it_is_the_owner_s_address_again() {
    let (world, server) = both().await;
    let (owner, nobody) = (world.owner(), world.nobody());
    owner.name_default("owner@example.com").await;
    let way_out = link(&server.arrived_when(1).await[0], "unsubscribe");
    nobody.post_form(&way_out, ONE_CLICK).await.expect(StatusCode::OK);

    let asked = owner.name_default("owner@example.com").await;
    assert_eq!(asked["status"], "pending_confirmation");
    assert_eq!(owner.name_default("owner@example.com").await, asked);
    owner
        .post(&format!("{DEFAULT}/test"), &json!({}))
        .await
        .expect_problem(409, "subscription_not_confirmed");
    let question = server.arrived_when(2).await.remove(1);
    assert!(plain(&question).contains("for the owner of acme"), "{}", question.text);
    let page = link(&question, "confirm");
    assert!(nobody.get(&page).await.text.contains("for the owner of acme"));
    nobody.post_form(&page, "confirm=yes").await.expect(StatusCode::OK);
    let shown = owner.default_email().await;
    assert_eq!((&shown["status"], &shown["warning"]), (&json!("active"), &Value::Null));
    owner.post(&format!("{DEFAULT}/test"), &json!({})).await.expect(StatusCode::ACCEPTED);
    assert_eq!(server.arrived_when(3).await[2].to, "owner@example.com");
}

#[tokio::test]
async fn one_that_bounces_is_seen_and_is_taken_off_the_list_by_naming_it_again() {
    let (world, server) = both().await;
    let owner = world.owner();
    owner.name_default("owner@example.com").await;
    server.arrived_when(1).await;
    server.behave(Manners { recipient: Some("550 5.1.1 no such user"), ..Manners::default() });
    owner.post(&format!("{DEFAULT}/test"), &json!({})).await.expect(StatusCode::ACCEPTED);
    let shown = eventually(|| async {
        Some(owner.default_email().await).filter(|shown| shown["status"] == "suppressed")
    })
    .await;
    assert!(shown["warning"].as_str().is_some_and(|warning| warning.contains("reach nobody")), "{shown}");
    assert!(owner.has_item("The owner default e-mail does not receive").await);
    owner.post(&format!("{DEFAULT}/test"), &json!({})).await.expect_problem(409, "address_suppressed");

    server.behave(Manners::default());
    assert_eq!(owner.name_default("owner@example.com").await["status"], "active");
    let acts = owner.get("/audit").await.items();
    assert!(acts.iter().any(|act| act["action"] == "email.suppression_lifted"), "{acts:?}");
    owner.post(&format!("{DEFAULT}/test"), &json!({})).await.expect(StatusCode::ACCEPTED);
    assert_eq!(server.arrived_when(2).await[1].to, "owner@example.com");
}

#[tokio::test]
async fn each_address_hears_of_its_own_change_however_late_the_mails_go_out() {
    let (world, server) = both().await;
    let owner = world.owner();
    server.behave(Manners { sender: Some("421 4.3.2 shutting down"), ..Manners::default() });
    for email in ["a@example.com", "b@example.com", "c@example.com"] {
        owner.name_default(email).await;
    }
    server.behave(Manners::default());
    let mut to: Vec<_> = server.arrived_when(5).await.into_iter().map(|mail| mail.to).collect();
    to.sort_unstable();
    assert_eq!(to, ["a@example.com", "a@example.com", "b@example.com", "b@example.com", "c@example.com"]);
}

#[tokio::test]
async fn it_is_changed_five_times_in_an_hour_and_then_when_the_first_of_them_is_an_hour_old() {
    let server = MailServer::start(Manners::default()).await;
    let clock = Arc::new(HandClock::at(SystemClock.now()));
    let world = World::at(clock.clone(), |settings| hand_mails_to(&server, settings)).await;
    let mut lasting = claims("acme", "OWNER");
    lasting["exp"] = json!(in_seconds(86_400));
    let owner = world.owner().bearing(signed(&lasting));
    owner.name_default("n0@example.com").await;
    clock.advance(Duration::from_mins(10));
    for n in 1..5 {
        owner.name_default(&format!("n{n}@example.com")).await;
    }
    // To take it back would be a change, too; to say it again is none.
    for email in [json!("n5@example.com"), Value::Null] {
        let refused = owner.put(DEFAULT, &json!({ "email": email })).await;
        refused.expect_problem(429, "rate_limited");
        assert_eq!(refused.header("retry-after"), Some("3000"));
    }
    assert_eq!(owner.name_default("n4@example.com").await["status"], "active");
    world.person("globex", "OWNER").name_default("n4@example.com").await;
    // Each of the five was told to the address before and to the new one, and globex's to one.
    assert_eq!(server.arrived_when(1 + 4 * 2 + 1).await.len(), 10);

    clock.advance(Duration::from_secs(2_999));
    let refused = owner.put(DEFAULT, &json!({ "email": "n5@example.com" })).await;
    assert_eq!(refused.expect_problem(429, "rate_limited").header("retry-after"), Some("1"));
    clock.advance(Duration::from_secs(1));
    assert_eq!(owner.name_default("n5@example.com").await["email"], "n5@example.com");
}
