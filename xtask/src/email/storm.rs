//! Many mailboxes turn out not to exist: they are told nothing more, the others are, and so is the owner.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::scene::{Reader, SOON, Scene};
use crate::{api::Api, patience::eventually};

const OWNER: &str = "owner@example.com";
const BOUNCING: usize = 14;
const WELL: usize = 4;
/// The first one bounces; the others find the mailbox suppressed.
const EVENTS: usize = 5;
/// The shortest that a handle may have.
const INTERVAL: Duration = Duration::from_mins(1);

struct Storm<'a> {
    scene: &'a Scene,
    api: Api,
    bouncing: Vec<Reader>,
    well: Vec<Reader>,
}

pub(super) async fn run(scene: &Scene) -> Result<()> {
    let storm = begin(scene).await?;
    let began = Instant::now();
    storm.first().await?;
    storm.further().await?;
    println!("email: {BOUNCING} mailboxes bounced and are suppressed, {WELL} others got everything");
    storm.owner_is_told(began).await
}

/// Everybody consents, and then most mailboxes are no more.
async fn begin(scene: &Scene) -> Result<Storm<'_>> {
    let api = scene.owner("storm")?;
    let settings = json!({ "alertIntervalSeconds": INTERVAL.as_secs() });
    api.call(Method::PUT, "/notification-settings", Some(&settings)).await?;
    let default = json!({ "email": OWNER });
    api.call(Method::PUT, "/notifications/owner-default-email", Some(&default)).await?;
    let (mut bouncing, mut well) = (Vec::new(), Vec::new());
    for n in 0..BOUNCING {
        bouncing.push(scene.reader(&api, &format!("bounce-{n}@example.com"), &["order.*"]).await?);
    }
    for n in 0..WELL {
        well.push(scene.reader(&api, &format!("well-{n}@example.com"), &["order.*"]).await?);
    }
    scene.peer.refuse("bounce-", "550 5.1.1 no such user here").await?;
    Ok(Storm { scene, api, bouncing, well })
}

impl Storm<'_> {
    /// Each of the mailboxes is tried once, and its delivery ends with the server's words.
    async fn first(&self) -> Result<()> {
        let (refused, ends) = (self.attempts("mail_5xx").await?, self.publish().await?);
        let dead = ends.iter().filter(|end| end["status"] == "dead");
        let bounced = dead.filter(|end| end["reason"] == "terminal_status" && end["lastStatus"] == 550);
        ensure!(bounced.count() == BOUNCING, "{ends:?}");
        ensure!(ends.iter().filter(|end| end["status"] == "delivered").count() == WELL, "{ends:?}");
        for reader in &self.bouncing {
            let shown = self.scene.shown(&self.api, &reader.id).await?;
            ensure!(shown["status"] == "suppressed", "{shown}");
            let remedy = shown["remedy"].as_str().context("a suppressed mailbox without a remedy")?;
            ensure!(remedy.contains("suppression"), "{remedy}");
        }
        for reader in &self.well {
            ensure!(self.scene.standing(&self.api, &reader.id).await? == "active");
        }
        ensure!(self.attempts("mail_5xx").await? - refused == BOUNCING as u64);
        let acts = self.scene.list(&self.api, "/audit?action=subscription.suppressed").await?;
        ensure!(acts.len() == BOUNCING, "{} lines in the audit log: {acts:?}", acts.len());
        let lines = self.scene.logs("a subscription stands otherwise", BOUNCING).await?;
        ensure!(lines.iter().all(is_suppression), "{lines:?}");
        let told = lines.iter().any(|line| line.to_string().contains("bounce-"));
        ensure!(!told, "the log names a mailbox: {lines:?}");
        Ok(())
    }

    /// Nothing more goes to them, and everything to the others.
    async fn further(&self) -> Result<()> {
        for _ in 1..EVENTS {
            let ends = self.publish().await?;
            let skipped = ends.iter().filter(|end| end["status"] == "dead" && end["reason"] == "suppressed");
            ensure!(skipped.count() == BOUNCING, "{ends:?}");
            ensure!(ends.iter().filter(|end| end["status"] == "delivered").count() == WELL, "{ends:?}");
        }
        for reader in &self.bouncing {
            let tried = self.scene.peer.refusals_of(&reader.email);
            ensure!(tried == 1, "{} was tried {tried} times", reader.email);
        }
        for reader in &self.well {
            let mails = self.scene.peer.mails_to(&reader.email).len();
            ensure!(mails == 1 + EVENTS, "{} has {mails} mails", reader.email);
        }
        let suppressed = ((EVENTS - 1) * BOUNCING) as u64;
        self.scene.figure_is("angarium_deliveries_dead_total", &["cause=\"suppressed\""], suppressed).await
    }

    /// The owner is told of every death, and of no subscription more often than once in the interval.
    async fn owner_is_told(&self, began: Instant) -> Result<()> {
        let deaths = (BOUNCING * EVENTS) as u64;
        let looked = || async {
            let told = self.told().await?;
            let counted: u64 = told.values().flatten().sum();
            ensure!(counted <= deaths, "the owner was told of {counted} deaths of {deaths}");
            Ok((counted == deaths).then_some(told))
        };
        let told = eventually("the owner is told of every death", INTERVAL * 2 + SOON, looked).await?;
        let intervals = began.elapsed().as_secs() / INTERVAL.as_secs();
        for (subscription, counts) in &told {
            ensure!(
                counts.len() as u64 <= 1 + intervals,
                "the owner was told of {subscription} {} times in {:.0?}",
                counts.len(),
                began.elapsed()
            );
        }
        let alerts: usize = told.values().map(Vec::len).sum();
        self.api.quiet_within(SOON).await?;
        let mails = self.scene.peer.mails_to(OWNER);
        let mails = mails.iter().filter(|mail| mail.subject.contains("given up")).count();
        ensure!(mails == alerts, "{alerts} alerts, and {mails} mails");
        self.scene.figure_is("angarium_owner_alerts_total", &["to=\"mail\""], alerts as u64).await?;
        self.scene.logs("an owner is told by mail of deliveries that were given up", alerts).await?;
        println!("email: the owner was told of {deaths} deaths by {alerts} mails, once in {INTERVAL:?} each");
        Ok(())
    }

    /// Publishes an event, and returns what became of its mails.
    async fn publish(&self) -> Result<Vec<Value>> {
        let event = self.api.publish(&json!({ "type": "order.paid", "payload": {} })).await?;
        self.scene.ends(&self.api, &event).await
    }

    async fn attempts(&self, outcome: &str) -> Result<u64> {
        let label = format!("outcome=\"{outcome}\"");
        self.scene.figure("angarium_attempts_total", &[&label]).await
    }

    /// How many deaths the owner was told of, by subscription and telling.
    async fn told(&self) -> Result<HashMap<String, Vec<u64>>> {
        let mut told: HashMap<String, Vec<u64>> = HashMap::new();
        for event in self.scene.list(&self.api, "/events?type=email.owner_alert").await? {
            let path = format!("/events/{}", event["eventId"].as_str().unwrap_or_default());
            let payload = self.api.call(Method::GET, &path, None).await?["payload"].take();
            let subscription = payload["subscriptionId"].as_str().context("an alert about nobody")?;
            let count = payload["count"].as_u64().context("an alert without a count")?;
            told.entry(subscription.to_owned()).or_default().push(count);
        }
        Ok(told)
    }
}

/// Whether a line of the log tells of a suppressed mailbox, and by which delivery.
fn is_suppression(line: &Value) -> bool {
    line["handle"] == "storm" && line["action"] == "subscription.suppressed" && line["delivery"].is_string()
}
