//! How a subscription stands, and what one attempt changes about that (decisions/0017).

use serde::{Deserialize, Serialize};

use crate::auto_disable::{Outage, Turn};
use crate::outcome::Outcome;
use crate::recipient;
use crate::subscription::{EndpointUrl, Status, Subscription};
use crate::time::Timestamp;

/// How a subscription stands, in one word for its owner: the first of these that is true, from the
/// last to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Deliveries are attempted.
    Active,
    /// Deliveries are attempted, although the receiver said that it is gone.
    Gone,
    /// The receiver has not consented yet: deliveries are held.
    PendingVerification,
    /// Its owner holds its deliveries.
    Paused,
    /// Its owner asked us to switch it off, and the time had come: its deliveries are held.
    Disabled,
}

/// That a subscription was switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disablement {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: DisableCause,
}

/// Why a subscription was switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisableCause {
    /// The receiver answered 410.
    Gone,
    /// It did nothing but fail for as long as its owner allowed.
    Failing,
}

/// What follows for a subscription from one attempt. Nearly always nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aftermath {
    /// What becomes of the mark that says that the receiver is gone.
    pub mark: Option<Mark>,
    /// The owner is to be told of an outage.
    pub warning: Option<Outage>,
    /// It is to be switched off; with the outage, if that is why.
    pub disabled: Option<(DisableCause, Option<Outage>)>,
    /// What it tells of a mailbox.
    pub mailbox: Option<recipient::Mark>,
}

/// What becomes of the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The receiver says that it is gone.
    Set,
    /// It answered after all.
    Cleared,
}

const GONE: u16 = 410;

impl Aftermath {
    /// Decides what follows from an attempt at an address, for a subscription as it is now.
    ///
    /// An attempt at another address than the present one says nothing: its owner has changed it
    /// since, or a replay goes to the original one.
    pub fn of(
        subscription: &Subscription,
        attempted: &EndpointUrl,
        outcome: Outcome,
        turn: Turn,
    ) -> Aftermath {
        if *attempted != subscription.endpoint_url {
            return Aftermath::default();
        }
        let answer = match outcome {
            Outcome::Answered { status, .. } => Some(status),
            // A mail server's reply is about one mail; what it says of an address is a suppression.
            Outcome::Replied { .. } | Outcome::Stored | Outcome::Failed { .. } => None,
        };
        let mark = match answer {
            Some(GONE) if subscription.gone_at.is_none() => Some(Mark::Set),
            Some(200..300) if subscription.gone_at.is_some() => Some(Mark::Cleared),
            _ => None,
        };
        let mailbox = subscription.recipient.as_ref().and_then(|recipient| recipient.mark(outcome));
        if subscription.auto_disable.is_none() || subscription.holds() {
            return Aftermath { mark, mailbox, ..Aftermath::default() };
        }
        let disabled = match turn {
            _ if answer == Some(GONE) => Some((DisableCause::Gone, None)),
            Turn::Expired(outage) => Some((DisableCause::Failing, Some(outage))),
            Turn::Unchanged | Turn::Began(_) | Turn::Warned(_) | Turn::Ended => None,
        };
        let warning = match turn {
            Turn::Warned(outage) if disabled.is_none() => Some(outage),
            _ => None,
        };
        Aftermath { mark, warning, disabled, mailbox }
    }

    /// Whether there is nothing to write and nothing to tell.
    pub fn is_nothing(&self) -> bool {
        *self == Aftermath::default()
    }

    /// Whether the subscription is another one after it.
    pub fn changes(&self) -> bool {
        self.mark.is_some() || self.disabled.is_some() || self.mailbox.is_some()
    }

    /// Changes a subscription as this says.
    pub fn apply(&self, subscription: &mut Subscription, now: Timestamp) {
        match self.mark {
            Some(Mark::Set) => subscription.gone_at = Some(now),
            Some(Mark::Cleared) => subscription.gone_at = None,
            None => {}
        }
        if let Some((mark, recipient)) = self.mailbox.zip(subscription.recipient.as_mut()) {
            recipient.take(mark, now);
        }
        if let Some((cause, _)) = self.disabled {
            subscription.disabled = Some(Disablement { at: now, cause });
        }
    }
}

impl Subscription {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        if self.disabled.is_some() {
            Standing::Disabled
        } else if self.status == Status::Paused {
            Standing::Paused
        } else if self.verification.as_ref().is_some_and(|verification| !verification.passed()) {
            Standing::PendingVerification
        } else if self.gone_at.is_some() {
            Standing::Gone
        } else {
            Standing::Active
        }
    }

    /// Whether its deliveries wait until somebody does something.
    pub fn holds(&self) -> bool {
        match self.standing() {
            Standing::Paused | Standing::Disabled | Standing::PendingVerification => true,
            Standing::Active | Standing::Gone => false,
        }
    }

    /// Lets deliveries go out again, whoever held them, and forgets that the receiver was gone. The
    /// receiver's consent is not ours to give: where it is asked for, they wait for it.
    /// Answers whether that changes anything.
    pub fn resume(&mut self) -> bool {
        let stood = self.standing();
        self.status = Status::Active;
        self.disabled = None;
        self.gone_at = None;
        self.standing() != stood
    }

    /// Holds its deliveries. Answers whether that changes anything.
    pub fn pause(&mut self) -> bool {
        std::mem::replace(&mut self.status, Status::Paused) != Status::Paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auto_disable::AutoDisable;
    use crate::outcome::Failure;
    use crate::verification::{Consent, Finding, Method, Verification};

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);
    const OUTAGE: Outage = Outage { since: Timestamp::from_seconds(0), warned_at: Some(NOON) };

    fn subscription() -> Subscription {
        serde_json::from_value(serde_json::json!({
            "id": "sub_01arz3ndektsv4rrffq69g5fav",
            "handle": "acme",
            "endpointUrl": "https://hooks.example.com/in",
            "eventTypes": ["*"],
            "description": null,
            "signingProfile": "arjun",
            "payloadFormat": "native",
            "retryPolicy": "fast",
            "headers": {},
            "rateLimitPerSecond": null,
            "maxConcurrency": null,
            "timeoutSeconds": 10,
            "ordered": false,
            "status": "active",
            "secretHint": "abcd",
            "createdAt": NOON,
            "updatedAt": NOON,
        }))
        .expect("a subscription as it was stored before there were standings")
    }

    fn willing() -> Subscription {
        Subscription { auto_disable: Some(AutoDisable { after_hours: 120 }), ..subscription() }
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after_seconds: None }
    }

    /// What follows from an attempt at the present address.
    fn after(subscription: &Subscription, outcome: Outcome, turn: Turn) -> Aftermath {
        Aftermath::of(subscription, &subscription.endpoint_url, outcome, turn)
    }

    fn as_it_is_after(mut subscription: Subscription, outcome: Outcome, turn: Turn) -> Subscription {
        after(&subscription, outcome, turn).apply(&mut subscription, NOON);
        subscription
    }

    #[test]
    fn a_410_marks_and_holds_nothing() {
        let gone = as_it_is_after(subscription(), answered(410), Turn::Unchanged);
        assert_eq!((gone.standing(), gone.gone_at, gone.holds()), (Standing::Gone, Some(NOON), false));
        assert!(after(&gone, answered(410), Turn::Unchanged).is_nothing(), "it is marked once");
        for outcome in [answered(404), answered(503), Outcome::Failed { failure: Failure::Timeout }] {
            assert!(after(&subscription(), outcome, Turn::Unchanged).is_nothing());
            assert!(after(&gone, outcome, Turn::Unchanged).is_nothing());
        }
    }

    #[test]
    fn a_success_a_new_address_and_resume_each_clear_the_mark() {
        let gone = as_it_is_after(subscription(), answered(410), Turn::Unchanged);
        assert_eq!(as_it_is_after(gone.clone(), answered(204), Turn::Unchanged), subscription());
        let mut moved = gone.clone();
        moved.point_to(EndpointUrl::vetted("https://hooks.example.com/new"), NOON);
        assert_eq!(moved.standing(), Standing::Active);
        let mut resumed = gone;
        assert!(resumed.resume() && !resumed.resume());
        assert_eq!(resumed, subscription());
    }

    #[test]
    fn what_an_old_address_answers_says_nothing_about_the_new_one() {
        let old = EndpointUrl::vetted("https://hooks.example.com/old");
        let aftermath = Aftermath::of(&willing(), &old, answered(410), Turn::Expired(OUTAGE));
        assert!(aftermath.is_nothing());
    }

    #[test]
    fn a_410_switches_off_at_once_those_who_asked_for_it() {
        let aftermath = after(&willing(), answered(410), Turn::Began(OUTAGE));
        assert_eq!((aftermath.mark, aftermath.disabled), (Some(Mark::Set), Some((DisableCause::Gone, None))));
        let off = as_it_is_after(willing(), answered(410), Turn::Unchanged);
        assert_eq!((off.standing(), off.holds()), (Standing::Disabled, true));
    }

    #[test]
    fn an_outage_warns_and_then_switches_off() {
        assert_eq!(after(&willing(), answered(500), Turn::Warned(OUTAGE)).warning, Some(OUTAGE));
        let off = as_it_is_after(willing(), answered(500), Turn::Expired(OUTAGE));
        assert_eq!(off.disabled, Some(Disablement { at: NOON, cause: DisableCause::Failing }));
        // Whoever did not ask for it is left alone, whatever is remembered of earlier wishes.
        assert!(after(&subscription(), answered(500), Turn::Expired(OUTAGE)).is_nothing());
    }

    #[test]
    fn what_is_held_is_not_switched_off_on_top() {
        let mut paused = willing();
        assert!(paused.pause() && !paused.pause());
        assert!(after(&paused, answered(500), Turn::Expired(OUTAGE)).is_nothing());
        let off = as_it_is_after(willing(), answered(500), Turn::Expired(OUTAGE));
        assert!(after(&off, answered(500), Turn::Expired(OUTAGE)).is_nothing());
    }

    #[test]
    fn deliveries_wait_for_consent_and_a_new_address_is_asked_again() {
        let mut asked = subscription();
        asked.verify_by(Some(Method::Challenge));
        assert_eq!((asked.standing(), asked.holds()), (Standing::PendingVerification, true));
        assert!(!asked.resume(), "resume is the owner's word and not the receiver's");
        let consent = Consent { host: "h".to_owned(), allowed_origin: None, allowed_rate_per_minute: None };
        asked.verification.as_mut().expect("asked").take(Finding::Consents(consent), NOON);
        assert_eq!(asked.standing(), Standing::Active);
        asked.verify_by(Some(Method::Challenge));
        assert_eq!(asked.standing(), Standing::Active, "what is asked for already is not asked again");
        let verified = asked.clone();
        asked.point_to(asked.endpoint_url.clone(), NOON);
        assert_eq!(asked, verified);
        asked.point_to(EndpointUrl::vetted("https://hooks.example.com/new"), NOON);
        assert_eq!(asked.verification, Some(Verification::due(Method::Challenge)));
        let mut other = verified;
        other.verify_by(Some(Method::CloudEvents));
        assert_eq!(other.standing(), Standing::PendingVerification);
        other.verify_by(None);
        assert_eq!(other.standing(), Standing::Active);
    }

    #[test]
    fn resume_ends_whatever_held_it() {
        let mut off = as_it_is_after(willing(), answered(410), Turn::Unchanged);
        off.pause();
        assert_eq!(off.standing(), Standing::Disabled);
        assert!(off.resume());
        assert_eq!(off, willing());
    }
}
