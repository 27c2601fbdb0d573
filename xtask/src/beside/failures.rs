//! Deliveries that are given up, and owners who are told of each: one by mail, one in the inbox.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{Findings, QUIET_WITHIN, Stage};
use crate::asker::{Asker, text_of};

/// The shortest interval that there is.
pub(super) const INTERVAL_SECONDS: u64 = 60;

const PAUSE: Duration = Duration::from_millis(150);
const EVENT_TYPE: &str = "order.paid";
const OWNER: &str = "owner@told.example.com";
/// Webhooks of each handle; each is told of by itself.
const WEBHOOKS: usize = 2;

/// A handle whose deliveries end badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Has named an address.
    Told,
    /// Has not.
    Untold,
}

impl Owner {
    fn handle(self) -> &'static str {
        match self {
            Owner::Told => "told",
            Owner::Untold => "untold",
        }
    }

    /// Subscribes what is not there, and says how often and where the owner is told.
    pub(super) async fn prepare(self, stage: &Stage) -> Result<()> {
        let api = stage.owner(self.handle())?;
        for _ in 0..WEBHOOKS {
            api.subscribe(&stage.receiver.url("/nothing"), &[EVENT_TYPE], json!({})).await?;
        }
        let settings = json!({ "alertIntervalSeconds": INTERVAL_SECONDS });
        api.call(Method::PUT, "/notification-settings", Some(&settings)).await?;
        if self == Owner::Told {
            let default = json!({ "email": OWNER });
            api.call(Method::PUT, "/notifications/owner-default-email", Some(&default)).await?;
        }
        Ok(())
    }

    /// Publishes until it is enough, and returns the events.
    pub(super) async fn work(self, stage: Arc<Stage>) -> Result<BTreeSet<String>> {
        let mut asker = stage.asker(&stage.owner(self.handle())?);
        let mut events = BTreeSet::new();
        while stage.goes_on_after(PAUSE).await {
            let event = json!({ "type": EVENT_TYPE, "payload": { "order": events.len() } });
            let key = format!("{}-{}", self.handle(), events.len());
            let made = asker.write("/events", &event, &key).await?.expect(StatusCode::ACCEPTED)?;
            events.insert(text_of(&made, "eventId")?);
        }
        Ok(events)
    }

    /// Every event died at each webhook; the owner was told of as many deaths as may have been told by now.
    /// That none is forgotten, the store's own count says.
    pub(super) async fn judge(self, stage: &Stage, events: BTreeSet<String>) -> Result<Findings> {
        let mut findings = Findings::default();
        let api = stage.owner(self.handle())?;
        api.quiet_within(QUIET_WITHIN).await?;
        let mut asker = stage.asker(&api);
        let (deliveries, _) = asker.list(&format!("/deliveries?eventType={EVENT_TYPE}")).await?;
        let dead = deliveries.iter().filter(|one| one["status"] == "dead").count();
        findings.expect(dead == deliveries.len() && dead == events.len() * WEBHOOKS, || {
            format!("{} events, {} deliveries, {dead} of them dead", events.len(), deliveries.len())
        });
        let listed: BTreeSet<String> =
            deliveries.iter().filter_map(|one| text_of(one, "eventId").ok()).collect();
        findings.compare("event", &events, &listed.into_iter().collect::<Vec<_>>());
        let told = match self {
            Owner::Told => by_mail(stage, &mut asker, &mut findings).await?,
            Owner::Untold => in_the_inbox(&mut asker).await?,
        };
        let counted: u64 = told.iter().sum();
        let within = told.len() >= WEBHOOKS && counted <= dead as u64;
        findings.expect(within, || format!("{dead} deaths, and {} was told {told:?}", self.handle()));
        findings.count("deliveries given up", dead);
        findings.count("alerts to owners", told.len());
        Ok(findings)
    }
}

/// The counts of all alerts, each of which arrived as a mail.
async fn by_mail(stage: &Stage, asker: &mut Asker, findings: &mut Findings) -> Result<Vec<u64>> {
    let mut told = Vec::new();
    let (alerts, _) = asker.list("/events?type=email.owner_alert").await?;
    for alert in &alerts {
        let id = text_of(alert, "eventId")?;
        let payload = asker.read(&format!("/events/{id}")).await?["payload"].take();
        told.push(payload["count"].as_u64().context("an alert without a count")?);
    }
    let (deliveries, _) = asker.list("/deliveries?eventType=email.owner_alert").await?;
    let arrived: BTreeSet<String> =
        stage.peer.mails_to(OWNER).iter().map(|mail| mail.delivery_id().to_owned()).collect();
    let due =
        deliveries.iter().map(|one| text_of(one, "deliveryId")).collect::<Result<BTreeSet<String>>>()?;
    findings.expect(due.len() == alerts.len() && due.is_subset(&arrived), || {
        format!("{} alerts, {} deliveries, and {} mails to {OWNER}", alerts.len(), due.len(), arrived.len())
    });
    Ok(told)
}

/// The counts of all items that tell of it.
async fn in_the_inbox(asker: &mut Asker) -> Result<Vec<u64>> {
    let (items, _) = asker.list("/mobile/inbox?type=email.owner_alert").await?;
    let count = |item: &Value| item["data"]["count"].as_u64().context("an item without a count");
    items.iter().map(count).collect()
}
