//! What an owner says of mails: what is critical, and when nobody wants to be told.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::account::Account;
use angarium_domain::audit::changed;
use angarium_domain::event_type::EventPattern;
use angarium_domain::handle::Handle;
use angarium_domain::notices::Notices;
use angarium_domain::subscription::without_duplicates;
use angarium_store::StoreError;
use angarium_store::directory::Change;
use serde_json::{Value, json};

use super::{EmailError, Emails, OwnerDefault, owner_default};
use crate::Caller;
use crate::ids::new_id;
use crate::inbox;
use crate::once::{Once, Reply};
use crate::sender_watch::LookedUp;

/// What is said of mails at a handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSettings {
    /// The owner's word.
    pub notices: Notices,
    /// Which events become items of the handle's inbox.
    pub inbox: Vec<EventPattern>,
    /// The handle's own time zone.
    pub account: Account,
    /// The owner's default address.
    pub owner_default: OwnerDefault,
    /// What was found of the domain that mails come from; none if none are sent.
    pub sender_domain: Option<Arc<LookedUp>>,
}

/// A field of the answer that others set, as a caller sends it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentBack {
    /// The domain that mails come from.
    SenderDomain(Option<String>),
    /// The owner's default address.
    NotificationEmail(Option<String>),
}

impl SentBack {
    fn require_unchanged(&self, settings: &NoticeSettings) -> Result<(), EmailError> {
        let (field, by, sent, is) = match self {
            SentBack::SenderDomain(sent) => {
                let is = settings.sender_domain.as_ref().map(|seen| seen.report.domain.clone());
                ("senderDomain", "whoever runs this service sets it", sent, is)
            }
            SentBack::NotificationEmail(sent) => {
                let is = settings.owner_default.email.as_ref().map(ToString::to_string);
                ("notificationEmail", "the owner default email has a route of its own", sent, is)
            }
        };
        if *sent == is { Ok(()) } else { Err(EmailError::NotSetHere { field, by, is }) }
    }
}

impl Emails {
    /// What is said of mails at a handle.
    pub async fn notice_settings(&self, handle: &Handle) -> Result<NoticeSettings, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        Ok(self.settings_of(&snapshot, &snapshot.account.notices, &inbox::patterns(&snapshot)))
    }

    /// Replaces what the owner says of mails, and which events become items of the inbox. Holds for what
    /// is sent and published from now on.
    pub async fn put_notice_settings(
        &self,
        caller: Caller,
        (notices, inbox): (Notices, Vec<EventPattern>),
        sent_back: &[SentBack],
        once: Once<NoticeSettings>,
    ) -> Result<Reply, EmailError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<EmailError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            let now = self.desk.clock.now();
            let notices = notices.clone().sent_back_to(&snapshot.account);
            notices.check(&snapshot.account, now)?;
            let settings = self.settings_of(&snapshot, &notices, &inbox);
            sent_back.iter().try_for_each(|sent| sent.require_unchanged(&settings))?;
            let (answer, idempotency) = once.answer_to(&settings, now);
            let account = Account { notices: Box::new(notices.clone()), ..snapshot.account.clone() };
            let before = words(&snapshot.account.notices, &inbox::patterns(&snapshot));
            let told = changed(Some(&before), Some(&words(&notices, &inbox)));
            let audit = caller.audit_of(now, "notifications.changed", caller.handle.to_string(), told);
            let context = caller.context(idempotency, Some(audit));
            let mut changes = vec![Change::SetAccount(Box::new(account))];
            let (id, seed) = (new_id(&*self.desk.ids, now), self.desk.ids.key());
            let subscribing = inbox::subscribing(&snapshot, &caller.handle, &inbox, (id, seed), now);
            let lane = subscribing.map(|(change, lane)| {
                changes.push(change);
                lane
            });
            let change = Change::Several(changes);
            match self.desk.store.change(&caller.handle, snapshot.version, change, now, context).await {
                Ok(written) => {
                    self.lanes.unchanged(&caller.handle).await;
                    if let Some(lane) = lane {
                        lane.tell(&self.lanes, &caller.handle).await;
                    }
                    return Ok(once.reply(written, answer)?);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EmailError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    fn settings_of(
        &self,
        snapshot: &angarium_store::directory::Snapshot,
        notices: &Notices,
        inbox: &[EventPattern],
    ) -> NoticeSettings {
        NoticeSettings {
            notices: notices.clone(),
            inbox: without_duplicates(inbox.to_vec()),
            account: snapshot.account.clone(),
            owner_default: OwnerDefault::of(owner_default(snapshot).map(|entry| &entry.subscription)),
            sender_domain: self.post.sender_domain(),
        }
    }
}

/// What the audit log compares.
fn words(notices: &Notices, inbox: &[EventPattern]) -> Value {
    json!({ "notices": notices, "inboxEventTypes": inbox })
}
