//! What a caller is told of its bucket.

use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Class;
use crate::problem::{Problem, whole_seconds};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// How a caller stands after a request. Left on the response, so that every dialect can say it in
/// its own headers; the standard ones (draft-ietf-httpapi-ratelimit-headers) are written in one
/// place, [`crate::request_id::observe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Which bucket.
    pub(crate) class: Class,
    /// How many requests a full bucket holds.
    pub(crate) quota: u32,
    /// How long an empty bucket takes to be full.
    pub(crate) window: Duration,
    /// How many requests are left.
    pub(crate) remaining: u32,
    /// When the bucket is full again; if it is empty, when there is a place again.
    pub(crate) reset: Duration,
}

/// A request that comes too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// How the caller stands.
    pub(crate) standing: Standing,
    /// When there is a place again.
    pub(crate) wait: Duration,
}

impl Standing {
    /// Says it in the standard headers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let name = self.class.as_str();
        let policy = format!("\"{name}\";q={};w={}", self.quota, whole_seconds(self.window));
        let limit = format!("\"{name}\";r={};t={}", self.remaining, whole_seconds(self.reset));
        for (name, value) in [(POLICY, policy), (LIMIT, limit)] {
            headers.insert(name, HeaderValue::try_from(value).expect("a word and numbers"));
        }
    }
}

impl Refused {
    /// The answer in place of the handler's.
    pub(crate) fn problem(&self) -> Problem {
        let Standing { class, quota, window, .. } = self.standing;
        let seconds = whole_seconds(window);
        let message = match class {
            Class::Unauthenticated => format!(
                "too many credentials from this address were refused, {quota} in {seconds} s is the limit"
            ),
            Class::Signals => {
                format!("the session has too many signals at once, {quota} in {seconds} s is the limit")
            }
            Class::Public | Class::Reports => {
                format!("too many requests from this address, {quota} in {seconds} s is the limit")
            }
            Class::Read | Class::Write | Class::Decide | Class::Publish | Class::V1 => {
                let name = class.as_str();
                format!("too many requests of the kind {name}, {quota} in {seconds} s is the limit")
            }
        };
        Problem {
            retry_after: Some(self.wait),
            ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_so_that_nobody_comes_too_early() {
        let standing = Standing {
            class: Class::Read,
            quota: 6000,
            window: Duration::from_mins(1),
            remaining: 5999,
            reset: Duration::from_millis(10),
        };
        let mut headers = HeaderMap::new();
        standing.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"read\";q=6000;w=60");
        assert_eq!(headers["ratelimit"], "\"read\";r=5999;t=1");
        let refused = Refused { standing, wait: Duration::from_nanos(1_000_000_001) };
        assert_eq!(refused.problem().retry_after.map(whole_seconds), Some(2));
    }
}
