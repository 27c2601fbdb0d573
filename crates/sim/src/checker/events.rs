//! What is promised about events: accepted ones are kept and arrive as they were, others never do.

use std::collections::{BTreeMap, BTreeSet};

use angarium_domain::delivery::{Delivery, State};
use angarium_domain::event::{Event, Origin};
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::replay::JobStatus;
use angarium_domain::time::Timestamp;
use angarium_verify::{Received, TOLERANCE, Verdict, VerifyKey, header_in, verify};

use crate::evidence::{Evidence, Kept, Lane, Published, Seen, Send, Span, Told};

const TERMINAL_FAILURE: &str = "webhook.delivery.terminal_failure";

/// I1: what was answered with success is in the store, with a delivery for each lane that wanted it.
pub(super) fn durability(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for (published, told) in evidence.published.iter().filter_map(|p| Some((p, p.told?))) {
        if evidence.events.contains_key(&told.event_id) {
            broken.extend(misdelivered(evidence, published, told));
        } else {
            broken.push(format!("{} was accepted and is not in the store", told.event_id));
        }
    }
    let kept: BTreeSet<DeliveryId> = evidence.kept.iter().map(|kept| kept.delivery.id).collect();
    let lost = evidence.promised.difference(&kept);
    broken.extend(lost.map(|id| format!("{id} was promised and is not in the store")));
    broken
}

/// Every lane in these runs wants every event of its handle.
fn misdelivered(evidence: &Evidence, published: &Published, told: Told) -> Vec<String> {
    let of_event = evidence.kept.iter().map(|kept| &kept.delivery).filter(|d| d.event_id == told.event_id);
    // Those of jobs are judged with the jobs.
    let lanes: Vec<SubscriptionId> = of_event
        .filter(|d| d.replay_of.is_none() && d.replay_id.is_none())
        .map(|d| d.subscription_id)
        .collect();
    let mut broken = Vec::new();
    if lanes.len() != told.deliveries {
        broken.push(format!(
            "{} has {} deliveries, {} were promised",
            told.event_id,
            lanes.len(),
            told.deliveries
        ));
    }
    for (id, lane) in evidence.lanes.iter().filter(|(_, lane)| lane.handle == published.handle) {
        let count = lanes.iter().filter(|found| *found == id).count();
        let certain =
            lane.made.until < published.asked_at && lane.removed.is_none_or(|removed| removed.from > told.at);
        let impossible = lane.made.from > told.at
            || lane.removed.is_some_and(|removed| removed.until < published.asked_at);
        if count > 1 || (certain && count == 0) || (impossible && count > 0) {
            broken.push(format!("{} has {count} deliveries to {id}", told.event_id));
        }
    }
    broken
}

/// I2: receivers see accepted events only, and each with the publisher's own bytes.
pub(super) fn no_invention(evidence: &Evidence) -> Vec<String> {
    let asked: BTreeMap<&str, &Published> =
        evidence.published.iter().map(|p| (p.payload.as_str(), p)).collect();
    let mut broken = Vec::new();
    for event in evidence.events.values().filter(|event| event.origin == Origin::Live) {
        let as_asked = asked.get(event.payload.as_str());
        if !as_asked.is_some_and(|p| p.handle == event.handle && p.event_type == event.event_type.as_str()) {
            broken.push(format!("{} is in the store and nobody published it", event.id));
        }
    }
    for send in &evidence.sends {
        match evidence.events.get(&send.event_id) {
            None => broken.push(format!("{} was sent and is not in the store", send.event_id)),
            Some(event) if send.request.as_ref().is_some_and(|seen| !carries(seen, event)) => {
                broken.push(format!("{} arrived with another body", send.event_id));
            }
            Some(_) => {}
        }
    }
    broken
}

fn carries(seen: &Seen, event: &Event) -> bool {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(&seen.body) else { return false };
    let text = String::from_utf8_lossy(&seen.body);
    // In CloudEvents' binary mode the body is the payload, and says nothing about the event.
    let event_type = header_in(&seen.headers, "ce-type").or_else(|| body["type"].as_str());
    event_type == Some(event.event_type.as_str()) && text.contains(event.payload.as_str())
}

/// I6: one id on every attempt, a timestamp of the moment, and a signature that verifies with the
/// secret that its owner was shown.
pub(super) fn identity(evidence: &Evidence) -> Vec<String> {
    let unproven = |send: &Send| {
        let (seen, lane) = (send.request.as_ref()?, evidence.lanes.get(&send.lane)?);
        let what = misidentified(send, seen, lane)?;
        Some(format!("{} to {} at {}: {what}", send.event_id, send.lane, send.started_at))
    };
    evidence.sends.iter().filter_map(unproven).collect()
}

fn misidentified(send: &Send, seen: &Seen, lane: &Lane) -> Option<String> {
    let header = |name: &str| header_in(&seen.headers, name);
    if header("webhook-id") != Some(&send.event_id.to_string()) {
        return Some(format!("webhook-id is {:?}", header("webhook-id")));
    }
    let stamped: Option<i64> = header("webhook-timestamp").and_then(|text| text.parse().ok());
    if stamped != Some(send.started_at.as_seconds()) {
        return Some(format!("webhook-timestamp is {stamped:?}"));
    }
    let received = Received { header: &header, body: &seen.body };
    let verifies = |secret: &str| {
        let key = VerifyKey::parse(secret).expect("a secret that we were shown");
        let findings = verify(&[key], &received, send.started_at.as_seconds().max(0) as u64, TOLERANCE);
        let verdicts = findings.iter().map(|finding| finding.verdict);
        verdicts.clone().any(|verdict| verdict == Verdict::Verified)
            && verdicts
                .clone()
                .all(|verdict| matches!(verdict, Verdict::Verified | Verdict::Absent | Verdict::NoKey))
    };
    let proven = current(&lane.secrets, send.started_at).any(|secret| verifies(secret));
    (!proven).then(|| "no signature verifies with the secret of the time".to_owned())
}

/// Each request goes where its owner pointed it at the time. Replays may go to the original address.
pub(super) fn address(evidence: &Evidence) -> Vec<String> {
    let replayed: BTreeSet<_> = evidence
        .kept
        .iter()
        .filter(|kept| kept.delivery.replay_of.is_some())
        .map(|kept| (kept.delivery.event_id, kept.delivery.subscription_id))
        .collect();
    let astray = |send: &Send| {
        let (seen, lane) = (send.request.as_ref()?, evidence.lanes.get(&send.lane)?);
        let of_the_time = current(&lane.urls, send.started_at).any(|url| *url == seen.url);
        let known = lane.urls.iter().any(|(url, _)| *url == seen.url);
        let right = of_the_time || (known && replayed.contains(&(send.event_id, send.lane)));
        (!right).then(|| {
            format!(
                "{} went to {} at {}, which was not its address",
                send.event_id, seen.url, send.started_at
            )
        })
    };
    evidence.sends.iter().filter_map(astray).collect()
}

/// Of values that replaced each other, those that may have been the newest at a time.
fn current<T>(values: &[(T, Span)], at: Timestamp) -> impl Iterator<Item = &T> {
    let certain = values.iter().rposition(|(_, span)| span.until < at).unwrap_or(0);
    values[certain..].iter().filter(move |(_, span)| span.from <= at).map(|(value, _)| value)
}

/// I10: however often something was asked for under one key, it happened once and had one answer.
pub(super) fn idempotency(evidence: &Evidence) -> Vec<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for event in evidence.events.values().filter(|event| event.origin == Origin::Live) {
        *count.entry(event.payload.as_str()).or_default() += 1;
    }
    let doubled = count.iter().filter(|(_, count)| **count > 1);
    let mut broken: Vec<String> =
        doubled.map(|(payload, count)| format!("{payload} is in the store {count} times")).collect();
    let split = evidence.answers.iter().filter(|(_, answers)| answers.len() > 1);
    broken.extend(split.map(|(key, answers)| format!("key {key} was answered in {} ways", answers.len())));
    broken
}

/// I11: each dead delivery is told of in exactly one event, and none is told of for its own sake.
pub(super) fn terminal_failures(evidence: &Evidence) -> Vec<String> {
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for event in evidence.events.values().filter(|event| event.event_type.as_str() == TERMINAL_FAILURE) {
        let payload: serde_json::Value = serde_json::from_str(event.payload.as_str()).unwrap_or_default();
        *told.entry(payload["deliveryId"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let mut broken = Vec::new();
    for delivery in evidence.kept.iter().map(|kept| &kept.delivery) {
        let dead = matches!(delivery.state, State::Dead { .. });
        let expected = usize::from(dead && delivery.event_type.as_str() != TERMINAL_FAILURE);
        let found = told.remove(&delivery.id.to_string()).unwrap_or(0);
        if found != expected {
            broken.push(format!(
                "{} is {:?} and has {found} terminal failure events",
                delivery.id, delivery.state
            ));
        }
    }
    broken.extend(
        told.keys().map(|id| format!("a terminal failure event is about {id:?}, which does not exist")),
    );
    broken
}

/// I11: the store's counts are those of a recount.
pub(super) fn counters(evidence: &Evidence) -> Vec<String> {
    let census = evidence.census;
    let count =
        |is: fn(&State) -> bool| evidence.kept.iter().filter(|kept| is(&kept.delivery.state)).count() as u64;
    let counts = [
        ("events", census.events, evidence.events.len() as u64),
        ("scheduled", census.scheduled, count(|state| matches!(state, State::Scheduled { .. }))),
        ("in flight", census.in_flight, count(|state| matches!(state, State::InFlight { .. }))),
        ("delivered", census.delivered, count(|state| matches!(state, State::Delivered { .. }))),
        ("dead", census.dead, count(|state| matches!(state, State::Dead { .. }))),
        ("cancelled", census.cancelled, count(|state| matches!(state, State::Cancelled { .. }))),
    ];
    let wrong = counts.iter().filter(|(_, counted, listed)| counted != listed);
    wrong
        .map(|(what, counted, listed)| format!("{counted} {what} are counted, {listed} are listed"))
        .collect()
}

/// Replays are as many as were promised, and every job comes to its end.
pub(super) fn replays(evidence: &Evidence) -> Vec<String> {
    let unfinished = evidence.jobs.iter().filter(|job| job.status != JobStatus::Completed);
    let mut broken: Vec<String> = unfinished.map(|job| format!("{} is {:?}", job.id, job.status)).collect();
    let again = |kept: &&Kept| kept.delivery.replay_of.is_some() || kept.delivery.replay_id.is_some();
    let made = evidence.kept.iter().filter(again).count();
    let by_jobs: u64 = evidence.jobs.iter().map(|job| job.replayed).sum();
    if made as u64 != evidence.replays_told as u64 + by_jobs {
        broken.push(format!(
            "{made} replays were made, {} were told and {by_jobs} made by jobs",
            evidence.replays_told
        ));
    }
    broken.extend(replayed_too_late(evidence));
    broken.extend(delivered_first_twice(evidence));
    broken
}

/// A job delivers what a lane missed, and what nobody has delivered to it.
fn delivered_first_twice(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for ((event, lane), way) in evidence.ways() {
        let first = way.deliveries.iter().filter(|kept| kept.delivery.replay_of.is_none()).count();
        if first > 1 {
            broken.push(format!("{event} has {first} first deliveries to {lane}"));
        }
    }
    broken
}

/// A job replays what nobody has replayed before it, itself included.
fn replayed_too_late(evidence: &Evidence) -> Vec<String> {
    let mut replays: BTreeMap<DeliveryId, Vec<&Delivery>> = BTreeMap::new();
    for delivery in evidence.kept.iter().map(|kept| &kept.delivery) {
        if let Some(original) = delivery.replay_of {
            replays.entry(original).or_default().push(delivery);
        }
    }
    let mut broken = Vec::new();
    for (original, replays) in replays {
        let appended =
            |delivery: &Delivery| evidence.appended.get(&delivery.id).map(|appended| appended.number);
        for by_job in replays.iter().filter(|replay| replay.replay_id.is_some()) {
            let earlier = replays.iter().filter(|other| other.id != by_job.id).any(|other| {
                appended(other) < appended(by_job) || (other.replay_id.is_some() && other.id < by_job.id)
            });
            if earlier {
                broken.push(format!("{original} had been replayed when a job made {} of it", by_job.id));
            }
        }
    }
    broken
}
