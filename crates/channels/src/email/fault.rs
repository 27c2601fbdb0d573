//! What came of a mail, in our words: a mail server's reply, or where there was none.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use angarium_domain::outcome::{Failure, Outcome};
use lettre::transport::smtp::Error;

/// How far an exchange with a mail server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Looking the server's name up.
    Resolving,
    /// Connecting, and the TLS handshake of an encrypted port.
    Connecting,
    /// Greeting, STARTTLS and log-in.
    Greeting,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA`.
    Data,
    /// The mail itself. From here on the server may have taken it, whatever we hear.
    Body,
}

/// Why a mail was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) outcome: Outcome,
    /// Our words, or the server's.
    pub(super) detail: String,
    /// Whether a connection that had been idle may have ended before the mail was begun.
    pub(super) stale: bool,
}

impl Fault {
    pub(super) fn new(failure: Failure, detail: impl Into<String>) -> Fault {
        Fault { outcome: Outcome::Failed { failure }, detail: detail.into(), stale: false }
    }

    /// The deadline passed.
    pub(super) fn late(stage: Stage, limit: Duration) -> Fault {
        let ms = limit.as_millis();
        match stage {
            Stage::Body => Fault::new(
                Failure::OutcomeUnknown,
                format!("the mail was sent, and no reply came within {ms} ms"),
            ),
            _ => Fault::new(Failure::Timeout, format!("the mail server did not reply within {ms} ms")),
        }
    }

    /// What a library's error means at a stage.
    pub(super) fn of(error: &Error, stage: Stage) -> Fault {
        if let Some(code) = error.status() {
            return Fault::of_reply(u16::from(code), &words_of(error), stage);
        }
        if stage == Stage::Body {
            let detail = "the connection ended while the mail was on its way";
            return Fault::new(Failure::OutcomeUnknown, detail);
        }
        if error.is_tls() || is_about_tls(error) {
            return Fault::new(Failure::TlsError, words_of(error));
        }
        if error.is_client() {
            // What it does not offer: STARTTLS, or a way to log in that we know.
            return Fault::new(Failure::RelayRefused, words_of(error));
        }
        if stage <= Stage::Connecting {
            return Fault::new(Failure::ConnectError, words_of(error));
        }
        let ended = !error.is_response() || words_of(error).contains("incomplete");
        let failure = if ended { Failure::ConnectionLost } else { Failure::ProtocolError };
        Fault { stale: ended, ..Fault::new(failure, words_of(error)) }
    }

    fn of_reply(code: u16, words: &str, stage: Stage) -> Fault {
        let about_the_mail = match stage {
            Stage::Recipient | Stage::Data | Stage::Body => true,
            // A throttled sender is to come later; a refused one is for the operator to look at.
            Stage::Sender => code < 500,
            Stage::Resolving | Stage::Connecting | Stage::Greeting => false,
        };
        let detail = format!("{code} {words}").trim_end().to_owned();
        let outcome = if about_the_mail {
            Outcome::Replied { code, bounced: stage == Stage::Recipient && is_bounce(code, words) }
        } else {
            Outcome::Failed { failure: Failure::RelayRefused }
        };
        Fault { outcome, detail, stale: code == 421 }
    }
}

/// Whether a refusal of a recipient says that the address takes no mail from anybody: by its enhanced
/// code (RFC 3463) if it has one, or else by its code. A full mailbox (5.2.2) or a policy against us
/// (5.7.x) says nothing about the address.
fn is_bounce(code: u16, words: &str) -> bool {
    let enhanced = words.split_whitespace().next().filter(|word| word.split('.').count() == 3);
    match enhanced.filter(|word| word.starts_with("5.")) {
        // Those two of the addresses are about the sender's.
        Some("5.1.7" | "5.1.8") => false,
        Some(enhanced) => enhanced.starts_with("5.1.") || enhanced == "5.2.1",
        None => matches!(code, 550 | 551 | 553),
    }
}

/// What the server, or the library, said: the innermost words, since the library wraps its own.
fn words_of(error: &Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn is_about_tls(error: &Error) -> bool {
    let inner = |cause: &'_ (dyn StdError + 'static)| {
        let io = cause.downcast_ref::<io::Error>()?;
        Some(io.get_ref()?.is::<rustls::Error>())
    };
    causes(error).any(|cause| inner(cause) == Some(true))
}

fn causes<'e>(error: &'e Error) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refused_address_is_a_bounce() {
        for (code, words, bounce) in [
            (550, "5.1.1 no such user", true),
            (550, "5.1.10 null MX", true),
            (553, "5.1.3 bad address", true),
            (550, "5.2.1 mailbox disabled", true),
            (550, "5.1.7 bad sender's mailbox address", false),
            (550, "5.1.8 sender's domain does not exist", false),
            (550, "no such user", true),
            (551, "user not local", true),
            (552, "5.2.2 mailbox full", false),
            (552, "mailbox full", false),
            (550, "5.7.1 rejected by policy", false),
            (550, "5.7.515 access denied, sending domain does not meet the required level", false),
            (554, "no SMTP service here", false),
        ] {
            assert_eq!(is_bounce(code, words), bounce, "{code} {words}");
        }
    }

    #[test]
    fn a_refusal_before_the_mail_is_about_us() {
        let outcome = |code, stage| Fault::of_reply(code, "5.1.1 words", stage).outcome;
        let about_us = Outcome::Failed { failure: Failure::RelayRefused };
        assert_eq!(outcome(535, Stage::Greeting), about_us);
        assert_eq!(outcome(550, Stage::Sender), about_us);
        assert_eq!(outcome(451, Stage::Sender), Outcome::Replied { code: 451, bounced: false });
        assert_eq!(outcome(550, Stage::Recipient), Outcome::Replied { code: 550, bounced: true });
        assert_eq!(outcome(550, Stage::Body), Outcome::Replied { code: 550, bounced: false });
    }
}
