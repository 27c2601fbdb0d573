//! What an owner says of mails: what is critical, and when nobody wants to be told.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::account::Account;
use angarium_domain::audit::changed;
use angarium_domain::handle::Handle;
use angarium_domain::notices::Notices;
use angarium_store::StoreError;
use angarium_store::directory::Change;

use super::{EmailError, Emails, OwnerDefault, owner_default};
use crate::once::{Once, Reply};
use crate::{Caller, DECISIONS_MAX};

/// What is said of mails at a handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSettings {
    /// The owner's word.
    pub notices: Notices,
    /// The handle's own time zone.
    pub account: Account,
    /// The owner's default address.
    pub owner_default: OwnerDefault,
    /// The domain that mails come from; none if none are sent.
    pub sender_domain: Option<Arc<str>>,
}

impl Emails {
    /// What is said of mails at a handle.
    pub async fn notice_settings(&self, handle: &Handle) -> Result<NoticeSettings, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        Ok(self.settings_of(&snapshot, &snapshot.account.notices))
    }

    /// Replaces what the owner says of mails. Holds for what is sent from now on.
    pub async fn put_notice_settings(
        &self,
        caller: Caller,
        notices: Notices,
        once: Once<NoticeSettings>,
    ) -> Result<Reply, EmailError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<EmailError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        for _ in 0..DECISIONS_MAX {
            let snapshot = self.desk.snapshots.get(&caller.handle).await?;
            snapshot.account.admits_writes()?;
            let now = self.desk.clock.now();
            notices.check(&snapshot.account, now)?;
            let (answer, idempotency) = once.answer_to(&self.settings_of(&snapshot, &notices), now);
            let account = Account { notices: Box::new(notices.clone()), ..snapshot.account.clone() };
            let told = changed(Some(&*snapshot.account.notices), Some(&notices));
            let audit = caller.audit_of(now, "notifications.changed", caller.handle.to_string(), told);
            let context = caller.context(idempotency, Some(audit));
            let change = Change::SetAccount(Box::new(account));
            match self.desk.store.change(&caller.handle, snapshot.version, change, now, context).await {
                Ok(written) => {
                    self.lanes.unchanged(&caller.handle).await;
                    return Ok(once.reply(written, answer)?);
                }
                Err(StoreError::Conflict) => drop(self.desk.snapshots.refresh(&caller.handle).await?),
                Err(error) => return Err(error.into()),
            }
        }
        Err(EmailError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    fn settings_of(
        &self,
        snapshot: &angarium_store::directory::Snapshot,
        notices: &Notices,
    ) -> NoticeSettings {
        NoticeSettings {
            notices: notices.clone(),
            account: snapshot.account.clone(),
            owner_default: OwnerDefault::of(owner_default(snapshot).map(|entry| &entry.subscription)),
            sender_domain: self.post.sender_domain(),
        }
    }
}
