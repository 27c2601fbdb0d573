//! What is asked for and what is answered about e-mail subscriptions.

use std::time::Duration;

use angarium_domain::account::Closed;
use angarium_domain::event_type::EventPattern;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::mail_address::MailAddress;
use angarium_domain::notices::AlwaysQuiet;
use angarium_domain::recipient::{STALE_REMEDY, Standing};
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;

use crate::once::RepeatError;

/// An e-mail subscription as it is asked for.
#[derive(Debug, Clone)]
pub struct NewEmailSubscription {
    /// Whom to ask.
    pub email: MailAddress,
    /// What they are to be told of. Not empty; duplicates collapse.
    pub event_types: Vec<EventPattern>,
}

/// Everybody who is told by mail at a handle.
#[derive(Debug, Clone)]
pub struct Recipients {
    /// Those who asked for events, newest first.
    pub subscribers: Vec<Subscription>,
    /// The owner's default address, if there ever was one.
    pub owner_default: Option<Subscription>,
    /// When this was so.
    pub now: Timestamp,
}

/// The owner's default address as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerDefault {
    /// The address; none if none is named.
    pub email: Option<MailAddress>,
    /// How it stands; none if none is named.
    pub standing: Option<Standing>,
    /// Whether its mails wait because whoever takes them knows this service no longer.
    pub is_stale: bool,
}

impl OwnerDefault {
    /// Of a subscription, if there ever was one. Who wants no more mails is named all the same, until the
    /// owner names another.
    pub fn of(subscription: Option<&Subscription>) -> OwnerDefault {
        let recipient = |subscription: &Subscription| subscription.recipient.clone();
        let named = subscription.and_then(recipient).filter(|recipient| !recipient.is_dismissed());
        let email = subscription.filter(|_| named.is_some());
        let email = email.and_then(|subscription| MailAddress::of_endpoint(&subscription.endpoint_url));
        let named = named.filter(|_| email.is_some());
        OwnerDefault {
            is_stale: named.as_ref().is_some_and(|named| named.stale_since.is_some()),
            standing: named.map(|named| named.standing()),
            email,
        }
    }
}

/// What came of a reader's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// It is given, now or before.
    Given,
    /// The time for it is over, or the question was put anew.
    Late,
    /// What they read is not what it would be given to now.
    OtherWords,
}

/// What a test made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailTested {
    /// The event.
    pub event_id: EventId,
    /// Its only delivery, whose id is also the name of the mail.
    pub delivery_id: DeliveryId,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// The handle has no such e-mail subscription.
    #[error("there is no such e-mail subscription")]
    NotFound,
    /// This service sends no mails.
    #[error("this service is not set up to send e-mail; its operator can set email.transport")]
    NotConfigured,
    /// The handle has as many as it may have.
    #[error("the handle has {limit} e-mail subscriptions, which is the limit")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// Too many mails to people who have not confirmed.
    #[error("too many addresses were asked lately; try again in {} s", retry_after.as_secs())]
    TooManyQuestions {
        /// When there is room again.
        retry_after: Duration,
    },
    /// Whoever reads it ended their mails, and was asked once since.
    #[error(
        "whoever reads this mailbox ended these mails and was asked once since; they may be asked again in {} s",
        retry_after.as_secs()
    )]
    LeftAlone {
        /// When they may be asked again.
        retry_after: Duration,
    },
    /// Too many test mails.
    #[error("too many test mails were sent lately; try again in {} s", retry_after.as_secs())]
    TooManyTests {
        /// When there is room again.
        retry_after: Duration,
    },
    /// The owner's default address was changed too often.
    #[error("the owner default email was changed too often lately; try again in {} s", retry_after.as_secs())]
    TooManyChanges {
        /// When it may be changed again.
        retry_after: Duration,
    },
    /// The address has confirmed already.
    #[error("the address is subscribed already; remove that subscription first to change it")]
    Subscribed(SubscriptionId),
    /// Mail to the address bounced.
    #[error("mail to this address bounced; take it off the suppression list once it receives again")]
    Suppressed,
    /// Whoever takes the mails knows this service no longer.
    #[error("{STALE_REMEDY}")]
    StaleProviderReference,
    /// Nobody has confirmed, or they want no more.
    #[error("whoever reads this mailbox has not confirmed the subscription")]
    NotConfirmed,
    /// No default address is named.
    #[error("no owner default email is set")]
    NoOwnerDefault,
    /// A field that others set was sent back otherwise than it is.
    #[error("{field} is {}, and is not changed here: {by}", is.as_deref().unwrap_or("not set"))]
    NotSetHere {
        /// Which one.
        field: &'static str,
        /// Who sets it.
        by: &'static str,
        /// What it is.
        is: Option<String>,
    },
    /// Quiet hours without an end.
    #[error(transparent)]
    AlwaysQuiet(#[from] AlwaysQuiet),
    /// All is as it should be. Never leaves the engine.
    #[error("there is nothing to change")]
    NothingToChange,
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// Others change the handle all the time.
    #[error("the handle is being changed by others; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EmailError {
    pub(crate) const OVERLOADED: EmailError = EmailError::Overloaded { retry_after: Duration::from_secs(1) };
}
