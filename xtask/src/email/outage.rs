//! The mail server is away for a while: it is seen, nothing is given up, and everything arrives afterwards.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode, http::request::Parts};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Away,
    scene::{Reader, SOON, Scene},
};
use crate::{
    api::Api,
    patience::eventually,
    receiver::{Guest, Receiver, Reply},
};

const READERS: usize = 4;
/// Fewer than silent attempts open a breaker: every mail is tried once, and seen to wait.
const EVENTS: usize = 12;
/// What the policy `email` waits after each attempt that could be within an hour, as published.
const WAITS_SECONDS: [u64; 4] = [60, 300, 900, 1_800];
/// After two minutes of nothing but failures, what is due goes out one by one, as probes that are up to a minute
/// apart, and waits anew; and a minute for everything to go out.
const AND_THEN: Duration = Duration::from_mins(EVENTS as u64 + 1);
/// An attempt at a silent server takes half a minute.
const SEEN_WITHIN: Duration = Duration::from_mins(1);

/// The log's words, once for each turn.
const AWAY: &str = "the mail server takes no mails";
const BACK: &str = "the mail server takes mails again";

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    pub(super) how: Away,
    pub(super) lasts: Duration,
    pub(super) retry_waits_percent: u32,
}

impl Outage {
    pub(super) async fn run(self, scene: &Scene) -> Result<()> {
        let api = scene.owner("outage")?;
        let mut readers = Vec::new();
        for n in 0..READERS {
            readers.push(scene.reader(&api, &format!("outage-{n}@example.com"), &["order.*"]).await?);
        }
        let receiver = Receiver::start(Arc::new(Taker)).await?;
        scene.owner("beside")?.subscribe(&receiver.url("/"), &["order.*"], json!({})).await?;
        self.begin(scene).await?;
        let began = Instant::now();
        let mut events = Vec::new();
        for n in 0..EVENTS {
            events.push(api.publish(&json!({ "type": "order.paid", "payload": { "order": n } })).await?);
        }
        self.visible(scene, &api, &readers).await?;
        println!("email: {} mails wait for a server that is away ({:?})", READERS * EVENTS, self.how);
        while began.elapsed() < self.lasts {
            sleep(Duration::from_secs(1).min(self.lasts.saturating_sub(began.elapsed()))).await;
            nothing_ends(scene, &api).await?;
            webhooks_go_on(scene).await?;
        }
        self.end(scene).await?;
        let back = Instant::now();
        let limit = until_all(began.elapsed(), self.retry_waits_percent);
        let arrived = || async { Ok(all_arrived(scene, &readers).then_some(())) };
        eventually("every mail that waited", limit, arrived).await?;
        let (away, after) = (back - began, back.elapsed());
        println!("email: after {away:.0?} away, all had arrived {after:.1?} after it came back");
        complete(scene, &api, &readers, &events).await?;
        told_in_the_log(scene, self.how)
    }

    async fn begin(self, scene: &Scene) -> Result<()> {
        match self.how {
            Away::Refusing => scene.peer.go_down().await,
            Away::Silent => scene.peer.fall_silent(true),
        }
    }

    async fn end(self, scene: &Scene) -> Result<()> {
        match self.how {
            Away::Refusing => scene.peer.come_up().await,
            Away::Silent => scene.peer.fall_silent(false),
        }
    }

    /// What an attempt comes to meanwhile, and how many of the mails come to it.
    fn fault(self) -> (&'static str, usize) {
        match self.how {
            Away::Refusing => ("connect_error", READERS * EVENTS),
            // Those that wait for a connection need not have been tried.
            Away::Silent => ("timeout", 1),
        }
    }

    /// What can be seen of it while it lasts.
    async fn visible(self, scene: &Scene, api: &Api, readers: &[Reader]) -> Result<()> {
        let (fault, least) = self.fault();
        let looked = || async {
            let waiting = scene.list(api, "/deliveries?status=retrying&eventType=order.paid").await?;
            Ok((waiting.len() >= least).then_some(waiting))
        };
        let waiting = eventually("mails are seen to be tried again", SEEN_WITHIN, looked).await?;
        for one in &waiting {
            ensure!(one["lastError"] == fault && one["nextAttemptAt"].is_string(), "{one}");
        }
        let id = waiting[0]["deliveryId"].as_str().context("a delivery without an id")?;
        let life = api.call(Method::GET, &format!("/deliveries/{id}"), None).await?;
        let attempt = &life["attemptLog"][0];
        ensure!(attempt["error"] == fault && attempt["class"] == "retry", "{life}");
        ensure!(attempt["errorDetail"].is_string() && attempt["advice"].is_string(), "{life}");
        for reader in readers {
            let standing = scene.standing(api, &reader.id).await?;
            ensure!(standing == "active", "the mailbox is {standing}, and not its server");
        }
        let labels = ["class=\"retry\"", &format!("outcome=\"{fault}\"")];
        let failed = scene.figure("angarium_attempts_total", &labels).await?;
        ensure!(failed >= least as u64, "the figures count {failed} failed attempts of {least}");
        // Counted every five seconds.
        let counted = || async {
            let backlog = scene.figure("angarium_backlog", &[]).await?;
            Ok((backlog >= least as u64).then_some(()))
        };
        eventually("the backlog shows the mails that wait", SOON, counted).await?;
        let lines = scene.logs(AWAY, 1).await?;
        ensure!(lines[0]["level"] == "WARN" && lines[0]["outcome"] == fault, "{lines:?}");
        Ok(())
    }
}

/// Takes everything.
struct Taker;

impl Guest for Taker {
    fn receive(&self, _head: &Parts, _body: &Bytes) -> Reply {
        Reply::Now(StatusCode::OK)
    }
}

/// No mail comes to an end while nobody takes it.
async fn nothing_ends(scene: &Scene, api: &Api) -> Result<()> {
    for status in ["dead", "delivered", "cancelled"] {
        // The questions were delivered before.
        let ended = scene.list(api, &format!("/deliveries?status={status}&eventType=order.paid")).await?;
        ensure!(ended.is_empty(), "{} mails are {status} in the outage", ended.len());
    }
    Ok(())
}

/// Who is not told by mail does not notice.
async fn webhooks_go_on(scene: &Scene) -> Result<()> {
    let api = scene.owner("beside")?;
    let event = api.publish(&json!({ "type": "order.paid", "payload": {} })).await?;
    let looked = || async {
        let ends = scene.list(&api, &format!("/deliveries?eventId={event}")).await?;
        Ok((ends.len() == 1 && ends[0]["status"] == "delivered").then_some(()))
    };
    eventually("a webhook beside mails that wait", SOON, looked).await
}

/// When the last attempt that can fail is followed by one that cannot, and a tenth more for jitter.
fn until_all(outage: Duration, retry_waits_percent: u32) -> Duration {
    let mut at = Duration::ZERO;
    for seconds in WAITS_SECONDS {
        at += Duration::from_secs(seconds) * retry_waits_percent / 100 * 11 / 10;
        if at > outage {
            break;
        }
    }
    at.saturating_sub(outage) + AND_THEN
}

/// Each reader has a mail of each delivery.
fn all_arrived(scene: &Scene, readers: &[Reader]) -> bool {
    readers.iter().all(|reader| told(scene, reader).len() >= EVENTS)
}

/// The deliveries that a reader has mails of.
fn told(scene: &Scene, reader: &Reader) -> HashSet<String> {
    let mails = scene.peer.mails_to(&reader.email);
    let told = mails.iter().filter(|mail| mail.subject.contains("order.paid"));
    told.map(|mail| mail.delivery_id().to_owned()).collect()
}

/// Every delivery is delivered, none is lost, and none came twice: nothing was under way when it went.
async fn complete(scene: &Scene, api: &Api, readers: &[Reader], events: &[String]) -> Result<()> {
    let mut delivered = HashSet::new();
    for event in events {
        let ends = scene.ends(api, event).await?;
        ensure!(ends.len() == READERS, "{event} has {} mails instead of {READERS}", ends.len());
        for end in ends {
            ensure!(end["status"] == "delivered", "{end}");
            delivered.insert(end["deliveryId"].as_str().unwrap_or_default().to_owned());
        }
    }
    let arrived: HashSet<String> = readers.iter().flat_map(|reader| told(scene, reader)).collect();
    ensure!(arrived == delivered, "what arrived is not what is called delivered");
    let copies: usize = readers.iter().map(|reader| scene.peer.mails_to(&reader.email).len()).sum();
    let twice = copies - readers.len() - delivered.len();
    let unknown = scene.figure("angarium_attempts_total", &["outcome=\"outcome_unknown\""]).await?;
    ensure!(twice as u64 <= unknown, "{twice} mails came twice, and {unknown} had an unknown outcome");
    Ok(())
}

/// Each turn has a line, which names no handle.
fn told_in_the_log(scene: &Scene, how: Away) -> Result<()> {
    let back = scene.logged(BACK);
    let turns = (scene.logged(AWAY).len(), back.len());
    // An attempt at a silent server may end after another one found it well again.
    let told = if how == Away::Refusing { turns == (1, 1) } else { turns.0 >= 1 && turns.1 >= 1 };
    ensure!(told, "the log tells {} times that it went, and {} times that it is back", turns.0, turns.1);
    let handle = Value::from("outage");
    ensure!(back.iter().all(|line| line["handle"] != handle), "a server's return is nobody's: {back:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_first_attempt_after_the_outage() {
        let check = |outage, percent, expected| {
            assert_eq!(
                until_all(Duration::from_secs(outage), percent),
                Duration::from_secs(expected) + AND_THEN
            );
        };
        check(40, 100, 66 - 40);
        check(600, 100, 66 + 330 + 990 - 600);
        check(600, 50, 33 + 165 + 495 - 600);
    }
}
