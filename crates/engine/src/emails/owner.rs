//! The owner's default address: who is told of what nobody else is told of.

use std::sync::Arc;

use angarium_domain::event::Origin;
use angarium_domain::mail_address::MailAddress;
use angarium_domain::mailbox::{self, Mailbox};
use angarium_domain::recipient::{OWNER_DEFAULT_CHANGED, QUESTION_INTERVAL, Recipient, Standing};
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_store::directory::{Entry, Snapshot};
use serde_json::json;

use super::questions::Booking;
use super::{
    Decision, EmailError, Emails, MailTested, OwnerDefault, is_fresh, made_entry, mailbox as mailbox_of,
    owner_default, require_not_left_alone, standing, with,
};
use crate::Caller;
use crate::ids::new_id;
use crate::once::{Once, Reply};
use crate::planner::Again;

/// How often an hour the address may be changed: each change sends two mails to whomever it names.
const CHANGES_MAX: usize = 5;

/// What is known before it is decided, however often that is.
struct Change<'a> {
    caller: &'a Caller,
    address: &'a Option<MailAddress>,
    booking: Option<Booking<'a>>,
    /// What is known of the mailbox that is named.
    known_of_it: Mailbox,
    /// When the handle may change it again; none if now.
    not_before: Option<Timestamp>,
    id: angarium_domain::ids::SubscriptionId,
    seed: [u8; 32],
}

impl Change<'_> {
    /// The reader of the address that is named, and when they are asked if they must be.
    fn recipient(&mut self, now: Timestamp) -> Result<(Recipient, Option<Timestamp>), EmailError> {
        let by = self.caller.actor.clone();
        let suppressed = self.known_of_it.suppressed.clone();
        if suppressed.is_some() || self.known_of_it.withdrawn_at.is_none() {
            return Ok((Recipient { suppressed, ..Recipient::appointed(now, by) }, None));
        }
        let asked_at = self.asked_at(now)?;
        Ok((Recipient::owner_asked(asked_at, by, self.caller.ip), Some(asked_at)))
    }

    /// When somebody is asked who ended their mails.
    fn asked_at(&mut self, now: Timestamp) -> Result<Timestamp, EmailError> {
        require_not_left_alone(&self.known_of_it, now)?;
        // They ended it between the look before and this one.
        let booking = self.booking.as_mut().ok_or(EmailError::OVERLOADED)?;
        booking.due_at(now)
    }
}

impl Emails {
    /// Names another address, or none. The old one and the new one are told, if it is another.
    ///
    /// Naming the same one again takes it off the suppression list, and asks whoever reads it if they
    /// wanted no more mails: an owner does not decide that for them.
    pub async fn set_owner_default(
        &self,
        caller: Caller,
        address: Option<MailAddress>,
        once: Once<OwnerDefault>,
    ) -> Result<Reply, EmailError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<EmailError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        if address.is_some() {
            self.require_post()?;
        }
        let _turn = self.questions.turn(&caller.handle).await;
        let mut change = Change {
            caller: &caller,
            address: &address,
            booking: None,
            known_of_it: match &address {
                Some(address) => self.desk.store.mailbox(&caller.handle, &address.key()).await?,
                None => Mailbox::default(),
            },
            not_before: self.changes_again_at(&caller).await?,
            id: new_id(&*self.desk.ids, self.desk.clock.now()),
            seed: self.desk.ids.key(),
        };
        let snapshot = self.desk.snapshots.get(&caller.handle).await?;
        let is_asked = |address: &&MailAddress| {
            change.known_of_it.withdrawn_at.is_some() || wants_no_mails(&snapshot, address)
        };
        if let Some(address) = address.as_ref().filter(is_asked) {
            change.booking = Some(self.questions.booking(&caller.handle, address).await?);
        }
        let made = |entry: &Entry, _| OwnerDefault::of(Some(&entry.subscription));
        let decided =
            self.decide(&caller, &once, made, |snapshot, now| self.owner_change(&mut change, snapshot, now));
        match decided.await {
            Ok(reply) => {
                if let Some(booking) = change.booking.filter(|_| !reply.replayed) {
                    booking.keep();
                }
                Ok(reply)
            }
            Err(EmailError::NothingToChange) => {
                let snapshot = self.desk.snapshots.get(&caller.handle).await?;
                let present = owner_default(&snapshot).map(|entry| &entry.subscription);
                self.unchanged(&caller, &OwnerDefault::of(present), &once).await
            }
            Err(error) => Err(error),
        }
    }

    fn owner_change(
        &self,
        change: &mut Change<'_>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Decision, EmailError> {
        let known = owner_default(snapshot);
        let before = known.filter(|entry| is_named(entry));
        let old = before.and_then(|entry| mailbox_of(&entry.subscription.endpoint_url));
        if old == *change.address {
            let entry = before.ok_or(EmailError::NothingToChange)?;
            return self.same_address_again(change, entry, now);
        }
        if let Some(at) = change.not_before.filter(|at| now < *at) {
            return Err(EmailError::TooManyChanges { retry_after: at.since(now) });
        }
        let Change { caller, address, id, seed, .. } = *change;
        let (recipient, asked_at) = change.recipient(now)?;
        let told = before.filter(|entry| takes_mails(entry));
        let entry = match (address, known) {
            (Some(address), Some(entry)) => {
                with(entry, now, |subscription| appoint(subscription, address, recipient, now))
            }
            (Some(address), None) => {
                made_entry(&caller.handle, id, seed, address, Vec::new(), recipient, now)
            }
            (None, Some(entry)) => with(entry, now, |subscription| {
                if let Some(recipient) = &mut subscription.recipient {
                    recipient.dismiss(now);
                }
            }),
            (None, None) => return Err(EmailError::NotFound),
        };
        let payload = json!({
            "subscriptionId": entry.subscription.id, "before": old, "now": address, "by": caller.actor,
        });
        let event = self.event(caller, OWNER_DEFAULT_CHANGED, Origin::System, &payload, now);
        // Each names its address: the next change may come before the mail goes out.
        let to = told.map(|entry| entry.subscription.endpoint_url.clone());
        let takes_mails = takes_mails(&entry);
        let new = address.as_ref().filter(|_| takes_mails).map(MailAddress::to_endpoint);
        let to = to.into_iter().chain(new);
        let mails =
            to.map(|address| Again { endpoint_override: Some(address), ..Again::default() }).collect();
        let decision = match asked_at {
            Some(asked_at) => self.question(caller, entry, asked_at, now)?,
            None => Decision::of(entry, ""),
        };
        Ok(Decision { action: "email.owner_default_changed", ..decision.telling(event, mails) })
    }

    fn same_address_again(
        &self,
        change: &mut Change<'_>,
        entry: &Arc<Entry>,
        now: Timestamp,
    ) -> Result<Decision, EmailError> {
        match standing(entry) {
            Standing::Active | Standing::Degraded => Err(EmailError::NothingToChange),
            Standing::Suppressed => {
                let lifted = Decision::of(lifted(entry, now), "email.suppression_lifted");
                Ok(lifted.knowing(mailbox::Change::Lifted))
            }
            Standing::PendingConfirmation if is_fresh(entry, now) => Err(EmailError::NothingToChange),
            Standing::PendingConfirmation | Standing::Unsubscribed => {
                let due_at = change.asked_at(now)?;
                let asked = Recipient::owner_asked(due_at, change.caller.actor.clone(), change.caller.ip);
                let entry =
                    with(entry, now, |subscription| subscription.recipient = Some(Box::new(asked.clone())));
                self.question(change.caller, entry, due_at, now)
            }
        }
    }

    /// Queues a test mail to the owner's default address.
    pub async fn test_owner_default(
        &self,
        caller: Caller,
        once: Once<MailTested>,
    ) -> Result<Reply, EmailError> {
        self.test_of(caller, once, |snapshot: &Snapshot| {
            let entry = owner_default(snapshot).filter(|entry| is_named(entry));
            entry.cloned().ok_or(EmailError::NoOwnerDefault)
        })
        .await
    }

    /// When the address may be changed again, if that is not now.
    async fn changes_again_at(&self, caller: &Caller) -> Result<Option<Timestamp>, EmailError> {
        let lately =
            self.questions.lately(&caller.handle, OWNER_DEFAULT_CHANGED, Origin::System, CHANGES_MAX);
        let lately = lately.await?;
        let oldest = lately.last().filter(|_| lately.len() >= CHANGES_MAX);
        Ok(oldest.map(|oldest| oldest.accepted_at + QUESTION_INTERVAL))
    }
}

/// An entry that is no longer on the suppression list.
pub(super) fn lifted(entry: &Entry, now: Timestamp) -> Arc<Entry> {
    with(entry, now, |subscription| {
        if let Some(recipient) = &mut subscription.recipient {
            recipient.suppressed = None;
        }
    })
}

/// Whether it is the address that the owner named last, whatever whoever reads it says to that.
fn is_named(entry: &Entry) -> bool {
    entry.subscription.recipient.as_ref().is_some_and(|recipient| !recipient.is_dismissed())
}

fn takes_mails(entry: &Entry) -> bool {
    matches!(standing(entry), Standing::Active | Standing::Degraded)
}

/// Whether this is the owner's default address, and whoever reads it said no, or was asked since.
fn wants_no_mails(snapshot: &Snapshot, address: &MailAddress) -> bool {
    let named = owner_default(snapshot).filter(|entry| is_named(entry));
    named.is_some_and(|entry| {
        mailbox_of(&entry.subscription.endpoint_url).is_some_and(|known| known.is_same_mailbox(address))
            && matches!(standing(entry), Standing::Unsubscribed | Standing::PendingConfirmation)
    })
}

/// Another address, with whoever reads it.
fn appoint(subscription: &mut Subscription, address: &MailAddress, recipient: Recipient, now: Timestamp) {
    subscription.point_to(address.to_endpoint(), now);
    subscription.recipient = Some(Box::new(recipient));
}
