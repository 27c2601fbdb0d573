//! What is promised about one lane: its order, its limits, its pauses, and what its neighbours suffer.

use std::collections::BTreeMap;
use std::time::Duration;

use angarium_domain::delivery::{OrderingKey, State};
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::time::Timestamp;

use crate::evidence::{Evidence, Kept, Send};

/// How long a delivery to a healthy receiver may wait for its first attempt, whatever its
/// neighbours do. A receiver that hangs does so for longer.
const FIRST_ATTEMPT_WITHIN: Duration = Duration::from_millis(900);

/// In an ordered lane, nothing is leased while something of its key that was committed before it is
/// unfinished.
pub(super) fn order(evidence: &Evidence) -> Vec<String> {
    let mut queues: BTreeMap<(SubscriptionId, &str), Vec<&Kept>> = BTreeMap::new();
    for kept in &evidence.kept {
        let lane = kept.delivery.subscription_id;
        if evidence.lanes.get(&lane).is_some_and(|lane| lane.ordered) {
            queues.entry((lane, key_of(evidence, kept))).or_default().push(kept);
        }
    }
    let mut broken = Vec::new();
    for ((lane, key), queue) in queues {
        for kept in &queue {
            let number = |kept: &Kept| Some(evidence.appended.get(&kept.delivery.id)?.number);
            let Some(own) = number(kept) else { continue };
            for leased_at in evidence.leased.get(&kept.delivery.id).into_iter().flatten() {
                let overtaken = queue.iter().find(|older| {
                    number(older).is_some_and(|number| number < own)
                        && final_at(older).is_none_or(|at| at > *leased_at)
                });
                if let Some(older) = overtaken {
                    let (one, other) = (kept.delivery.id, older.delivery.id);
                    broken.push(format!("{one} overtook {other} under the key {key:?} in {lane}"));
                }
            }
        }
    }
    broken
}

/// The key that the publisher gave to its event; of events that are not known, what the store says.
fn key_of<'a>(evidence: &'a Evidence, kept: &'a Kept) -> &'a str {
    match evidence.events.get(&kept.delivery.event_id) {
        Some(event) => event.ordering_key.as_deref().unwrap_or_default(),
        None => kept.delivery.ordering_key.as_ref().map_or("", OrderingKey::as_str),
    }
}

fn final_at(kept: &Kept) -> Option<Timestamp> {
    match kept.delivery.state {
        State::Scheduled { .. } | State::InFlight { .. } => None,
        State::Delivered { at } | State::Dead { at, .. } | State::Cancelled { at } => Some(at),
    }
}

/// In no second more requests begin than the rate and one.
pub(super) fn rate(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for (id, lane) in &evidence.lanes {
        let Some(rate) = lane.rate_per_second else { continue };
        let allowed = rate as usize + 1;
        let starts: Vec<(u32, Timestamp)> =
            of_lane(evidence, *id).map(|send| (send.life, send.started_at)).collect();
        // A new process knows nothing of the one before it, so each is judged alone.
        let too_many = starts.windows(allowed + 1).find(|some| {
            let ((life, first), (last_life, last)) = (some[0], some[allowed]);
            life == last_life && last.since(first) < Duration::from_secs(1)
        });
        if let Some(some) = too_many {
            broken.push(format!(
                "{id} has a rate of {rate}/s, and {} requests within a second from {}",
                some.len(),
                some[0].1
            ));
        }
    }
    broken
}

/// No lane has more requests under way than its owner allows, and all together not more than we do.
pub(super) fn concurrency(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for (id, lane) in &evidence.lanes {
        let at_a_time = most_at_a_time(of_lane(evidence, *id));
        let allowed = lane.concurrency_max as usize;
        if at_a_time > allowed {
            broken.push(format!("{id} had {at_a_time} requests under way, the limit is {allowed}"));
        }
    }
    let (at_a_time, allowed) = (most_at_a_time(evidence.sends.iter()), evidence.in_flight_max);
    if at_a_time > allowed {
        broken.push(format!("{at_a_time} requests were under way, the limit is {allowed}"));
    }
    broken
}

fn most_at_a_time<'a>(sends: impl Iterator<Item = &'a Send>) -> usize {
    // At one instant, ends come before starts.
    let mut turns: Vec<(Timestamp, i8)> =
        sends.flat_map(|send| [(send.started_at, 1), (send.end.at(), -1)]).collect();
    turns.sort_unstable();
    let mut under_way = 0_i64;
    let counts = turns.into_iter().map(|(_, step)| {
        under_way += i64::from(step);
        under_way
    });
    counts.max().unwrap_or(0) as usize
}

/// Nothing begins in a lane that is paused or removed, once its owner was told so.
pub(super) fn silence(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for send in &evidence.sends {
        let Some(lane) = evidence.lanes.get(&send.lane) else {
            broken.push(format!("a request went to {}, which nobody made", send.lane));
            continue;
        };
        let at = send.started_at;
        if lane.removed.is_some_and(|removed| at > removed.until) {
            broken.push(format!("a request began at {at} in {}, which was removed before", send.lane));
        }
        if lane.pauses.iter().any(|pause| pause.from < at && at < pause.until) {
            broken.push(format!("a request began at {at} in {}, which was paused", send.lane));
        }
    }
    broken
}

/// I8: healthy receivers hear of their events at once, whoever hangs beside them.
pub(super) fn isolation(evidence: &Evidence) -> Vec<String> {
    if !evidence.calm {
        return Vec::new();
    }
    let ways = evidence.ways();
    let first_attempts = ways.iter().filter_map(|((_, lane_id), way)| {
        let lane = evidence.lanes.get(lane_id)?;
        let free = lane.healthy && !lane.ordered && lane.rate_per_second.is_none() && lane.pauses.is_empty();
        let ([kept], Some(first)) = (&way.deliveries[..], way.sends.first()) else { return None };
        let waited = first.started_at.since(evidence.appended.get(&kept.delivery.id)?.at);
        (free && waited > FIRST_ATTEMPT_WITHIN).then_some((kept.delivery.id, waited))
    });
    let what = |(id, waited): (DeliveryId, Duration)| {
        format!("{id} to a healthy receiver waited {waited:?} for its first attempt")
    };
    first_attempts.map(what).collect()
}

fn of_lane(evidence: &Evidence, id: SubscriptionId) -> impl Iterator<Item = &Send> {
    evidence.sends.iter().filter(move |send| send.lane == id)
}
