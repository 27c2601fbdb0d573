//! What came of a subscription's attempts, counted in spans of time.
//!
//! Counting costs a few additions, whatever the number of attempts, and two counts of the same
//! things are added to each other by [`Tally::add`]. Nothing here is needed for a delivery: what a
//! crash takes of it is gone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delivery::{Settlement, State};
use crate::time::Timestamp;

/// How long the spans are that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// Five minutes, for the last hour.
    Fine,
    /// An hour, for the last week.
    Hourly,
}

impl Grain {
    /// Every grain: each count is kept in all of them.
    pub const ALL: [Grain; 2] = [Grain::Fine, Grain::Hourly];

    /// The length of a span.
    pub fn length(self) -> Duration {
        match self {
            Grain::Fine => Duration::from_mins(5),
            Grain::Hourly => Duration::from_hours(1),
        }
    }

    /// How long a span is kept after it began: longer than the longest window that looks at it.
    pub fn kept(self) -> Duration {
        match self {
            Grain::Fine => Duration::from_hours(2),
            Grain::Hourly => Duration::from_hours(8 * 24),
        }
    }

    /// When the span began that a time is in.
    pub fn begin(self, at: Timestamp) -> Timestamp {
        let length = self.length().as_secs() as i64;
        Timestamp::from_seconds(at.as_seconds().div_euclid(length) * length)
    }
}

/// How far back to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Window {
    /// The last hour.
    #[serde(rename = "1h")]
    Hour,
    /// The last day.
    #[default]
    #[serde(rename = "24h")]
    Day,
    /// The last week.
    #[serde(rename = "7d")]
    Week,
}

impl Window {
    /// The spans that it is made of.
    pub fn grain(self) -> Grain {
        match self {
            Window::Hour => Grain::Fine,
            Window::Day | Window::Week => Grain::Hourly,
        }
    }

    /// When it begins: with a whole span, so up to one span earlier than its name says.
    pub fn since(self, now: Timestamp) -> Timestamp {
        let hours = match self {
            Window::Hour => 1,
            Window::Day => 24,
            Window::Week => 7 * 24,
        };
        self.grain().begin(now.saturating_sub(Duration::from_hours(hours)))
    }
}

/// What came of attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tally {
    /// Attempts that were made and settled.
    pub attempts: u64,
    /// Deliveries that the receiver accepted.
    pub delivered: u64,
    /// Attempts after which another one was scheduled.
    pub retried: u64,
    /// Deliveries that were given up, those that grew too old included.
    pub dead: u64,
    /// Attempts by what came back: see [`Outcome::kind`](crate::outcome::Outcome::kind).
    pub answers: BTreeMap<Cow<'static, str>, u64>,
    /// How long attempts took.
    pub attempt_time: Histogram,
    /// From the making of a delivery, which for a published event is its acceptance, to the
    /// receiver's 2xx.
    pub delivery_time: Histogram,
}

impl Tally {
    /// Counts a settlement. `took` is the duration of its attempt, none if none was made; `waited`
    /// the time since the delivery was made.
    pub fn count(&mut self, settlement: &Settlement, took: Option<Duration>, waited: Duration) {
        if let (Some(took), Some(outcome)) = (took, settlement.outcome) {
            self.attempts += 1;
            *self.answers.entry(Cow::Borrowed(outcome.kind())).or_default() += 1;
            self.attempt_time.count(took);
        }
        match settlement.next {
            State::Delivered { .. } => {
                self.delivered += 1;
                self.delivery_time.count(waited);
            }
            State::Scheduled { .. } if took.is_some() => self.retried += 1,
            State::Dead { .. } => self.dead += 1,
            State::Scheduled { .. } | State::InFlight { .. } | State::Cancelled { .. } => {}
        }
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Tally) {
        self.attempts += other.attempts;
        self.delivered += other.delivered;
        self.retried += other.retried;
        self.dead += other.dead;
        for (answer, count) in &other.answers {
            *self.answers.entry(answer.clone()).or_default() += count;
        }
        self.attempt_time.add(&other.attempt_time);
        self.delivery_time.add(&other.delivery_time);
    }

    /// Which share of the attempts was accepted; none if there was none.
    pub fn success_rate(&self) -> Option<f64> {
        (self.attempts > 0).then(|| self.delivered as f64 / self.attempts as f64)
    }
}

/// Buckets in each power of two.
const BUCKETS_PER_DOUBLING: u64 = 16;
const BUCKET_BITS: u32 = BUCKETS_PER_DOUBLING.trailing_zeros();
/// Durations beyond this, twelve days, are counted as this.
const MICROS_MAX: u64 = (1 << 40) - 1;

/// Durations, counted in buckets whose width grows with them. A percentile is off by a 32nd of
/// itself at most, about 3 %; below 32 µs it is exact.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram {
    /// The counts of buckets that are not empty.
    buckets: BTreeMap<u16, u64>,
}

impl Histogram {
    /// Counts one duration.
    pub fn count(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(MICROS_MAX).min(MICROS_MAX);
        *self.buckets.entry(bucket(micros)).or_default() += 1;
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Histogram) {
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
    }

    /// The duration that so many percent do not exceed, by nearest rank; none if nothing was counted.
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let all: u64 = self.buckets.values().sum();
        let rank = (all * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut passed = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            passed += **count;
            passed >= rank
        });
        found.map(|(bucket, _)| middle(*bucket))
    }
}

/// The bucket of a number of microseconds: exact below 32, then its power of two and the four bits
/// that follow.
fn bucket(micros: u64) -> u16 {
    if micros < BUCKETS_PER_DOUBLING {
        return micros as u16;
    }
    let shift = micros.ilog2() - BUCKET_BITS;
    (u64::from(shift) * BUCKETS_PER_DOUBLING + (micros >> shift)) as u16
}

/// The middle of a bucket.
fn middle(bucket: u16) -> Duration {
    let bucket = u64::from(bucket);
    if bucket < 2 * BUCKETS_PER_DOUBLING {
        return Duration::from_micros(bucket);
    }
    // Stored buckets are ours; one that is not shall not shift by more than there is.
    let shift = (bucket / BUCKETS_PER_DOUBLING - 1).min(40);
    let first = (bucket % BUCKETS_PER_DOUBLING + BUCKETS_PER_DOUBLING) << shift;
    Duration::from_nanos(first * 1_000 + (((1 << shift) - 1) * 1_000) / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::delivery::DeathCause;
    use crate::outcome::{Failure, Outcome};

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);

    fn counted(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for micros in micros {
            histogram.count(Duration::from_micros(*micros));
        }
        histogram
    }

    proptest! {
        #[test]
        fn percentiles_are_within_a_32nd_of_the_exact_ones(
            mut micros in proptest::collection::vec(0_u64..1 << 40, 1..300),
            percent in 0_u32..=100,
        ) {
            let estimate = counted(&micros).percentile(percent).expect("something was counted");
            micros.sort_unstable();
            let rank = (micros.len() * percent as usize).div_ceil(100).max(1);
            let exact = micros[rank - 1] as f64;
            let off = (estimate.as_nanos() as f64 / 1_000.0 - exact).abs();
            prop_assert!(off <= exact / 32.0, "{estimate:?} for {exact} µs");
        }

        #[test]
        fn counts_made_apart_add_up(a in proptest::collection::vec(0_u64..1 << 42, 0..50), b in proptest::collection::vec(0_u64..1 << 42, 0..50)) {
            let mut sum = counted(&a);
            sum.add(&counted(&b));
            prop_assert_eq!(sum, counted(&[a, b].concat()));
        }
    }

    #[test]
    fn what_is_short_is_exact_and_what_is_endless_is_bounded() {
        assert_eq!(counted(&[0]).percentile(50), Some(Duration::ZERO));
        assert_eq!(counted(&[15, 15, 31]).percentile(50), Some(Duration::from_micros(15)));
        let days = counted(&[u64::MAX]).percentile(99).expect("it was counted").as_secs() / 86_400;
        assert_eq!(days, 12);
        assert_eq!(Histogram::default().percentile(50), None);
    }

    #[test]
    fn a_settlement_is_counted_by_what_it_came_to() {
        let answered = |status| Some(Outcome::Answered { status, retry_after_seconds: None });
        let silent = Some(Outcome::Failed { failure: Failure::Timeout });
        let dead = State::Dead { at: NOON, cause: DeathCause::Expired };
        let (took, waited) = (Some(Duration::from_millis(3)), Duration::from_secs(9));
        let mut tally = Tally::default();
        for (next, outcome, took) in [
            (State::Delivered { at: NOON }, answered(204), took),
            (State::Scheduled { due_at: NOON }, answered(503), took),
            (State::Scheduled { due_at: NOON }, silent, took),
            (dead, answered(404), took),
            // Given up without an attempt: the outcome is that of the last one.
            (dead, silent, None),
            (State::Cancelled { at: NOON }, silent, None),
        ] {
            let settlement = Settlement { attempts_made: 1, next, outcome, delay: None };
            tally.count(&settlement, took, waited);
        }
        assert_eq!((tally.attempts, tally.delivered, tally.retried, tally.dead), (4, 1, 2, 2));
        let answers: Vec<_> = tally.answers.iter().map(|(answer, count)| (&**answer, *count)).collect();
        assert_eq!(answers, [("2xx", 1), ("4xx", 1), ("5xx", 1), ("timeout", 1)]);
        assert_eq!(tally.success_rate(), Some(0.25));
        assert_eq!(Tally::default().success_rate(), None);
        let stored = serde_json::to_string(&tally).expect("JSON");
        assert_eq!(serde_json::from_str::<Tally>(&stored).expect("a tally"), tally);
        let mut twice = tally.clone();
        twice.add(&tally);
        assert_eq!((twice.attempts, twice.answers["2xx"]), (8, 2));
    }

    #[test]
    fn a_window_begins_with_a_whole_span_that_is_still_kept() {
        let now = NOON + Duration::from_secs(17 * 60 + 3);
        let since = |window: Window| window.since(now).to_string();
        assert_eq!(since(Window::Hour), "1970-01-01T11:15:00Z");
        let later = now + Duration::from_hours(14 * 24);
        for window in [Window::Hour, Window::Day, Window::Week] {
            let oldest = window.since(later);
            assert_eq!(window.grain().begin(oldest), oldest);
            assert!(later.since(oldest) < window.grain().kept(), "{window:?}");
        }
    }
}
