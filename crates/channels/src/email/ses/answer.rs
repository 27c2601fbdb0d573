//! What SES answered, in the words that a mail server's reply has: took it, not for now, never.

use angarium_domain::attempt::Exchange;
use angarium_domain::outcome::{Failure, Outcome};
use serde::Deserialize;

/// SES has the mail.
const ACCEPTED: u16 = 250;
/// Too many mails a second or a day; what SES says over SMTP too.
const THROTTLED: u16 = 454;
/// Something went wrong at SES.
const BROKEN: u16 = 451;
/// SES does not take this mail.
const REJECTED: u16 = 554;
/// The header that names an error, perhaps with an address behind a colon.
const ERROR_TYPE: &str = "x-amzn-errortype";
/// The header by which the support of AWS finds a request.
const REQUEST_ID: &str = "x-amzn-requestid";
/// The most of an explanation that is kept, in characters.
const WORDS_CHARS_MAX: usize = 1_000;

#[derive(Default, Deserialize)]
struct Body {
    #[serde(rename = "MessageId")]
    message_id: Option<String>,
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// What an exchange with SES says about the mail.
pub(super) fn judged(exchange: Exchange, host: &str, sender: &str) -> Exchange {
    let was_connected = exchange.remote_address.is_some();
    let Outcome::Answered { status, .. } = exchange.outcome else {
        return unanswered(exchange, was_connected, host);
    };
    let body: Body = serde_json::from_str(&exchange.response_body).unwrap_or_default();
    let named = header(&exchange, ERROR_TYPE).map(str::to_owned).or(body.kind).unwrap_or_default();
    let kind = kind_of(&named);
    let outcome = match (status, &body.message_id) {
        (200..300, Some(_)) => Outcome::Replied { code: ACCEPTED, bounced: false },
        // Somebody else answered, or SES in words that we do not know: the mail may be on its way.
        (200..300, None) => Outcome::Failed { failure: Failure::OutcomeUnknown },
        _ if is_stale(kind, body.message.as_deref().unwrap_or_default(), sender) => {
            Outcome::Failed { failure: Failure::StaleProviderReference }
        }
        _ => outcome_of(status, kind),
    };
    let words = body.message.unwrap_or_default();
    let detail = match outcome {
        Outcome::Replied { code: ACCEPTED, .. } => None,
        // Words about the mail help whoever has it sent; others may name accounts and users of the operator.
        Outcome::Replied { .. } => Some(format!("{status} {kind} {words}").trim_end().to_owned()),
        _ => Some(format!("Amazon SES answered {status} {kind}").trim_end().to_owned()),
    };
    let is_shown = matches!(outcome, Outcome::Replied { .. });
    let response_headers =
        exchange.response_headers.iter().filter(|(name, _)| name == REQUEST_ID).cloned().collect();
    Exchange {
        outcome,
        detail: detail.map(|detail| detail.chars().take(WORDS_CHARS_MAX).collect()),
        remote_address: Some(host.to_owned()),
        response_headers,
        response_body: if is_shown { exchange.response_body } else { String::new() },
        ..exchange
    }
}

/// Without an answer, all depends on whether the request may have been read.
fn unanswered(exchange: Exchange, was_connected: bool, host: &str) -> Exchange {
    let Outcome::Failed { failure } = exchange.outcome else { return exchange };
    let failure = match failure {
        _ if was_connected => Failure::OutcomeUnknown,
        // The address is the operator's, and no fault of the recipient's.
        Failure::BlockedAddress => Failure::RelayRefused,
        failure => failure,
    };
    let remote_address = was_connected.then(|| host.to_owned());
    Exchange { outcome: Outcome::Failed { failure }, remote_address, ..exchange }
}

/// The bare name of an error: `MessageRejected` of `com.amazon.ses#MessageRejected:http://…`.
fn kind_of(named: &str) -> &str {
    let name = named.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) { name } else { "" }
}

/// Whether SES knows the identity that mails come from, or the configuration set, no longer. Of an identity
/// that was removed it says that the address is not verified, as it does of recipients in a sandbox.
fn is_stale(kind: &str, words: &str, sender: &str) -> bool {
    match kind {
        "NotFoundException"
        | "ConfigurationSetDoesNotExistException"
        | "ConfigurationSetDoesNotExist"
        | "MailFromDomainNotVerifiedException"
        | "MailFromDomainNotVerified" => true,
        "MessageRejected" => {
            let words = words.to_ascii_lowercase();
            words.contains("not verified") && words.contains(&sender.to_ascii_lowercase())
        }
        _ => false,
    }
}

fn outcome_of(status: u16, kind: &str) -> Outcome {
    let replied = |code| Outcome::Replied { code, bounced: false };
    match kind {
        "TooManyRequestsException" | "Throttling" | "ThrottlingException" | "LimitExceededException" => {
            replied(THROTTLED)
        }
        "MessageRejected" | "BadRequestException" => replied(REJECTED),
        _ if status == 429 => replied(THROTTLED),
        _ if status >= 500 => replied(BROKEN),
        // The account, its credentials, its permissions, or an identity that is not there: all of them
        // the operator's to mend, and no word about this mail.
        _ => Outcome::Failed { failure: Failure::RelayRefused },
    }
}

fn header<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    exchange.response_headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use angarium_domain::outcome::{Class, RetryOn};

    use super::*;

    fn answered(status: u16, kind: &str, body: &str) -> Exchange {
        let answer = Exchange {
            outcome: Outcome::Answered { status, retry_after_seconds: None },
            remote_address: Some("192.0.2.1:443".to_owned()),
            response_headers: vec![
                (ERROR_TYPE.to_owned(), kind.to_owned()),
                (REQUEST_ID.to_owned(), "r-1".to_owned()),
                ("date".to_owned(), "today".to_owned()),
            ],
            response_body: body.to_owned(),
            detail: None,
            ..Exchange::failed(Failure::InternalError, "anna@example.com", "")
        };
        judged(answer, "email.eu-west-1.amazonaws.com", "events@mail.example")
    }

    const RELAY_REFUSED: Outcome = Outcome::Failed { failure: Failure::RelayRefused };

    #[test]
    fn what_ses_says_is_what_a_mail_server_would_say() {
        for (status, kind, class) in [
            (429, "TooManyRequestsException", Class::Retry),
            (400, "Throttling", Class::Retry),
            (400, "ThrottlingException:http://internal.amazon.com/coral/", Class::Retry),
            (400, "LimitExceededException", Class::Retry),
            (503, "ServiceUnavailable", Class::Retry),
            (500, "", Class::Retry),
            (400, "MessageRejected", Class::Terminal),
            (400, "com.amazonaws.sesv2#BadRequestException", Class::Terminal),
        ] {
            let outcome = answered(status, kind, r#"{"message":"words"}"#).outcome;
            assert!(matches!(outcome, Outcome::Replied { bounced: false, .. }), "{kind}: {outcome:?}");
            assert_eq!(outcome.class(RetryOn::Transient), class, "{kind}");
        }
    }

    #[test]
    fn an_identity_or_a_configuration_set_that_is_gone_is_told_apart_from_a_mail_that_is_refused() {
        let stale = Outcome::Failed { failure: Failure::StaleProviderReference };
        let not_verified =
            |who: &str| format!(r#"{{"message":"Email address is not verified. The following: {who}"}}"#);
        for (status, kind, body) in [
            (404, "NotFoundException", "{}".to_owned()),
            (400, "ConfigurationSetDoesNotExistException", "{}".to_owned()),
            (400, "MailFromDomainNotVerifiedException", "{}".to_owned()),
            (400, "MessageRejected", not_verified("Events@mail.example")),
        ] {
            let exchange = answered(status, kind, &body);
            assert_eq!(exchange.outcome, stale, "{kind}");
            assert!(exchange.detail.is_some_and(|detail| detail.contains(kind)));
        }
        let sandbox = answered(400, "MessageRejected", &not_verified("anna@example.com")).outcome;
        assert_eq!(sandbox, Outcome::Replied { code: REJECTED, bounced: false });
    }

    #[test]
    fn what_the_operator_is_to_mend_is_tried_again_and_names_nobody() {
        for (status, kind) in [
            (400, "AccountSuspendedException"),
            (400, "SendingPausedException"),
            (403, "AccessDeniedException"),
            (403, "SignatureDoesNotMatch"),
            (403, "ExpiredTokenException"),
            (400, "UnrecognizedClientException"),
            (403, ""),
            (302, ""),
        ] {
            let exchange =
                answered(status, kind, r#"{"message":"arn:aws:iam::123456789012:user/x may not"}"#);
            assert_eq!(exchange.outcome, RELAY_REFUSED, "{kind}");
            let detail = exchange.detail.expect("it says why");
            assert!(detail.contains(kind) && !detail.contains("123456789012"), "{detail}");
            assert_eq!(exchange.response_body, "");
        }
    }

    #[test]
    fn the_id_that_ses_gave_is_kept() {
        let exchange = answered(200, "", r#"{"MessageId":"0100018f"}"#);
        assert_eq!(exchange.outcome, Outcome::Replied { code: 250, bounced: false });
        assert_eq!((exchange.response_body.as_str(), exchange.detail), (r#"{"MessageId":"0100018f"}"#, None));
        assert_eq!(exchange.response_headers, [(REQUEST_ID.to_owned(), "r-1".to_owned())]);
        assert_eq!(exchange.remote_address.as_deref(), Some("email.eu-west-1.amazonaws.com"));
    }

    #[test]
    fn an_answer_without_an_id_may_be_a_mail_that_is_on_its_way() {
        for body in ["", "<html>", "{}", "[]"] {
            let outcome = answered(200, "", body).outcome;
            assert_eq!(outcome, Outcome::Failed { failure: Failure::OutcomeUnknown }, "{body:?}");
        }
    }

    #[test]
    fn no_answer_is_an_unknown_outcome_from_when_there_was_a_connection() {
        let lost = |failure, remote: Option<&str>| {
            let exchange = Exchange::failed(failure, "anna@example.com", "words");
            judged(
                Exchange { remote_address: remote.map(str::to_owned), ..exchange },
                "ses",
                "events@mail.example",
            )
            .outcome
        };
        let failed = |failure| Outcome::Failed { failure };
        for failure in [Failure::Timeout, Failure::ConnectionLost, Failure::ProtocolError, Failure::TlsError]
        {
            assert_eq!(lost(failure, Some("192.0.2.1:443")), failed(Failure::OutcomeUnknown));
            assert_eq!(lost(failure, None), failed(failure));
        }
        assert_eq!(lost(Failure::BlockedAddress, None), RELAY_REFUSED);
    }
}
