//! Mails: what one says, and whom it goes to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use angarium_channels::email::{Mail, Mailer, NoConnection};
use angarium_domain::attempt::Exchange;
use angarium_domain::catalog::built_in;
use angarium_domain::delivery::Delivery;
use angarium_domain::event::Event;
use angarium_domain::letter::{Links, letter};
use angarium_domain::mail_address::MailAddress;
use angarium_domain::mail_link::{Purpose, token};
use angarium_domain::outcome::{Failure, Outcome};
use angarium_domain::recipient;
use angarium_domain::time::Timestamp;
use angarium_store::delivery_queue::Leased;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::catalogs::Catalogs;
use crate::follow_up::address;
use crate::sender_watch::{LookedUp, SenderWatch};
use crate::snapshots::Snapshots;
use crate::{Mailing, Parts};

/// Writes mails and hands them to whoever sends them.
#[derive(Clone)]
pub(crate) struct Post {
    store: Arc<dyn Store>,
    mailer: Arc<dyn Mailer>,
    public_url: Option<Arc<str>>,
    sender: Option<Arc<SenderWatch>>,
    catalogs: Catalogs,
    snapshots: Snapshots,
    /// Whether the mail server took no mails when it was last asked, for the log alone.
    is_away: Arc<AtomicBool>,
    /// When whoever takes the mails said last that they know this service no longer; none since they took one.
    stale_at: Arc<Mutex<Option<Timestamp>>>,
}

/// Why nothing was sent.
const ON_THE_LIST: &str = "the address is on the suppression list; nothing was sent";

/// For so long no test is sent after such an answer: it would end the same way. What is retried shows when it is
/// over.
const STALE_FOR: Duration = Duration::from_mins(5);

impl Post {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        mailing: Mailing,
        catalogs: Catalogs,
        snapshots: Snapshots,
    ) -> Post {
        let Mailing { mailer, public_url, sender_domain, .. } = mailing;
        let sender = sender_domain.map(|domain| Arc::new(SenderWatch::new(domain)));
        Post {
            store,
            mailer,
            public_url,
            sender,
            catalogs,
            snapshots,
            is_away: Arc::default(),
            stale_at: Arc::default(),
        }
    }

    /// Whether mails can be sent with links that lead here.
    pub(crate) fn is_configured(&self) -> bool {
        self.mailer.is_configured() && self.public_url.is_some()
    }

    /// Whether whoever takes the mails said lately that they know this service no longer.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        let stale_at = self.stale_at.lock().unwrap_or_else(PoisonError::into_inner);
        stale_at.is_some_and(|at| now < at + STALE_FOR)
    }

    /// Takes note of what an attempt says about us, and tells the operator of the first of them.
    pub(crate) fn observe(&self, outcome: Outcome, now: Timestamp) {
        let mut stale_at = self.stale_at.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Failed { failure: Failure::StaleProviderReference } => {
                if stale_at.replace(now).is_none() {
                    tracing::error!(
                        "the mail provider knows the sender or the configuration set no longer: make it again there, or \
                         name another in email.from or ses.configuration_set"
                    );
                }
            }
            Outcome::Replied { .. } if stale_at.take().is_some() => {
                tracing::info!("the mail provider knows the sender and the configuration set again");
            }
            Outcome::Replied { .. } | Outcome::Answered { .. } | Outcome::Stored | Outcome::Failed { .. } => {
            }
        }
    }

    /// What was found of the domain that mails come from; none if none are sent.
    pub(crate) fn sender_domain(&self) -> Option<Arc<LookedUp>> {
        self.sender.as_ref().map(|sender| sender.last())
    }

    /// Looks up what the DNS says of that domain, for as long as this process runs.
    pub(crate) fn watch(
        &self,
        parts: &Parts,
        stopped: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let watched = self.sender.clone().zip(parts.mailing.names.clone());
        let (clock, metrics) = (parts.clock.clone(), parts.metrics.clone());
        async move {
            if let Some((sender, names)) = watched {
                sender.run(&*names, &*clock, &metrics, stopped).await;
            }
        }
    }

    /// When a mail may go out that would go out now, if it is to wait: its reader is not to be disturbed
    /// by what is not critical.
    pub(crate) async fn postponed(
        &self,
        leased: &Leased,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (notices, event_type) = (&snapshot.account.notices, &leased.event.event_type);
        let opening = notices.opening(&snapshot.account, now);
        if opening <= now {
            return Ok(None);
        }
        let catalog = self.catalogs.of(&leased.lease.handle, snapshot).await?;
        let described = catalog.as_ref().and_then(|catalog| catalog.get(event_type));
        let urgent = notices.is_urgent(event_type, described.map(|described| described.critical));
        Ok((!urgent).then_some(opening))
    }

    /// One attempt to send one delivery.
    ///
    /// # Errors
    ///
    /// [`NoConnection`] if nothing was tried.
    pub(crate) async fn send(&self, leased: &Leased, entry: &Entry) -> Result<Exchange, NoConnection> {
        let endpoint = address(leased, entry);
        let failed =
            |failure, detail: String| Ok(Exchange::failed(failure, endpoint.without_query(), detail));
        // What is known of the present mailbox says nothing about another one.
        let elsewhere = *endpoint != entry.subscription.endpoint_url;
        let recipient = entry.subscription.recipient.as_ref().filter(|_| !elsewhere);
        if let Some(failure) = recipient.and_then(|recipient| recipient.instead_of_sending()) {
            return failed(failure, ON_THE_LIST.to_owned());
        }
        let Some(to) = MailAddress::of_endpoint(endpoint) else {
            return failed(Failure::InternalError, "the address is no mailbox".to_owned());
        };
        let Leased { delivery, event, .. } = leased;
        match self.store.mailbox(&delivery.handle, &to.key()).await {
            Ok(known) if known.suppressed.is_some() => {
                return failed(Failure::Suppressed, ON_THE_LIST.to_owned());
            }
            Ok(_) => {}
            Err(error) => return failed(Failure::InternalError, error.to_string()),
        }
        let about = match self.about(event).await {
            Ok(about) => about,
            Err(error) => return failed(Failure::InternalError, error.to_string()),
        };
        // Whoever reads an address of before may neither answer nor end anything for the present one.
        let reader = (!elsewhere).then_some(&to);
        let links = self.links(delivery, entry, reader);
        let letter = letter(event, about.as_deref(), links);
        let handle = Some(delivery.handle.clone());
        let mail = Mail { id: delivery.id.to_string(), handle, to, letter, date: event.accepted_at };
        let exchange = self.mailer.send(mail, entry.subscription.timeout()).await?;
        self.log_turn(exchange.outcome, exchange.detail.as_deref());
        Ok(exchange)
    }

    /// Says once that the mail server is away, and once that it is back: each mail has a record of its own.
    fn log_turn(&self, outcome: Outcome, detail: Option<&str>) {
        let Some(is_there) = outcome.shows_mail_server() else { return };
        match (is_there, self.is_away.swap(!is_there, Ordering::Relaxed)) {
            (false, false) => tracing::warn!(
                outcome = outcome.kind(),
                detail,
                "the mail server takes no mails; they wait, and are tried again"
            ),
            (true, true) => tracing::info!("the mail server takes mails again"),
            (true, false) | (false, true) => {}
        }
    }

    /// What the catalogue says of an event's type.
    async fn about(&self, event: &Event) -> Result<Option<String>, StoreError> {
        if let Some(known) = built_in(&event.event_type) {
            return Ok(Some(known.description.to_owned()));
        }
        let snapshot = self.snapshots.get(&event.handle).await?;
        let catalog = self.catalogs.of(&event.handle, &snapshot).await?;
        let described = catalog.as_ref().and_then(|catalog| catalog.get(&event.event_type));
        Ok(described.and_then(|described| described.description.clone()))
    }

    fn links(&self, delivery: &Delivery, entry: &Entry, reader: Option<&MailAddress>) -> Links {
        let Some(base) = &self.public_url else { return Links::default() };
        let (handle, id) = (&delivery.handle, delivery.subscription_id);
        let link = |page: &str, purpose| {
            Some(format!("{base}/{page}/{}", token(&entry.keys, handle, id, reader?, purpose)?))
        };
        let asked_at = entry.subscription.recipient.as_ref().and_then(|recipient| recipient.asked_at());
        // Whoever was only told has no credential for the log, which would answer them 401.
        let recipient = entry.subscription.recipient.as_ref();
        let is_owner =
            recipient.is_some_and(|recipient| recipient.purpose == recipient::Purpose::OwnerDefault);
        let deliveries = is_owner.then(|| format!("{base}/v2/handles/{handle}/deliveries"));
        Links {
            delivery: deliveries.as_ref().map(|deliveries| format!("{deliveries}/{}", delivery.id)),
            deliveries,
            reports: is_owner.then(|| format!("{base}/v2/operator/reports")),
            confirm: asked_at.and_then(|asked_at| link("confirm", Purpose::Confirm(asked_at))),
            unsubscribe: link("unsubscribe", Purpose::Unsubscribe),
        }
    }
}
