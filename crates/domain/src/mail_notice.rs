//! What Amazon SES tells of a mail that it took: that it bounced, or that its reader complained.
//!
//! Both forms are read: notifications of an identity (`notificationType`) and events of a configuration
//! set (`eventType`). Only the latter bring back the tags that say whose mail it was. There may be
//! several notices for one mail, in any order, and fields may be added.

use serde::Deserialize;

use crate::handle::Handle;
use crate::ids::DeliveryId;

/// The tag that names the handle whose mail it is.
pub const HANDLE_TAG: &str = "angarium-handle";
/// The tag that names the delivery that the mail is.
pub const DELIVERY_TAG: &str = "angarium-delivery";
/// The most recipients of one notice that are read. Our mails have one.
const RECIPIENTS_MAX: usize = 50;

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailNotice {
    /// What happened.
    pub what: What,
    /// Which mailboxes it is about, as they were written to.
    pub recipients: Vec<String>,
    /// Whose mail it was, if the tags say so.
    pub mail: Option<(Handle, DeliveryId)>,
}

/// What happened to a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The mailbox takes no mail.
    BouncedForGood,
    /// The mailbox did not take this one, or nobody knows why.
    BouncedForNow,
    /// Its reader says that they do not want it.
    Complained,
    /// Anything else: it was sent, delivered, opened, or said not to be spam after all.
    Other,
}

/// The text is no notice of a mail. The one that SES sends when a topic is set up is none either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is no notification of Amazon SES about a mail")]
pub struct NoMailNotice;

impl MailNotice {
    /// Reads the message of a notification.
    pub fn read(text: &str) -> Result<MailNotice, NoMailNotice> {
        let raw: Raw = serde_json::from_str(text).map_err(|_| NoMailNotice)?;
        let kind = raw.event_type.or(raw.notification_type).ok_or(NoMailNotice)?;
        let (what, recipients) = match (kind.as_str(), raw.bounce, raw.complaint) {
            ("Bounce", Some(bounce), _) => (bounce.what(), addresses(bounce.bounced_recipients)),
            ("Complaint", _, Some(complaint)) => {
                (complaint.what(), addresses(complaint.complained_recipients))
            }
            ("Bounce" | "Complaint", ..) => return Err(NoMailNotice),
            _ => (What::Other, Vec::new()),
        };
        Ok(MailNotice { what, recipients, mail: raw.mail.tags.named() })
    }
}

impl What {
    /// What it is called in metrics and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            What::BouncedForGood => "bounced",
            What::BouncedForNow => "bounced_for_now",
            What::Complained => "complained",
            What::Other => "other",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    event_type: Option<String>,
    notification_type: Option<String>,
    mail: Mail,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
}

#[derive(Deserialize)]
struct Mail {
    #[serde(default)]
    tags: Tags,
}

/// Each tag has a list of values; ours have one.
#[derive(Default, Deserialize)]
struct Tags {
    #[serde(rename = "angarium-handle", default)]
    handle: Vec<String>,
    #[serde(rename = "angarium-delivery", default)]
    delivery: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    bounce_type: String,
    bounced_recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    complaint_feedback_type: Option<String>,
    complained_recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: String,
}

impl Bounce {
    fn what(&self) -> What {
        // `Transient` passes, and `Undetermined` says nothing of the mailbox.
        if self.bounce_type == "Permanent" { What::BouncedForGood } else { What::BouncedForNow }
    }
}

impl Complaint {
    fn what(&self) -> What {
        let is_spam_after_all = self.complaint_feedback_type.as_deref() != Some("not-spam");
        if is_spam_after_all { What::Complained } else { What::Other }
    }
}

impl Tags {
    fn named(&self) -> Option<(Handle, DeliveryId)> {
        let ([handle], [delivery]) = (&self.handle[..], &self.delivery[..]) else { return None };
        Some((handle.parse().ok()?, delivery.parse().ok()?))
    }
}

fn addresses(recipients: Vec<Recipient>) -> Vec<String> {
    recipients.into_iter().take(RECIPIENTS_MAX).map(|recipient| recipient.email_address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(rest: &str) -> String {
        let id = DeliveryId::from_bytes([7; 16]);
        format!(
            r#"{{"mail":{{"messageId":"0100","destination":["anna@example.com"],
                "tags":{{"{HANDLE_TAG}":["acme"],"{DELIVERY_TAG}":["{id}"],"ses:caller-identity":["x"]}}}},{rest}}}"#
        )
    }

    fn bounce(kind: &str) -> String {
        format!(
            r#""eventType":"Bounce","bounce":{{"bounceType":"{kind}","bounceSubType":"General","feedbackId":"f",
               "bouncedRecipients":[{{"emailAddress":"anna@example.com","status":"5.1.1","action":"failed"}}]}}"#
        )
    }

    fn complaint(kind: &str) -> String {
        format!(
            r#""eventType":"Complaint","complaint":{{"complaintFeedbackType":"{kind}",
               "complainedRecipients":[{{"emailAddress":"anna@example.com"}}]}}"#
        )
    }

    #[test]
    fn a_notice_says_what_happened_to_whose_mail() {
        for (text, what) in [
            (bounce("Permanent"), What::BouncedForGood),
            (bounce("Transient"), What::BouncedForNow),
            (bounce("Undetermined"), What::BouncedForNow),
            (complaint("abuse"), What::Complained),
            (complaint("not-spam"), What::Other),
        ] {
            let notice = MailNotice::read(&tagged(&text)).expect("a notice");
            let mail = ("acme".parse().expect("a handle"), DeliveryId::from_bytes([7; 16]));
            let recipients = vec!["anna@example.com".to_owned()];
            assert_eq!(notice, MailNotice { what, recipients, mail: Some(mail) }, "{text}");
        }
    }

    #[test]
    fn what_has_no_effect_is_a_notice_all_the_same() {
        for text in [
            r#""eventType":"Delivery","delivery":{}"#,
            r#""notificationType":"Delivery""#,
            r#""eventType":"Open""#,
        ] {
            let notice = MailNotice::read(&tagged(text)).expect("a notice");
            assert_eq!((notice.what, notice.recipients), (What::Other, Vec::new()));
        }
    }

    #[test]
    fn a_notice_without_our_tags_is_about_nobody_s_mail() {
        let identity = bounce("Permanent").replace("eventType", "notificationType");
        for mail in [
            r#""mail":{"messageId":"0100"}"#.to_owned(),
            format!(r#""mail":{{"tags":{{"{HANDLE_TAG}":["acme"]}}}}"#),
            format!(r#""mail":{{"tags":{{"{HANDLE_TAG}":["acme","other"],"{DELIVERY_TAG}":["x"]}}}}"#),
            format!(r#""mail":{{"tags":{{"{HANDLE_TAG}":["Not a handle"],"{DELIVERY_TAG}":["dlv_1"]}}}}"#),
        ] {
            let notice = MailNotice::read(&format!("{{{mail},{identity}}}")).expect("a notice");
            assert_eq!((notice.mail, notice.what), (None, What::BouncedForGood));
        }
    }

    #[test]
    fn other_messages_are_no_notices() {
        for text in [
            "Successfully validated SNS topic for Amazon SES event publishing.",
            "",
            "{}",
            "[]",
            r#"{"mail":{}}"#,
            &tagged(r#""eventType":"Bounce""#),
            &tagged(r#""eventType":"Complaint","bounce":{"bounceType":"Permanent","bouncedRecipients":[]}"#),
        ] {
            assert_eq!(MailNotice::read(text), Err(NoMailNotice), "{text:?}");
        }
    }
}
