//! What the routes of the owner's default address say of themselves.

use crate::api::v2::email_subscriptions::TestedEmailView;
use crate::api::v2::email_subscriptions::docs::{NOT_CONFIGURED, STALE, SUPPRESSED};
use crate::api::v2::owner_default_email::OwnerDefaultEmailView;
use crate::openapi::Operation;
use crate::openapi::schema::{object, word};
use crate::openapi::words::Email;

pub(in crate::api::v2) fn put() -> Operation {
    let fields = object().required("email", word::<Email>().or_null());
    Operation::new("putOwnerDefaultEmail", "Name the address that is told when nobody else is")
        .about(
            "The address of before and the new one are told by mail. `null` names none. Naming the same one again takes \
             it off the suppression list; whoever reads it and ended the mails is asked, and must confirm.",
        )
        .body("OwnerDefaultEmailChange", fields)
        .answer::<OwnerDefaultEmailView>(200, "As it is now.")
        .problem(409, "email_not_configured", NOT_CONFIGURED)
}

pub(in crate::api::v2) fn test() -> Operation {
    Operation::new("testOwnerDefaultEmail", "Send a test mail to the owner's default address")
        .answer::<TestedEmailView>(202, "Accepted for dispatch; nothing was sent yet.")
        .showing_as("status", "pending")
        .problem(409, "stale_provider_reference", STALE)
        .problem(409, "owner_default_email_unset", "no address is named")
        .problem(
            409,
            "subscription_not_confirmed",
            "whoever reads it wants no mails, or was asked and has not confirmed",
        )
        .problem(409, "email_not_configured", NOT_CONFIGURED)
        .problem(409, "address_suppressed", SUPPRESSED)
}
