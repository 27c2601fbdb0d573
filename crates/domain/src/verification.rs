//! Finding out whether whoever owns an address wants what we send (decisions/0018).
//!
//! On request only. Until the check has passed, nothing but the check itself is sent.

use serde::{Deserialize, Serialize};

use crate::attempt::Exchange;
use crate::ids::SubscriptionId;
use crate::outcome::Outcome;
use crate::time::Timestamp;

/// The rate that we ask for when the subscriber names none: the highest that there is, a minute.
const RATE_ASKED_DEFAULT: u32 = 60_000;
/// How much of a receiver's own words a reason repeats, in characters.
const WORDS_CHARS_MAX: usize = 100;

/// How consent is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A signed POST with random characters, which the receiver sends back.
    Challenge,
    /// The OPTIONS handshake of `CloudEvents`' HTTP 1.1 Web Hooks.
    CloudEvents,
}

/// Where a verification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has answered yet at the present address.
    Pending,
    /// The receiver consented.
    Verified,
    /// The receiver answered, and did not consent.
    Failed,
}

/// The verification of a subscription's present address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How consent is asked for. Changes by the owner's patch, which begins anew.
    pub method: Method,
    /// Where it stands. Changes with a check, and with the address.
    pub status: Status,
    /// When the last check ended.
    #[serde(default)]
    pub checked_at: Option<Timestamp>,
    /// When consent was given.
    #[serde(default)]
    pub verified_at: Option<Timestamp>,
    /// Who gave it: the host, and the name that it let in if it named one.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// Why the last check did not pass.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What a receiver consented to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// Who was asked.
    pub host: String,
    /// Whom it lets in: our name, or `*`. None if the method does not say.
    #[serde(default)]
    pub allowed_origin: Option<String>,
    /// The most requests a minute that it lets in. None if it sets no limit.
    #[serde(default)]
    pub allowed_rate_per_minute: Option<u32>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The receiver consents.
    Consents(Consent),
    /// It answered, and does not.
    Refuses(String),
    /// It did not answer.
    Silent(String),
}

impl Verification {
    /// One that is to be made.
    pub fn due(method: Method) -> Verification {
        Verification {
            method,
            status: Status::Pending,
            checked_at: None,
            verified_at: None,
            consent: None,
            reason: None,
        }
    }

    /// Whether deliveries may go out.
    pub fn passed(&self) -> bool {
        self.status == Status::Verified
    }

    /// Whether the last check passed.
    pub fn last_check_passed(&self) -> bool {
        self.passed() && self.reason.is_none()
    }

    /// Takes note of a check. An answer decides; silence takes nothing away that was given before.
    pub fn take(&mut self, finding: Finding, now: Timestamp) {
        self.checked_at = Some(now);
        match finding {
            Finding::Consents(consent) => {
                *self = Verification {
                    method: self.method,
                    status: Status::Verified,
                    checked_at: Some(now),
                    verified_at: Some(now),
                    consent: Some(consent),
                    reason: None,
                };
            }
            Finding::Refuses(reason) => {
                self.status = Status::Failed;
                self.verified_at = None;
                self.consent = None;
                self.reason = Some(reason);
            }
            Finding::Silent(reason) => self.reason = Some(reason),
        }
    }

    /// The most attempts a minute that the receiver consented to.
    pub fn allowed_rate_per_minute(&self) -> Option<u32> {
        self.consent.as_ref().and_then(|consent| consent.allowed_rate_per_minute)
    }
}

/// The body of a challenge.
pub fn challenge_body(challenge: &str, subscription: SubscriptionId) -> String {
    let body = serde_json::json!({
        "type": "webhook.verification",
        "challenge": challenge,
        "subscriptionId": subscription,
    });
    body.to_string()
}

/// Judges the answer to a challenge: a 2xx, and the challenge as the whole body or as the field
/// `challenge` of a JSON object.
pub fn judge_challenge(challenge: &str, host: &str, exchange: &Exchange) -> Finding {
    let status = match exchange.outcome {
        Outcome::Replied { .. } | Outcome::Stored | Outcome::Failed { .. } => return silent(exchange),
        Outcome::Answered { status, .. } => status,
    };
    if !(200..300).contains(&status) {
        return Finding::Refuses(format!("the answer was {status}, a 2xx is needed"));
    }
    let body = exchange.response_body.trim();
    let in_json = || {
        let object: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        object["challenge"] == challenge
    };
    if !exchange.response_truncated && (body == challenge || in_json()) {
        let host = host.to_owned();
        return Finding::Consents(Consent { host, allowed_origin: None, allowed_rate_per_minute: None });
    }
    Finding::Refuses("the answer is not the challenge, nor JSON with it in the field challenge".to_owned())
}

/// The value of `WebHook-Request-Rate`: how many requests a minute we ask for.
pub fn rate_asked(rate_per_second: Option<u32>) -> u32 {
    rate_per_second.map_or(RATE_ASKED_DEFAULT, |rate| rate.saturating_mul(60))
}

/// Judges the answer to the handshake of `CloudEvents`. The headers are the consent, whatever the
/// status is.
pub fn judge_consent(origin: &str, host: &str, exchange: &Exchange) -> Finding {
    if exchange.outcome.status().is_none() {
        return silent(exchange);
    }
    let Some(allowed_origin) = header(exchange, "webhook-allowed-origin") else {
        return Finding::Refuses("the answer has no header WebHook-Allowed-Origin".to_owned());
    };
    if allowed_origin != "*" && !allowed_origin.eq_ignore_ascii_case(origin) {
        let allowed = shortened(allowed_origin);
        return Finding::Refuses(format!("WebHook-Allowed-Origin is {allowed:?}, and we send as {origin:?}"));
    }
    let allowed_rate_per_minute = match header(exchange, "webhook-allowed-rate").map(rate) {
        // Who lets us in and names no rate has nothing against the one that we asked for.
        None | Some(Ok(None)) => None,
        Some(Ok(Some(rate))) => Some(rate),
        Some(Err(reason)) => return Finding::Refuses(reason),
    };
    let allowed_origin = Some(shortened(allowed_origin));
    Finding::Consents(Consent { host: host.to_owned(), allowed_origin, allowed_rate_per_minute })
}

fn rate(text: &str) -> Result<Option<u32>, String> {
    match text {
        "*" => Ok(None),
        digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // More digits than fit are more than we send.
            match digits.parse().unwrap_or(u32::MAX) {
                0 => Err("WebHook-Allowed-Rate is 0: nothing may be sent".to_owned()),
                rate => Ok(Some(rate)),
            }
        }
        other => {
            let other = shortened(other);
            Err(format!("WebHook-Allowed-Rate is {other:?}, it must be a number of requests a minute or *"))
        }
    }
}

/// The only value of a header; of several there is none that counts.
fn header<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    let mut values = exchange.response_headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let (_, value) = values.next().filter(|_| values.next().is_none())?;
    Some(value.trim())
}

fn silent(exchange: &Exchange) -> Finding {
    let detail = exchange.detail.clone().unwrap_or_else(|| exchange.outcome.to_string());
    Finding::Silent(detail)
}

fn shortened(text: &str) -> String {
    text.chars().take(WORDS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);
    const LATER: Timestamp = Timestamp::from_seconds(13 * 3600);
    const CHALLENGE: &str = "c0ffee";

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Exchange {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Exchange {
            outcome: Outcome::Answered { status, retry_after_seconds: None },
            response_headers: headers.collect(),
            response_body: body.to_owned(),
            detail: None,
            ..no_answer()
        }
    }

    fn no_answer() -> Exchange {
        Exchange::failed(Failure::Timeout, "hooks.example.com", "no answer within 10 s")
    }

    fn consents(finding: &Finding) -> bool {
        matches!(finding, Finding::Consents(_))
    }

    #[track_caller]
    fn reason(finding: Finding) -> String {
        match finding {
            Finding::Refuses(reason) | Finding::Silent(reason) => reason,
            Finding::Consents(consent) => panic!("{consent:?}"),
        }
    }

    #[test]
    fn the_challenge_comes_back_as_text_or_in_json() {
        let judge = |status, body: &str| judge_challenge(CHALLENGE, "h", &answer(status, &[], body));
        for body in
            ["c0ffee", " c0ffee\r\n", r#"{"challenge":"c0ffee"}"#, r#"{ "ok": true, "challenge": "c0ffee" }"#]
        {
            assert!(consents(&judge(200, body)), "{body}");
            assert!(consents(&judge(202, body)), "{body}");
        }
        for body in [
            "",
            "c0ffe",
            "c0ffee c0ffee",
            r#""c0ffee""#,
            r#"["c0ffee"]"#,
            r#"{"challenge":["c0ffee"]}"#,
            "C0FFEE",
        ] {
            assert!(reason(judge(200, body)).contains("challenge"), "{body}");
        }
        for status in [301, 400, 404, 410, 500] {
            assert!(reason(judge(status, CHALLENGE)).contains(&status.to_string()));
        }
        let cut = Exchange { response_truncated: true, ..answer(200, &[], CHALLENGE) };
        assert!(!consents(&judge_challenge(CHALLENGE, "h", &cut)));
        assert_eq!(
            judge_challenge(CHALLENGE, "h", &no_answer()),
            Finding::Silent("no answer within 10 s".to_owned())
        );
    }

    #[test]
    fn the_challenge_is_told_with_whom_it_is_for() {
        let id = SubscriptionId::from_bytes([1; 16]);
        let body: serde_json::Value = serde_json::from_str(&challenge_body(CHALLENGE, id)).expect("JSON");
        assert_eq!((&body["type"], &body["challenge"]), (&"webhook.verification".into(), &CHALLENGE.into()));
        assert_eq!(body["subscriptionId"], id.to_string());
    }

    fn handshake(status: u16, headers: &[(&str, &str)]) -> Finding {
        judge_consent("events.example.com", "h", &answer(status, headers, ""))
    }

    #[test]
    fn consent_is_a_header_and_not_a_status() {
        for status in [200, 204, 404, 405, 500] {
            for origin in ["*", "events.example.com", "Events.Example.COM", " events.example.com "] {
                assert!(
                    consents(&handshake(status, &[("webhook-allowed-origin", origin)])),
                    "{status} {origin}"
                );
            }
            assert!(reason(handshake(status, &[])).contains("WebHook-Allowed-Origin"));
        }
        for origin in ["", "example.com", "events.example.com, *", "https://events.example.com", "**"] {
            let refused = reason(handshake(200, &[("webhook-allowed-origin", origin)]));
            assert!(refused.contains("events.example.com"), "{refused}");
        }
        let twice = [("webhook-allowed-origin", "a.example"), ("webhook-allowed-origin", "*")];
        assert!(!consents(&handshake(200, &twice)));
        assert!(matches!(judge_consent("a", "h", &no_answer()), Finding::Silent(_)));
    }

    #[test]
    fn the_rate_that_is_allowed_is_a_number_a_minute_or_any() {
        let rate = |rate| handshake(200, &[("WebHook-Allowed-Origin", "*"), ("WebHook-Allowed-Rate", rate)]);
        for (text, expected) in
            [("*", None), ("1", Some(1)), ("120", Some(120)), ("99999999999999", Some(u32::MAX))]
        {
            match rate(text) {
                Finding::Consents(consent) => assert_eq!(consent.allowed_rate_per_minute, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in ["", "0", "-1", "1.5", "many", "1 2"] {
            assert!(reason(rate(text)).contains("WebHook-Allowed-Rate"), "{text}");
        }
        let long = reason(rate(&"x".repeat(5_000)));
        assert!(long.len() < 300, "a receiver's words are cut");
    }

    #[test]
    fn the_rate_that_is_asked_for_is_the_subscribers_own() {
        assert_eq!((rate_asked(Some(5)), rate_asked(None)), (300, 60_000));
    }

    #[test]
    fn an_answer_decides_and_silence_takes_nothing_away() {
        let consent =
            Consent { host: "h".to_owned(), allowed_origin: None, allowed_rate_per_minute: Some(6) };
        let mut verification = Verification::due(Method::CloudEvents);
        assert!(!verification.passed());
        verification.take(Finding::Silent("no answer".to_owned()), NOON);
        assert_eq!((verification.status, verification.checked_at), (Status::Pending, Some(NOON)));
        verification.take(Finding::Consents(consent), NOON);
        assert!(verification.passed() && verification.last_check_passed());
        assert_eq!((verification.verified_at, verification.allowed_rate_per_minute()), (Some(NOON), Some(6)));
        verification.take(Finding::Silent("no answer".to_owned()), LATER);
        assert!(verification.passed() && !verification.last_check_passed());
        assert_eq!((verification.checked_at, verification.verified_at), (Some(LATER), Some(NOON)));
        verification.take(Finding::Refuses("no".to_owned()), LATER);
        assert_eq!(
            (verification.status, verification.verified_at, verification.consent.as_ref()),
            (Status::Failed, None, None)
        );
    }
}
