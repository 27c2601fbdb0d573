//! From a mail to the bytes that go over the wire (RFC 5322, RFC 2369, RFC 8058).
//!
//! Every value goes through the builder, which encodes what is no plain text: nothing that a
//! customer says can end a header and begin another.

use std::fmt;
use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};

use super::{Mail, letter};

/// The longest subject, in characters: mailboxes show less.
const SUBJECT_CHARS_MAX: usize = 150;

/// Whom mails are from: an address, perhaps with a name before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sender(Mailbox);

/// The text is no sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no sender such as \"Angarium <events@example.com>\"")]
pub struct InvalidSender {
    text: String,
}

impl Sender {
    /// Reads an address such as `Angarium <events@example.com>`.
    pub fn parse(text: &str) -> Result<Sender, InvalidSender> {
        let invalid = || InvalidSender { text: text.to_owned() };
        let plain = !text.chars().any(char::is_control);
        let mailbox: Mailbox = text.parse().map_err(|_| invalid())?;
        let ascii = mailbox.email.to_string().is_ascii();
        (plain && ascii).then_some(Sender(mailbox)).ok_or_else(invalid)
    }

    /// The address that mails come from, without a name.
    pub fn address(&self) -> String {
        self.0.email.to_string()
    }

    /// The domain that mails come from: what SPF, DKIM and DMARC are about.
    pub fn domain(&self) -> &str {
        self.0.email.domain()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A mail as it goes out.
pub(super) struct Outgoing {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

/// A mail that must not go out. Its parts are checked where they enter, so this is our own fault.
#[derive(Debug, thiserror::Error)]
#[error("the mail cannot be put together: {0}")]
pub(super) struct Unsendable(String);

/// Puts a mail together.
pub(super) fn outgoing(sender: &Sender, mail: &Mail) -> Result<Outgoing, Unsendable> {
    let unsendable = |error: &dyn fmt::Display| Unsendable(error.to_string());
    let to: Address = mail.to.as_str().parse().map_err(|error| unsendable(&error))?;
    let date = SystemTime::UNIX_EPOCH + Duration::from_millis(mail.date.as_millis().max(0) as u64);
    let mut builder = Message::builder()
        .from(sender.0.clone())
        .to(Mailbox::new(None, to))
        .subject(one_line(&mail.letter.subject))
        .message_id(Some(format!("<{}@{}>", mail.id, sender.domain())))
        .date(date)
        .header(AutoSubmitted);
    if let Some(url) = &mail.letter.unsubscribe {
        let url =
            ListUnsubscribe::new(url).ok_or_else(|| unsendable(&"the link to unsubscribe is no URL"))?;
        builder = builder.header(url).header(OneClick);
    }
    let (text, html) = (letter::text(&mail.letter), letter::html(&mail.letter));
    let message = builder
        .multipart(MultiPart::alternative_plain_html(text, html))
        .map_err(|error| unsendable(&error))?;
    Ok(Outgoing { envelope: message.envelope().clone(), bytes: message.formatted() })
}

/// The text without line ends and other control characters, and not too long.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= SUBJECT_CHARS_MAX {
        return line;
    }
    line.chars().take(SUBJECT_CHARS_MAX - 1).chain(['…']).collect()
}

/// Where one POST ends the subscription.
#[derive(Clone)]
struct ListUnsubscribe(String);

impl ListUnsubscribe {
    fn new(url: &str) -> Option<ListUnsubscribe> {
        let visible = url.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'<' | b'>'));
        (visible && !url.is_empty()).then(|| ListUnsubscribe(format!("<{url}>")))
    }
}

/// That the POST needs nobody to look at a page (RFC 8058).
#[derive(Clone)]
struct OneClick;

/// That no human wrote it, so that nobody's absence notice answers (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

type Parsed<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

macro_rules! fixed {
    ($header:ident, $name:literal, $value:literal) => {
        impl Header for $header {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(_: &str) -> Parsed<$header> {
                Ok($header)
            }

            fn display(&self) -> HeaderValue {
                HeaderValue::new(Self::name(), $value.to_owned())
            }
        }
    };
}

fixed!(OneClick, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
fixed!(AutoSubmitted, "Auto-Submitted", "auto-generated");

impl Header for ListUnsubscribe {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Unsubscribe")
    }

    fn parse(text: &str) -> Parsed<ListUnsubscribe> {
        Ok(ListUnsubscribe(text.to_owned()))
    }

    /// As it stands: a mailbox that folds a long URL in two cannot ask for it.
    fn display(&self) -> HeaderValue {
        HeaderValue::dangerous_new_pre_encoded(Self::name(), self.0.clone(), self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use angarium_domain::letter::Letter;
    use angarium_domain::time::Timestamp;

    use super::*;

    fn sent(subject: &str, unsubscribe: Option<&str>) -> Result<String, Unsendable> {
        let mail = Mail {
            id: "dlv_01arz3ndektsv4rrffq69g5fav".to_owned(),
            handle: None,
            to: "anna@example.com".parse().expect("an address"),
            letter: Letter {
                subject: subject.to_owned(),
                heading: "Größe".to_owned(),
                unsubscribe: unsubscribe.map(str::to_owned),
                ..Letter::default()
            },
            date: Timestamp::from_seconds(784_111_777),
        };
        let sender = Sender::parse("Angarium <events@mail.example>").expect("a sender");
        outgoing(&sender, &mail).map(|outgoing| String::from_utf8(outgoing.bytes).expect("ASCII"))
    }

    fn head(mail: &str) -> Vec<&str> {
        mail.split("\r\n\r\n").next().expect("a head").split("\r\n").collect()
    }

    #[test]
    fn a_mail_bears_the_name_of_its_delivery_and_the_way_out_of_it() {
        let url = format!("https://a.example/unsubscribe/{}", "x".repeat(120));
        let mail = sent("Paid", Some(&url)).expect("a mail");
        for line in [
            "From: Angarium <events@mail.example>",
            "To: anna@example.com",
            "Subject: Paid",
            "Message-ID: <dlv_01arz3ndektsv4rrffq69g5fav@mail.example>",
            "Date: Sun, 06 Nov 1994 08:49:37 +0000",
            "Auto-Submitted: auto-generated",
            &format!("List-Unsubscribe: <{url}>"),
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ] {
            assert!(head(&mail).contains(&line), "{line} is not in\n{mail}");
        }
        assert!(mail.is_ascii(), "{mail}");
    }

    #[test]
    fn no_value_begins_a_header_of_its_own() {
        for hostile in
            ["Paid\r\nBcc: x@example.com", "Paid\nBcc: x@example.com", "Paid\r\n\r\n<script>", "a\0b"]
        {
            let mail = sent(hostile, None).expect("a mail");
            assert!(
                !head(&mail).iter().any(|line| line.starts_with("Bcc") || line.starts_with('<')),
                "{mail}"
            );
            assert_eq!(head(&mail).iter().filter(|line| line.starts_with("Subject:")).count(), 1);
        }
        for url in ["https://a.example/\r\nBcc: x@example.com", "https://a.example/>, <mailto:x", ""] {
            assert!(sent("Paid", Some(url)).is_err(), "{url:?}");
        }
    }

    #[test]
    fn a_long_subject_is_cut() {
        assert_eq!(one_line(&"ä".repeat(500)).chars().count(), SUBJECT_CHARS_MAX);
    }

    #[test]
    fn a_sender_is_one_address() {
        for text in ["events@mail.example", "Angarium <events@mail.example>"] {
            assert_eq!(Sender::parse(text).expect("a sender").domain(), "mail.example");
        }
        for text in
            ["", "Angarium", "a@b.example, c@d.example", "A\r\nBcc: x@y.example <a@b.example>", "ü@b.example"]
        {
            assert!(Sender::parse(text).is_err(), "{text:?}");
        }
    }
}
