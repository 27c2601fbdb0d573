//! One thing that happens in a demo, on one line.

use angarium_domain::delivery::Status;
use angarium_domain::event::Origin;
use angarium_domain::ids::EventId;
use angarium_domain::time::Timestamp;

use crate::cli::answers::{Accepted, Delivery, deliveries};
use crate::cli::span::in_words;

/// How many digits of an event's id are on a line. The last ones are random.
const TAIL_DIGITS: usize = 4;

/// The line about an event that was accepted.
pub(super) fn accepted(event_type: &str, accepted: Accepted, now: Timestamp) -> String {
    let id = accepted.event_id;
    line(now, "accepted", id, event_type, "", &format!("{id}, {}", deliveries(accepted.deliveries)))
}

/// The lines about a delivery that has changed since it was last seen, or was not seen before.
pub(super) fn of(
    before: Option<&Delivery>,
    delivery: &Delivery,
    receiver: &str,
    now: Timestamp,
) -> Vec<String> {
    let mut lines = Vec::new();
    let tell = |verb, at: Option<Timestamp>, text: &str| {
        line(at.unwrap_or(now), verb, delivery.event_id, delivery.event_type.as_str(), receiver, text)
    };
    if before.is_none() && delivery.origin == Origin::System {
        lines.push(tell("tells", Some(delivery.created_at), "of a delivery that died"));
    }
    if before.is_none()
        && let Some(original) = delivery.replay_of
    {
        lines.push(tell("replays", Some(delivery.created_at), &original.to_string()));
    }
    if before.is_some_and(|before| (before.status, before.attempts) == (delivery.status, delivery.attempts)) {
        return lines;
    }
    let answer = delivery.last_answer().unwrap_or_default();
    match delivery.status {
        Status::Retrying => lines.push(tell("retry", None, &again(delivery, &answer, now))),
        Status::Delivered => lines.push(tell("delivered", delivery.finished_at, &yes(delivery, &answer))),
        Status::Dead => lines.push(tell("dead", delivery.finished_at, &no(delivery, &answer))),
        Status::Cancelled => lines.push(tell("cancelled", delivery.finished_at, "its webhook was deleted")),
        Status::Held => lines.push(tell("held", None, "its webhook holds its deliveries")),
        Status::Pending | Status::InFlight => {}
    }
    lines
}

fn again(delivery: &Delivery, answer: &str, now: Timestamp) -> String {
    let wait =
        delivery.next_attempt_at.map_or_else(String::new, |at| format!("in {} ", in_words(at.since(now))));
    format!("attempt {} {wait}because {answer}", delivery.attempts + 1)
}

fn yes(delivery: &Delivery, answer: &str) -> String {
    let took = delivery.finished_at.map(|at| in_words(at.since(delivery.created_at))).unwrap_or_default();
    match delivery.attempts {
        0 | 1 => format!("{answer} after {took}"),
        attempts => format!("{answer} at attempt {attempts}, after {took}"),
    }
}

fn no(delivery: &Delivery, answer: &str) -> String {
    let reason = delivery.reason.map(|reason| format!(", {}", reason.as_str())).unwrap_or_default();
    format!("{answer}{reason}: angarium deliveries {}", delivery.delivery_id)
}

fn line(at: Timestamp, verb: &str, event: EventId, event_type: &str, receiver: &str, text: &str) -> String {
    // Enough of an id to follow an event with the eye.
    let digits = event.digits();
    let tail = &digits[digits.len() - TAIL_DIGITS..];
    // The system's own event has a long name; the verb has told already what it is.
    let event_type = event_type.strip_prefix("webhook.delivery.").unwrap_or(event_type);
    format!("{}  {verb:<9}  {tail}  {event_type:<16}  {receiver:<7}  {text}", clock(at))
}

/// The time of day, to the millisecond.
fn clock(at: Timestamp) -> String {
    let millis = at.as_millis().rem_euclid(86_400_000);
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use angarium_domain::ids::{DeliveryId, SubscriptionId};

    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_772_020_800);

    fn delivery(status: Status, attempts: u32, last_status: Option<u16>) -> Delivery {
        Delivery {
            delivery_id: DeliveryId::from_bytes([1; 16]),
            event_id: EventId::from_bytes([1; 16]),
            event_type: "order.fulfilled".parse().expect("a type"),
            subscription_id: SubscriptionId::from_bytes([1; 16]),
            status,
            origin: Origin::Live,
            attempts,
            next_attempt_at: None,
            created_at: NOON,
            finished_at: None,
            last_status,
            last_error: None,
            reason: None,
            replay_of: None,
            replayed_by: None,
            discarded_at: None,
        }
    }

    #[track_caller]
    fn check(before: Option<&Delivery>, delivery: &Delivery, expected: &[&str]) {
        assert_eq!(of(before, delivery, "flaky", NOON), expected);
    }

    #[test]
    fn the_life_of_a_delivery_is_told_step_by_step() {
        let pending = delivery(Status::Pending, 0, None);
        check(None, &pending, &[]);
        let next_attempt_at = Some(NOON + Duration::from_secs(5));
        let retrying = Delivery { next_attempt_at, ..delivery(Status::Retrying, 1, Some(503)) };
        check(
            Some(&pending),
            &retrying,
            &["12:00:00.000  retry      2081  order.fulfilled   flaky    attempt 2 in 5 s because 503"],
        );
        check(Some(&retrying), &retrying, &[]);
        let finished_at = Some(NOON + Duration::from_millis(15_420));
        let delivered = Delivery { finished_at, ..delivery(Status::Delivered, 3, Some(200)) };
        check(
            Some(&retrying),
            &delivered,
            &["12:00:15.420  delivered  2081  order.fulfilled   flaky    200 at attempt 3, after 15.4 s"],
        );
    }

    #[test]
    fn a_death_is_told_with_the_command_that_explains_it() {
        let reason = Some(angarium_domain::delivery::DeathCause::TerminalStatus);
        let dead = Delivery { reason, finished_at: Some(NOON), ..delivery(Status::Dead, 1, Some(404)) };
        check(
            None,
            &dead,
            &["12:00:00.000  dead       2081  order.fulfilled   flaky    404, terminal_status: \
               angarium deliveries dlv_01040g2081040g2081040g2081"],
        );
    }

    #[test]
    fn the_services_own_event_is_announced() {
        let event_type = "webhook.delivery.terminal_failure".parse().expect("a type");
        let own = Delivery { origin: Origin::System, event_type, ..delivery(Status::Pending, 0, None) };
        check(
            None,
            &own,
            &["12:00:00.000  tells      2081  terminal_failure  flaky    of a delivery that died"],
        );
    }
}
