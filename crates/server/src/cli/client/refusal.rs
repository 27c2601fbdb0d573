//! The service's no, with everything that helps to get to a yes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use serde::Deserialize;

use crate::cli::table::harmless;

/// An answer of contract 9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The word that programs read.
    pub(crate) code: String,
    message: String,
    request_id: String,
    details: Vec<Detail>,
    pub(super) retry_after: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    error: String,
    message: String,
    request_id: String,
    #[serde(default)]
    details: Vec<Detail>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Detail {
    field: String,
    message: String,
}

impl Refusal {
    /// Reads an answer; none if it has not the published shape.
    pub(super) fn read(answer: &Response<Bytes>) -> Option<Refusal> {
        let shape: Shape = serde_json::from_slice(answer.body()).ok()?;
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Some(Refusal {
            status: answer.status(),
            code: shape.error,
            message: shape.message,
            request_id: shape.request_id,
            details: shape.details,
            retry_after: seconds.map(Duration::from_secs),
        })
    }

    /// Whether the same request may be answered otherwise in a moment. A caller who is to wait for
    /// longer than `most` is told so instead.
    pub(crate) fn is_passing(&self, most: Duration) -> bool {
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => true,
            StatusCode::TOO_MANY_REQUESTS => self.retry_after.is_some_and(|asked| asked <= most),
            _ => false,
        }
    }

    /// What whoever reads this can do about it.
    fn advice(&self) -> Option<&'static str> {
        Some(match self.code.as_str() {
            "missing_bearer_token" => "give --token or set ANGARIUM_TOKEN",
            "invalid_token" => {
                "check that the token belongs to this handle and to this service; `angarium token mint`, \
                 run with the service's settings, makes one that does"
            }
            "token_expired" => "get a new token: `angarium token mint`, or `angarium token create`",
            "insufficient_role" => {
                "ask an owner of the handle for that role, or do it with a token of somebody who has it"
            }
            "insufficient_scope" => "make a token with that scope: `angarium token create --scope …`",
            "handle_suspended" => "ask whoever runs the service; `angarium handles resume` lets it go on",
            "handle_not_found" => "check --handle",
            "not_found" => {
                "check the id, and that --handle is whose it is; old entries are forgotten after a while"
            }
            "idempotency_key_reused" => "use another --idempotency-key: this one belongs to another request",
            "temporarily_unavailable" => {
                "nothing was stored: try again; if it goes on, `angarium doctor` looks at the service"
            }
            "rate_limited" => "wait as long as it says, or ask its operator for more",
            "internal_error" => "the service's log has the reason under the request id",
            _ => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { status, code, message, request_id, details, .. } = self;
        write!(f, "{} {}: {}", status.as_u16(), harmless(code), harmless(message))?;
        for detail in details.iter().filter(|_| details.len() > 1) {
            write!(f, "\n  {}: {}", harmless(&detail.field), harmless(&detail.message))?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "\n  what to do: {advice}")?;
        }
        write!(f, "\n  request id: {}", harmless(request_id))
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &'static str) -> Option<Refusal> {
        let answer = Response::builder().status(status).header("retry-after", "2").body(Bytes::from(body));
        Refusal::read(&answer.expect("an answer"))
    }

    #[test]
    fn a_refusal_says_what_is_wrong_what_to_do_and_where_to_look() {
        let body = r#"{"error":"insufficient_scope","message":"the token lacks the scope events.write","requestId":"req_1"}"#;
        assert_eq!(
            refusal(403, body).expect("a refusal").to_string(),
            "403 insufficient_scope: the token lacks the scope events.write\n  \
             what to do: make a token with that scope: `angarium token create --scope …`\n  request id: req_1"
        );
    }

    #[test]
    fn several_faults_are_told_one_by_one() {
        let body = r#"{"error":"validation_error","message":"2 fields are not valid","requestId":"req_1",
            "details":[{"field":"type","code":"required","message":"type is missing"},
                       {"field":"x","code":"unknown","message":"x is not known"}]}"#;
        assert_eq!(
            refusal(400, body).expect("a refusal").to_string(),
            "400 validation_error: 2 fields are not valid\n  type: type is missing\n  x: x is not known\n  request id: req_1"
        );
    }

    #[test]
    fn only_an_overloaded_service_is_asked_again_and_after_the_wait_it_names() {
        let body = r#"{"error":"x","message":"y","requestId":"z"}"#;
        let passing =
            |status, most| refusal(status, body).expect("a refusal").is_passing(Duration::from_secs(most));
        assert_eq!([400, 409, 500, 503].map(|status| passing(status, 1)), [false, false, false, true]);
        // It is to wait for 2 s.
        assert_eq!([1, 2].map(|most| passing(429, most)), [false, true]);
        assert_eq!(refusal(503, body).expect("a refusal").retry_after, Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_page_of_a_proxy_is_no_refusal_of_ours() {
        assert_eq!(refusal(502, "<html>bad gateway</html>"), None);
    }
}
