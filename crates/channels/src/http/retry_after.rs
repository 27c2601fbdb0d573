//! What a receiver asks for in `Retry-After`: whole seconds, or a date in one of HTTP's three forms.

use std::time::UNIX_EPOCH;

use ::http::HeaderMap;
use ::http::header::RETRY_AFTER;
use angarium_domain::time::Timestamp;

/// The wait in seconds. A date in the past asks for none; what cannot be read asks for nothing.
///
/// The clock is read only where a date must be compared with it.
pub(super) fn seconds(headers: &HeaderMap, now: impl FnOnce() -> Timestamp) -> Option<u64> {
    wait_in(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// The wait in seconds that a header's value asks for.
pub fn wait_in(value: &str, now: impl FnOnce() -> Timestamp) -> Option<u64> {
    let text = value.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds still ask for a very long wait; the policy caps it.
        return Some(text.parse().unwrap_or(u64::MAX));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date = date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let wait = u64::try_from(date).ok()?.saturating_sub(u64::try_from(now().as_millis()).unwrap_or(0));
    Some(wait.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the header at 1994-11-06 08:49:37 UTC.
    fn read(value: &'static str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a header value"))]);
        seconds(&headers, || Timestamp::from_seconds(784_111_777))
    }

    #[test]
    fn seconds_are_taken_as_they_are() {
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("120"), Some(120));
        assert_eq!(read(" 120 "), Some(120));
        assert_eq!(read("99999999999999999999999"), Some(u64::MAX));
    }

    #[test]
    fn all_three_forms_of_a_date_are_understood() {
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(read("Sunday, 06-Nov-94 08:50:37 GMT"), Some(60));
        assert_eq!(read("Sun Nov  6 08:50:37 1994"), Some(60));
    }

    #[test]
    fn a_past_date_means_now() {
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    }

    #[test]
    fn garbage_asks_for_nothing() {
        for value in ["", "-5", "+5", "1.5", "1e3", "soon", "12 seconds", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }

    #[test]
    fn an_answer_without_the_header_reads_no_clock() {
        assert_eq!(seconds(&HeaderMap::new(), || unreachable!("nothing to compare")), None);
    }
}
