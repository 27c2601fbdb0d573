//! One lane: the deliveries of one subscription, in the dispatcher's eyes.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Condition, LaneReport, LaneRules, Ticket};
use crate::handle::Handle;
use crate::health::{AdaptiveLimit, Admission, Breaker, Pace, Turn};
use crate::outcome::{Outcome, Sign};
use crate::time::Timestamp;

/// A lane's window is at most this many deliveries, held or under way.
const WINDOW_MAX: u32 = 256;
/// A lane with a rate holds no more than it can start in this time, well within a lease.
const RATE_AHEAD: Duration = Duration::from_secs(10);

/// Whether a lane may start an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Now.
    Open,
    /// At this time.
    Until(Timestamp),
    /// When something happens: an attempt ends, or the owner resumes it.
    Shut,
}

#[derive(Debug)]
pub(super) struct Lane<W> {
    pub(super) handle: Handle,
    pub(super) rules: LaneRules,
    /// Whether it counts among the mails, as long as anything of it is held or promised.
    pub(super) mails: bool,
    limit: AdaptiveLimit,
    pub(super) breaker: Breaker,
    pace: Option<Pace>,
    /// The rate that the receiver allows.
    allowance: Option<Pace>,
    /// Leased and waiting for their turn.
    pub(super) held: VecDeque<Ticket<W>>,
    /// Under way.
    pub(super) in_flight: u32,
    /// When the earliest delivery left in the store is due, as far as we know.
    pub(super) next_due_at: Option<Timestamp>,
    /// What was scheduled while a claim was under way: the claim may not have seen it.
    scheduled_meanwhile: Option<Timestamp>,
    claiming: bool,
    /// Room promised to the claim under way.
    pub(super) promised: u32,
    pub(super) wake_at: Option<Timestamp>,
    /// The subscription is gone; the lane ends with its last attempt.
    pub(super) removed: bool,
}

impl<W> Lane<W> {
    /// Whether it has nothing: here, under way, or left in the store as far as we know.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.in_flight == 0 && !self.claiming && self.next_due_at.is_none()
    }

    pub(super) fn new(handle: Handle, rules: LaneRules, concurrency_max: u32) -> Lane<W> {
        Lane {
            handle,
            rules,
            mails: rules.mails,
            limit: AdaptiveLimit::new(concurrency_of(rules, concurrency_max)),
            breaker: Breaker::new(),
            pace: rules.rate_per_second.map(Pace::per_second),
            allowance: rules.allowed_per_minute.map(Pace::per_minute),
            held: VecDeque::new(),
            in_flight: 0,
            next_due_at: None,
            scheduled_meanwhile: None,
            claiming: false,
            promised: 0,
            wake_at: None,
            removed: false,
        }
    }

    pub(super) fn change(&mut self, rules: LaneRules, concurrency_max: u32, now: Timestamp) {
        let changed =
            |pace: Option<Pace>, to: Option<Pace>| to.map(|to| pace.map_or(to, |pace| pace.changed(to)));
        self.pace = changed(self.pace, rules.rate_per_second.map(Pace::per_second));
        self.allowance = changed(self.allowance, rules.allowed_per_minute.map(Pace::per_minute));
        self.limit.set_max(concurrency_of(rules, concurrency_max));
        let resumed = self.rules.paused && !rules.paused;
        self.rules = rules;
        if self.in_flight == 0 && self.held.is_empty() && self.promised == 0 {
            self.mails = rules.mails;
        }
        if resumed {
            // While it was paused nobody looked how the receiver was: begin without a judgement,
            // lest the pause count as time for which the receiver was out.
            self.breaker = Breaker::new();
            // Whatever was held back is due by now; the claim will tell.
            self.scheduled(now);
        }
    }

    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        if self.rules.paused || self.in_flight >= self.limit.get() {
            return Gate::Shut;
        }
        match self.breaker.admits(now) {
            Admission::ProbeUnderWay => return Gate::Shut,
            Admission::NotBefore(at) => return Gate::Until(at),
            // A probe is alone: attempts from before the breaker opened must end first.
            Admission::Probe if self.in_flight > 0 => return Gate::Shut,
            Admission::Probe | Admission::Open => {}
        }
        let free_at = |pace: Option<Pace>| pace.map(|pace| pace.free_at(now));
        match free_at(self.pace).max(free_at(self.allowance)) {
            Some(free_at) if free_at > now => Gate::Until(free_at),
            _ => Gate::Open,
        }
    }

    /// The time at which the lane can go on without anything else happening.
    pub(super) fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        let due_at = self.next_due_at.filter(|_| !self.rules.paused);
        match self.gate(now) {
            Gate::Until(at) if !self.held.is_empty() || due_at.is_some() => Some(at),
            _ => due_at.filter(|due_at| *due_at > now),
        }
    }

    /// How many claimed deliveries the lane may hold, as it is when they come: it may have been
    /// paused, or its breaker may have opened, since it asked for them.
    pub(super) fn keeps(&self, now: Timestamp) -> usize {
        match self.breaker.admits(now) {
            _ if self.rules.paused => 0,
            Admission::Open => usize::MAX,
            Admission::Probe if self.in_flight == 0 && self.held.is_empty() => 1,
            Admission::Probe | Admission::NotBefore(_) | Admission::ProbeUnderWay => 0,
        }
    }

    pub(super) fn start(&mut self, now: Timestamp) {
        self.in_flight += 1;
        self.breaker.probe_started();
        for pace in [&mut self.pace, &mut self.allowance].into_iter().flatten() {
            pace.take(now);
        }
    }

    /// Takes note of an attempt's end. Answers whether the breaker opened.
    pub(super) fn finished(&mut self, outcome: Option<Outcome>, now: Timestamp) -> bool {
        let in_flight = self.in_flight;
        self.in_flight -= 1;
        let sign = outcome.map_or(Sign::None, Outcome::sign);
        if outcome.is_some_and(Outcome::asks_for_less) {
            self.limit.overloaded();
        }
        match self.breaker.observe(sign, now) {
            Turn::Opened => return true,
            Turn::Closed => self.limit.begin_again(),
            Turn::Unchanged if sign == Sign::Well => self.limit.succeeded(in_flight),
            Turn::Unchanged => {}
        }
        false
    }

    pub(super) fn scheduled(&mut self, due_at: Timestamp) {
        let earlier = |known: Option<Timestamp>| Some(known.map_or(due_at, |at| at.min(due_at)));
        self.next_due_at = earlier(self.next_due_at);
        if self.claiming {
            self.scheduled_meanwhile = earlier(self.scheduled_meanwhile);
        }
    }

    /// How many deliveries to claim now.
    pub(super) fn wants(&self, now: Timestamp) -> u32 {
        let due = self.next_due_at.is_some_and(|due| due <= now);
        if !due || self.claiming || self.removed || self.gate_to_store(now) != Gate::Open {
            return 0;
        }
        let busy = self.in_flight + self.held.len() as u32;
        let window = self.window(now);
        // Half a window at a time: a claim for each finished attempt would cost a trip each.
        if busy * 2 > window { 0 } else { window - busy }
    }

    /// A full lane that may go on by itself is no reason not to claim ahead.
    fn gate_to_store(&self, now: Timestamp) -> Gate {
        match self.gate(now) {
            Gate::Shut if !self.rules.paused && self.breaker.is_closed() => Gate::Open,
            Gate::Until(_) if self.breaker.is_closed() => Gate::Open,
            gate => gate,
        }
    }

    /// How many deliveries the lane may hold and attempt together.
    fn window(&self, now: Timestamp) -> u32 {
        if !matches!(self.breaker.admits(now), Admission::Open) {
            return 1;
        }
        let by_limit = (self.limit.get() * 2).min(WINDOW_MAX);
        let ahead = RATE_AHEAD.as_secs();
        let by_rate = self.rules.rate_per_second.map_or(u64::MAX, |rate| u64::from(rate) * ahead);
        let by_allowance =
            self.rules.allowed_per_minute.map_or(u64::MAX, |rate| (u64::from(rate) * ahead / 60).max(1));
        u64::from(by_limit).min(by_rate).min(by_allowance) as u32
    }

    /// How many deliveries may be born leased: none while older ones wait in the store.
    pub(super) fn room_for_births(&self, now: Timestamp) -> u32 {
        let backlog = self.claiming || self.next_due_at.is_some_and(|due| due <= now);
        if backlog || self.rules.paused || self.removed || !self.breaker.is_closed() {
            return 0;
        }
        self.window(now).saturating_sub(self.in_flight + self.held.len() as u32)
    }

    pub(super) fn begin_claim(&mut self, limit: u32) {
        self.claiming = true;
        self.promised = limit;
        self.scheduled_meanwhile = None;
    }

    /// Ends the claim under way and answers the room that was promised to it.
    pub(super) fn end_claim(&mut self, next_due_at: Option<Timestamp>) -> u32 {
        self.claiming = false;
        self.next_due_at = match (next_due_at, self.scheduled_meanwhile.take()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        std::mem::take(&mut self.promised)
    }

    pub(super) fn condition(&self, now: Timestamp) -> Condition {
        match self {
            lane if lane.rules.paused => Condition::Paused,
            lane if !lane.breaker.is_closed() => Condition::Open,
            lane if lane.has_work(now) => Condition::Active,
            _ => Condition::Idle,
        }
    }

    pub(super) fn report(&self, now: Timestamp) -> LaneReport {
        LaneReport {
            condition: self.condition(now),
            limit: self.limit.get(),
            in_flight: self.in_flight,
            held: self.held.len() as u32,
            breaker: self.breaker,
        }
    }

    pub(super) fn has_work(&self, now: Timestamp) -> bool {
        self.in_flight > 0 || !self.held.is_empty() || self.next_due_at.is_some_and(|due| due <= now)
    }
}

fn concurrency_of(rules: LaneRules, concurrency_max: u32) -> u32 {
    rules.max_concurrency.unwrap_or(concurrency_max).min(concurrency_max)
}
