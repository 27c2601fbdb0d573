//! Instants and their text form.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point on the wall clock, in whole milliseconds since the Unix epoch.
///
/// Milliseconds are what we store, what ids carry and what the wire shows, so
/// a timestamp survives every round trip unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 instant in UTC or with an offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 time such as 2026-02-25T12:00:00Z")]
pub struct InvalidTimestamp {
    text: String,
}

impl Timestamp {
    /// The last instant that we can write as RFC 3339: the end of year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    /// Milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// Whole seconds since the Unix epoch.
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time from `earlier` to this one; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// This time less `duration`, not before the epoch.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(millis(duration)).max(0))
    }
}

impl Timestamp {
    /// RFC 3339 in UTC with three digits behind the seconds, for those who want them always.
    pub fn with_millis(self) -> String {
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        format!("{instant:.3}")
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    /// Stops at [`Timestamp::MAX`] instead of overflowing.
    fn add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis(duration))).min(Timestamp::MAX)
    }
}

/// RFC 3339 in UTC: whole seconds where there are no milliseconds, three digits otherwise.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        if self.0 % 1000 == 0 { write!(f, "{instant:.0}") } else { write!(f, "{instant:.3}") }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Accepts any offset and any number of fraction digits; digits beyond milliseconds are cut.
    fn from_str(text: &str) -> Result<Timestamp, InvalidTimestamp> {
        let invalid = || InvalidTimestamp { text: text.chars().take(64).collect() };
        let instant: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        let timestamp = Timestamp(instant.as_millisecond());
        if (Timestamp(0)..=Timestamp::MAX).contains(&timestamp) { Ok(timestamp) } else { Err(invalid()) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(text.parse::<Timestamp>().map(|t| t.to_string()), Ok(shown.to_owned()));
    }

    #[test]
    fn whole_seconds_stay_whole_and_milliseconds_keep_three_digits() {
        check("2026-02-25T12:00:00Z", "2026-02-25T12:00:00Z");
        check("2026-02-25T12:00:00.000Z", "2026-02-25T12:00:00Z");
        check("2026-02-25T12:00:00.5Z", "2026-02-25T12:00:00.500Z");
        check("2026-02-25T12:00:00.123456Z", "2026-02-25T12:00:00.123Z");
        check("2026-02-25T13:30:00+01:30", "2026-02-25T12:00:00Z");
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in ["", "yesterday", "2026-02-30T00:00:00Z", "2026-02-25", "1969-12-31T23:59:59Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_edges() {
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(5).saturating_sub(Duration::MAX), Timestamp::from_millis(0));
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }
}
