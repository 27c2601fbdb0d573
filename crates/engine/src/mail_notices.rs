//! What a provider tells of mails that it took: bounces and complaints (decisions/0036).
//!
//! A notice never undoes a delivery: the provider had the mail, as the log says. It changes how the
//! subscription stands, and so what becomes of its next deliveries.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use angarium_channels::sns::{SnsVerifier, Unfetched, Unverified};
use angarium_domain::audit::Difference;
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::{KEY_KEPT, Record, Scope};
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::mail_address::MailAddress;
use angarium_domain::mail_notice::{MailNotice, What};
use angarium_domain::recipient::Mark;
use angarium_domain::sns::{self, Kind};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::event_log::Append;
use angarium_store::write::{AuditEntry, Context, Written};
use bytes::Bytes;

use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::snapshots::find;
use crate::{Desk, emails, follow_up};

/// How many messages are remembered, so that one that comes again is not counted again.
const REMEMBERED_MAX: usize = 10_000;
/// What stands in idempotency scopes for messages of SNS.
const ROUTE: &str = "public /providers/sns";
/// What a mail server would have said.
const BOUNCED: u16 = 550;

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The subscription's mailbox is sent nothing more.
    Suppressed,
    /// It was counted, and nothing else.
    Counted,
    /// The provider was told that we want its messages.
    Confirmed,
    /// It was seen before, or says nothing that matters here.
    None,
}

/// Why a message had no effect.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// It is not what it says.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// The provider cannot be told now. The same message may be confirmed later.
    #[error("the subscription cannot be confirmed now: {0}")]
    Unconfirmed(#[source] Unfetched),
    /// Others write to the same handle all the time.
    #[error("the handle changes too often; send it again")]
    Overloaded,
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes notices of mails.
#[derive(Clone)]
pub struct MailNotices {
    desk: Desk,
    sns: Arc<SnsVerifier>,
    inbox: Inbox,
    metrics: Arc<Metrics>,
    seen: Arc<Mutex<VecDeque<String>>>,
}

impl MailNotices {
    pub(crate) fn new(desk: Desk, sns: Arc<SnsVerifier>, inbox: Inbox, metrics: Arc<Metrics>) -> MailNotices {
        MailNotices { desk, sns, inbox, metrics, seen: Arc::default() }
    }

    /// Takes one message of SNS, as it was posted. Repeating is safe.
    pub async fn take(&self, body: &[u8]) -> Result<Effect, NoticeError> {
        let message = self.sns.verify(body, self.desk.clock.now()).await?;
        match message.kind {
            Kind::SubscriptionConfirmation => {
                self.sns.confirm(&message).await.map_err(NoticeError::Unconfirmed)?;
                tracing::info!(
                    topic = %message.topic_arn,
                    "confirmed that this service wants a topic's messages"
                );
                Ok(Effect::Confirmed)
            }
            Kind::UnsubscribeConfirmation => {
                tracing::warn!(topic = %message.topic_arn, "a topic sends no more messages to this service");
                Ok(Effect::None)
            }
            Kind::Notification => self.note(&message).await,
        }
    }

    async fn note(&self, message: &sns::Message) -> Result<Effect, NoticeError> {
        // What SES says when it is set up, and other messages of the topic, are nobody's mail.
        let Ok(notice) = MailNotice::read(&message.message) else { return Ok(Effect::None) };
        if self.has_seen(&message.message_id) {
            return Ok(Effect::None);
        }
        let effect = match (mark_of(notice.what), &notice.mail) {
            (Some(mark), Some((handle, delivery_id))) => {
                self.suppress(handle, *delivery_id, mark, &notice.recipients, &message.message_id).await?
            }
            _ if notice.what == What::Other => Effect::None,
            _ => Effect::Counted,
        };
        if self.remember(&message.message_id) {
            self.metrics.mail_noticed(notice.what.as_str());
        }
        Ok(effect)
    }

    /// Takes the mailbox of a delivery's subscription out of use, if it is the one that bounced.
    async fn suppress(
        &self,
        handle: &Handle,
        delivery_id: DeliveryId,
        mark: Mark,
        recipients: &[String],
        message_id: &str,
    ) -> Result<Effect, NoticeError> {
        let Some(logged) = self.desk.store.delivery(handle, delivery_id).await? else {
            // Forgotten with its log, or another installation's with the same topic.
            return Ok(Effect::None);
        };
        let id = logged.delivery.subscription_id;
        let mut decisions = self.desk.decisions(handle);
        while let Some(snapshot) = decisions.next().await? {
            let now = self.desk.clock.now();
            let Some(entry) = marked(&snapshot, id, mark, recipients, now) else { return Ok(Effect::None) };
            let context = Context {
                idempotency: Some(seen(handle, message_id, now)),
                audit: Some(audit(handle, id, delivery_id, now)),
                ..Context::default()
            };
            let lost = emails::lost(&entry.subscription).map(|item| self.inbox.beside(handle, item));
            let suppression = emails::suppression(&entry.subscription);
            let append = Append {
                decided_upon: vec![(handle.clone(), snapshot.version)],
                subscription: Some(Arc::new(entry)),
                beside: suppression.into_iter().chain(lost).collect(),
                context,
                ..Append::default()
            };
            match self.desk.store.append(append).await {
                Ok(Written::Done(())) => {
                    self.desk.snapshots.renew(handle).await;
                    self.inbox.look(handle);
                    return Ok(Effect::Suppressed);
                }
                Ok(Written::Seen(_)) => return Ok(Effect::None),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(NoticeError::Overloaded)
    }

    fn has_seen(&self, message_id: &str) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|seen| seen == message_id)
    }

    /// Whether it is new.
    fn remember(&self, message_id: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().any(|seen| seen == message_id) {
            return false;
        }
        if seen.len() == REMEMBERED_MAX {
            seen.pop_front();
        }
        seen.push_back(message_id.to_owned());
        true
    }
}

fn mark_of(what: What) -> Option<Mark> {
    match what {
        What::BouncedForGood => Some(Mark::Bounced(BOUNCED)),
        What::Complained => Some(Mark::Complained),
        What::BouncedForNow | What::Other => None,
    }
}

/// The subscription with the mark; none if it is gone, has another address by now, or has one already.
fn marked(
    snapshot: &Snapshot,
    id: SubscriptionId,
    mark: Mark,
    recipients: &[String],
    now: Timestamp,
) -> Option<Entry> {
    let entry = find(snapshot, id)?;
    let address = MailAddress::of_endpoint(&entry.subscription.endpoint_url)?;
    let is_meant =
        |text: &String| text.parse::<MailAddress>().is_ok_and(|other| address.is_same_mailbox(&other));
    if !recipients.iter().any(is_meant) {
        return None;
    }
    let mut entry = Entry::clone(entry);
    let recipient = entry.subscription.recipient.as_mut()?;
    if recipient.suppressed.is_some() {
        return None;
    }
    recipient.take(mark, now);
    Some(entry)
}

/// That this message had its effect, in the transaction of the effect.
fn seen(handle: &Handle, message_id: &str, now: Timestamp) -> Record {
    let scope = Scope::new(handle.as_str(), "POST", ROUTE, message_id);
    Record { scope, fingerprint: [0; 32], status: 200, body: Bytes::new(), expires_at: now + KEY_KEPT }
}

fn audit(handle: &Handle, id: SubscriptionId, delivery_id: DeliveryId, now: Timestamp) -> AuditEntry {
    AuditEntry {
        at: now,
        handle: handle.clone(),
        actor: follow_up::ACTOR.to_owned(),
        action: "subscription.suppressed".into(),
        object: id.to_string(),
        request_id: delivery_id.to_string(),
        ip: None,
        difference: Difference::default(),
    }
}
