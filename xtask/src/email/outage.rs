//! The mail server is away for a while: it is seen, nothing is given up, and everything arrives afterwards.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::scene::{Reader, SOON, Scene};
use crate::{api::Api, patience::eventually};

const READERS: usize = 4;
/// Fewer than silent attempts open a breaker: every mail is tried once, and seen to wait.
const EVENTS: usize = 12;
/// What the policy `email` waits after each attempt that could be within an hour, as published.
const WAITS_SECONDS: [u64; 4] = [60, 300, 900, 1_800];
/// The longest wait for a probe, and time for everything to go out.
const AND_THEN: Duration = Duration::from_mins(2);

/// The log's words, once for each turn.
const AWAY: &str = "the mail server takes no mails";
const BACK: &str = "the mail server takes mails again";

pub(super) async fn run(scene: &Scene, outage: Duration, retry_waits_percent: u32) -> Result<()> {
    let api = scene.owner("outage")?;
    let mut readers = Vec::new();
    for n in 0..READERS {
        readers.push(scene.reader(&api, &format!("outage-{n}@example.com"), &["order.*"]).await?);
    }
    scene.peer.go_down().await?;
    let began = Instant::now();
    let mut events = Vec::new();
    for n in 0..EVENTS {
        events.push(api.publish(&json!({ "type": "order.paid", "payload": { "order": n } })).await?);
    }
    visible(scene, &api, &readers).await?;
    println!("email: {} mails wait for a server that is away", READERS * EVENTS);
    while began.elapsed() < outage {
        sleep(Duration::from_secs(1).min(outage.saturating_sub(began.elapsed()))).await;
        for status in ["dead", "delivered", "cancelled"] {
            // The questions were delivered before; nothing else may have come to an end.
            let ended =
                scene.list(&api, &format!("/deliveries?status={status}&eventType=order.paid")).await?;
            ensure!(ended.is_empty(), "{} mails are {status} in the outage", ended.len());
        }
    }
    scene.peer.come_up().await?;
    let back = Instant::now();
    let limit = until_all(outage, retry_waits_percent);
    let arrived = || async { Ok(all_arrived(scene, &readers).then_some(())) };
    eventually("every mail that waited", limit, arrived).await?;
    println!("email: after {outage:.0?} away, all had arrived {:.1?} after it came back", back.elapsed());
    complete(scene, &api, &readers, &events).await
}

/// What can be seen of it while it lasts.
async fn visible(scene: &Scene, api: &Api, readers: &[Reader]) -> Result<()> {
    let all = READERS * EVENTS;
    let looked = || async {
        let waiting = scene.list(api, "/deliveries?status=retrying&eventType=order.paid").await?;
        Ok((waiting.len() == all).then_some(waiting))
    };
    let waiting = eventually("every mail is seen to be tried again", SOON, looked).await?;
    for one in &waiting {
        ensure!(one["lastError"] == "connect_error" && one["nextAttemptAt"].is_string(), "{one}");
    }
    let id = waiting[0]["deliveryId"].as_str().context("a delivery without an id")?;
    let life = api.call(Method::GET, &format!("/deliveries/{id}"), None).await?;
    let attempt = &life["attemptLog"][0];
    ensure!(attempt["error"] == "connect_error" && attempt["class"] == "retry", "{life}");
    ensure!(attempt["errorDetail"].is_string() && attempt["advice"].is_string(), "{life}");
    for reader in readers {
        ensure!(scene.standing(api, &reader.id).await? == "active", "the mailbox is blamed for its server");
    }
    let labels = ["class=\"retry\"", "outcome=\"connect_error\""];
    let failed = scene.figure("angarium_attempts_total", &labels).await?;
    ensure!(failed >= all as u64, "the figures count {failed} failed attempts of {all}");
    // Counted every five seconds.
    let counted = || async {
        let backlog = scene.figure("angarium_backlog", &[]).await?;
        Ok((backlog >= all as u64).then_some(()))
    };
    eventually("the backlog shows the mails that wait", SOON, counted).await?;
    let lines = scene.logs(AWAY, 1).await?;
    ensure!(lines[0]["level"] == "WARN" && lines[0]["outcome"] == "connect_error", "{lines:?}");
    Ok(())
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
    let lines = scene.logs(BACK, 1).await?;
    ensure!(scene.logged(AWAY).len() == 1, "the log tells of the outage more than once: {lines:?}");
    let handle = Value::from("outage");
    ensure!(lines.iter().all(|line| line["handle"] != handle), "a server's return is nobody's: {lines:?}");
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
