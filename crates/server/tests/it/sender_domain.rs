//! What the notification settings say of the domain that mails come from, by a DNS of the test's own.

use std::sync::Arc;

use angarium_channels::egress::{LookUp, ResolveError};
use angarium_domain::sender_domain::RecordType;
use angarium_server::settings::EmailTransport;
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{World, eventually};

const SETTINGS: &str = "/notification-settings";
const SPF: &str = "v=spf1 include:_spf.relay.example ~all";

/// The same answers to everybody.
enum Zone {
    /// With an SPF record as it should be, and without DMARC.
    Half,
    /// Everything is there.
    Whole,
    /// Never answers.
    Silent,
}

#[async_trait]
impl LookUp for Zone {
    async fn look_up(&self, name: &str, _: RecordType) -> Result<Vec<String>, ResolveError> {
        match (self, name) {
            (Zone::Silent, _) => std::future::pending().await,
            (_, "mail.example") => Ok(vec!["site-verification=x".to_owned(), SPF.to_owned()]),
            (Zone::Whole, "_dmarc.mail.example") => Ok(vec!["v=DMARC1; p=reject".to_owned()]),
            (_, _) => Err(ResolveError::NoAddress),
        }
    }
}

async fn world(zone: Zone) -> (World, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let world = World::looking_up_by(Arc::new(zone), |settings| {
        settings.email.transport = EmailTransport::Folder;
        settings.email.folder = Some(path);
        settings.email.from = Some("Angarium <events@mail.example>".to_owned());
        settings.email.spf_include = Some("_spf.relay.example".to_owned());
        settings.listen.public_url = Some("https://events.example.com".to_owned());
    })
    .await;
    (world, folder)
}

/// The settings once somebody has looked.
async fn looked_at(world: &World) -> Value {
    eventually(|| async {
        let shown = world.owner().get(SETTINGS).await.expect(StatusCode::OK).json();
        (!shown["senderDomainCheckedAt"].is_null()).then_some(shown)
    })
    .await
}

#[tokio::test]
async fn the_settings_say_what_the_dns_says_and_what_to_set() {
    let (world, _folder) = world(Zone::Half).await;
    let shown = looked_at(&world).await;
    assert_eq!(
        (&shown["senderDomain"], &shown["senderDomainStatus"]),
        (&json!("mail.example"), &json!("pending"))
    );
    assert_eq!(
        shown["senderDomainRecords"],
        json!([
            { "name": "mail.example", "type": "TXT", "expected": SPF, "found": [SPF], "state": "verified" },
            {
                "name": "_dmarc.mail.example", "type": "TXT", "expected": "v=DMARC1; p=none",
                "found": [], "state": "pending"
            },
        ])
    );
    let figures = world.nobody().get("/metrics").await.text;
    assert!(figures.contains("angarium_sender_domain_records{state=\"pending\"} 1"), "{figures}");
}

#[tokio::test]
async fn nobody_waits_for_the_dns_and_the_records_are_shown_without_it() {
    let (world, _folder) = world(Zone::Silent).await;
    let shown = world.owner().get(SETTINGS).await.expect(StatusCode::OK).json();
    let status = shown["senderDomainStatus"].as_str().expect("a word");
    assert!(["pending", "temporarily_failed"].contains(&status), "{shown}");
    assert_eq!(shown["senderDomainRecords"][1]["expected"], "v=DMARC1; p=none");
}

#[tokio::test]
async fn what_get_answers_can_be_changed_and_put() {
    let (world, _folder) = world(Zone::Whole).await;
    let owner = world.owner();
    let email = json!({ "email": "owner@example.com" });
    owner.put("/notifications/owner-default-email", &email).await.expect(StatusCode::OK);
    let mut shown = looked_at(&world).await;
    assert_eq!(
        (&shown["senderDomainStatus"], &shown["notificationEmail"]),
        (&json!("verified"), &email["email"])
    );
    shown["alertIntervalSeconds"] = json!(1200);
    // The DNS may have been looked at again meanwhile.
    shown["senderDomainStatus"] = json!("temporarily_failed");
    let put = owner.put(SETTINGS, &shown).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&put["alertIntervalSeconds"], &put["senderDomainStatus"]),
        (&json!(1200), &json!("verified"))
    );

    for (field, value) in [
        ("senderDomain", json!("other.example")),
        ("senderDomain", Value::Null),
        ("senderDomainStatus", json!("splendid")),
        ("senderDomainCheckedAt", json!("yesterday")),
        ("senderDomainRecords", json!(["a record"])),
        ("notificationEmail", json!("somebody.else@example.com")),
        ("notificationEmail", Value::Null),
    ] {
        let mut changed = shown.clone();
        changed[field] = value;
        owner.put(SETTINGS, &changed).await.expect_problem(400, &format!("invalid_{field}"));
    }
    assert_eq!(owner.get(SETTINGS).await.json(), put);
}
