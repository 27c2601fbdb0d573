//! Which API an address belongs to, and what the two say differently whatever the route.

use std::time::Duration;

use angarium_domain::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::v1::envelope;
use crate::problem::{Problem, whole_seconds};
use crate::rate::Standing;

/// What every address of the v1 API begins with.
pub(crate) const V1_ROOT: &str = "/api/v1";

/// A public API in somebody's words over the same engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The words of the handles API, and of everything that belongs to neither.
    V2,
    /// The words of the organization API: every address under `/api/v1`, also one that is unknown.
    V1,
}

impl Dialect {
    /// The dialect that an address is answered in.
    pub(crate) fn of(path: &str) -> Dialect {
        let rest = path.strip_prefix(V1_ROOT);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            Dialect::V1
        } else {
            Dialect::V2
        }
    }

    /// The header that makes a write repeatable.
    pub(crate) fn idempotency_key(self) -> HeaderName {
        match self {
            Dialect::V2 => HeaderName::from_static("idempotency-key"),
            Dialect::V1 => HeaderName::from_static("x-idempotency-key"),
        }
    }

    /// Says how a caller stands with its limit. v1 has headers of its own besides the standard ones.
    pub(crate) fn write_standing(self, standing: &Standing, now: Timestamp, headers: &mut HeaderMap) {
        standing.write(headers);
        if self == Dialect::V1 {
            let since_epoch = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default());
            // The second at which it is so, and no earlier one.
            let reset_at = whole_seconds(since_epoch + standing.reset);
            for (name, value) in [
                ("x-ratelimit-limit", u64::from(standing.quota)),
                ("x-ratelimit-remaining", u64::from(standing.remaining)),
                ("x-ratelimit-reset", reset_at),
            ] {
                headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
            }
        }
    }

    /// The JSON text of a problem.
    pub(crate) fn body(self, problem: &Problem, request_id: &str) -> Vec<u8> {
        match self {
            Dialect::V2 => problem.body(request_id),
            Dialect::V1 => envelope::refusal(problem, request_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_answered_in_the_words_of_its_api() {
        for path in ["/api/v1", "/api/v1/", "/api/v1/webhooks", "/api/v1/nothing/here"] {
            assert_eq!(Dialect::of(path), Dialect::V1, "{path}");
        }
        for path in ["/", "/api", "/api/v10/x", "/api/v2/x", "/v2/handles/api/v1", "//api/v1/x"] {
            assert_eq!(Dialect::of(path), Dialect::V2, "{path}");
        }
    }
}
