//! How well a receiver is doing, and what that allows.
//!
//! Three small machines, one set for each lane: an adaptive limit on attempts
//! at a time, a breaker that stops attempts while a receiver is down, and a
//! pace for attempts where the subscriber named a rate.

use std::time::Duration;

use crate::outcome::Sign;
use crate::time::Timestamp;

/// How many attempts may be under way at a time: one more for each success that used the limit,
/// a tenth less for each sign of overload.
///
/// Additive increase, multiplicative decrease, as in Netflix's `concurrency-limits`: for a client,
/// losses are the better signal than delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveLimit {
    limit: u32,
    limit_max: u32,
}

impl AdaptiveLimit {
    /// Where a lane without history begins.
    pub const INITIAL: u32 = 8;

    /// A limit that never exceeds `limit_max`, which is at least 1.
    pub fn new(limit_max: u32) -> AdaptiveLimit {
        let limit_max = limit_max.max(1);
        AdaptiveLimit { limit: AdaptiveLimit::INITIAL.min(limit_max), limit_max }
    }

    /// Attempts that may be under way now.
    pub fn get(&self) -> u32 {
        self.limit
    }

    /// A receiver answered while `in_flight` attempts were under way. A limit that is not used
    /// says nothing about what the receiver could bear, so it does not grow.
    pub fn succeeded(&mut self, in_flight: u32) {
        if in_flight * 2 >= self.limit {
            self.limit = (self.limit + 1).min(self.limit_max);
        }
    }

    /// A receiver asked for less, by 429, 503 or silence.
    pub fn overloaded(&mut self) {
        self.limit = (self.limit * 9 / 10).max(1);
    }

    /// A receiver is back: begin with one, so that its backlog does not knock it over again.
    pub fn begin_again(&mut self) {
        self.limit = 1;
    }

    /// The owner set another maximum.
    pub fn set_max(&mut self, limit_max: u32) {
        self.limit_max = limit_max.max(1);
        self.limit = self.limit.min(self.limit_max);
    }
}

/// Whether a receiver is worth attempting at all.
///
/// An open breaker burns no attempts: deliveries stay due and wait. One probe
/// at a time finds out whether the receiver is back.
///
/// Silence opens it soon: whoever does not answer one request does not answer
/// the next. Failing answers open it only when nothing else came for longer
/// than the `fast` policy takes, because a receiver may well refuse every
/// event at first and take it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Attempts go out.
    Closed {
        /// Attempts in a row without any answer.
        silent: u32,
        /// When the first of an unbroken row of outages was; none after an answer that was well.
        ill_since: Option<Timestamp>,
    },
    /// No attempts until the probe.
    Open {
        /// Since when the receiver has been out.
        since: Timestamp,
        /// When the next probe may start.
        probe_at: Timestamp,
        /// How long the wait was; the next one is longer.
        waited: Duration,
    },
    /// One attempt is under way to find out.
    Probing {
        /// Since when the receiver has been out.
        since: Timestamp,
        /// How long the wait before it was.
        waited: Duration,
    },
}

/// What a breaker allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Attempts may start.
    Open,
    /// One attempt may start: the probe.
    Probe,
    /// Nothing before this time.
    NotBefore(Timestamp),
    /// Nothing until the probe has ended.
    ProbeUnderWay,
}

/// What an observation did to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Unchanged,
    /// The receiver is given up for now.
    Opened,
    /// The receiver is back.
    Closed,
}

impl Breaker {
    /// Attempts without an answer, in a row, that open the breaker. High enough that the retries
    /// of a handful of deliveries run on schedule, low enough that a dead receiver costs little.
    pub const SILENT_TO_OPEN: u32 = 20;
    /// How long nothing but outages may come before the breaker opens. Longer than the 75 s of
    /// the `fast` policy.
    pub const ILL_TO_OPEN: Duration = Duration::from_mins(2);
    const PROBE_WAIT_FIRST: Duration = Duration::from_secs(5);
    const PROBE_WAIT_MAX: Duration = Duration::from_mins(1);

    /// A breaker without history.
    pub fn new() -> Breaker {
        Breaker::Closed { silent: 0, ill_since: None }
    }

    /// What may start at `now`.
    pub fn admits(&self, now: Timestamp) -> Admission {
        match *self {
            Breaker::Closed { .. } => Admission::Open,
            // Further ahead than it was ever set: the clock was put back, and the wait is over.
            Breaker::Open { probe_at, waited, .. } if probe_at <= now || probe_at > now + waited => {
                Admission::Probe
            }
            Breaker::Open { probe_at, .. } => Admission::NotBefore(probe_at),
            Breaker::Probing { .. } => Admission::ProbeUnderWay,
        }
    }

    /// A probe started.
    pub fn probe_started(&mut self) {
        if let Breaker::Open { since, waited, .. } = *self {
            *self = Breaker::Probing { since, waited };
        }
    }

    /// A probe ended without an answer of its own: try again at once.
    pub fn probe_cut_short(&mut self, now: Timestamp) {
        if let Breaker::Probing { since, waited } = *self {
            *self = Breaker::Open { since, probe_at: now, waited };
        }
    }

    /// Takes note of an attempt's end. Answers whether that opened or closed the breaker.
    pub fn observe(&mut self, sign: Sign, now: Timestamp) -> Turn {
        match sign {
            Sign::None => {
                self.probe_cut_short(now);
                Turn::Unchanged
            }
            Sign::Well => self.close(),
            Sign::Failing | Sign::Silent => self.outage(sign == Sign::Silent, now),
        }
    }

    fn close(&mut self) -> Turn {
        let was_closed = self.is_closed();
        *self = Breaker::new();
        if was_closed { Turn::Unchanged } else { Turn::Closed }
    }

    fn outage(&mut self, is_silent: bool, now: Timestamp) -> Turn {
        match *self {
            Breaker::Closed { silent, ill_since } => {
                let silent = if is_silent { silent + 1 } else { 0 };
                let since = ill_since.unwrap_or(now);
                let ill_too_long = now.since(since) >= Breaker::ILL_TO_OPEN;
                if silent < Breaker::SILENT_TO_OPEN && !ill_too_long {
                    *self = Breaker::Closed { silent, ill_since: Some(since) };
                    return Turn::Unchanged;
                }
                let waited = Breaker::PROBE_WAIT_FIRST;
                *self = Breaker::Open { since, probe_at: now + waited, waited };
                Turn::Opened
            }
            Breaker::Probing { since, waited } => {
                let waited = (waited * 2).min(Breaker::PROBE_WAIT_MAX);
                *self = Breaker::Open { since, probe_at: now + waited, waited };
                Turn::Unchanged
            }
            // An attempt from before it opened: it tells nothing new.
            Breaker::Open { .. } => Turn::Unchanged,
        }
    }

    /// Since when the receiver has been out, if it is.
    pub fn out_since(&self) -> Option<Timestamp> {
        match *self {
            Breaker::Closed { .. } => None,
            Breaker::Open { since, .. } | Breaker::Probing { since, .. } => Some(since),
        }
    }

    /// Whether attempts go out freely.
    pub fn is_closed(&self) -> bool {
        matches!(self, Breaker::Closed { .. })
    }
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker::new()
    }
}

/// Paces attempts to a number a second or a minute, evenly: no burst after an idle time.
///
/// Each attempt has a slot, and slots are evenly spaced: a schedule, of which the next slot is all the
/// state there is. Whoever is late for a slot by no more than [`Pace::LATE`] takes it all the same, so
/// that slow timers do not cost throughput; slots that were missed by more are gone.
///
/// The receiver counts what arrives and not what we begin. Attempts are therefore a little further
/// apart than the rate asks for ([`Pace::SLACK`]): in any second at most the rate arrives even if some
/// of them are on their way for 30 ms longer than others, and one more if the difference is not larger
/// than the space between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From one slot to the next, in microseconds.
    spacing_us: i64,
    /// When the next attempt may start, in microseconds since the epoch.
    next_slot_us: i64,
}

impl Pace {
    /// What is not used of each second or minute, so that differences on the way do not add up to one
    /// with too many arrivals: 4 % of a rate a second.
    pub const SLACK: Duration = Duration::from_millis(40);
    /// How late an attempt may take its slot. A quarter of the slack; the rest is for the way.
    pub const LATE: Duration = Duration::from_millis(10);

    /// At most so many attempts a second, the first of them now, whenever that is.
    pub fn per_second(rate: u32) -> Pace {
        Pace::within(Duration::from_secs(1), rate)
    }

    /// At most so many attempts a minute.
    pub fn per_minute(rate: u32) -> Pace {
        Pace::within(Duration::from_mins(1), rate)
    }

    fn within(span: Duration, rate: u32) -> Pace {
        let (span_us, rate) = ((span + Pace::SLACK).as_micros() as i64, i64::from(rate.max(1)));
        // Rounded up: slots are never closer than the rate asks for.
        Pace { spacing_us: (span_us + rate - 1) / rate, next_slot_us: 0 }
    }

    /// When the next attempt may start.
    pub fn free_at(&self, now: Timestamp) -> Timestamp {
        let slot_us = self.slot_us(now);
        // Rounded up: a millisecond early would be an attempt too many.
        Timestamp::from_millis(slot_us.div_euclid(1000) + i64::from(slot_us.rem_euclid(1000) > 0))
    }

    /// An attempt started.
    pub fn take(&mut self, now: Timestamp) {
        let earliest_us = us(now) - Pace::LATE.as_micros() as i64;
        self.next_slot_us = self.slot_us(now).max(earliest_us) + self.spacing_us;
    }

    /// Another pace from now on. The next slot is as far from the last one as the new pace says: a
    /// change is no way to an attempt more.
    #[must_use]
    pub fn changed(self, to: Pace) -> Pace {
        Pace { next_slot_us: self.next_slot_us - self.spacing_us + to.spacing_us, ..to }
    }

    /// The next slot: never further ahead than one space, or else the clock was put back.
    fn slot_us(&self, now: Timestamp) -> i64 {
        if self.next_slot_us > us(now) + self.spacing_us { us(now) } else { self.next_slot_us }
    }
}

fn us(at: Timestamp) -> i64 {
    at.as_millis() * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);

    fn at(seconds: u64) -> Timestamp {
        NOON + Duration::from_secs(seconds)
    }

    #[test]
    fn the_limit_grows_only_while_it_is_used_and_shrinks_by_tenths() {
        let mut limit = AdaptiveLimit::new(64);
        limit.succeeded(1);
        assert_eq!(limit.get(), AdaptiveLimit::INITIAL);
        limit.succeeded(AdaptiveLimit::INITIAL);
        assert_eq!(limit.get(), AdaptiveLimit::INITIAL + 1);
        for _ in 0..100 {
            limit.overloaded();
        }
        assert_eq!(limit.get(), 1);
        for _ in 0..100 {
            limit.succeeded(limit.get());
        }
        assert_eq!(limit.get(), 64);
    }

    /// Shows a closed breaker as many signs of one kind, all at noon.
    fn observe(breaker: &mut Breaker, sign: Sign, times: u32) -> Turn {
        (0..times).map(|_| breaker.observe(sign, NOON)).last().expect("at least one")
    }

    #[test]
    fn silence_in_a_row_opens_the_breaker_and_any_answer_breaks_the_row() {
        let mut breaker = Breaker::new();
        for answer in [Sign::Well, Sign::Failing] {
            assert_eq!(observe(&mut breaker, Sign::Silent, Breaker::SILENT_TO_OPEN - 1), Turn::Unchanged);
            assert_eq!(observe(&mut breaker, answer, 1), Turn::Unchanged);
        }
        assert_eq!(observe(&mut breaker, Sign::Silent, Breaker::SILENT_TO_OPEN), Turn::Opened);
        assert_eq!(breaker.admits(at(4)), Admission::NotBefore(at(5)));
        assert_eq!(breaker.admits(at(5)), Admission::Probe);
    }

    #[test]
    fn a_receiver_that_fails_every_event_at_first_and_takes_it_later_is_not_given_up() {
        let mut breaker = Breaker::new();
        for second in 0..600 {
            for _ in 0..200 {
                assert_eq!(breaker.observe(Sign::Failing, at(second)), Turn::Unchanged);
            }
            if second % 60 == 59 {
                breaker.observe(Sign::Well, at(second));
            }
        }
    }

    #[test]
    fn a_receiver_that_does_nothing_but_fail_for_two_minutes_is_given_up() {
        let mut breaker = Breaker::new();
        assert_eq!(breaker.observe(Sign::Failing, at(0)), Turn::Unchanged);
        assert_eq!(breaker.observe(Sign::Failing, at(119)), Turn::Unchanged);
        assert_eq!(breaker.observe(Sign::Failing, at(120)), Turn::Opened);
        assert_eq!(breaker.out_since(), Some(at(0)));
    }

    #[test]
    fn probes_come_one_at_a_time_and_further_apart() {
        let mut breaker = Breaker::Open { since: NOON, probe_at: NOON, waited: Duration::from_secs(5) };
        let mut now = NOON;
        let mut waits = Vec::new();
        for _ in 0..6 {
            breaker.probe_started();
            assert_eq!(breaker.admits(now), Admission::ProbeUnderWay);
            breaker.observe(Sign::Silent, now);
            let Breaker::Open { probe_at, .. } = breaker else { panic!("not open") };
            waits.push(probe_at.since(now).as_secs());
            now = probe_at;
        }
        assert_eq!(waits, [10, 20, 40, 60, 60, 60]);
    }

    #[test]
    fn a_probe_that_goes_well_closes_the_breaker_and_one_that_was_not_made_is_made_again() {
        let probing = Breaker::Probing { since: NOON, waited: Duration::from_secs(5) };
        let mut breaker = probing;
        assert_eq!(breaker.observe(Sign::Well, NOON), Turn::Closed);
        assert_eq!(breaker.admits(NOON), Admission::Open);
        let mut breaker = probing;
        assert_eq!(breaker.observe(Sign::None, NOON), Turn::Unchanged);
        assert_eq!(breaker.admits(NOON), Admission::Probe);
    }

    #[test]
    fn a_clock_that_is_put_back_holds_nothing_up() {
        let mut pace = Pace::per_second(10);
        pace.take(at(3600));
        assert!(pace.free_at(NOON) <= NOON);
        pace.take(NOON);
        assert_eq!(pace.free_at(NOON), NOON + Duration::from_millis(104));

        let waited = Duration::from_secs(5);
        let breaker = Breaker::Open { since: at(3600), probe_at: at(3605), waited };
        assert_eq!(breaker.admits(NOON), Admission::Probe);
    }

    /// A lane that always has something to send, in milliseconds: what began, and what arrived.
    struct Drive {
        pace: Pace,
        now: Timestamp,
        random: u64,
        started: Vec<Timestamp>,
        arrived: Vec<Timestamp>,
    }

    impl Drive {
        fn at(rate: u32) -> Drive {
            Drive { pace: Pace::per_second(rate), now: NOON, random: 1, started: vec![], arrived: vec![] }
        }

        fn below(&mut self, end: u64) -> u64 {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random % end
        }

        /// Sends whatever the pace allows until a time. Timers ring up to `late` ms after they were
        /// set for, and requests are up to `way` ms on their way.
        fn until(&mut self, end: Timestamp, late: u64, way: u64) -> &mut Drive {
            loop {
                let free_at = self.pace.free_at(self.now);
                if free_at > self.now {
                    self.now = free_at + Duration::from_millis(self.below(late + 1));
                }
                if self.now >= end {
                    self.now = end;
                    return self;
                }
                self.pace.take(self.now);
                self.started.push(self.now);
                let way = self.below(way + 1);
                self.arrived.push(self.now + Duration::from_millis(way));
            }
        }

        /// The most that arrived within any second.
        fn most_in_a_second(&mut self) -> usize {
            self.arrived.sort_unstable();
            let mut first = 0;
            let counts = self.arrived.iter().enumerate().map(|(last, at)| {
                while at.since(self.arrived[first]) >= Duration::from_secs(1) {
                    first += 1;
                }
                last - first + 1
            });
            counts.max().unwrap_or(0)
        }
    }

    const RATES: [u32; 8] = [1, 2, 3, 10, 50, 100, 333, 1000];

    #[test]
    fn in_no_second_does_more_arrive_than_the_rate_and_one_and_the_rate_is_used() {
        for rate in RATES {
            for (late, way) in [(0, 0), (2, 0), (3, 8), (10, 30)] {
                let mut drive = Drive::at(rate);
                let most = drive.until(at(60), late, way).most_in_a_second();
                assert!(
                    most <= rate as usize + 1,
                    "{most} in a second at {rate}/s, {late} ms late, {way} ms"
                );
                let started = drive.started.len();
                let used = started * 100 / (60 * rate as usize);
                assert!(used >= 95, "{used} % of {rate}/s used, {late} ms late");
            }
        }
    }

    #[test]
    fn there_is_no_burst_after_an_idle_time_nor_after_timers_that_were_late() {
        for rate in RATES {
            let mut drive = Drive::at(rate);
            for idle in [1, 3, 10] {
                let end = drive.now + Duration::from_secs(3);
                drive.until(end, 60, 0);
                drive.now = drive.now + Duration::from_secs(idle);
            }
            let most = drive.most_in_a_second();
            assert!(most <= rate as usize + 1, "{most} in a second at {rate}/s");
        }
    }

    /// A new process knows nothing of the old one, and begins at once.
    #[test]
    fn a_restart_gives_one_attempt_more_and_no_burst() {
        for rate in RATES {
            let mut drive = Drive::at(rate);
            drive.until(at(3), 3, 0);
            drive.pace = Pace::per_second(rate);
            let most = drive.until(at(6), 3, 0).most_in_a_second();
            assert!(most <= rate as usize + 1, "{most} in a second at {rate}/s");
        }
    }

    #[test]
    fn a_change_of_the_rate_is_no_way_to_an_attempt_more() {
        let mut drive = Drive::at(10);
        for step in 0..200 {
            let rate = if step % 2 == 0 { 9 } else { 10 };
            drive.pace = drive.pace.changed(Pace::per_second(rate));
            let end = drive.now + Duration::from_millis(37);
            drive.until(end, 0, 0);
        }
        assert!(drive.most_in_a_second() <= 10);
        drive.pace = drive.pace.changed(Pace::per_second(100));
        let begun = drive.started.len();
        let end = drive.now + Duration::from_secs(1);
        assert!((95..=98).contains(&(drive.until(end, 0, 0).started.len() - begun)));
    }
}
