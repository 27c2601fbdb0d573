//! The ledger: what was accepted, against what the receivers saw and what the log says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use angarium_domain::delivery::Status;
use angarium_domain::event::Origin;
use angarium_domain::ids::{EventId, SubscriptionId};
use angarium_domain::time::Timestamp;
use anyhow::ensure;

use super::receivers::Seen;
use crate::cli::answers::{Accepted, Delivery, deliveries};

/// The balance of a demo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Events that this demo published and the service accepted.
    pub accepted: u64,
    /// Events that earlier demos in the same folder published.
    pub accepted_earlier: u64,
    /// Deliveries that were promised for all of them.
    pub promised: u64,
    /// Deliveries of earlier demos that were not finished when this one began.
    pub taken_up: usize,
    /// Deliveries, whatever their origin, that a receiver accepted.
    pub delivered: u64,
    /// Deliveries that were given up, by cause.
    pub dead: BTreeMap<&'static str, u64>,
    /// Deliveries whose subscription was deleted.
    pub cancelled: u64,
    /// Deliveries that are not at their end.
    pub open: u64,
    /// Deliveries that took more than one attempt.
    pub retried: u64,
    /// The attempts beyond the first.
    pub retries: u64,
    /// Deliveries of the service's own events, which tell of deaths.
    pub own: u64,
    /// Deliveries that somebody asked to be made again.
    pub replays: u64,
    /// Acceptances by a receiver of an event that it had accepted before.
    pub duplicates: u64,
    /// Requests whose signatures did not hold.
    pub bad_signatures: u64,
    /// Promised deliveries that the log does not have, and those that it calls delivered although
    /// no receiver accepted them.
    pub lost: u64,
    /// Requests to receivers that were not looked at in time to count them.
    pub unread: u64,
    /// Whether nothing moved any more although not everything was at its end.
    pub stuck: bool,
}

/// What a ledger is drawn up from.
pub(super) struct Evidence<'a> {
    pub(super) earlier: &'a [Accepted],
    pub(super) accepted: &'a [Accepted],
    pub(super) log: &'a [Delivery],
    pub(super) seen: &'a Seen,
    /// The subscriptions of the demo's own receivers.
    pub(super) receivers: &'a [SubscriptionId],
    /// Since when the receivers are watched.
    pub(super) started_at: Timestamp,
}

impl Ledger {
    /// Draws up the balance.
    pub(super) fn of(evidence: &Evidence<'_>) -> Ledger {
        let promises = || evidence.earlier.iter().chain(evidence.accepted);
        let mut ledger = Ledger {
            accepted: evidence.accepted.len() as u64,
            accepted_earlier: evidence.earlier.len() as u64,
            promised: promises().map(|accepted| accepted.deliveries).sum(),
            duplicates: evidence.seen.duplicates(),
            unread: evidence.seen.missed,
            lost: missing(evidence.log, promises()) + unseen(evidence),
            ..Ledger::default()
        };
        evidence.log.iter().for_each(|delivery| ledger.count(delivery));
        ledger
    }

    /// Fails if a promise was broken, or may never be kept.
    pub fn verdict(&self) -> anyhow::Result<()> {
        ensure!(self.lost == 0, "lost: {}", deliveries(self.lost));
        ensure!(self.bad_signatures == 0, "{} requests had signatures that do not hold", self.bad_signatures);
        ensure!(!self.stuck, "stuck: {}", deliveries(self.open));
        Ok(())
    }

    fn count(&mut self, delivery: &Delivery) {
        match delivery.status {
            Status::Delivered => self.delivered += 1,
            Status::Cancelled => self.cancelled += 1,
            Status::Dead => {
                let cause = delivery.reason.map_or("unknown", |reason| reason.as_str());
                *self.dead.entry(cause).or_default() += 1;
            }
            Status::Pending | Status::InFlight | Status::Retrying | Status::Held => self.open += 1,
        }
        self.retried += u64::from(delivery.attempts > 1);
        self.retries += u64::from(delivery.attempts.saturating_sub(1));
        self.own += u64::from(delivery.origin == Origin::System);
        self.replays += u64::from(delivery.replay_of.is_some());
    }
}

/// Promised deliveries that the log does not have.
fn missing<'a>(log: &[Delivery], promises: impl Iterator<Item = &'a Accepted>) -> u64 {
    let mut made: HashMap<EventId, HashSet<SubscriptionId>> = HashMap::new();
    for delivery in log {
        made.entry(delivery.event_id).or_default().insert(delivery.subscription_id);
    }
    let found = |event: &EventId| made.get(event).map_or(0, |made| made.len() as u64);
    promises.map(|promise| promise.deliveries.saturating_sub(found(&promise.event_id))).sum()
}

/// Deliveries that the log calls delivered although their receiver, being watched, said no such thing.
fn unseen(evidence: &Evidence<'_>) -> u64 {
    // A receiver whose requests were not all read cannot be called as a witness.
    if evidence.seen.missed > 0 {
        return 0;
    }
    let watched = |delivery: &&Delivery| {
        delivery.status == Status::Delivered
            && evidence.receivers.contains(&delivery.subscription_id)
            && delivery.finished_at.is_some_and(|at| at >= evidence.started_at)
    };
    let watched = evidence.log.iter().filter(watched);
    watched.filter(|delivery| !evidence.seen.has(delivery.subscription_id, delivery.event_id)).count() as u64
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let earlier = |text: String| if self.accepted_earlier > 0 { text } else { String::new() };
        let dead: u64 = self.dead.values().sum();
        let causes: Vec<String> = self.dead.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
        writeln!(f, "\nledger")?;
        let accepted = format!("events now{}", earlier(format!(" and {} earlier", self.accepted_earlier)));
        writeln!(f, "  accepted    {:>7}  {accepted}; {} deliveries promised", self.accepted, self.promised)?;
        if self.accepted_earlier > 0 {
            writeln!(f, "  taken up    {:>7}  unfinished deliveries of the demo before", self.taken_up)?;
        }
        writeln!(
            f,
            "  delivered   {:>7}  {} of them events of the service itself",
            self.delivered, self.own
        )?;
        writeln!(f, "{}", format!("  dead        {dead:>7}  {}", causes.join(", ")).trim_end())?;
        for (name, count) in [("cancelled", self.cancelled), ("replays", self.replays)] {
            if count > 0 {
                writeln!(f, "  {name:<12}{count:>7}")?;
            }
        }
        writeln!(f, "  retried     {:>7}  by {} more attempts", self.retried, self.retries)?;
        writeln!(f, "  duplicates  {:>7}  accepted again by a receiver that had it", self.duplicates)?;
        if self.bad_signatures > 0 {
            writeln!(f, "  forged      {:>7}  signatures do not hold", self.bad_signatures)?;
        }
        if self.unread > 0 {
            writeln!(f, "  unread      {:>7}  requests came too fast to be counted", self.unread)?;
        }
        let open = if self.stuck { "stuck" } else { "open" };
        writeln!(f, "  {open:<12}{:>7}", self.open)?;
        writeln!(f, "  lost        {:>7}", self.lost)
    }
}

#[cfg(test)]
mod tests {
    use angarium_domain::delivery::DeathCause;
    use angarium_domain::ids::DeliveryId;

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_000);

    fn receiver() -> SubscriptionId {
        SubscriptionId::from_bytes([1; 16])
    }

    fn event(n: u8) -> EventId {
        EventId::from_bytes([n; 16])
    }

    fn delivery(n: u8, status: Status) -> Delivery {
        Delivery {
            delivery_id: DeliveryId::from_bytes([n; 16]),
            event_id: event(n),
            event_type: "order.created".parse().expect("a type"),
            subscription_id: receiver(),
            status,
            origin: Origin::Live,
            attempts: 1,
            next_attempt_at: None,
            created_at: START,
            finished_at: Some(START),
            last_status: None,
            last_error: None,
            reason: None,
            replay_of: None,
            replayed_by: None,
            discarded_at: None,
        }
    }

    fn drawn_up(earlier: &[u8], accepted: &[u8], log: &[Delivery], seen: &[u8]) -> Ledger {
        let promises = |events: &[u8]| -> Vec<Accepted> {
            events.iter().map(|n| Accepted { event_id: event(*n), deliveries: 1 }).collect()
        };
        let mut saw = Seen::default();
        for n in seen {
            saw.note(receiver(), event(*n));
        }
        Ledger::of(&Evidence {
            earlier: &promises(earlier),
            accepted: &promises(accepted),
            log,
            seen: &saw,
            receivers: &[receiver()],
            started_at: START,
        })
    }

    #[test]
    fn what_was_accepted_and_is_not_in_the_log_is_lost() {
        let log = [delivery(1, Status::Delivered)];
        assert_eq!(drawn_up(&[], &[1], &log, &[1]).lost, 0);
        assert_eq!(drawn_up(&[], &[1, 2], &log, &[1]).lost, 1);
        assert_eq!(drawn_up(&[2], &[1], &log, &[1]).lost, 1);
    }

    #[test]
    fn what_no_receiver_saw_was_not_delivered_whatever_the_log_says() {
        let log = [delivery(1, Status::Delivered), delivery(2, Status::Delivered)];
        let ledger = drawn_up(&[], &[1, 2], &log, &[1]);
        assert_eq!(ledger.lost, 1);
        assert!(ledger.verdict().is_err());
    }

    #[test]
    fn what_was_delivered_before_the_receivers_were_watched_is_taken_on_trust() {
        let finished_at = Some(Timestamp::from_seconds(999));
        let log = [Delivery { finished_at, ..delivery(1, Status::Delivered) }];
        assert_eq!(drawn_up(&[1], &[], &log, &[]).lost, 0);
    }

    #[test]
    fn a_receiver_that_says_yes_twice_has_seen_a_duplicate() {
        let log = [delivery(1, Status::Delivered)];
        assert_eq!(drawn_up(&[], &[1], &log, &[1, 1, 1]).duplicates, 2);
    }

    #[test]
    fn the_balance_is_told_line_by_line() {
        let reason = Some(DeathCause::TerminalStatus);
        let log = [
            Delivery { attempts: 3, ..delivery(1, Status::Delivered) },
            Delivery { reason, ..delivery(2, Status::Dead) },
            Delivery { origin: Origin::System, ..delivery(3, Status::Delivered) },
            delivery(4, Status::Retrying),
        ];
        let ledger = Ledger { stuck: true, taken_up: 2, ..drawn_up(&[1], &[2, 4], &log, &[1, 3]) };
        let expected = "
ledger
  accepted          2  events now and 1 earlier; 3 deliveries promised
  taken up          2  unfinished deliveries of the demo before
  delivered         2  1 of them events of the service itself
  dead              1  1 terminal_status
  retried           1  by 2 more attempts
  duplicates        0  accepted again by a receiver that had it
  stuck             1
  lost              0
";
        assert_eq!(ledger.to_string(), expected);
        assert_eq!(ledger.verdict().expect_err("stuck").to_string(), "stuck: 1 delivery");
    }
}
