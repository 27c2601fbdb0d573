//! How well a receiver is doing, and what that allows.
//!
//! Three small machines, one set for each lane: an adaptive limit on attempts
//! at a time, a breaker that stops attempts while a receiver is down, and a
//! bucket that spaces attempts where the subscriber named a rate.

use std::time::Duration;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Attempts go out. So many in a row ended in an outage.
    Closed {
        /// Since the last answer that was not an outage.
        outages: u32,
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

impl Breaker {
    /// Outages in a row that open the breaker. High enough that the retries of a handful of
    /// deliveries run on schedule, low enough that a dead receiver costs little.
    pub const OUTAGES_TO_OPEN: u32 = 20;
    const PROBE_WAIT_FIRST: Duration = Duration::from_secs(5);
    const PROBE_WAIT_MAX: Duration = Duration::from_mins(1);

    /// A breaker without history.
    pub fn new() -> Breaker {
        Breaker::Closed { outages: 0 }
    }

    /// What may start at `now`.
    pub fn admits(&self, now: Timestamp) -> Admission {
        match *self {
            Breaker::Closed { .. } => Admission::Open,
            Breaker::Open { probe_at, .. } if probe_at <= now => Admission::Probe,
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

    /// An attempt ended in an outage. Answers whether that opened the breaker.
    pub fn outage(&mut self, now: Timestamp) -> bool {
        match *self {
            Breaker::Closed { outages } if outages + 1 < Breaker::OUTAGES_TO_OPEN => {
                *self = Breaker::Closed { outages: outages + 1 };
                false
            }
            Breaker::Closed { .. } => {
                let waited = Breaker::PROBE_WAIT_FIRST;
                *self = Breaker::Open { since: now, probe_at: now + waited, waited };
                true
            }
            Breaker::Probing { since, waited } => {
                let waited = (waited * 2).min(Breaker::PROBE_WAIT_MAX);
                *self = Breaker::Open { since, probe_at: now + waited, waited };
                false
            }
            // An attempt from before it opened: it tells nothing new.
            Breaker::Open { .. } => false,
        }
    }

    /// A receiver answered, and not with an outage. Answers whether that closed the breaker.
    pub fn answered(&mut self) -> bool {
        let was_closed = matches!(self, Breaker::Closed { .. });
        *self = Breaker::new();
        !was_closed
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

/// Spaces attempts to a number a second. A tenth of a second's worth may go out at once.
///
/// The generic cell rate algorithm: one instant is all the state there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    rate_per_second: u32,
    /// When the bucket will be full again, in microseconds since the epoch.
    full_at_us: i64,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate_per_second: u32) -> TokenBucket {
        TokenBucket { rate_per_second: rate_per_second.max(1), full_at_us: 0 }
    }

    /// When the next attempt may start.
    pub fn free_at(&self) -> Timestamp {
        let burst = i64::from((self.rate_per_second / 10).max(1));
        let earliest_us = self.full_at_us - (burst - 1) * self.spacing_us();
        // Rounded up: a millisecond early would be a token too many.
        Timestamp::from_millis(earliest_us.div_euclid(1000) + i64::from(earliest_us.rem_euclid(1000) > 0))
    }

    /// An attempt started.
    pub fn take(&mut self, now: Timestamp) {
        self.full_at_us = self.full_at_us.max(now.as_millis() * 1000) + self.spacing_us();
    }

    fn spacing_us(&self) -> i64 {
        1_000_000 / i64::from(self.rate_per_second)
    }
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

    #[test]
    fn a_row_of_outages_opens_the_breaker_and_one_answer_between_them_does_not() {
        let mut breaker = Breaker::new();
        for _ in 0..Breaker::OUTAGES_TO_OPEN - 1 {
            assert!(!breaker.outage(NOON));
        }
        assert!(!breaker.answered());
        for _ in 0..Breaker::OUTAGES_TO_OPEN - 1 {
            assert!(!breaker.outage(NOON));
        }
        assert!(breaker.outage(NOON));
        assert_eq!(breaker.admits(at(4)), Admission::NotBefore(at(5)));
        assert_eq!(breaker.admits(at(5)), Admission::Probe);
    }

    #[test]
    fn probes_come_one_at_a_time_and_further_apart() {
        let mut breaker = Breaker::Open { since: NOON, probe_at: NOON, waited: Duration::from_secs(5) };
        let mut now = NOON;
        let mut waits = Vec::new();
        for _ in 0..6 {
            breaker.probe_started();
            assert_eq!(breaker.admits(now), Admission::ProbeUnderWay);
            breaker.outage(now);
            let Breaker::Open { probe_at, .. } = breaker else { panic!("not open") };
            waits.push(probe_at.since(now).as_secs());
            now = probe_at;
        }
        assert_eq!(waits, [10, 20, 40, 60, 60, 60]);
    }

    #[test]
    fn a_probe_that_is_answered_closes_the_breaker() {
        let mut breaker = Breaker::Probing { since: NOON, waited: Duration::from_secs(5) };
        assert!(breaker.answered());
        assert_eq!(breaker.admits(NOON), Admission::Open);
    }

    #[test]
    fn a_bucket_lets_through_its_rate_and_a_tenth() {
        for rate in [1, 3, 10, 100, 1000] {
            let mut bucket = TokenBucket::new(rate);
            let mut started = 0;
            let mut now = NOON;
            while now < at(2) {
                if bucket.free_at() <= now {
                    bucket.take(now);
                    started += 1;
                } else {
                    now = now + Duration::from_millis(1);
                }
            }
            let allowed = 2 * rate..=2 * rate + (rate / 10).max(1);
            assert!(allowed.contains(&started), "{started} starts in 2 s at {rate}/s");
        }
    }
}
