//! How a sink answers: set for all requests by flags, and for one endpoint by its path.

use std::num::ParseIntError;
use std::time::Duration;

/// The longest delay and the largest counts that make sense in a test.
const DELAY_MAX: Duration = Duration::from_hours(1);
/// The statuses that end an exchange.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// The status once there is nothing left to fail.
    pub(crate) status: u16,
    /// How long the answer takes.
    pub(crate) delay: Duration,
    /// How often each event fails before it is accepted: counted by path and `webhook-id`.
    pub(crate) fail_first: u64,
    /// The status of those failures.
    pub(crate) fail_status: u16,
    /// The seconds asked for in `Retry-After` with every status but 2xx.
    pub(crate) retry_after: Option<u64>,
    /// Never answers.
    pub(crate) hang: bool,
    /// Answers with the status at once and the body a byte a second.
    pub(crate) drip: bool,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            status: 200,
            delay: Duration::ZERO,
            fail_first: 0,
            fail_status: 503,
            retry_after: None,
            hang: false,
            drip: false,
        }
    }
}

/// A segment of the path asks for something that cannot be done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidBehaviour {
    #[error("/{word}/{value}: {value:?} is not a whole number")]
    Number { word: String, value: String },
    #[error("{0} is not a status from 200 to 599")]
    Status(u16),
    #[error(transparent)]
    Delay(#[from] InvalidDelay),
    #[error("/{0} needs a value after it")]
    NoValue(String),
}

/// The text is not a delay.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a delay such as 250ms, 3s or 2m, of an hour at most")]
pub(crate) struct InvalidDelay {
    text: String,
}

impl Behaviour {
    /// This behaviour with what a path such as `/orders/status/429/retry-after/7` asks for.
    ///
    /// Segments that are no instruction are names, and are passed over.
    pub(crate) fn at(&self, path: &str) -> Result<Behaviour, InvalidBehaviour> {
        let mut asked = self.clone();
        let mut segments = path.split('/');
        while let Some(word) = segments.next() {
            let mut value = || segments.next().ok_or_else(|| InvalidBehaviour::NoValue(word.to_owned()));
            match word {
                "status" => asked.status = status(word, value()?)?,
                "delay" => asked.delay = delay(value()?)?,
                "fail-first" => asked.fail_first = number(word, value()?)?,
                "fail-status" => asked.fail_status = status(word, value()?)?,
                "retry-after" => asked.retry_after = Some(number(word, value()?)?),
                "hang" => asked.hang = true,
                "drip" => asked.drip = true,
                _ => {}
            }
        }
        Ok(asked)
    }

    /// The status for an event that this path has seen `times` before.
    pub(crate) fn status_after(&self, times: u64) -> u16 {
        if times < self.fail_first { self.fail_status } else { self.status }
    }
}

fn number<N: std::str::FromStr<Err = ParseIntError>>(word: &str, value: &str) -> Result<N, InvalidBehaviour> {
    value.parse().map_err(|_| InvalidBehaviour::Number { word: word.to_owned(), value: value.to_owned() })
}

fn status(word: &str, value: &str) -> Result<u16, InvalidBehaviour> {
    let status = number(word, value)?;
    if STATUSES.contains(&status) { Ok(status) } else { Err(InvalidBehaviour::Status(status)) }
}

/// Reads `250ms`, `3s`, `2m` or whole seconds.
pub(crate) fn delay(text: &str) -> Result<Duration, InvalidDelay> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("", 1_000)];
    let read = units.into_iter().find_map(|(unit, millis)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::from_millis(count.saturating_mul(millis)))
    });
    read.filter(|delay| *delay <= DELAY_MAX).ok_or_else(|| InvalidDelay { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Behaviour) {
        assert_eq!(Behaviour::default().at(path), Ok(expected), "{path}");
    }

    #[test]
    fn a_path_says_how_it_answers() {
        let usual = Behaviour::default;
        check("/", usual());
        check("/hooks/orders", usual());
        check("/status/503", Behaviour { status: 503, ..usual() });
        check("/delay/3s", Behaviour { delay: Duration::from_secs(3), ..usual() });
        check("/hang", Behaviour { hang: true, ..usual() });
        check("/drip", Behaviour { drip: true, ..usual() });
        check("/fail-first/2/fail-status/500", Behaviour { fail_first: 2, fail_status: 500, ..usual() });
    }

    #[test]
    fn instructions_combine_with_each_other_and_with_names() {
        check(
            "/crm/status/429/retry-after/7/orders",
            Behaviour { status: 429, retry_after: Some(7), ..Behaviour::default() },
        );
    }

    #[test]
    fn a_path_overrides_the_flags_and_keeps_the_rest() {
        let flags = Behaviour { status: 500, retry_after: Some(3), ..Behaviour::default() };
        let asked = flags.at("/status/204").expect("a behaviour");
        assert_eq!(asked, Behaviour { status: 204, ..flags });
    }

    #[test]
    fn an_instruction_that_cannot_be_done_is_named() {
        let error = |path| Behaviour::default().at(path).expect_err("an error").to_string();
        assert_eq!(error("/status/abc"), r#"/status/abc: "abc" is not a whole number"#);
        assert_eq!(error("/status/100"), "100 is not a status from 200 to 599");
        assert_eq!(
            error("/delay/soon"),
            r#""soon" is not a delay such as 250ms, 3s or 2m, of an hour at most"#
        );
        assert_eq!(error("/fail-first"), "/fail-first needs a value after it");
    }

    #[test]
    fn delays_have_units_and_a_limit() {
        for (text, millis) in
            [("250ms", 250), ("3s", 3_000), ("2m", 120_000), ("4", 4_000), ("60m", 3_600_000)]
        {
            assert_eq!(delay(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "61m", "18446744073709551615m", "1h"] {
            assert!(delay(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_event_fails_as_often_as_asked_and_is_then_accepted() {
        let behaviour = Behaviour { fail_first: 2, ..Behaviour::default() };
        assert_eq!([0, 1, 2, 3].map(|times| behaviour.status_after(times)), [503, 503, 200, 200]);
    }
}
