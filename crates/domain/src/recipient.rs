//! Whoever reads the mails of a subscription: what they consented to, and how their mailbox is
//! (decisions/0028).

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Event;
use crate::event_type::{EventPattern, EventType};
use crate::handle::Handle;
use crate::outcome::{Class, Failure, Outcome, RetryOn};
use crate::subscription::EndpointUrl;
use crate::time::Timestamp;

/// How long a question for consent may be answered (contract 5).
pub const QUESTION_KEPT: Duration = Duration::from_hours(72);
/// The shortest time between two questions to one address (security, row 79).
pub const QUESTION_INTERVAL: Duration = Duration::from_hours(1);
/// The most questions that a handle may ask in [`QUESTION_INTERVAL`], whoever is asked.
pub const QUESTIONS_MAX: usize = 20;
/// The most test mails that a handle may send in [`QUESTION_INTERVAL`], whoever gets them.
pub const TESTS_MAX: usize = 20;
/// The most test mails that it may send to one mailbox in that time.
pub const TESTS_PER_MAILBOX_MAX: usize = 5;
/// The most e-mail subscriptions that a handle may have.
pub const RECIPIENTS_PER_HANDLE_MAX: usize = 50;

/// The question for consent.
pub const CONFIRMATION: &str = "email.confirmation";
/// A test that somebody asked for.
pub const TEST: &str = "email.test";
/// That the owner's default address is another one now.
pub const OWNER_DEFAULT_CHANGED: &str = "email.owner_default_changed";
/// What the owner should know: deliveries that were given up.
pub const OWNER_ALERT: &str = "email.owner_alert";
/// One delivery that was given up. People are told by alerts.
pub const FAILURE: &str = "webhook.delivery.terminal_failure";

/// What is to be done where whoever takes the mails knows this service no longer.
pub const STALE_REMEDY: &str = "the mail provider knows the sender or the configuration set of this service no longer: \
    ask whoever runs it to make it again there, or to name another in email.from or ses.configuration_set; mails are \
    tried again meanwhile, for a day";

/// That reports came, to whoever runs the service.
pub const REPORTS: &str = "support.report.received";

/// Whether an event is for one recipient alone, whoever else asks for its type.
pub fn is_private(event_type: &EventType) -> bool {
    [CONFIRMATION, TEST, OWNER_DEFAULT_CHANGED, OWNER_ALERT].contains(&event_type.as_str())
}

/// Whoever reads the mails of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recipient {
    /// Never changes.
    pub purpose: Purpose,
    /// Whether they want it. Changes by their hand, and by a new question.
    pub consent: Consent,
    /// That the mailbox takes no mail. Changes by a bounce, and back by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppression>,
    /// That the last mail was refused for another reason. Ends with a mail that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// Since when whoever takes the mails knows this service no longer. Ends with a mail that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Timestamp>,
}

/// Why mails are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// They asked for events.
    Subscriber,
    /// They are told of what nobody else is told of.
    OwnerDefault,
}

/// Where a mail goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To the address of its subscription, whichever that is by then.
    Present,
    /// To an address that its delivery names, which is its subscription's as well.
    Named,
    /// To an address that its delivery names, and its subscription has another one.
    Elsewhere,
}

impl Place {
    /// Where a delivery goes whose subscription has this address.
    pub fn of(named: Option<&EndpointUrl>, present: &EndpointUrl) -> Place {
        match named {
            None => Place::Present,
            Some(named) if named == present => Place::Named,
            Some(_) => Place::Elsewhere,
        }
    }
}

/// What a mail server says of a mailbox that takes no mail, where nobody remembers what it said.
const BOUNCED: u16 = 550;

/// What a recipient said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Consent {
    /// Nothing yet.
    Asked {
        /// When the question is put: where others ask the same mailbox, some hours after it was asked for.
        /// Its link is for this time.
        at: Timestamp,
        /// Who had it put.
        by: String,
        /// From where.
        ip: Option<IpAddr>,
    },
    /// They confirmed.
    Given {
        /// When.
        at: Timestamp,
        /// From where.
        ip: Option<IpAddr>,
        /// What they read when they did.
        text: String,
        /// When the question was put. Who follows its link again is told that all is well.
        asked_at: Timestamp,
    },
    /// The owner of the handle named the address, and both sides were told.
    Appointed {
        /// When.
        at: Timestamp,
        /// By whom.
        by: String,
    },
    /// They want no more, or the owner named no other.
    Withdrawn {
        /// When.
        at: Timestamp,
        /// Whether it was the owner, and not they.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dismissed: bool,
    },
}

/// That a mailbox takes no mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    /// Since when.
    pub at: Timestamp,
    /// The mail server's code; none where whoever reads it complained.
    pub code: Option<u16>,
}

/// That a mail was refused for another reason than the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// The mail server's code.
    pub code: u16,
}

/// How a recipient stands, in one word for the handle's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// They were asked, and have not confirmed.
    PendingConfirmation,
    /// Mails are sent.
    Active,
    /// Mails are sent, and the last one was refused: for good, or because the provider knows this service no
    /// longer.
    Degraded,
    /// The mailbox takes no mail, and none is sent.
    Suppressed,
    /// They want no more.
    Unsubscribed,
}

/// What one attempt tells of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It takes no mail.
    Bounced(u16),
    /// Whoever reads it says that they do not want it.
    Complained,
    /// It was found on the list of mailboxes that take no mail, where another subscription had put it.
    Listed,
    /// It did not take this one.
    Refused(u16),
    /// It took one after all.
    Accepted,
    /// Whoever takes the mails knows this service no longer.
    Stale,
}

impl Recipient {
    /// Somebody who is asked now.
    pub fn asked(at: Timestamp, by: String, ip: Option<IpAddr>) -> Recipient {
        Recipient {
            purpose: Purpose::Subscriber,
            consent: Consent::Asked { at, by, ip },
            suppressed: None,
            refused: None,
            stale_since: None,
        }
    }

    /// The address that the owner named.
    pub fn appointed(at: Timestamp, by: String) -> Recipient {
        Recipient {
            purpose: Purpose::OwnerDefault,
            consent: Consent::Appointed { at, by },
            suppressed: None,
            refused: None,
            stale_since: None,
        }
    }

    /// The address that the owner named, whose reader had ended it and is asked now.
    pub fn owner_asked(at: Timestamp, by: String, ip: Option<IpAddr>) -> Recipient {
        Recipient { purpose: Purpose::OwnerDefault, ..Recipient::asked(at, by, ip) }
    }

    /// How they stand.
    pub fn standing(&self) -> Standing {
        match self.consent {
            Consent::Withdrawn { .. } => Standing::Unsubscribed,
            _ if self.suppressed.is_some() => Standing::Suppressed,
            Consent::Asked { .. } => Standing::PendingConfirmation,
            _ if self.refused.is_some() || self.stale_since.is_some() => Standing::Degraded,
            Consent::Given { .. } | Consent::Appointed { .. } => Standing::Active,
        }
    }

    /// What is to be done about it; none where all is well.
    pub fn remedy(&self, now: Timestamp) -> Option<&'static str> {
        match self.standing() {
            Standing::Active => None,
            Standing::PendingConfirmation if self.is_open(now) => {
                Some("ask whoever reads this mailbox to follow the link in the mail and to confirm")
            }
            Standing::PendingConfirmation => Some(
                "the link in the mail has expired after 72 hours: subscribe the address again, and another is sent",
            ),
            Standing::Degraded if self.stale_since.is_some() => Some(STALE_REMEDY),
            Standing::Degraded => Some(
                "the last mail was refused, but not because of the address: its delivery shows the mail server's \
                 words; a refusal by policy is cured by SPF, DKIM and DMARC of the sender's domain",
            ),
            Standing::Suppressed if self.has_complained() => Some(
                "whoever reads this mailbox said that they do not want these mails: leave it, unless they tell you \
                 otherwise",
            ),
            Standing::Suppressed => Some(
                "mail to this address bounced: check its spelling, and once the mailbox receives again take it off \
                 the suppression list",
            ),
            Standing::Unsubscribed => {
                Some("they want no more mails: only they can change that, by confirming when asked again")
            }
        }
    }

    /// Whether published events are for them. Not before they confirmed: who never does is to have one
    /// mail, and who does so later is not to have all at once.
    pub fn takes_events(&self) -> bool {
        match (&self.consent, self.purpose) {
            (Consent::Given { .. }, Purpose::Subscriber) => true,
            (Consent::Asked { .. } | Consent::Withdrawn { .. } | Consent::Appointed { .. }, _)
            | (Consent::Given { .. }, Purpose::OwnerDefault) => false,
        }
    }

    /// Whether a delivery may go out to them now. Under an address of its own goes the news that the
    /// owner's default address is another one, to both of them; what else there is goes to the present
    /// address, to which they said yes.
    pub fn may_be_sent(&self, event_type: &EventType, place: Place) -> bool {
        let is_notice = event_type.as_str() == OWNER_DEFAULT_CHANGED;
        match place {
            Place::Elsewhere => return is_notice,
            Place::Named if is_notice => return true,
            Place::Named | Place::Present => {}
        }
        match self.consent {
            Consent::Asked { .. } => event_type.as_str() == CONFIRMATION,
            Consent::Given { .. } | Consent::Appointed { .. } => true,
            Consent::Withdrawn { .. } => false,
        }
    }

    /// Whether an event that was published without a delivery to them was kept from them by mistake:
    /// nothing from before their consent was, and failures are told of by alerts, which gather.
    pub fn missed(&self, event: &Event) -> bool {
        match self.consent {
            Consent::Given { at, .. } => event.accepted_at >= at && event.event_type.as_str() != FAILURE,
            Consent::Asked { .. } | Consent::Appointed { .. } | Consent::Withdrawn { .. } => false,
        }
    }

    /// When the question that was put last was put.
    pub fn asked_at(&self) -> Option<Timestamp> {
        match self.consent {
            Consent::Asked { at, .. } | Consent::Given { asked_at: at, .. } => Some(at),
            Consent::Appointed { .. } | Consent::Withdrawn { .. } => None,
        }
    }

    /// Whether a question is the one that was put last, by the payload of its event: the link of an older
    /// one leads nowhere.
    pub fn is_asked_by(&self, question: &Value) -> bool {
        let expires_at = question["expiresAt"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        expires_at.is_some() && self.asked_at().map(|at| at + QUESTION_KEPT) == expires_at
    }

    /// Whether they were asked and may still answer.
    pub fn is_open(&self, now: Timestamp) -> bool {
        matches!(self.consent, Consent::Asked { at, .. } if now < at + QUESTION_KEPT)
    }

    /// Whether they were asked and did not answer in time, whatever became of the question.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        matches!(self.consent, Consent::Asked { at, .. } if now >= at + QUESTION_KEPT)
    }

    /// Takes their consent, if it was asked for and not too long ago. Answers whether they have given it
    /// now or before.
    pub fn confirm(&mut self, now: Timestamp, ip: Option<IpAddr>, text: String) -> bool {
        match self.consent {
            Consent::Asked { at: asked_at, .. } if self.is_open(now) => {
                self.consent = Consent::Given { at: now, ip, text, asked_at };
                true
            }
            Consent::Given { .. } => true,
            Consent::Asked { .. } | Consent::Appointed { .. } | Consent::Withdrawn { .. } => false,
        }
    }

    /// Ends it. Answers whether that changes anything.
    pub fn withdraw(&mut self, now: Timestamp) -> bool {
        if let Consent::Withdrawn { .. } = self.consent {
            return false;
        }
        self.consent = Consent::Withdrawn { at: now, dismissed: false };
        true
    }

    /// Ends it by the owner's hand.
    pub fn dismiss(&mut self, now: Timestamp) {
        self.consent = Consent::Withdrawn { at: now, dismissed: true };
    }

    /// Whether the owner ended it.
    pub fn is_dismissed(&self) -> bool {
        matches!(self.consent, Consent::Withdrawn { dismissed: true, .. })
    }

    /// What an attempt tells of the mailbox; none if it tells nothing new.
    pub fn mark(&self, outcome: Outcome) -> Option<Mark> {
        match outcome {
            Outcome::Replied { code, bounced: true } => {
                self.suppressed.is_none().then_some(Mark::Bounced(code))
            }
            Outcome::Replied { code, bounced: false } => match outcome.class(RetryOn::Transient) {
                Class::Delivered => {
                    (self.refused.is_some() || self.stale_since.is_some()).then_some(Mark::Accepted)
                }
                Class::Terminal => self.refused.is_none().then_some(Mark::Refused(code)),
                Class::Retry => None,
            },
            Outcome::Failed { failure: Failure::Suppressed } => {
                self.suppressed.is_none().then_some(Mark::Listed)
            }
            Outcome::Failed { failure: Failure::StaleProviderReference } => {
                self.stale_since.is_none().then_some(Mark::Stale)
            }
            Outcome::Answered { .. } | Outcome::Stored | Outcome::Failed { .. } => None,
        }
    }

    /// Takes note of a mark.
    pub fn take(&mut self, mark: Mark, at: Timestamp) {
        match mark {
            Mark::Bounced(code) => self.suppressed = Some(Suppression { at, code: Some(code) }),
            Mark::Complained => self.suppressed = Some(Suppression { at, code: None }),
            Mark::Refused(code) => self.refused = Some(Refusal { at, code }),
            Mark::Accepted => {
                self.refused = None;
                self.stale_since = None;
            }
            Mark::Listed => self.suppressed = Some(Suppression { at, code: Some(BOUNCED) }),
            Mark::Stale => self.stale_since = Some(at),
        }
    }

    fn has_complained(&self) -> bool {
        self.suppressed.as_ref().is_some_and(|suppression| suppression.code.is_none())
    }

    /// What an attempt comes to before anything is sent; none if it is to be sent.
    pub fn instead_of_sending(&self) -> Option<Failure> {
        self.suppressed.is_some().then_some(Failure::Suppressed)
    }
}

impl Standing {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::PendingConfirmation => "pending_confirmation",
            Standing::Active => "active",
            Standing::Degraded => "degraded",
            Standing::Suppressed => "suppressed",
            Standing::Unsubscribed => "unsubscribed",
        }
    }
}

/// What somebody consents to; without types, to be the owner's default address. Kept with their consent.
pub fn consent_text(handle: &Handle, event_types: &[EventPattern]) -> String {
    if event_types.is_empty() {
        return format!(
            "I want to receive the e-mails for the owner of {handle}, such as alerts of deliveries that were given \
             up. I can end this at any time."
        );
    }
    let types: Vec<_> = event_types.iter().map(ToString::to_string).collect();
    format!(
        "I want to receive an e-mail whenever one of these happens at {handle}: {}. I can end this at any time.",
        types.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);

    fn asked() -> Recipient {
        Recipient::asked(NOON, "user:1".to_owned(), None)
    }

    fn active() -> Recipient {
        let mut recipient = asked();
        assert!(recipient.confirm(NOON, None, "yes".to_owned()));
        recipient
    }

    fn event_type(name: &str) -> EventType {
        name.parse().expect("a type")
    }

    #[test]
    fn consent_is_given_within_three_days_and_stays_given() {
        let soon = NOON + Duration::from_hours(71);
        let late = NOON + QUESTION_KEPT;
        let mut recipient = asked();
        assert!(!recipient.confirm(late, None, String::new()));
        assert_eq!(recipient, asked());
        assert!(recipient.confirm(soon, None, "yes".to_owned()));
        let given = recipient.clone();
        assert_eq!(given.standing(), Standing::Active);
        assert!(recipient.confirm(late, None, "other".to_owned()));
        assert_eq!(recipient, given);
        assert!(recipient.withdraw(late) && !recipient.withdraw(late));
        assert!(!recipient.confirm(late, None, String::new()));
    }

    #[test]
    fn nothing_but_the_question_is_sent_before_consent_and_nothing_after_its_end() {
        let (question, order) = (event_type(CONFIRMATION), event_type("order.paid"));
        let mut recipient = asked();
        assert!(
            recipient.may_be_sent(&question, Place::Present)
                && !recipient.may_be_sent(&order, Place::Present)
        );
        assert!(!recipient.takes_events());
        recipient = active();
        assert!(recipient.may_be_sent(&order, Place::Present) && recipient.takes_events());
        recipient.withdraw(NOON);
        assert!(!recipient.may_be_sent(&order, Place::Present) && !recipient.takes_events());
    }

    #[test]
    fn the_address_of_before_hears_only_that_it_is_none_any_more() {
        let mut owner = Recipient::appointed(NOON, "user:1".to_owned());
        let (alert, notice) = (event_type(OWNER_ALERT), event_type(OWNER_DEFAULT_CHANGED));
        assert!(!owner.takes_events() && owner.may_be_sent(&alert, Place::Present));
        assert!(owner.may_be_sent(&alert, Place::Named) && !owner.may_be_sent(&alert, Place::Elsewhere));
        assert!(owner.may_be_sent(&notice, Place::Elsewhere));
        owner.withdraw(NOON);
        assert!(owner.may_be_sent(&notice, Place::Named) && !owner.may_be_sent(&alert, Place::Named));
    }

    #[test]
    fn a_mailbox_is_marked_by_what_its_server_says_of_it_and_by_nothing_else() {
        let replied = |code, bounced| Outcome::Replied { code, bounced };
        let mut recipient = active();
        assert_eq!(recipient.mark(replied(250, false)), None);
        assert_eq!(recipient.mark(replied(451, false)), None);
        assert_eq!(recipient.mark(Outcome::Failed { failure: Failure::OutcomeUnknown }), None);
        let refused = recipient.mark(replied(554, false)).expect("a mark");
        recipient.take(refused, NOON);
        assert_eq!(recipient.standing(), Standing::Degraded);
        assert_eq!(recipient.mark(replied(554, false)), None);
        let accepted = recipient.mark(replied(250, false)).expect("a mark");
        recipient.take(accepted, NOON);
        assert_eq!(recipient.standing(), Standing::Active);
        let bounced = recipient.mark(replied(550, true)).expect("a mark");
        recipient.take(bounced, NOON);
        assert_eq!(recipient.standing(), Standing::Suppressed);
        assert_eq!(recipient.instead_of_sending(), Some(Failure::Suppressed));
    }

    #[test]
    fn a_provider_that_knows_us_no_longer_degrades_until_it_takes_a_mail() {
        let mut recipient = active();
        let stale = Outcome::Failed { failure: Failure::StaleProviderReference };
        assert_eq!(recipient.mark(stale), Some(Mark::Stale));
        recipient.take(Mark::Stale, NOON);
        assert_eq!((recipient.mark(stale), recipient.standing()), (None, Standing::Degraded));
        assert_eq!(recipient.remedy(NOON), Some(STALE_REMEDY));
        assert_eq!(recipient.instead_of_sending(), None);
        recipient.take(recipient.mark(Outcome::Replied { code: 250, bounced: false }).expect("a mark"), NOON);
        assert_eq!(recipient.standing(), Standing::Active);
    }

    #[test]
    fn a_complaint_ends_mails_and_has_a_remedy_of_its_own() {
        let mut recipient = active();
        recipient.take(Mark::Complained, NOON);
        assert_eq!(recipient.standing(), Standing::Suppressed);
        assert_eq!(recipient.instead_of_sending(), Some(Failure::Suppressed));
        assert!(recipient.remedy(NOON).expect("a remedy").contains("do not want"));
        let mut bounced = active();
        bounced.take(Mark::Bounced(550), NOON);
        assert!(bounced.remedy(NOON).expect("a remedy").contains("bounced"));
    }

    #[test]
    fn every_standing_but_the_good_one_has_a_remedy() {
        let mut recipient = asked();
        assert!(recipient.remedy(NOON).expect("a remedy").contains("link"));
        assert!(recipient.remedy(NOON + QUESTION_KEPT).expect("a remedy").contains("expired"));
        recipient.withdraw(NOON);
        assert!(recipient.remedy(NOON).is_some());
        assert_eq!(active().remedy(NOON), None);
    }
}
