//! Room for one more among those who are told by mail.

use angarium_domain::mail_address::MailAddress;
use angarium_domain::recipient::RECIPIENTS_PER_HANDLE_MAX;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Entry, Snapshot};

use super::{EmailError, Emails, asked_at, is_mailbox_of, subscribers};
use crate::Caller;

impl Emails {
    /// Where a handle has as many as it may have, ends the oldest of those who were asked and can answer no
    /// more: a mistyped address must not take a place for ever. That it bounced is remembered beside it.
    pub(super) async fn make_room(&self, caller: &Caller, wanted: &MailAddress) -> Result<(), EmailError> {
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            let now = self.desk.clock.now();
            let is_known = subscribers(&snapshot).any(|entry| is_mailbox_of(entry, wanted));
            if is_known || has_room(&snapshot) {
                return Ok(());
            }
            let lapsed = subscribers(&snapshot).filter(|entry| has_lapsed(entry, now));
            let Some(oldest) = lapsed.min_by_key(|entry| (asked_at(entry), entry.subscription.id)) else {
                return Ok(());
            };
            // Whoever asks pays for what they ask, and not for this.
            let by = Caller { draw: None, ..caller.clone() };
            match self.end(&by, &snapshot, oldest, "email.lapsed", None, now).await {
                Err(StoreError::Conflict) => {}
                ended => return Ok(ended.map(drop)?),
            }
        }
        Err(EmailError::OVERLOADED)
    }
}

/// Whether the handle may have one more.
pub(super) fn has_room(snapshot: &Snapshot) -> bool {
    subscribers(snapshot).count() < RECIPIENTS_PER_HANDLE_MAX
}

/// Whether they were asked, and can answer no more.
fn has_lapsed(entry: &Entry, now: Timestamp) -> bool {
    entry.subscription.recipient.as_ref().is_some_and(|recipient| recipient.has_lapsed(now))
}
