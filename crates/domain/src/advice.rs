//! What an operator should do about an outcome, and why it got the class it has.
//!
//! The table of seed 002, "troubleshooting by status code", in our words.

use crate::outcome::{Class, Failure, Outcome, RetryOn};

/// The likely cause and the next step; none when the receiver accepted.
pub fn advice(outcome: &Outcome) -> Option<&'static str> {
    match *outcome {
        Outcome::Answered { status, .. } => for_status(status),
        Outcome::Replied { code, bounced } => for_reply(code, bounced),
        Outcome::Stored => None,
        Outcome::Failed { failure } => Some(for_failure(failure)),
    }
}

fn for_status(status: u16) -> Option<&'static str> {
    Some(match status {
        200..300 => return None,
        300..400 => {
            "the receiver redirects, and redirects are never followed: \
             update the subscription to the final URL"
        }
        401 | 403 => {
            "the receiver did not accept the request's origin: check which secret it verifies with, its \
             authentication middleware, and any rule about addresses or headers"
        }
        404 => {
            "nothing is served at this path: compare it with the URL in production and make sure that the \
             route is deployed and active"
        }
        405 => "the route exists but does not take POST: register the URL that does",
        408 => {
            "the receiver gave up waiting for the request: look for a slow proxy in front of it, or too \
             few workers"
        }
        409 => {
            "the receiver reports a conflict: if it has seen this event before, it should answer 2xx to a \
             repeated webhook-id"
        }
        410 => "the endpoint was retired on purpose: point the subscription at a live endpoint, or delete it",
        413 => "the body is larger than the receiver or its proxy allows: raise that limit",
        415 => {
            "the receiver does not take this content type: accept application/json, or choose another payload format"
        }
        422 | 400 => {
            "the receiver's validation refused the body: relax its schema, or agree on the payload that \
             this event type carries"
        }
        425 => "the receiver is not ready to act on the request yet: the next attempt may succeed",
        429 => {
            "the receiver is throttling: queue the work behind a quick answer, raise its capacity, or set a \
             rate limit on the subscription"
        }
        503 => {
            "the receiver is overloaded or being restarted: restore it, or put a rate limit on the subscription, \
             before replaying"
        }
        502 | 504 => {
            "a proxy could not reach the receiver's application: restore it and read the proxy's log before \
             replaying"
        }
        500.. => "the receiver failed on its side: find the exception in its log and fix it before replaying",
        _ => "the receiver refused the request: read the answer's body and the receiver's log for the reason",
    })
}

/// What a mail server's reply asks for.
fn for_reply(code: u16, bounced: bool) -> Option<&'static str> {
    Some(match code {
        200..400 => return None,
        400..500 => {
            "the mail server took nothing for now (greylisting, throttling, or a full mailbox): the mail is \
             sent again; if it goes on, read the server's words in the attempt's answer"
        }
        _ if bounced => {
            "the address takes no mail, and is sent nothing more: check its spelling, and once it receives \
             again take it off the suppression list"
        }
        _ => {
            "the mail server refused this mail for good: read its words in the attempt's answer; a policy \
             refusal (5.7.x) is cured by SPF, DKIM and DMARC of the sender's domain"
        }
    })
}

fn for_failure(failure: Failure) -> &'static str {
    match failure {
        Failure::Timeout => {
            "no status came before the deadline: answer 2xx first and do the work afterwards, or raise the \
             subscription's timeout"
        }
        Failure::DnsError => "the host name did not resolve: check its spelling and its public DNS records",
        Failure::ConnectError => {
            "no connection could be made: check that the receiver listens on this port and that firewalls let \
             our addresses in"
        }
        Failure::TlsError => {
            "the TLS handshake failed: check that the certificate is valid for this host, has not expired and \
             comes with its whole chain"
        }
        Failure::ProtocolError => {
            "what came back is not a proper HTTP answer: check that the port speaks HTTP and that no proxy \
             mangles the answer"
        }
        Failure::ConnectionLost => {
            "the connection ended before a status came: the receiver may have acted, so look for the \
             webhook-id in its log; it may be crashing or restarting"
        }
        Failure::BlockedAddress => {
            "the host leads to an address that deliveries may not go to: use a public address, or ask the \
             operator of this service to allow the network"
        }
        Failure::InternalError => {
            "the fault is on our side and the receiver was not asked: nothing to change; report it with the \
             delivery's id if it goes on"
        }
        Failure::Interrupted => {
            "this service stopped during the attempt: the receiver may have acted, and the event is sent \
             again with the same webhook-id"
        }
        Failure::OutcomeUnknown => {
            "the connection to the mail server ended while the mail was on its way: it may have arrived, and is \
             sent again with the same Message-ID, by which mailboxes drop the second copy"
        }
        Failure::RelayRefused => {
            "the mail server refused this service before it heard of the mail: the operator should check the \
             user name, the password and the sender's address in the settings"
        }
        Failure::StaleProviderReference => {
            "the mail provider knows the sender or the configuration set of this service no longer: its operator \
             should make it again there, or name another in email.from or ses.configuration_set; the mail is tried \
             again meanwhile"
        }
        Failure::NotConfigured => {
            "this service is not set up to send e-mail: its operator should set email.transport, and the mail is \
             tried again meanwhile"
        }
        Failure::Suppressed => {
            "the address bounced or complained before, so nothing is sent to it: take it off the suppression \
             list once it receives again, and replay"
        }
    }
}

/// Why an outcome has its class, in one sentence.
pub fn explain(outcome: &Outcome, class: Class, retry_on: RetryOn) -> String {
    match (*outcome, class) {
        (Outcome::Stored, _) => "it is in the inbox".to_owned(),
        (Outcome::Answered { status, .. }, Class::Delivered) => format!("{status} says that the receiver has it"),
        (Outcome::Answered { status, .. }, Class::Retry) => {
            format!("{status} is tried again: this policy retries {}", retried(retry_on))
        }
        (Outcome::Answered { status: status @ 300..400, .. }, Class::Terminal) => {
            format!("{status} is final: redirects are not followed, and this policy retries {}", retried(retry_on))
        }
        (Outcome::Answered { status, .. }, Class::Terminal) => {
            format!("{status} is final: this policy retries {}", retried(retry_on))
        }
        (Outcome::Replied { code, .. }, Class::Delivered) => format!("{code} says that the mail server has it"),
        (Outcome::Replied { code, .. }, Class::Retry) => {
            format!("{code} is tried again: by a 4xx a mail server says that its refusal passes")
        }
        (Outcome::Replied { code, .. }, Class::Terminal) => {
            format!("{code} is final: by a 5xx a mail server says that it will not take the mail later either")
        }
        (Outcome::Failed { failure: Failure::Suppressed }, _) => {
            "suppressed is final: nothing was sent, and trying again would not change that".to_owned()
        }
        (Outcome::Failed { failure: Failure::BlockedAddress }, _) => {
            "blocked_address is final under every policy: nothing was sent, and trying again would not change that"
                .to_owned()
        }
        (Outcome::Failed { failure }, _) => {
            format!("{} is tried again under every policy: there was no answer", failure.as_str())
        }
    }
}

/// What a rule retries, as the end of a sentence.
fn retried(retry_on: RetryOn) -> &'static str {
    match retry_on {
        RetryOn::Transient => "missing answers, 5xx, 408, 409, 425 and 429",
        RetryOn::AnyFailure => "everything but 2xx",
        RetryOn::AnyFailureButGone => "everything but 2xx and 410",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES: [Failure; 14] = [
        Failure::Timeout,
        Failure::DnsError,
        Failure::ConnectError,
        Failure::TlsError,
        Failure::ProtocolError,
        Failure::ConnectionLost,
        Failure::BlockedAddress,
        Failure::InternalError,
        Failure::Interrupted,
        Failure::OutcomeUnknown,
        Failure::RelayRefused,
        Failure::StaleProviderReference,
        Failure::NotConfigured,
        Failure::Suppressed,
    ];

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after_seconds: None }
    }

    #[track_caller]
    fn check(outcome: Outcome, words: &[&str]) {
        let advice = advice(&outcome).expect("advice");
        for word in words {
            assert!(advice.contains(word), "{outcome}: {advice}");
        }
    }

    /// Each row of the source's table, by the words that carry its next step.
    #[test]
    fn every_row_of_the_published_table_is_answered() {
        check(answered(401), &["secret", "authentication", "addresses or headers"]);
        check(answered(403), &["secret", "authentication", "addresses or headers"]);
        check(answered(404), &["path", "production", "deployed"]);
        check(answered(410), &["retired", "live endpoint"]);
        check(answered(422), &["validation", "schema"]);
        check(answered(429), &["throttling", "queue", "capacity"]);
        check(answered(500), &["log", "before replaying"]);
        check(answered(599), &["log", "before replaying"]);
        check(Outcome::Failed { failure: Failure::DnsError }, &["resolve", "DNS"]);
        check(Outcome::Failed { failure: Failure::TlsError }, &["certificate", "host"]);
        check(Outcome::Failed { failure: Failure::ConnectError }, &["firewalls", "port"]);
    }

    #[test]
    fn advice_is_given_exactly_where_something_went_wrong() {
        for status in 200..=599 {
            assert_eq!(advice(&answered(status)).is_none(), (200..300).contains(&status), "{status}");
        }
        for failure in FAILURES {
            assert!(advice(&Outcome::Failed { failure }).is_some());
        }
    }

    #[test]
    fn a_class_is_explained_by_the_policy_that_gave_it() {
        let under = |status, retry_on| {
            let outcome = answered(status);
            explain(&outcome, outcome.class(retry_on), retry_on)
        };
        assert_eq!(under(204, RetryOn::Transient), "204 says that the receiver has it");
        assert_eq!(
            under(503, RetryOn::Transient),
            "503 is tried again: this policy retries missing answers, 5xx, 408, 409, 425 and 429"
        );
        assert_eq!(
            under(404, RetryOn::Transient),
            "404 is final: this policy retries missing answers, 5xx, 408, 409, 425 and 429"
        );
        assert_eq!(
            under(404, RetryOn::AnyFailure),
            "404 is tried again: this policy retries everything but 2xx"
        );
        assert_eq!(
            under(410, RetryOn::AnyFailureButGone),
            "410 is final: this policy retries everything but 2xx and 410"
        );
        assert!(under(302, RetryOn::Transient).contains("redirects are not followed"));
    }

    #[test]
    fn explanations_agree_with_the_class_for_every_outcome_and_policy() {
        let outcomes = (200..=599).map(answered).chain(FAILURES.map(|failure| Outcome::Failed { failure }));
        for outcome in outcomes {
            for retry_on in [RetryOn::Transient, RetryOn::AnyFailure, RetryOn::AnyFailureButGone] {
                let class = outcome.class(retry_on);
                let words = match class {
                    Class::Delivered => "has it",
                    Class::Retry => "is tried again",
                    Class::Terminal => "is final",
                };
                assert!(explain(&outcome, class, retry_on).contains(words), "{outcome} {retry_on:?}");
            }
        }
    }

    /// A line of a table for each answer that has advice of its own, and for each failure.
    fn tables() -> [String; 2] {
        let retry = RetryOn::Transient;
        let statuses = [
            "3xx",
            "400",
            "401",
            "403",
            "404",
            "405",
            "408",
            "409",
            "410",
            "413",
            "415",
            "422",
            "425",
            "429",
            "502",
            "503",
            "504",
            "any other 4xx",
            "any other 5xx",
        ];
        let status = |name: &str| match name {
            "3xx" => 302,
            "any other 4xx" => 418,
            "any other 5xx" => 500,
            number => number.parse().expect("a number"),
        };
        let row = |name: &str, outcome: Outcome| {
            let class = match outcome.class(retry) {
                Class::Delivered => "delivered",
                Class::Retry => "again",
                Class::Terminal => "final",
            };
            format!("| {name} | {class} | {} |\n", advice(&outcome).expect("a failure has advice"))
        };
        let answered =
            |name: &str| row(name, Outcome::Answered { status: status(name), retry_after_seconds: None });
        let failed = |failure: Failure| row(&format!("`{}`", failure.as_str()), Outcome::Failed { failure });
        [statuses.into_iter().map(answered).collect(), FAILURES.into_iter().map(failed).collect()]
    }

    #[test]
    fn the_page_on_troubleshooting_says_what_an_attempt_says() {
        let page = include_str!("../../../docs/troubleshooting.md");
        for table in tables() {
            assert!(page.contains(&table), "docs/troubleshooting.md is to have this table:\n{table}");
        }
    }
}
