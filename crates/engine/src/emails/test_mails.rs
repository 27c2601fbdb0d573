//! Test mails: to whoever takes mails, and few of them.

use std::sync::Arc;

use angarium_domain::audit::changed;
use angarium_domain::event::{Event, Origin};
use angarium_domain::ids::SubscriptionId;
use angarium_domain::mail_address::MailAddress;
use angarium_domain::recipient::{self, Standing};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::event_log::Append;
use angarium_store::write::Written;
use serde_json::json;

use super::loss::is_stale;
use super::{EmailError, Emails, MailTested, find_subscriber, mailbox, questions, standing};
use crate::Caller;
use crate::once::{Once, Reply};
use crate::planner::Again;

impl Emails {
    /// Queues a test mail to somebody who confirmed.
    pub async fn test(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<MailTested>,
    ) -> Result<Reply, EmailError> {
        self.test_of(caller, once, |snapshot| {
            find_subscriber(snapshot, id).cloned().ok_or(EmailError::NotFound)
        })
        .await
    }

    pub(super) async fn test_of(
        &self,
        caller: Caller,
        once: Once<MailTested>,
        of: impl Fn(&Snapshot) -> Result<Arc<Entry>, EmailError> + Send + Sync,
    ) -> Result<Reply, EmailError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<EmailError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        self.require_post()?;
        let _turn = self.questions.turn(&caller.handle).await;
        let origin = Origin::of_test(caller.mode);
        let lately =
            self.questions.lately(&caller.handle, recipient::TEST, origin, recipient::TESTS_MAX).await?;
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            let entry = of(&snapshot)?;
            match standing(&entry) {
                Standing::Degraded if is_stale(&entry) && self.post.is_stale(self.desk.clock.now()) => {
                    return Err(EmailError::StaleProviderReference);
                }
                Standing::Active | Standing::Degraded => {}
                Standing::Suppressed => return Err(EmailError::Suppressed),
                Standing::PendingConfirmation | Standing::Unsubscribed => {
                    return Err(EmailError::NotConfirmed);
                }
            }
            let now = self.desk.clock.now();
            let id = entry.subscription.id;
            let address = mailbox(&entry.subscription.endpoint_url).ok_or(EmailError::NotFound)?;
            require_few_tests(&lately, &address, now)?;
            let payload = json!({ "subscriptionId": id, "email": address, "test": true });
            let event = self.event(&caller, recipient::TEST, origin, &payload, now);
            let mut plan = self.desk.planner.plan();
            let (account, to) = (&snapshot.account, &entry.subscription);
            let delivery_id = self.desk.planner.add(&mut plan, account, to, &event, Again::default(), now);
            let tested = MailTested { event_id: event.id, delivery_id };
            let (answer, idempotency) = once.answer_to(&tested, now);
            let told = changed(None, Some(&json!({ "eventId": event.id, "deliveryId": delivery_id })));
            let audit = caller.audit_of(now, "email.tested", id.to_string(), told);
            let append = Append {
                decided_upon: vec![(caller.handle.clone(), snapshot.version)],
                events: vec![event],
                deliveries: plan.deliveries(),
                context: caller.context(idempotency, Some(audit)),
                ..Append::default()
            };
            match self.desk.store.append(append).await {
                Ok(written) => {
                    if let Written::Done(()) = written {
                        self.desk.planner.announce(plan).await;
                    }
                    return Ok(once.reply(written, answer)?);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EmailError::OVERLOADED)
    }
}

/// Refuses a test mail if there were as many in the last hour as there may be: each is a mail to
/// somebody who perhaps never asked for one.
fn require_few_tests(lately: &[Arc<Event>], to: &MailAddress, now: Timestamp) -> Result<(), EmailError> {
    let key = to.key();
    let same: Vec<_> = lately.iter().filter(|event| questions::is_about(event, &key)).collect();
    let oldest = if lately.len() >= recipient::TESTS_MAX {
        lately.last()
    } else {
        same.get(recipient::TESTS_PER_MAILBOX_MAX - 1).copied()
    };
    match oldest {
        Some(oldest) => {
            let retry_after = (oldest.accepted_at + recipient::QUESTION_INTERVAL).since(now);
            Err(EmailError::TooManyTests { retry_after })
        }
        None => Ok(()),
    }
}
