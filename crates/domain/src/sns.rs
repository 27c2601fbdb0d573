//! Messages of Amazon SNS: what one must say before its signature is looked at, and what is signed.
//!
//! The operator lists topics. A topic's name says which region it is in, and so which host its
//! certificates come from: whatever a message says of other hosts is refused here, before anybody
//! asks for anything (security, row 76).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use data_encoding::BASE64;
use serde::Deserialize;

use crate::time::Timestamp;

/// How old a message may be, and how far ahead of our clock. What is older may be a replay.
pub const AGE_MAX: Duration = Duration::from_mins(15);
/// The only signature that is taken: with SHA-256. Topics are set to it by `SignatureVersion`.
const SIGNATURE_VERSION: &str = "2";
/// The longest address that a message may name.
const URL_BYTES_MAX: usize = 2048;
/// The longest signature, in base64: of a key with 8192 bits.
const SIGNATURE_CHARS_MAX: usize = 1368;

/// The name of a topic, such as `arn:aws:sns:eu-central-1:123456789012:bounces`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicArn {
    text: String,
    partition: Partition,
    region: String,
}

/// A part of the cloud with names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Partition {
    Commercial,
    China,
    GovCloud,
}

/// The text is not the name of a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name of an SNS topic such as arn:aws:sns:eu-central-1:123456789012:bounces")]
pub struct InvalidTopicArn {
    text: String,
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// Something was published to the topic.
    Notification,
    /// Somebody subscribed us, and we are asked whether we want it.
    SubscriptionConfirmation,
    /// We were unsubscribed, and could subscribe again.
    UnsubscribeConfirmation,
}

/// A message as it was posted. Nothing in it is true before its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Message {
    /// What it is for.
    #[serde(rename = "Type")]
    pub kind: Kind,
    /// Names it; the same whenever it is posted again.
    pub message_id: String,
    /// Which topic it says it is of.
    pub topic_arn: String,
    /// Only notifications have one, and not all of them.
    pub subject: Option<String>,
    /// What was published.
    pub message: String,
    /// When, in RFC 3339. Kept as it was written, since it is signed.
    pub timestamp: String,
    /// `1` or `2`.
    pub signature_version: String,
    /// In base64.
    pub signature: String,
    /// Where the certificate is.
    #[serde(rename = "SigningCertURL")]
    pub signing_cert_url: String,
    /// What is to be asked so that the topic's notifications come.
    #[serde(rename = "SubscribeURL")]
    pub subscribe_url: Option<String>,
    /// What the confirmation is known by.
    pub token: Option<String>,
}

/// Why a message is refused. None of these is about its signature yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The topic is not on the operator's list.
    #[error("the topic is not one that this service takes messages from")]
    Topic,
    /// Signed with SHA-1, or in a way that is not known.
    #[error(
        "the signature's version is {found:?}, and only {SIGNATURE_VERSION:?} is taken: set the topic's SignatureVersion to it"
    )]
    SignatureVersion {
        /// What it says.
        found: String,
    },
    /// No time, or one that is too far from now.
    #[error("the time is missing, or further from now than {} minutes", AGE_MAX.as_secs() / 60)]
    Timestamp,
    /// Not a file of the topic's own region.
    #[error("the certificate's address is not https://{host}/….pem")]
    SigningCertUrl {
        /// The only host that is asked.
        host: String,
    },
    /// Not a question to the topic's own region.
    #[error("the address of a confirmation is not https://{host}/?Action=ConfirmSubscription&…")]
    SubscribeUrl {
        /// The only host that is asked.
        host: String,
    },
    /// Not base64, or too long.
    #[error("the signature is no base64 of {SIGNATURE_CHARS_MAX} characters at most")]
    Signature,
}

/// A message whose every part is as it should be, if its signature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vetted<'a> {
    /// The message.
    pub message: &'a Message,
    /// The topic on the operator's list.
    pub topic: &'a TopicArn,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

impl Refusal {
    /// Which field of the message it is about.
    pub fn field(&self) -> &'static str {
        match self {
            Refusal::Topic => "TopicArn",
            Refusal::SignatureVersion { .. } => "SignatureVersion",
            Refusal::Timestamp => "Timestamp",
            Refusal::SigningCertUrl { .. } => "SigningCertURL",
            Refusal::SubscribeUrl { .. } => "SubscribeURL",
            Refusal::Signature => "Signature",
        }
    }
}

impl TopicArn {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one host that certificates of this topic's messages come from, and that confirmations go to.
    pub fn host(&self) -> String {
        format!("sns.{}.{}", self.region, self.partition.suffix())
    }

    /// The names that a certificate of this topic's messages may be for: most regions share one, later
    /// ones have their own, and the clouds of the American government and of China have theirs.
    pub fn certificate_names(&self) -> Vec<String> {
        let (region, suffix) = (&self.region, self.partition.suffix());
        let mut names = vec![self.host(), format!("sns-signing.{region}.{suffix}")];
        match self.partition {
            Partition::Commercial => names.push(format!("sns.{suffix}")),
            Partition::China => names.push(format!("sns-{region}.{suffix}")),
            Partition::GovCloud => names.push(format!("sns-us-gov-west-1.{suffix}")),
        }
        names
    }
}

impl Partition {
    fn suffix(self) -> &'static str {
        match self {
            Partition::Commercial | Partition::GovCloud => "amazonaws.com",
            Partition::China => "amazonaws.com.cn",
        }
    }
}

impl FromStr for TopicArn {
    type Err = InvalidTopicArn;

    fn from_str(text: &str) -> Result<TopicArn, InvalidTopicArn> {
        let invalid = || InvalidTopicArn { text: text.chars().take(300).collect() };
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts[..] else { return Err(invalid()) };
        let partition = match partition {
            "aws" => Partition::Commercial,
            "aws-cn" => Partition::China,
            "aws-us-gov" => Partition::GovCloud,
            _ => return Err(invalid()),
        };
        let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let well = (3..=32).contains(&region.len())
            && region.bytes().all(is_region)
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && (1..=256).contains(&name.len())
            && name.bytes().all(is_name);
        if !well {
            return Err(invalid());
        }
        Ok(TopicArn { text: text.to_owned(), partition, region: region.to_owned() })
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Message {
    /// Judges all that can be judged without the certificate.
    pub fn vet<'a>(&'a self, topics: &'a [TopicArn], now: Timestamp) -> Result<Vetted<'a>, Refusal> {
        let topic = topics.iter().find(|topic| topic.text == self.topic_arn).ok_or(Refusal::Topic)?;
        if self.signature_version != SIGNATURE_VERSION {
            let found = self.signature_version.chars().take(20).collect();
            return Err(Refusal::SignatureVersion { found });
        }
        let at: Timestamp = self.timestamp.parse().map_err(|_| Refusal::Timestamp)?;
        if now.since(at).max(at.since(now)) > AGE_MAX {
            return Err(Refusal::Timestamp);
        }
        let host = topic.host();
        if !is_certificate_of(&self.signing_cert_url, &host) {
            return Err(Refusal::SigningCertUrl { host });
        }
        let asks = self.kind != Kind::Notification;
        let confirms = self.subscribe_url.as_deref().is_some_and(|url| is_confirmation_at(url, &host));
        if asks && !(confirms && self.token.is_some()) {
            return Err(Refusal::SubscribeUrl { host });
        }
        if self.signature.len() > SIGNATURE_CHARS_MAX {
            return Err(Refusal::Signature);
        }
        let signature = BASE64.decode(self.signature.as_bytes()).map_err(|_| Refusal::Signature)?;
        Ok(Vetted { message: self, topic, signature })
    }

    /// What the signature is over: a line with the name and a line with the value of each field.
    pub fn signed_text(&self) -> String {
        let optional = |value: &Option<String>| value.clone();
        let is = |value: &String| Some(value.clone());
        let kind = Some(self.kind.as_str().to_owned());
        let fields = match self.kind {
            Kind::Notification => vec![
                ("Message", is(&self.message)),
                ("MessageId", is(&self.message_id)),
                ("Subject", optional(&self.subject)),
                ("Timestamp", is(&self.timestamp)),
                ("TopicArn", is(&self.topic_arn)),
                ("Type", kind),
            ],
            Kind::SubscriptionConfirmation | Kind::UnsubscribeConfirmation => vec![
                ("Message", is(&self.message)),
                ("MessageId", is(&self.message_id)),
                ("SubscribeURL", optional(&self.subscribe_url)),
                ("Timestamp", is(&self.timestamp)),
                ("Token", optional(&self.token)),
                ("TopicArn", is(&self.topic_arn)),
                ("Type", kind),
            ],
        };
        let lines = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}\n{}\n", value?)));
        lines.collect()
    }
}

impl Kind {
    /// The word in a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Notification => "Notification",
            Kind::SubscriptionConfirmation => "SubscriptionConfirmation",
            Kind::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

/// Whether an address is a `.pem` file of this host. Letter by letter, so that no parser's view of it
/// counts: there is no room for a person, a port, a query or another spelling.
fn is_certificate_of(url: &str, host: &str) -> bool {
    let Some(path) = behind(url, host) else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    path.strip_suffix(".pem").is_some_and(|name| !name.is_empty() && name.bytes().all(plain))
}

/// Whether an address is a confirmation of a subscription at this host.
fn is_confirmation_at(url: &str, host: &str) -> bool {
    let Some(path) = behind(url, host) else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:%&=".contains(&byte);
    path.strip_prefix("?Action=ConfirmSubscription&").is_some_and(|rest| rest.bytes().all(plain))
}

fn behind<'a>(url: &'a str, host: &str) -> Option<&'a str> {
    let short = url.len() <= URL_BYTES_MAX;
    url.strip_prefix("https://")?.strip_prefix(host)?.strip_prefix('/').filter(|_| short)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_793_966_400);
    const ARN: &str = "arn:aws:sns:us-east-1:123456789012:bounces";

    fn topics() -> Vec<TopicArn> {
        vec![ARN.parse().expect("a topic")]
    }

    fn notification() -> Message {
        Message {
            kind: Kind::Notification,
            message_id: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324".to_owned(),
            topic_arn: ARN.to_owned(),
            subject: None,
            message: "{}".to_owned(),
            timestamp: NOON.to_string(),
            signature_version: "2".to_owned(),
            signature: "AAAA".to_owned(),
            signing_cert_url: "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem"
                .to_owned(),
            subscribe_url: None,
            token: None,
        }
    }

    fn confirmation() -> Message {
        let url = format!(
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={ARN}&Token=2336"
        );
        Message {
            kind: Kind::SubscriptionConfirmation,
            subscribe_url: Some(url),
            token: Some("2336".to_owned()),
            ..notification()
        }
    }

    #[track_caller]
    fn refused(message: &Message, field: &str) {
        let refusal = message.vet(&topics(), NOON).expect_err("it is refused");
        assert_eq!(refusal.field(), field, "{refusal}");
    }

    #[test]
    fn a_message_of_a_listed_topic_is_vetted() {
        for message in [notification(), confirmation()] {
            let topics = topics();
            let vetted = message.vet(&topics, NOON).expect("it is as it should be");
            assert_eq!((vetted.topic.as_str(), vetted.signature), (ARN, vec![0, 0, 0]));
        }
    }

    #[test]
    fn a_topic_that_is_not_listed_is_refused_whatever_else_it_says() {
        for other in
            ["arn:aws:sns:us-east-1:123456789012:others", "arn:aws:sns:us-east-1:999999999999:bounces", ""]
        {
            refused(&Message { topic_arn: other.to_owned(), ..notification() }, "TopicArn");
        }
        assert_eq!(notification().vet(&[], NOON), Err(Refusal::Topic));
    }

    #[test]
    fn a_signature_by_sha_1_is_refused() {
        for version in ["1", "", "3", " 2"] {
            refused(&Message { signature_version: version.to_owned(), ..notification() }, "SignatureVersion");
        }
    }

    #[test]
    fn an_old_message_is_refused_and_so_is_one_of_tomorrow() {
        let at = |timestamp: Timestamp| Message { timestamp: timestamp.to_string(), ..notification() };
        let late = NOON.saturating_sub(AGE_MAX);
        let one = Duration::from_millis(1);
        for well in [late, NOON + AGE_MAX] {
            assert!(at(well).vet(&topics(), NOON).is_ok(), "{well}");
        }
        for wrong in
            [late.saturating_sub(one), NOON + AGE_MAX + one, NOON.saturating_sub(Duration::from_hours(1))]
        {
            refused(&at(wrong), "Timestamp");
        }
        refused(&Message { timestamp: "yesterday".to_owned(), ..notification() }, "Timestamp");
    }

    #[test]
    fn no_other_host_is_named_by_the_address_of_a_certificate() {
        for url in [
            "https://evil.example/x.pem",
            "http://sns.us-east-1.amazonaws.com/x.pem",
            "HTTPS://sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example/x.pem",
            "https://sns.us-east-1.amazonaws.com@evil.example/x.pem",
            "https://x@sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com:8443/x.pem",
            "https://sns.us-east-1.amazonaws.com:443@evil.example/x.pem",
            "https://sns.us-east-1.amazonaws.com\\@evil.example/x.pem",
            "https://sns.us-east-1.amazonaws.com./x.pem",
            "https://sns.eu-central-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com.cn/x.pem",
            "https://s3.us-east-1.amazonaws.com/bucket/x.pem",
            "https://sns.us-east-1.amazonaws.com/?x=.pem",
            "https://sns.us-east-1.amazonaws.com/x.pem?y",
            "https://sns.us-east-1.amazonaws.com/x.pem#y.pem",
            "https://sns.us-east-1.amazonaws.com/x",
            "https://sns.us-east-1.amazonaws.com/.pem",
            "https://sns.us-east-1.amazonaws.com/../x.pem",
            "https://sns.us-east-1.amazonaws.com/x\r\n.pem",
            "",
        ] {
            refused(&Message { signing_cert_url: url.to_owned(), ..notification() }, "SigningCertURL");
        }
    }

    #[test]
    fn no_other_host_is_named_by_the_address_of_a_confirmation() {
        for url in [
            Some("http://169.254.169.254/latest/meta-data/"),
            Some("https://sns.us-east-1.amazonaws.com.evil.example/?Action=ConfirmSubscription&Token=1"),
            Some("https://sns.us-east-1.amazonaws.com/?Action=Publish&Token=1"),
            Some("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=1#x"),
            None,
        ] {
            refused(&Message { subscribe_url: url.map(str::to_owned), ..confirmation() }, "SubscribeURL");
        }
        refused(&Message { token: None, ..confirmation() }, "SubscribeURL");
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        for signature in ["not base64!", "AAA", &"A".repeat(1372)] {
            refused(&Message { signature: signature.to_owned(), ..notification() }, "Signature");
        }
    }

    #[test]
    fn the_signed_text_is_as_the_documentation_has_it() {
        let with_subject =
            Message { subject: Some("Hello".to_owned()), message: "a\nb".to_owned(), ..notification() };
        let expected = format!(
            "Message\na\nb\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\nSubject\nHello\n\
             Timestamp\n{NOON}\nTopicArn\n{ARN}\nType\nNotification\n"
        );
        assert_eq!(with_subject.signed_text(), expected);
        assert!(!notification().signed_text().contains("Subject"));
        let url = confirmation().subscribe_url.expect("it has one");
        let expected = format!(
            "Message\n{{}}\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\nSubscribeURL\n{url}\n\
             Timestamp\n{NOON}\nToken\n2336\nTopicArn\n{ARN}\nType\nSubscriptionConfirmation\n"
        );
        assert_eq!(confirmation().signed_text(), expected);
    }

    #[test]
    fn a_topic_says_whose_certificates_its_messages_have() {
        let names = |arn: &str| arn.parse::<TopicArn>().expect("a topic").certificate_names();
        let own = ["sns.us-east-1.amazonaws.com", "sns-signing.us-east-1.amazonaws.com", "sns.amazonaws.com"];
        assert_eq!(names(ARN), own);
        let china = names("arn:aws-cn:sns:cn-north-1:123456789012:t");
        assert!(china.contains(&"sns-cn-north-1.amazonaws.com.cn".to_owned()), "{china:?}");
        assert!(!china.contains(&"sns.amazonaws.com".to_owned()), "{china:?}");
        let gov = names("arn:aws-us-gov:sns:us-gov-east-1:123456789012:t");
        assert!(gov.contains(&"sns-us-gov-west-1.amazonaws.com".to_owned()), "{gov:?}");
    }

    #[test]
    fn what_is_no_name_of_a_topic_is_refused() {
        for text in [
            "",
            "bounces",
            "arn:aws:sqs:us-east-1:123456789012:bounces",
            "arn:aws:sns:us-east-1:12345:bounces",
            "arn:aws:sns:us-east-1:123456789012:",
            "arn:aws:sns:us-east-1:123456789012:a:b",
            "arn:aws:sns:evil.example/:123456789012:bounces",
            "arn:aws-evil:sns:us-east-1:123456789012:bounces",
        ] {
            assert!(text.parse::<TopicArn>().is_err(), "{text:?}");
        }
    }
}
