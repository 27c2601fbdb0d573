//! What the routes of e-mail subscriptions say of themselves.

use angarium_domain::subscription::PATTERNS_MAX;

use crate::api::v2::email_subscriptions::{EmailSubscriptionView, TestedEmailView};
use crate::openapi::Operation;
use crate::openapi::schema::{list, object, word};
use crate::openapi::words::{Email, EmailSubscriptionId, EventPattern};

/// Said of every route that would send a mail.
pub(in crate::api::v2) const NOT_CONFIGURED: &str = "the service is not set up to send e-mail";
/// Said of every route that would send one to a mailbox that takes none.
pub(in crate::api::v2) const SUPPRESSED: &str =
    "mail to the address bounced; take it off the suppression list";
/// Said of every test.
pub(in crate::api::v2) const STALE: &str =
    "the mail provider knows the sender or the configuration set of the service no longer";

pub(in crate::api::v2) fn create() -> Operation {
    let fields = object()
        .required("email", word::<Email>())
        .required("eventTypes", list(word::<EventPattern>(), 1..=PATTERNS_MAX));
    Operation::new("createEmailSubscription", "Ask somebody whether they want e-mails")
        .about(
            "One mail asks for consent; nothing else is sent until its reader confirms, within 72 hours. \
             The same address again answers the subscription that waits, and sends another mail only after an hour.",
        )
        .body("NewEmailSubscription", fields)
        .answer::<EmailSubscriptionView>(201, "The subscription, which waits for consent.")
        .showing_as("status", "pending_confirmation")
        .showing("confirmUntil")
        .conflict("the address is subscribed already, or the handle has as many as it may have")
        .problem(409, "email_not_configured", NOT_CONFIGURED)
        .problem(409, "address_suppressed", SUPPRESSED)
}

pub(in crate::api::v2) fn delete() -> Operation {
    Operation::new("deleteEmailSubscription", "End an e-mail subscription")
        .about("What waits for it becomes `cancelled`.")
        .of::<EmailSubscriptionId>("subscriptionId")
        .nothing("Ended.")
}

pub(in crate::api::v2) fn test() -> Operation {
    Operation::new("testEmailSubscription", "Send a test mail")
        .of::<EmailSubscriptionId>("subscriptionId")
        .answer::<TestedEmailView>(202, "Accepted for dispatch; nothing was sent yet.")
        .showing_as("status", "pending")
        .problem(409, "stale_provider_reference", STALE)
        .problem(409, "subscription_not_confirmed", "nobody has confirmed it, or they want no more mails")
        .problem(409, "email_not_configured", NOT_CONFIGURED)
        .problem(409, "address_suppressed", SUPPRESSED)
}

pub(in crate::api::v2) fn lift_suppression() -> Operation {
    Operation::new("liftEmailSuppression", "Take a mailbox off the suppression list")
        .about("For an address whose mailbox receives again. Noted in the audit log.")
        .of::<EmailSubscriptionId>("subscriptionId")
        .answer::<EmailSubscriptionView>(200, "The subscription as it is now.")
}
