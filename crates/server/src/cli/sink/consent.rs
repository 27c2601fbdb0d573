//! Consent: the sink says yes to whoever asks whether it wants webhooks, in both ways of asking.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response, request};
use serde::Deserialize;

use super::answer::Answer;

const REQUEST_ORIGIN: &str = "webhook-request-origin";
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// A question that a request asks.
pub(super) enum Question {
    /// The handshake of `CloudEvents`, under this name.
    Handshake(HeaderValue),
    /// A challenge to be sent back.
    Challenge(String),
}

#[derive(Deserialize)]
struct Challenge {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
}

impl Question {
    /// The question of a request, if it is none of the usual ones.
    pub(super) fn of(head: &request::Parts, body: &[u8]) -> Option<Question> {
        if head.method == Method::OPTIONS {
            return head.headers.get(REQUEST_ORIGIN).cloned().map(Question::Handshake);
        }
        let asked: Challenge = serde_json::from_slice(body).ok()?;
        (asked.kind == "webhook.verification").then_some(Question::Challenge(asked.challenge))
    }

    /// Whether whoever asks has signed the question.
    pub(super) fn is_signed(&self) -> bool {
        matches!(self, Question::Challenge(_))
    }

    /// Says yes, if the answer is a success otherwise.
    pub(super) fn consent(self, response: &mut Response<Answer>) {
        if !response.status().is_success() {
            return;
        }
        match self {
            Question::Handshake(origin) => {
                response.headers_mut().insert(ALLOWED_ORIGIN, origin);
                response.headers_mut().insert(ALLOWED_RATE, HeaderValue::from_static("*"));
            }
            Question::Challenge(challenge) => {
                let body = serde_json::json!({ "challenge": challenge }).to_string();
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *response.body_mut() = Answer::Whole(Bytes::from(body));
            }
        }
    }
}
