//! What is promised about one delivery: it ends, in time, after as many attempts as its policy has.

use std::time::Duration;

use angarium_domain::attempt::AttemptRecord;
use angarium_domain::delivery::{DeathCause, State};
use angarium_domain::outcome::{Class, Failure, Outcome, RetryOn};

use crate::evidence::{End, Evidence, Kept, Schedule, Send, Way};

/// I3: with receivers decided, every delivery is final.
pub(super) fn termination(evidence: &Evidence) -> Vec<String> {
    let unfinished = evidence.kept.iter().filter(|kept| !kept.delivery.is_final());
    unfinished.map(|kept| format!("{} ends as {:?}", kept.delivery.id, kept.delivery.state)).collect()
}

/// I4: a receiver sees no more requests than the policy has attempts, and one for each interruption.
pub(super) fn attempt_bound(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for kept in &evidence.kept {
        let attempts_max = schedule_of(evidence, kept).attempts_max();
        if kept.delivery.attempts_made > attempts_max {
            let made = kept.delivery.attempts_made;
            broken.push(format!("{} counts {made} attempts, the limit is {attempts_max}", kept.delivery.id));
        }
    }
    for ((event, lane), way) in evidence.ways() {
        let counted: u32 =
            way.deliveries.iter().map(|k| k.delivery.attempts_made + k.delivery.interruptions).sum();
        let cut_short = way.sends.iter().filter(|send| matches!(send.end, End::CutShort { .. })).count();
        if way.sends.len() > counted as usize + cut_short {
            let seen = way.sends.len();
            broken.push(format!(
                "{event} was sent to {lane} {seen} times, {counted} attempts and interruptions are counted"
            ));
        }
    }
    broken
}

/// I5: no request before the policy's wait is over, nor before the receiver asked for it.
pub(super) fn schedule(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for way in evidence.ways().values() {
        let [kept] = way.deliveries[..] else { continue };
        let schedule = schedule_of(evidence, kept);
        let settled: Vec<&Send> =
            way.sends.iter().filter(|send| record_of(kept, send).is_some()).copied().collect();
        for (made, send) in settled.iter().enumerate() {
            let Some(next) = way.sends.iter().find(|next| next.started_at > send.started_at) else {
                continue;
            };
            let waited = next.started_at.since(send.end.at());
            let floor = floor(schedule, made, send.end.outcome());
            if waited < floor {
                let id = kept.delivery.id;
                broken.push(format!(
                    "{id} was sent again {waited:?} after attempt {}, not before {floor:?}",
                    made + 1
                ));
            }
        }
    }
    broken
}

fn floor(schedule: &Schedule, made: usize, outcome: Option<Outcome>) -> Duration {
    let wait = schedule.waits.get(made).copied().unwrap_or(u64::MAX);
    let asked = match outcome {
        Some(Outcome::Answered { retry_after_seconds: Some(asked), .. }) => asked.min(schedule.asked_max),
        _ => 0,
    };
    Duration::from_secs(wait.max(asked))
}

/// I7: the class of each attempt is that of the contract's table, and the delivery follows from it.
pub(super) fn classification(evidence: &Evidence) -> Vec<String> {
    evidence.kept.iter().filter_map(|kept| misjudged(kept, schedule_of(evidence, kept))).collect()
}

fn misjudged(kept: &Kept, schedule: &Schedule) -> Option<String> {
    let id = kept.delivery.id;
    let made: Vec<&AttemptRecord> = kept.attempts.iter().filter(|record| !is_interruption(record)).collect();
    for record in &made {
        let expected = class(record.exchange.outcome, schedule.retry_on);
        if record.class != expected {
            return Some(format!(
                "{id}: {} counts as {:?}, the contract says {expected:?}",
                record.exchange.outcome, record.class
            ));
        }
    }
    let (last, before) = made.split_last()?;
    if let Some(early) = before.iter().find(|record| record.class != Class::Retry) {
        return Some(format!(
            "{id} was attempted after attempt {}, which was {:?}",
            early.number, early.class
        ));
    }
    let as_promised = match (kept.delivery.state, last.class) {
        (State::Delivered { .. }, class) => class == Class::Delivered,
        (State::Dead { cause: DeathCause::AttemptsExhausted, .. }, class) => {
            class == Class::Retry && made.len() as u32 == schedule.attempts_max()
        }
        (State::Dead { cause: DeathCause::Expired, .. } | State::Cancelled { .. }, class) => {
            class == Class::Retry
        }
        (State::Dead { .. }, class) => class == Class::Terminal,
        (State::Scheduled { .. } | State::InFlight { .. }, _) => true,
    };
    let state = kept.delivery.state;
    (!as_promised)
        .then(|| format!("{id} is {state:?} after {} attempts, the last {:?}", made.len(), last.class))
}

/// Contract 3.3, written down a second time.
fn class(outcome: Outcome, retry_on: RetryOn) -> Class {
    let Outcome::Answered { status, .. } = outcome else {
        if outcome == Outcome::Stored {
            return Class::Delivered;
        }
        let blocked = outcome == Outcome::Failed { failure: Failure::BlockedAddress };
        return if blocked { Class::Terminal } else { Class::Retry };
    };
    let again = match retry_on {
        RetryOn::Transient => status >= 500 || [408, 409, 425, 429].contains(&status),
        RetryOn::AnyFailure => true,
        RetryOn::AnyFailureButGone => status != 410,
    };
    match status {
        200..=299 => Class::Delivered,
        _ if again => Class::Retry,
        _ => Class::Terminal,
    }
}

/// I9: no two requests of one delivery at a time.
pub(super) fn exclusivity(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for ((event, lane), way) in evidence.ways() {
        let at_a_time = way.sends.iter().map(|send| under_way(&way.sends, send)).max().unwrap_or(0);
        // Replays of one event are deliveries of their own, and may go out beside each other.
        let allowed = way.deliveries.len().saturating_sub(usize::from(way.deliveries.len() > 1)).max(1);
        if at_a_time > allowed {
            broken.push(format!("{event} was on its way to {lane} {at_a_time} times at once"));
        }
    }
    broken
}

/// How many were under way when this one began, itself included.
fn under_way(sends: &[&Send], this: &Send) -> usize {
    let at = this.started_at;
    let others = sends.iter().filter(|other| !std::ptr::eq(**other, this));
    1 + others.filter(|other| other.started_at <= at && at < other.end.at()).count()
}

/// I11: the attempts in the log are the requests that were seen, but for those whose end nobody saw.
pub(super) fn attempts_listed(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for ((event, lane), way) in evidence.ways() {
        if evidence.lanes.get(&lane).is_some_and(|lane| lane.is_inbox) {
            // Nobody sees what is only written.
            continue;
        }
        let mut unlisted: Vec<&Send> = way.sends.clone();
        for (kept, record) in records(&way) {
            match unlisted.iter().position(|send| matches(record, send)) {
                Some(at) => drop(unlisted.swap_remove(at)),
                None => broken.push(format!(
                    "{} lists attempt {} that no receiver saw",
                    kept.delivery.id, record.number
                )),
            }
        }
        let unknown = unlisted.iter().filter(|send| !matches!(send.end, End::CutShort { .. })).count();
        let interrupted: u32 = way.deliveries.iter().map(|kept| kept.delivery.interruptions).sum();
        if unknown > interrupted as usize {
            broken.push(format!(
                "{unknown} requests of {event} to {lane} are not listed, {interrupted} were interrupted"
            ));
        }
    }
    broken.extend(evidence.kept.iter().filter_map(miscounted));
    broken
}

fn records<'a>(way: &Way<'a>) -> impl Iterator<Item = (&'a Kept, &'a AttemptRecord)> {
    let each = way.deliveries.clone().into_iter();
    each.flat_map(|kept| {
        kept.attempts.iter().filter(|record| !is_interruption(record)).map(move |record| (kept, record))
    })
}

fn miscounted(kept: &Kept) -> Option<String> {
    let interrupted = kept.attempts.iter().filter(|record| is_interruption(record)).count() as u32;
    let made = kept.attempts.len() as u32 - interrupted;
    let numbers = kept.attempts.iter().map(|record| record.number).eq(1..=kept.attempts.len() as u32);
    let delivery = &kept.delivery;
    let as_counted = made == delivery.attempts_made && interrupted == delivery.interruptions && numbers;
    (!as_counted).then(|| {
        format!(
            "{} counts {} + {}, its log has {made} + {interrupted}",
            delivery.id, delivery.attempts_made, delivery.interruptions
        )
    })
}

/// Only the end of our process, or a store that refused, interrupts an attempt.
pub(super) fn interruptions(evidence: &Evidence) -> Vec<String> {
    let allowed = evidence.crashes + evidence.refusals;
    let too_often = evidence.kept.iter().filter(|kept| kept.delivery.interruptions > allowed);
    let what = |kept: &Kept| {
        format!(
            "{} was interrupted {} times, by {allowed} faults",
            kept.delivery.id, kept.delivery.interruptions
        )
    };
    too_often.map(what).collect()
}

fn record_of<'a>(kept: &'a Kept, send: &Send) -> Option<&'a AttemptRecord> {
    kept.attempts.iter().find(|record| !is_interruption(record) && matches(record, send))
}

fn matches(record: &AttemptRecord, send: &Send) -> bool {
    record.started_at == send.started_at
        && send.end.outcome() == Some(record.exchange.outcome)
        && send.attempt.is_none_or(|number| number == record.number)
}

fn is_interruption(record: &AttemptRecord) -> bool {
    record.exchange.outcome == Outcome::Failed { failure: Failure::Interrupted }
}

fn schedule_of<'a>(evidence: &'a Evidence, kept: &Kept) -> &'a Schedule {
    let lane = evidence.lanes.get(&kept.delivery.subscription_id);
    &lane.expect("every delivery is of a lane that somebody made").schedule
}
