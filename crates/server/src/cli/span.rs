//! Spans of time as people write and read them: `15m`, `7d`, "3.2 s", "2 h 5 min".

use std::time::Duration;

use angarium_domain::time::Timestamp;

/// The longest span that a command takes.
const SPAN_MAX: Duration = Duration::from_hours(24 * 366);

/// The text is not a span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a span of time such as 30s, 15m, 1h or 7d, of 366 days at most")]
pub(crate) struct InvalidSpan {
    text: String,
}

/// The text is neither a span nor a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a span of time such as 15m, 1h or 7d nor a time such as 2026-02-25T12:00:00Z")]
pub(crate) struct InvalidMoment {
    text: String,
}

/// A time, said absolutely or as a span before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long ago.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
}

impl Moment {
    /// The time meant, if it is `now`.
    pub(crate) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Moment::Ago(span) => now.saturating_sub(span),
            Moment::At(at) => at,
        }
    }
}

/// Reads `250ms`, `30s`, `15m`, `1h`, `7d`.
pub(crate) fn span(text: &str) -> Result<Duration, InvalidSpan> {
    // Milliseconds come first: they too end in an s.
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let read = units.into_iter().find_map(|(unit, millis)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::from_millis(count.saturating_mul(millis)))
    });
    read.filter(|span| *span <= SPAN_MAX).ok_or_else(|| InvalidSpan { text: text.to_owned() })
}

/// Reads a span before now, or a time.
pub(crate) fn moment(text: &str) -> Result<Moment, InvalidMoment> {
    let ago = span(text).ok().map(Moment::Ago);
    ago.or_else(|| text.parse().ok().map(Moment::At)).ok_or_else(|| InvalidMoment { text: text.to_owned() })
}

/// A span in the one or two units that matter at its size.
pub(crate) fn in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    let tenths = (span.as_millis() + 50) / 100;
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 if tenths.is_multiple_of(10) => format!("{} s", tenths / 10),
        1..60 => format!("{}.{} s", tenths / 10, tenths % 10),
        60..3_600 => two_units(seconds, 60, "min", "s"),
        3_600..86_400 => two_units(seconds / 60, 60, "h", "min"),
        _ => two_units(seconds / 3_600, 24, "d", "h"),
    }
}

fn two_units(small: u64, per_large: u64, large_name: &str, small_name: &str) -> String {
    match (small / per_large, small % per_large) {
        (large, 0) => format!("{large} {large_name}"),
        (large, rest) => format!("{large} {large_name} {rest} {small_name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_a_limit() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("1h", 3_600), ("7d", 604_800), ("1000ms", 1)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "7", "-1s", "1.5h", "367d", "18446744073709551615d", "1w"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_span_before_now_or_a_time() {
        let noon: Timestamp = "2026-02-25T12:00:00Z".parse().expect("a time");
        let at = |text| moment(text).map(|moment| moment.before(noon).to_string());
        assert_eq!(at("1h").as_deref(), Ok("2026-02-25T11:00:00Z"));
        assert_eq!(at("2026-02-25T10:30:00Z").as_deref(), Ok("2026-02-25T10:30:00Z"));
        assert!(at("yesterday").expect_err("no moment").to_string().contains("yesterday"));
    }

    #[test]
    fn spans_are_told_in_the_units_that_matter() {
        let cases = [
            (7, "7 ms"),
            (5_000, "5 s"),
            (4_980, "5 s"),
            (5_260, "5.3 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (7_500_000, "2 h 5 min"),
            (180_000_000, "2 d 2 h"),
        ];
        for (millis, words) in cases {
            assert_eq!(in_words(Duration::from_millis(millis)), words);
        }
    }
}
