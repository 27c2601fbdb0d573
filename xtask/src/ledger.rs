//! The rules by which a trial is judged: what was accepted, what arrived and what is listed must agree.
//!
//! Pure. The producer, the receiver and the API each give their side of the
//! story, and no side is believed without the others.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use crate::lane::{End, Lane};

/// Attempts of the policy that trials use, first one included.
pub(crate) const ATTEMPTS_MAX: u32 = 5;

/// A 202, as the producer noted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The publication's number, which is also in its key and its payload.
    pub(crate) number: u64,
    pub(crate) event_id: String,
}

/// A request, as the receiver noted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) lane: Lane,
    pub(crate) event_id: String,
    /// The payload was, byte for byte, what was published, and the ids in header and body agree.
    pub(crate) intact: bool,
    /// The signature fits the subscription's secret.
    pub(crate) signed: bool,
    /// The receiver said yes.
    pub(crate) taken: bool,
}

/// A delivery, as the API lists it when all is quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) lane: Lane,
    pub(crate) event_id: String,
    pub(crate) status: String,
    pub(crate) attempts: u32,
    pub(crate) reason: Option<String>,
}

/// All sides of one trial.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) listed: Vec<Listed>,
    /// How often the process was ended without warning.
    pub(crate) ends: u32,
}

/// What was counted, and what is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) events_accepted: usize,
    pub(crate) delivered: usize,
    pub(crate) dead: BTreeMap<String, usize>,
    pub(crate) stuck: usize,
    pub(crate) lost: usize,
    pub(crate) duplicates: usize,
    pub(crate) attempts_listed: usize,
    pub(crate) attempts_seen: usize,
    pub(crate) faults: Vec<String>,
}

/// Compares the sides.
pub(crate) fn judge(book: &Book) -> Verdict {
    let mut verdict = Verdict {
        events_accepted: ids(book).len(),
        attempts_seen: book.arrivals.len(),
        attempts_listed: book.listed.iter().map(|listed| listed.attempts as usize).sum(),
        ..Verdict::default()
    };
    judge_keys(book, &mut verdict);
    judge_arrivals(book, &mut verdict);
    judge_repetitions(book, &mut verdict);
    judge_endings(book, &mut verdict);
    verdict
}

fn ids(book: &Book) -> HashSet<&str> {
    book.accepted.iter().map(|accepted| accepted.event_id.as_str()).collect()
}

/// An event published twice under one key is one event.
fn judge_keys(book: &Book, verdict: &mut Verdict) {
    let mut first: HashMap<u64, &str> = HashMap::new();
    for Accepted { number, event_id } in &book.accepted {
        let known = first.entry(*number).or_insert(event_id);
        if known != event_id {
            verdict.faults.push(format!("publication {number} became two events, {known} and {event_id}"));
        }
    }
}

/// Nothing arrives that was not accepted, nor otherwise than it was accepted.
fn judge_arrivals(book: &Book, verdict: &mut Verdict) {
    let accepted = ids(book);
    for Arrival { lane, event_id, intact, signed, .. } in &book.arrivals {
        if !accepted.contains(event_id.as_str()) {
            verdict.faults.push(format!("{event_id} arrived at {lane} but was never accepted"));
        }
        if !intact {
            verdict.faults.push(format!("{event_id} arrived at {lane} with another body"));
        }
        if !signed {
            verdict.faults.push(format!("{event_id} arrived at {lane} with a wrong signature"));
        }
    }
}

/// A delivery is repeated after a crash and not otherwise, and no more often than there were crashes.
fn judge_repetitions(book: &Book, verdict: &mut Verdict) {
    let mut seen: HashMap<(Lane, &str), (u32, u32)> = HashMap::new();
    for arrival in &book.arrivals {
        let (attempts, taken) = seen.entry((arrival.lane, &arrival.event_id)).or_default();
        *attempts += 1;
        *taken += u32::from(arrival.taken);
    }
    for ((lane, event_id), (attempts, taken)) in seen {
        verdict.duplicates += taken.saturating_sub(1) as usize;
        if taken > 1 + book.ends {
            verdict
                .faults
                .push(format!("{event_id} was taken {taken} times by {lane} in {} crashes", book.ends));
        }
        if attempts > ATTEMPTS_MAX + book.ends {
            verdict.faults.push(format!(
                "{event_id} was tried {attempts} times at {lane}, the limit is {ATTEMPTS_MAX}"
            ));
        }
    }
}

/// Every accepted event ends at every lane, once, in the way that the lane's receiver gave cause for.
fn judge_endings(book: &Book, verdict: &mut Verdict) {
    let mut listed: HashMap<(Lane, &str), Vec<&Listed>> = HashMap::new();
    for one in &book.listed {
        listed.entry((one.lane, &one.event_id)).or_default().push(one);
    }
    let taken: HashSet<(Lane, &str)> = book
        .arrivals
        .iter()
        .filter(|arrival| arrival.taken)
        .map(|arrival| (arrival.lane, arrival.event_id.as_str()))
        .collect();
    for event_id in ids(book) {
        for lane in Lane::ALL {
            let place = (*lane, event_id);
            match listed.remove(&place).unwrap_or_default().as_slice() {
                [one] => judge_ending(one, taken.contains(&place), verdict),
                found => {
                    verdict.lost += usize::from(found.is_empty());
                    verdict
                        .faults
                        .push(format!("{event_id} has {} deliveries to {lane} instead of one", found.len()));
                }
            }
        }
    }
    for (lane, event_id) in listed.into_keys() {
        verdict.faults.push(format!("{event_id} is listed at {lane} but was never accepted"));
    }
}

fn judge_ending(one: &Listed, taken: bool, verdict: &mut Verdict) {
    let Listed { lane, event_id, status, reason, .. } = one;
    let reason = reason.as_deref().unwrap_or("no reason");
    match status.as_str() {
        "delivered" => {
            verdict.delivered += 1;
            if !taken {
                verdict.lost += 1;
                verdict.faults.push(format!("{event_id} is called delivered, but {lane} never took it"));
            }
        }
        "dead" => {
            *verdict.dead.entry(reason.to_owned()).or_default() += 1;
            if !matches!(lane.end(), End::Dead { reason: due } if due == reason) {
                verdict.lost += 1;
                verdict.faults.push(format!("{event_id} is dead at {lane} for {reason}, without cause"));
            }
        }
        other => {
            verdict.stuck += 1;
            verdict.faults.push(format!("{event_id} is still {other} at {lane}"));
        }
    }
}

impl Verdict {
    /// Adds another trial's counts and faults.
    pub(crate) fn absorb(&mut self, other: Verdict) {
        self.events_accepted += other.events_accepted;
        self.delivered += other.delivered;
        self.stuck += other.stuck;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.attempts_listed += other.attempts_listed;
        self.attempts_seen += other.attempts_seen;
        self.faults.extend(other.faults);
        for (reason, count) in other.dead {
            *self.dead.entry(reason).or_default() += count;
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dead: Vec<_> = self.dead.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let dead = if dead.is_empty() { "none".to_owned() } else { dead.join(", ") };
        writeln!(f, "{:<28}{}", "events accepted", self.events_accepted)?;
        writeln!(f, "{:<28}{}", "deliveries delivered", self.delivered)?;
        writeln!(f, "{:<28}{dead}", "deliveries dead")?;
        writeln!(f, "{:<28}{}", "lost", self.lost)?;
        writeln!(f, "{:<28}{}", "stuck", self.stuck)?;
        writeln!(f, "{:<28}{}", "duplicates", self.duplicates)?;
        write!(f, "{:<28}{} listed, {} seen", "attempts", self.attempts_listed, self.attempts_seen)?;
        for fault in self.faults.iter().take(20) {
            write!(f, "\n  {fault}")?;
        }
        match self.faults.len().saturating_sub(20) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One event that ended at every lane as it should.
    fn honest() -> Book {
        let arrival = |lane: Lane, taken| Arrival {
            lane,
            event_id: "evt_1".to_owned(),
            intact: true,
            signed: true,
            taken,
        };
        let listed = |lane: Lane| {
            let (status, reason) = match lane.end() {
                End::Delivered => ("delivered", None),
                End::Dead { reason } => ("dead", Some(reason.to_owned())),
            };
            Listed { lane, event_id: "evt_1".to_owned(), status: status.to_owned(), attempts: 1, reason }
        };
        Book {
            accepted: vec![Accepted { number: 1, event_id: "evt_1".to_owned() }],
            arrivals: Lane::ALL.iter().map(|lane| arrival(*lane, lane.end() == End::Delivered)).collect(),
            listed: Lane::ALL.iter().map(|lane| listed(*lane)).collect(),
            ends: 0,
        }
    }

    /// Changes the honest book and expects exactly this to be said.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Book), expected: &[&str]) -> Verdict {
        let mut book = honest();
        change(&mut book);
        let verdict = judge(&book);
        assert_eq!(verdict.faults, expected);
        verdict
    }

    fn at(book: &mut Book, lane: Lane) -> &mut Listed {
        book.listed.iter_mut().find(|listed| listed.lane == lane).unwrap()
    }

    #[test]
    fn an_honest_book_is_counted_and_not_blamed() {
        let verdict = check(|_| {}, &[]);
        assert_eq!((verdict.events_accepted, verdict.delivered, verdict.lost, verdict.stuck), (1, 3, 0, 0));
        assert_eq!(verdict.dead, BTreeMap::from([("terminal_status".to_owned(), 1)]));
        assert_eq!((verdict.attempts_seen, verdict.attempts_listed, verdict.duplicates), (4, 4, 0));
    }

    #[test]
    fn an_accepted_event_without_a_delivery_is_lost() {
        let verdict = check(
            |book| book.listed.retain(|listed| listed.lane != Lane::Steady),
            &["evt_1 has 0 deliveries to steady instead of one"],
        );
        assert_eq!(verdict.lost, 1);
    }

    #[test]
    fn a_delivery_is_lost_when_its_receiver_never_took_it() {
        let verdict = check(
            |book| book.arrivals.retain(|arrival| arrival.lane != Lane::Slow),
            &["evt_1 is called delivered, but slow never took it"],
        );
        assert_eq!(verdict.lost, 1);
    }

    #[test]
    fn death_needs_a_receiver_that_refuses() {
        let change = |book: &mut Book| at(book, Lane::Flaky).status = "dead".to_owned();
        let verdict = check(change, &["evt_1 is dead at flaky for no reason, without cause"]);
        assert_eq!(verdict.lost, 1);
        let for_another_reason = |book: &mut Book| at(book, Lane::Gone).reason = Some("expired".to_owned());
        check(for_another_reason, &["evt_1 is dead at gone for expired, without cause"]);
    }

    #[test]
    fn a_delivery_that_still_waits_is_stuck() {
        let verdict = check(
            |book| at(book, Lane::Slow).status = "retrying".to_owned(),
            &["evt_1 is still retrying at slow"],
        );
        assert_eq!((verdict.stuck, verdict.lost), (1, 0));
    }

    #[test]
    fn two_deliveries_of_one_event_to_one_lane_are_a_fault() {
        check(
            |book| {
                let twin = at(book, Lane::Steady).clone();
                book.listed.push(twin);
            },
            &["evt_1 has 2 deliveries to steady instead of one"],
        );
    }

    #[test]
    fn repetitions_need_a_crash() {
        let twice = |book: &mut Book| {
            let again = book.arrivals[0].clone();
            book.arrivals.push(again);
        };
        check(twice, &["evt_1 was taken 2 times by steady in 0 crashes"]);
        let excused = |book: &mut Book| {
            twice(book);
            book.ends = 1;
        };
        assert_eq!(check(excused, &[]).duplicates, 1);
    }

    #[test]
    fn attempts_beyond_the_policy_are_a_fault() {
        let refused = |book: &mut Book| {
            let gone = book.arrivals.iter().find(|arrival| arrival.lane == Lane::Gone).unwrap().clone();
            book.arrivals.extend(std::iter::repeat_n(gone, ATTEMPTS_MAX as usize));
        };
        check(refused, &["evt_1 was tried 6 times at gone, the limit is 5"]);
    }

    #[test]
    fn arrivals_that_nobody_published_are_a_fault() {
        let invent = |book: &mut Book| {
            let invented = Arrival { event_id: "evt_2".to_owned(), ..book.arrivals[0].clone() };
            book.arrivals.push(invented);
        };
        check(invent, &["evt_2 arrived at steady but was never accepted"]);
    }

    #[test]
    fn listed_deliveries_that_nobody_published_are_a_fault() {
        let invent = |book: &mut Book| {
            let invented = Listed { event_id: "evt_2".to_owned(), ..at(book, Lane::Gone).clone() };
            book.listed.push(invented);
        };
        check(invent, &["evt_2 is listed at gone but was never accepted"]);
    }

    #[test]
    fn changed_bodies_and_wrong_signatures_are_faults() {
        check(|book| book.arrivals[0].intact = false, &["evt_1 arrived at steady with another body"]);
        check(|book| book.arrivals[0].signed = false, &["evt_1 arrived at steady with a wrong signature"]);
    }

    #[test]
    fn one_key_that_became_two_events_is_a_fault() {
        let split = |book: &mut Book| {
            for listed in book.listed.clone() {
                book.listed.push(Listed { event_id: "evt_2".to_owned(), ..listed });
            }
            for arrival in book.arrivals.clone() {
                book.arrivals.push(Arrival { event_id: "evt_2".to_owned(), ..arrival });
            }
            book.accepted.push(Accepted { number: 1, event_id: "evt_2".to_owned() });
        };
        check(split, &["publication 1 became two events, evt_1 and evt_2"]);
    }

    #[test]
    fn verdicts_of_several_trials_add_up() {
        let mut sum = judge(&honest());
        sum.absorb(judge(&honest()));
        assert_eq!((sum.events_accepted, sum.delivered, sum.dead["terminal_status"]), (2, 6, 2));
    }
}
