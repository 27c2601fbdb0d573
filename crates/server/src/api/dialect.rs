//! Which API an address belongs to, and what the two say differently whatever the route.

use http::HeaderName;

use crate::api::v1::envelope;
use crate::problem::Problem;

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
