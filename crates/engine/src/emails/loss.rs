//! What the inbox says when the owner's default address receives nothing any more, or when the provider knows this
//! service no longer: those who would be told of it by mail are those who are not.

use angarium_domain::mail_address::MailAddress;
use angarium_domain::mailbox;
use angarium_domain::payload::Payload;
use angarium_domain::recipient::{OWNER_ALERT, OWNER_DEFAULT_CHANGED, Purpose, STALE_REMEDY, Standing};
use angarium_domain::subscription::Subscription;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::event_log::Beside;
use serde_json::json;

use crate::inbox::NewItem;

/// The item to be written with a subscription that is as it is now; none if it is no owner's default
/// address, or receives mails.
pub(crate) fn lost(subscription: &Subscription) -> Option<NewItem> {
    let recipient =
        subscription.recipient.as_ref().filter(|recipient| recipient.purpose == Purpose::OwnerDefault)?;
    let (title, body) = match recipient.standing() {
        Standing::Unsubscribed if !recipient.is_dismissed() => (
            "The owner default e-mail was unsubscribed",
            "Whoever reads it wants no more mails, so alerts reach nobody by mail. Name another address, or the same \
             one again, and they are asked.",
        ),
        Standing::Suppressed => (
            "The owner default e-mail does not receive",
            "A mail to it bounced, or was reported as unwanted, so alerts reach nobody by mail. Name another address, \
             or the same one again once it receives.",
        ),
        Standing::Degraded => (
            "A mail to the owner default e-mail was refused",
            "The last mail was refused for another reason than its address. Its delivery shows the words of the mail \
             server.",
        ),
        Standing::Unsubscribed | Standing::Active | Standing::PendingConfirmation => return None,
    };
    let data = json!({ "email": subscription.endpoint_url.mail_address(), "status": recipient.standing() });
    Some(NewItem {
        item_type: OWNER_DEFAULT_CHANGED.parse().expect("a valid event type"),
        title: title.to_owned(),
        body: Some(body.to_owned()),
        data: Some(Payload::of_our_own(&data)),
        action_url: None,
        expires_at: None,
    })
}

/// That a subscription's mailbox takes no mail, for all that come after it.
pub(crate) fn suppression(subscription: &Subscription) -> Option<Beside> {
    let suppression = subscription.recipient.as_ref()?.suppressed.clone()?;
    let key = MailAddress::of_endpoint(&subscription.endpoint_url)?.key();
    let change = Box::new(mailbox::Change::Suppressed(suppression));
    Some(Beside::Mailbox { handle: subscription.handle.clone(), key, change })
}

/// The item that says that whoever takes the mails knows this service no longer; none if another mailbox of the
/// handle said so before.
pub(crate) fn stale(before: &Snapshot) -> Option<NewItem> {
    (!before.subscriptions.iter().any(|entry| is_stale(entry))).then(|| NewItem {
        item_type: OWNER_ALERT.parse().expect("a valid event type"),
        title: "No e-mail goes out at present".to_owned(),
        body: Some(STALE_REMEDY.to_owned()),
        data: Some(Payload::of_our_own(&json!({ "error": "stale_provider_reference" }))),
        action_url: None,
        expires_at: None,
    })
}

/// Whether whoever takes the mails said of the last one that they know this service no longer.
pub(super) fn is_stale(entry: &Entry) -> bool {
    entry.subscription.recipient.as_ref().is_some_and(|recipient| recipient.stale_since.is_some())
}
