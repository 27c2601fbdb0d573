//! The owner's default address: who is told of what nobody else is told of.

use std::sync::Arc;

use angarium_domain::event::Origin;
use angarium_domain::mail_address::MailAddress;
use angarium_domain::recipient::{OWNER_DEFAULT_CHANGED, QUESTION_INTERVAL, Recipient, Standing};
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::event_log::EventFilter;
use angarium_store::page::PageRequest;
use serde_json::json;

use super::{
    Decision, EmailError, Emails, MailTested, OwnerDefault, made_entry, mailbox, owner_default, standing,
    with,
};
use crate::Caller;
use crate::ids::new_id;
use crate::once::{Once, Reply};
use crate::planner::Again;

/// How often an hour the address may be changed: each change sends two mails to whomever it names.
const CHANGES_MAX: usize = 5;

impl Emails {
    /// Names another address, or none. The old one and the new one are told, if it is another.
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
        let snapshot = self.desk.snapshots.get(&caller.handle).await?;
        let present = owner_default(&snapshot).filter(|entry| standing(entry) != Standing::Unsubscribed);
        if present.and_then(|entry| mailbox(&entry.subscription.endpoint_url)) == address {
            return self.unchanged(&caller, present.cloned(), &once).await;
        }
        self.require_patience(&caller).await?;
        let (id, seed) = (new_id(&*self.desk.ids, self.desk.clock.now()), self.desk.ids.key());
        let made = |entry: &Entry, _| OwnerDefault::of(Some(&entry.subscription));
        self.decide(&caller, once, made, |snapshot, now| {
            let known = owner_default(snapshot);
            let before = known.filter(|entry| standing(entry) != Standing::Unsubscribed);
            let told = before.filter(|entry| standing(entry) != Standing::Suppressed);
            let old = before.and_then(|entry| mailbox(&entry.subscription.endpoint_url));
            let entry = match (&address, known) {
                (Some(address), Some(entry)) => {
                    with(entry, now, |subscription| appoint(subscription, address, &caller, now))
                }
                (Some(address), None) => {
                    let recipient = Recipient::appointed(now, caller.actor.clone());
                    made_entry(&caller.handle, id, seed, address, Vec::new(), recipient, now)
                }
                (None, Some(entry)) => with(entry, now, |subscription| {
                    if let Some(recipient) = &mut subscription.recipient {
                        recipient.withdraw(now);
                    }
                }),
                (None, None) => return Err(EmailError::NotFound),
            };
            let payload = json!({
                "subscriptionId": entry.subscription.id, "before": old, "now": address, "by": caller.actor,
            });
            let event = self.event(&caller, OWNER_DEFAULT_CHANGED, Origin::System, &payload, now);
            let to_the_old = told.map(|entry| Again {
                endpoint_override: Some(entry.subscription.endpoint_url.clone()),
                ..Again::default()
            });
            let to_the_new = address.as_ref().map(|_| Again::default());
            let mails = to_the_old.into_iter().chain(to_the_new).collect();
            Ok(Decision { entry, told: Some((event, mails)), action: "email.owner_default_changed" })
        })
        .await
    }

    /// Queues a test mail to the owner's default address.
    pub async fn test_owner_default(
        &self,
        caller: Caller,
        once: Once<MailTested>,
    ) -> Result<Reply, EmailError> {
        self.test_of(caller, once, |snapshot: &Snapshot| {
            let entry = owner_default(snapshot).filter(|entry| standing(entry) != Standing::Unsubscribed);
            entry.cloned().ok_or(EmailError::NoOwnerDefault)
        })
        .await
    }

    /// Answers that all is as it was asked for, and remembers that under the key.
    async fn unchanged(
        &self,
        caller: &Caller,
        present: Option<Arc<Entry>>,
        once: &Once<OwnerDefault>,
    ) -> Result<Reply, EmailError> {
        let now = self.desk.clock.now();
        let shown = OwnerDefault::of(present.as_ref().map(|entry| &entry.subscription));
        let (answer, idempotency) = once.answer_to(&shown, now);
        let append = angarium_store::event_log::Append {
            context: caller.context(idempotency, None),
            ..Default::default()
        };
        let written = self.desk.store.append(append).await?;
        Ok(once.reply(written, answer)?)
    }

    async fn require_patience(&self, caller: &Caller) -> Result<(), EmailError> {
        let now = self.desk.clock.now();
        let filter = EventFilter {
            event_type: Some(OWNER_DEFAULT_CHANGED.parse().expect("a valid event type")),
            since: Some(now.saturating_sub(QUESTION_INTERVAL)),
            until: None,
        };
        let page = PageRequest { before: None, limit: CHANGES_MAX as u32 };
        let lately = self.desk.store.events(&caller.handle, filter, page).await?.items;
        match lately.last().filter(|_| lately.len() >= CHANGES_MAX) {
            Some(oldest) => Err(EmailError::TooManyQuestions {
                retry_after: (oldest.accepted_at + QUESTION_INTERVAL).since(now),
            }),
            None => Ok(()),
        }
    }
}

/// Another address, of which nothing is known yet.
fn appoint(subscription: &mut Subscription, address: &MailAddress, caller: &Caller, now: Timestamp) {
    subscription.point_to(address.to_endpoint(), now);
    subscription.recipient = Some(Box::new(Recipient::appointed(now, caller.actor.clone())));
}
