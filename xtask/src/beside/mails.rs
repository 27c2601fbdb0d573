//! Subscriptions by e-mail: asked, confirmed or not, told, and some of them ended by one click.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{Findings, QUIET_WITHIN, Stage};
use crate::{
    asker::{Asker, by_nobody, text_of},
    mail_peer::Mail,
};

const EMAILS: &str = "/notifications/email-subscriptions";
const EVENT_TYPE: &str = "order.paid";
const PAUSE: Duration = Duration::from_millis(100);
/// A handle may ask twenty people in an hour.
const READERS_PER_HANDLE: usize = 18;
const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

/// One handle, what its readers said, and what was published there.
#[derive(Debug)]
pub(super) struct Audience {
    handle: String,
    /// By subscription: its address, and how it must stand.
    readers: BTreeMap<String, (String, &'static str)>,
    /// Each event, and who was to be told of it.
    events: Vec<(String, BTreeSet<String>)>,
}

/// Asks one reader after the other until it is enough.
pub(super) async fn work(stage: Arc<Stage>, worker: u32) -> Result<Vec<Audience>> {
    let mut audiences: Vec<Audience> = Vec::new();
    while stage.goes_on_after(PAUSE).await {
        if audiences.last().is_none_or(|last| last.readers.len() == READERS_PER_HANDLE) {
            let handle = format!("mail-{worker}-{}", audiences.len());
            audiences.push(Audience { handle, readers: BTreeMap::new(), events: Vec::new() });
        }
        if let Some(audience) = audiences.last_mut() {
            audience.one_more(&stage).await?;
        }
    }
    Ok(audiences)
}

impl Audience {
    /// Asks somebody, and does what they do.
    async fn one_more(&mut self, stage: &Stage) -> Result<()> {
        let (n, handle) = (self.readers.len(), &self.handle);
        let asker = &mut stage.asker(&stage.owner(handle)?);
        let email = format!("reader-{n}@{handle}.example.com");
        let wish = json!({ "email": email, "eventTypes": [EVENT_TYPE] });
        let made = asker.write(EMAILS, &wish, &email).await?.expect(StatusCode::CREATED)?;
        let id = text_of(&made, "subscriptionId")?;
        let question = stage
            .peer
            .mail_to(&email, QUIET_WITHIN, |mail| mail.subject.starts_with("Please confirm"))
            .await?;
        let link = question.link("confirm")?;
        // A scanner follows the link in any case.
        page(asker, Method::GET, &link, "").await?;
        let consents = n % 6 != 5;
        if consents {
            page(asker, Method::POST, &link, "confirm=yes").await?;
        }
        let status = if consents { "active" } else { "pending_confirmation" };
        self.readers.insert(id.clone(), (email.clone(), status));
        let event = self.publish(asker).await?;
        if n % 6 == 4 {
            let about = |mail: &Mail| mail.text.contains(&event);
            let mail = stage.peer.mail_to(&email, QUIET_WITHIN, about).await?;
            page(asker, Method::POST, &mail.link("unsubscribe")?, ONE_CLICK).await?;
            self.readers.insert(id, (email, "unsubscribed"));
        }
        Ok(())
    }

    /// Publishes something that everybody is told of who is active, and returns the event.
    async fn publish(&mut self, asker: &mut Asker) -> Result<String> {
        let key = format!("order-{}-of-{}", self.events.len(), self.handle);
        let event = json!({ "type": EVENT_TYPE, "payload": { "order": key } });
        let made = asker.write("/events", &event, &key).await?.expect(StatusCode::ACCEPTED)?;
        let active = self.readers.iter().filter(|(_, (_, status))| *status == "active");
        let event = text_of(&made, "eventId")?;
        self.events.push((event.clone(), active.map(|(id, _)| id.clone()).collect()));
        Ok(event)
    }

    /// Compares with what is shown, what is listed and what arrived.
    async fn judge(&self, stage: &Stage, findings: &mut Findings) -> Result<()> {
        let api = stage.owner(&self.handle)?;
        api.quiet_within(QUIET_WITHIN).await?;
        let mut asker = stage.asker(&api);
        let shown = asker.read("/notifications").await?;
        let shown = shown["emailSubscriptions"].as_array().cloned().unwrap_or_default();
        let emails: Vec<String> = shown.iter().filter_map(|shown| text_of(shown, "email").ok()).collect();
        findings.compare(
            "mailbox",
            &self.readers.values().map(|(email, _)| email.clone()).collect(),
            &emails,
        );
        for shown in &shown {
            let due = self.readers.get(shown["subscriptionId"].as_str().unwrap_or_default());
            findings.expect(due.is_some_and(|(_, due)| shown["status"] == *due), || {
                format!("{shown} should be {due:?}")
            });
        }
        for (event, readers) in &self.events {
            let (deliveries, _) = asker.list(&format!("/deliveries?eventId={event}")).await?;
            let told = |one: &Value| text_of(one, "subscriptionId").map(|id| bare(&id).to_owned()).ok();
            let told: Vec<String> = deliveries.iter().filter_map(told).collect();
            let due: BTreeSet<String> = readers.iter().map(|id| bare(id).to_owned()).collect();
            findings.compare(&format!("mail of {event} to"), &due, &told);
        }
        self.judge_mails(stage, &mut asker, findings).await
    }

    /// What is called delivered has arrived, and nothing was given up.
    async fn judge_mails(&self, stage: &Stage, asker: &mut Asker, findings: &mut Findings) -> Result<()> {
        let (deliveries, _) = asker.list("/deliveries").await?;
        let arrived: BTreeSet<String> =
            stage.peer.mails().iter().map(|mail| mail.delivery_id().to_owned()).collect();
        for one in &deliveries {
            let id = text_of(one, "deliveryId")?;
            match one["status"].as_str() {
                Some("delivered") => {
                    findings.expect(arrived.contains(&id), || format!("{id} is called delivered: {one}"));
                }
                // Somebody unsubscribed while it waited.
                Some("cancelled") => {}
                _ => findings.faults.push(format!("a mail ended as {one}")),
            }
        }
        findings.count("mails delivered", deliveries.len());
        Ok(())
    }
}

/// Compares all of them.
pub(super) async fn judge(stage: &Stage, audiences: Vec<Audience>) -> Result<Findings> {
    let mut findings = Findings::default();
    for audience in &audiences {
        audience.judge(stage, &mut findings).await?;
        findings.count("mailboxes asked", audience.readers.len());
        let consented = audience.readers.values().filter(|(_, status)| *status != "pending_confirmation");
        findings.count("consents given", consented.count());
    }
    Ok(findings)
}

/// What a subscription is called, without the word for its kind.
fn bare(id: &str) -> &str {
    id.split_once('_').map_or(id, |(_, rest)| rest)
}

/// A page for readers, asked for until it is shown.
async fn page(asker: &mut Asker, method: Method, path: &str, form: &'static str) -> Result<()> {
    let answer = asker.insist(&by_nobody(method, path, "application/x-www-form-urlencoded", form)?).await?;
    ensure!(answer.status == StatusCode::OK, "{path} was answered {}", answer.status);
    Ok(())
}
