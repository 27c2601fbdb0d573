//! What an attempt came to, and which class that puts it in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What came back from a receiver, or why nothing did. A refusal is data, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// A status line was read. The status decides, whatever happens to the body after it.
    Answered {
        /// 200 to 599; anything else is [`Failure::Protocol`].
        status: u16,
        /// What the receiver asked for in `Retry-After`, in seconds from the answer.
        retry_after_seconds: Option<u64>,
    },
    /// A mail server replied about a mail. A reply that was not about the mail, but about us, is
    /// [`Failure::RelayRefused`].
    Replied {
        /// 200 to 599: 2xx took the mail, 4xx did not for now, 5xx never will.
        code: u16,
        /// Whether the reply says that the address takes no mail from anybody.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        bounced: bool,
    },
    /// It needed no answer: it was written into the handle's inbox, with its settlement.
    Stored,
    /// No answer.
    Failed {
        /// Where it went wrong.
        failure: Failure,
    },
}

/// Where an attempt without an answer went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The deadline passed before a status line came.
    Timeout,
    /// The name did not resolve.
    DnsError,
    /// No connection could be made.
    ConnectError,
    /// The handshake or the certificate failed.
    TlsError,
    /// What came back is not HTTP, or more than we read.
    ProtocolError,
    /// The connection ended before a status line. The receiver may have acted.
    ConnectionLost,
    /// The egress policy refused the address. Nothing was sent.
    BlockedAddress,
    /// Our own fault: the attempt could not be made.
    InternalError,
    /// The process ended during the attempt. The receiver may have acted.
    Interrupted,
    /// The mail was on its way to the server when the connection ended or the deadline passed: the
    /// server may have taken it.
    OutcomeUnknown,
    /// The mail server refused us before it heard of the mail: the greeting, the log-in, the sender.
    RelayRefused,
    /// Whoever takes the mails knows this service's sender, or its configuration set, no longer.
    StaleProviderReference,
    /// No way is set up to send what this subscription receives.
    NotConfigured,
    /// The address takes no mail, as an earlier bounce or complaint said. Nothing was sent.
    Suppressed,
}

/// Which answers a policy tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// No answer, 5xx, 408, 409, 425 and 429; any other 4xx ends the delivery (seed 002).
    #[default]
    Transient,
    /// Every answer but 2xx (seed 004).
    AnyFailure,
    /// Every answer but 2xx and 410, which says that the endpoint is gone (Standard Webhooks 1.0).
    AnyFailureButGone,
}

/// What an outcome means for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The receiver has it.
    Delivered,
    /// Worth another attempt, while the policy has one.
    Retry,
    /// Another attempt would end the same way.
    Terminal,
}

impl Outcome {
    /// A status class or the word for a failure: few values, whatever receivers answer.
    pub fn kind(self) -> &'static str {
        match self {
            Outcome::Answered { status: 200..300, .. } => "2xx",
            Outcome::Answered { status: 300..400, .. } => "3xx",
            Outcome::Answered { status: 429, .. } => "429",
            Outcome::Answered { status: 400..500, .. } => "4xx",
            Outcome::Answered { .. } => "5xx",
            Outcome::Replied { code: 200..400, .. } => "mail_2xx",
            Outcome::Replied { code: 400..500, .. } => "mail_4xx",
            Outcome::Replied { .. } => "mail_5xx",
            Outcome::Stored => "stored",
            Outcome::Failed { failure } => failure.as_str(),
        }
    }

    /// The class under a policy's rule (contract 3.3).
    pub fn class(self, retry_on: RetryOn) -> Class {
        match self {
            Outcome::Answered { status, .. } => class_of_status(status, retry_on),
            // A mail server says by itself which of its refusals pass.
            Outcome::Replied { code: 200..400, .. } | Outcome::Stored => Class::Delivered,
            Outcome::Replied { code: 400..500, .. } => Class::Retry,
            Outcome::Replied { .. }
            | Outcome::Failed { failure: Failure::BlockedAddress | Failure::Suppressed } => Class::Terminal,
            Outcome::Failed { .. } => Class::Retry,
        }
    }

    /// Whether the mail server takes mails from us, as far as this says: a refusal of one mail is an answer,
    /// too. None if it says nothing of that.
    pub fn shows_mail_server(self) -> Option<bool> {
        match self {
            Outcome::Replied { .. } => Some(true),
            Outcome::Failed {
                failure:
                    Failure::Timeout
                    | Failure::DnsError
                    | Failure::ConnectError
                    | Failure::TlsError
                    | Failure::ProtocolError
                    | Failure::ConnectionLost
                    | Failure::RelayRefused,
            } => Some(false),
            Outcome::Answered { .. }
            | Outcome::Stored
            | Outcome::Failed {
                failure:
                    Failure::BlockedAddress
                    | Failure::InternalError
                    | Failure::Interrupted
                    | Failure::OutcomeUnknown
                    | Failure::NotConfigured
                    | Failure::StaleProviderReference
                    | Failure::Suppressed,
            } => None,
        }
    }

    /// The status, or the code of a mail server's reply, if there was an answer.
    pub fn status(self) -> Option<u16> {
        match self {
            Outcome::Answered { status, .. } => Some(status),
            Outcome::Replied { code, .. } => Some(code),
            Outcome::Stored | Outcome::Failed { .. } => None,
        }
    }

    /// Whether the receiver is asking for less, by word or by silence: a drop for the adaptive limit.
    pub fn asks_for_less(self) -> bool {
        match self {
            Outcome::Answered { status, .. } => matches!(status, 429 | 503),
            Outcome::Replied { code, .. } => (400..500).contains(&code),
            Outcome::Stored => false,
            Outcome::Failed { failure } => failure == Failure::Timeout,
        }
    }

    /// What this says about the receiver as a whole, and not about one request.
    pub fn sign(self) -> Sign {
        match self {
            Outcome::Answered { status: 500.., .. } | Outcome::Replied { code: 400..500, .. } => {
                Sign::Failing
            }
            Outcome::Answered { .. } | Outcome::Replied { .. } | Outcome::Stored => Sign::Well,
            Outcome::Failed { failure } => match failure {
                Failure::Timeout
                | Failure::DnsError
                | Failure::ConnectError
                | Failure::TlsError
                | Failure::ProtocolError
                | Failure::ConnectionLost
                | Failure::OutcomeUnknown => Sign::Silent,
                Failure::RelayRefused | Failure::StaleProviderReference => Sign::Failing,
                Failure::BlockedAddress
                | Failure::InternalError
                | Failure::Interrupted
                | Failure::NotConfigured
                | Failure::Suppressed => Sign::None,
            },
        }
    }
}

/// What an outcome says about a receiver as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It is there and works, whatever it thinks of this request.
    Well,
    /// It is there and fails.
    Failing,
    /// It is not there.
    Silent,
    /// Nothing: the fault was ours, or nothing was sent.
    None,
}

fn class_of_status(status: u16, retry_on: RetryOn) -> Class {
    match (status, retry_on) {
        (200..300, _) => Class::Delivered,
        (500.. | 408 | 409 | 425 | 429, _) => Class::Retry,
        (_, RetryOn::Transient) | (410, RetryOn::AnyFailureButGone) => Class::Terminal,
        (_, RetryOn::AnyFailure | RetryOn::AnyFailureButGone) => Class::Retry,
    }
}

impl Failure {
    /// The word on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::DnsError => "dns_error",
            Failure::ConnectError => "connect_error",
            Failure::TlsError => "tls_error",
            Failure::ProtocolError => "protocol_error",
            Failure::ConnectionLost => "connection_lost",
            Failure::BlockedAddress => "blocked_address",
            Failure::InternalError => "internal_error",
            Failure::Interrupted => "interrupted",
            Failure::OutcomeUnknown => "outcome_unknown",
            Failure::RelayRefused => "relay_refused",
            Failure::StaleProviderReference => "stale_provider_reference",
            Failure::NotConfigured => "not_configured",
            Failure::Suppressed => "suppressed",
        }
    }
}

impl Class {
    /// The word on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Delivered => "delivered",
            Class::Retry => "retry",
            Class::Terminal => "terminal",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Answered { status, .. } => write!(f, "{status}"),
            Outcome::Replied { code, .. } => write!(f, "{code}"),
            Outcome::Stored => f.write_str("stored"),
            Outcome::Failed { failure } => f.write_str(failure.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_that_refuses_one_mail_is_there_and_one_that_refuses_us_is_not() {
        let check = |outcome: Outcome, shown| assert_eq!(outcome.shows_mail_server(), shown, "{outcome}");
        for code in [250, 421, 550] {
            check(Outcome::Replied { code, bounced: false }, Some(true));
        }
        for failure in [Failure::ConnectError, Failure::Timeout, Failure::TlsError, Failure::RelayRefused] {
            check(Outcome::Failed { failure }, Some(false));
        }
        for failure in [Failure::Suppressed, Failure::OutcomeUnknown, Failure::NotConfigured] {
            check(Outcome::Failed { failure }, None);
        }
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after_seconds: None }
    }

    /// The table of seed 002, for every status that HTTP can carry.
    #[test]
    fn transient_policy_follows_the_published_table_for_every_status() {
        for status in 200..=599 {
            let expected = match status {
                200..=299 => Class::Delivered,
                408 | 409 | 425 | 429 | 500..=599 => Class::Retry,
                _ => Class::Terminal,
            };
            assert_eq!(answered(status).class(RetryOn::Transient), expected, "{status}");
        }
    }

    #[test]
    fn the_other_policies_retry_whatever_is_not_success() {
        for status in 200..=599 {
            let delivered = (200..300).contains(&status);
            let any = if delivered { Class::Delivered } else { Class::Retry };
            let but_gone = if status == 410 { Class::Terminal } else { any };
            assert_eq!(answered(status).class(RetryOn::AnyFailure), any, "{status}");
            assert_eq!(answered(status).class(RetryOn::AnyFailureButGone), but_gone, "{status}");
        }
    }

    #[test]
    fn a_mail_server_says_by_itself_what_is_worth_another_attempt() {
        for retry_on in [RetryOn::Transient, RetryOn::AnyFailure, RetryOn::AnyFailureButGone] {
            for (code, class, kind) in [
                (250, Class::Delivered, "mail_2xx"),
                (421, Class::Retry, "mail_4xx"),
                (451, Class::Retry, "mail_4xx"),
                (550, Class::Terminal, "mail_5xx"),
                (554, Class::Terminal, "mail_5xx"),
            ] {
                let outcome = Outcome::Replied { code, bounced: code == 550 };
                assert_eq!((outcome.class(retry_on), outcome.kind()), (class, kind), "{code}");
            }
        }
        let unknown = Outcome::Failed { failure: Failure::OutcomeUnknown };
        assert_eq!((unknown.class(RetryOn::Transient), unknown.kind()), (Class::Retry, "outcome_unknown"));
    }

    #[test]
    fn silence_is_worth_another_attempt_and_a_blocked_address_is_not() {
        use Failure::{
            BlockedAddress, ConnectError, ConnectionLost, DnsError, InternalError, Interrupted,
            NotConfigured, OutcomeUnknown, ProtocolError, RelayRefused, StaleProviderReference, Suppressed,
            Timeout, TlsError,
        };
        for retry_on in [RetryOn::Transient, RetryOn::AnyFailure, RetryOn::AnyFailureButGone] {
            for failure in [
                Timeout,
                DnsError,
                ConnectError,
                TlsError,
                ProtocolError,
                ConnectionLost,
                InternalError,
                Interrupted,
                OutcomeUnknown,
                RelayRefused,
                StaleProviderReference,
                NotConfigured,
            ] {
                assert_eq!(Outcome::Failed { failure }.class(retry_on), Class::Retry);
            }
            for failure in [BlockedAddress, Suppressed] {
                assert_eq!(Outcome::Failed { failure }.class(retry_on), Class::Terminal);
            }
        }
    }
}
