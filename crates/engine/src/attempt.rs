//! One attempt: load, sign, send, settle.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use angarium_channels::email::NoConnection;
use angarium_channels::{Channel, Request};
use angarium_domain::account::Account;
use angarium_domain::attempt::{AttemptRecord, Exchange};
use angarium_domain::auto_disable::Turn;
use angarium_domain::delivery::{DeathCause, Delivery, Settlement, State};
use angarium_domain::dispatch::{Head, Input, LaneRules};
use angarium_domain::inbox::Item;
use angarium_domain::outcome::{Failure, Outcome};
use angarium_domain::recipient::{CONFIRMATION, Place};
use angarium_domain::signature::ToSign;
use angarium_domain::subscription::ChannelKind;
use angarium_domain::time::Timestamp;
use angarium_domain::verification::Method;
use angarium_store::crash_point::{self, CrashPoint};
use angarium_store::delivery_queue::{Lease, Leased, Settle, Unreadable};
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::write::AuditEntry;
use angarium_store::{Store, StoreError};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::alerts::Failures;
use crate::catalogs::Catalogs;
use crate::clock::Clock;
use crate::dispatcher::inbox::{DispatcherHandle, Work};
use crate::follow_up::{Decider, FollowUp, Settled, address};
use crate::ids::IdSource;
use crate::inbox::live::InboxLive;
use crate::lanes::Lanes;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::outages::Outages;
use crate::planner::Planner;
use crate::post::Post;
use crate::snapshots::{Snapshots, find};
use crate::start::Ground;
use crate::statistics::Counters;
use crate::traces::{Span, Traces};
use crate::{Parts, Settings};

/// The first wait before a store that could not settle is asked again, and the longest.
const SETTLE_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

#[derive(Clone)]
pub(crate) struct Attempts {
    store: Arc<dyn Store>,
    channel: Arc<dyn Channel>,
    post: Post,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    metrics: Arc<Metrics>,
    snapshots: Snapshots,
    planner: Planner,
    dispatcher: DispatcherHandle,
    lanes: Lanes,
    outages: Outages,
    live: Live,
    inbox: InboxLive,
    catalogs: Catalogs,
    traces: Traces,
    counters: Arc<Counters>,
    failures: Failures,
    settings: Settings,
}

impl Attempts {
    pub(crate) fn new(parts: &Parts, settings: Settings, ground: &Ground) -> Attempts {
        let Parts { store, channel, clock, ids, metrics, traces, .. } = parts.clone();
        Attempts {
            store,
            channel,
            post: ground.post.clone(),
            clock,
            ids,
            metrics,
            snapshots: ground.desk.snapshots.clone(),
            planner: ground.desk.planner.clone(),
            dispatcher: ground.dispatcher.clone(),
            lanes: ground.lanes.clone(),
            outages: ground.outages.clone(),
            live: ground.live.clone(),
            inbox: ground.inbox_live.clone(),
            catalogs: ground.desk.catalogs.clone(),
            traces,
            counters: ground.counters.clone(),
            failures: ground.failures.clone(),
            settings,
        }
    }

    /// Sees one leased delivery through to its settlement or release, and tells the dispatcher.
    pub(crate) async fn run(self, work: Work, out_since: Option<Timestamp>, cutoff: CancellationToken) {
        let lane = work.0.delivery.subscription_id;
        let ended = self.attempt(&work.0, out_since, &cutoff).await;
        let mut inputs = Vec::with_capacity(2);
        let outcome = match ended {
            Ok(Ended { outcome, scheduled }) => {
                inputs.extend(scheduled.map(Input::Scheduled));
                outcome
            }
            Err(StoreError::LeaseLost) => {
                tracing::warn!(delivery = %work.0.delivery.id, "the lease was lost; the result is dropped");
                None
            }
            Err(error) => {
                tracing::error!(%error, delivery = %work.0.delivery.id, "the delivery could not be settled; it is attempted again when its lease ends");
                None
            }
        };
        inputs.push(Input::Finished { lane, outcome });
        self.dispatcher.tell(inputs).await;
    }

    async fn attempt(
        &self,
        leased: &Leased,
        out_since: Option<Timestamp>,
        cutoff: &CancellationToken,
    ) -> Result<Ended, StoreError> {
        let snapshot = self.snapshots.get(&leased.lease.handle).await?;
        let entry = find(&snapshot, leased.delivery.subscription_id);
        let Some(entry) = entry.filter(|_| !snapshot.account.is_removed()) else {
            return self.cancel(leased).await;
        };
        if !is_wanted_still(leased, entry) {
            return self.cancel(leased).await;
        }
        if entry.subscription.holds() || snapshot.account.holds_deliveries() {
            return self.release(leased, entry, &snapshot.account).await;
        }
        let now = self.clock.now();
        if let Some(settlement) =
            out_since.and_then(|since| leased.delivery.expire(&entry.subscription.retry_policy, since, now))
        {
            let settled =
                Settled { leased, entry, settlement, outcome: None, turn: Turn::Unchanged, stored: None };
            return self.settle(settled, None).await;
        }
        if entry.subscription.channel() == ChannelKind::Email
            && let Some(opening) = self.post.postponed(leased, &snapshot, now).await?
        {
            return self.release_until(leased, entry, &snapshot.account, opening).await;
        }
        if entry.subscription.channel() == ChannelKind::Inbox {
            return self.put_into_inbox(leased, entry, &snapshot, now).await;
        }
        let span = self.traces.attempt(leased, address(leased, entry));
        let sending = AssertUnwindSafe(self.send(leased, entry, now)).catch_unwind();
        let exchange = tokio::select! {
            biased;
            exchange = sending => exchange.unwrap_or_else(|_| Ok(panicked(entry))),
            () = cutoff.cancelled() => return self.release(leased, entry, &snapshot.account).await,
        };
        // Nothing was tried, so nothing is counted.
        let Ok(exchange) = exchange else { return self.release(leased, entry, &snapshot.account).await };
        crash_point::reach(CrashPoint::AfterAnswerBeforeSettle);
        self.conclude(leased, entry, now, exchange, (span, None)).await
    }

    /// The inbox is in the store: its item is written with the settlement, and so exactly once.
    async fn put_into_inbox(
        &self,
        leased: &Leased,
        entry: &Entry,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        let handle = &leased.lease.handle;
        let catalog = self.catalogs.of(handle, snapshot).await?;
        let known = catalog.as_ref().and_then(|catalog| catalog.get(&leased.event.event_type));
        let description = known.and_then(|known| known.description.as_deref());
        let item = Arc::new(Item::of_event(&leased.event, leased.delivery.id, description, now));
        let exchange = Exchange::stored(entry.subscription.endpoint_url.as_str());
        let ended = self.conclude(leased, entry, now, exchange, (None, Some(&item))).await?;
        self.inbox.look(handle);
        Ok(ended)
    }

    async fn send(&self, leased: &Leased, entry: &Entry, now: Timestamp) -> Result<Exchange, NoConnection> {
        match entry.subscription.channel() {
            ChannelKind::Webhook => Ok(self.send_webhook(leased, entry, now).await),
            ChannelKind::Email => {
                let exchange = self.post.send(leased, entry).await?;
                self.post.observe(exchange.outcome, self.clock.now());
                Ok(exchange)
            }
            // Its items are put into it above, with their settlements, and nothing is sent.
            ChannelKind::Inbox => {
                let endpoint = entry.subscription.endpoint_url.without_query();
                Ok(Exchange::failed(Failure::NotConfigured, endpoint, "there is no inbox"))
            }
        }
    }

    async fn send_webhook(&self, leased: &Leased, entry: &Entry, now: Timestamp) -> Exchange {
        let mut request = signed(leased, entry, now);
        if asks_by_handshake(entry) {
            // Who consented to this name wants to see it on every delivery.
            let origin = self.channel.origin().to_owned();
            request.headers.push(("webhook-request-origin".to_owned(), origin));
        }
        self.channel.send(request, entry.subscription.timeout()).await
    }

    async fn conclude(
        &self,
        leased: &Leased,
        entry: &Entry,
        started_at: Timestamp,
        exchange: Exchange,
        (span, stored): (Option<Span>, Option<&Arc<Item>>),
    ) -> Result<Ended, StoreError> {
        let now = self.clock.now();
        let policy = &entry.subscription.retry_policy;
        let settlement =
            leased.delivery.settle(exchange.outcome, policy, now).map_err(|_| StoreError::LeaseLost)?;
        let settlement = settlement.hastened(self.settings.retry_waits_percent, now);
        let outcome = exchange.outcome;
        let class = outcome.class(policy.retry_on());
        self.metrics.attempted(outcome, class, Duration::from_micros(exchange.timing.total_us));
        if let Some(span) = span {
            span.answered(&exchange, class);
        }
        let number = leased.delivery.next_attempt();
        let record = AttemptRecord { number, started_at, exchange, class, delay: settlement.delay };
        let took = took(&record);
        let turn = if address(leased, entry) == &entry.subscription.endpoint_url {
            self.outages.observe(&entry.subscription, outcome, now)
        } else {
            Turn::Unchanged
        };
        let settled = Settled { leased, entry, settlement, outcome: Some(outcome), turn, stored };
        let ended = self.settle(settled, Some(record)).await;
        let id = entry.subscription.id;
        match ended {
            Ok(_) => self.outages.keep(&leased.lease.handle, id, turn).await,
            Err(_) => self.outages.undo(id, turn),
        }
        if let Err(StoreError::LeaseLost) = ended {
            self.live.attempted(&leased.delivery, outcome, took);
        }
        ended
    }

    /// Settles, and publishes what follows in the same commit.
    async fn settle(&self, settled: Settled<'_>, record: Option<AttemptRecord>) -> Result<Ended, StoreError> {
        let Settled { leased, entry, settlement, outcome, .. } = settled;
        let took = record.as_ref().map(took);
        let next_due_at = if settled.has_follow_up() {
            self.settle_and_tell(settled, record).await?
        } else {
            self.insist(|| Settle {
                lease: leased.lease.clone(),
                settlement,
                record: record.clone(),
                follow_up: settled.stored_alone(),
            })
            .await?
        };
        self.count(leased, settlement, took);
        self.live.settled(&leased.delivery, &settlement, took);
        let due_at = match settlement.next {
            State::Scheduled { due_at } => Some(due_at),
            _ => next_due_at,
        };
        let scheduled = match due_at {
            Some(due_at) => {
                // The lane is there and knows better; this is for the case that it is not.
                let snapshot = self.snapshots.get(&leased.lease.handle).await.unwrap_or_default();
                Some(head(&leased.lease, entry, &snapshot.account, due_at))
            }
            None => None,
        };
        Ok(Ended { outcome, scheduled })
    }

    async fn settle_and_tell(
        &self,
        settled: Settled<'_>,
        record: Option<AttemptRecord>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (leased, lease) = (settled.leased, &settled.leased.lease);
        let decider = Decider { planner: &self.planner, ids: &*self.ids, now: self.clock.now() };
        loop {
            let snapshot = self.snapshots.get(&lease.handle).await?;
            let follow_up = decider.decide(&snapshot, settled);
            let settle = || Settle {
                lease: lease.clone(),
                settlement: settled.settlement,
                record: record.clone(),
                follow_up: follow_up.append(&snapshot, settled),
            };
            match self.insist(settle).await {
                Ok(next_due_at) => {
                    let in_the_inbox = follow_up.is_in_the_inbox();
                    let FollowUp { plan, changed, audit, .. } = follow_up;
                    if in_the_inbox {
                        self.inbox.look(&lease.handle);
                    }
                    self.planner.announce(plan).await;
                    if settled.settlement.is_a_death() {
                        self.failures.notify_one();
                    }
                    if let Some(AuditEntry { handle, action, object, .. }) = audit {
                        let delivery = leased.delivery.id;
                        tracing::info!(%handle, subscription = object, %action, %delivery, "a subscription stands otherwise");
                    }
                    if let Some(entry) = changed {
                        self.stands_otherwise(&entry).await;
                    }
                    return Ok(next_due_at);
                }
                Err(StoreError::Conflict) => self.snapshots.refresh(&lease.handle).await.map(drop)?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn stands_otherwise(&self, entry: &Entry) {
        let subscription = &entry.subscription;
        if subscription.disabled.is_some() {
            self.outages.forget(&subscription.handle, subscription.id).await;
        }
        // These are for a store that cannot be read, which is no time to look for the account.
        let rules = LaneRules::of(subscription, &Account::default());
        self.lanes.changed(&subscription.handle, subscription.id, rules).await;
    }

    /// Settles, again and again while the store is unavailable and the lease holds: the receiver
    /// has answered, and forgetting that would send twice.
    ///
    /// Answers when the delivery is due that waited behind this one.
    async fn insist(
        &self,
        settle: impl Fn() -> Settle + Send + Sync,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (mut wait, longest) = SETTLE_AGAIN;
        loop {
            let again = settle();
            let until = again.lease.until;
            match self.store.settle(again).await {
                Err(StoreError::Unavailable { .. }) if self.clock.now() + wait < until => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(longest);
                }
                settled => return settled,
            }
        }
    }

    /// The subscription is gone: nothing is sent.
    pub(crate) async fn cancel(&self, leased: &Leased) -> Result<Ended, StoreError> {
        let settlement = leased.delivery.cancel(self.clock.now());
        self.insist(|| Settle { lease: leased.lease.clone(), settlement, record: None, follow_up: None })
            .await?;
        self.live.settled(&leased.delivery, &settlement, None);
        Ok(Ended { outcome: None, scheduled: None })
    }

    /// Ends a delivery that cannot be read. Answers when the one is due that waited behind it.
    pub(crate) async fn give_up(&self, found: Unreadable) -> Result<Option<Timestamp>, StoreError> {
        let Unreadable { lease, attempts_made, reason } = found;
        tracing::error!(delivery = %lease.delivery_id, handle = %lease.handle, reason, "a delivery cannot be read and is dead");
        let settlement = Settlement::unreadable(attempts_made, self.clock.now());
        let next_due_at = self
            .insist(|| Settle { lease: lease.clone(), settlement, record: None, follow_up: None })
            .await?;
        self.metrics.dead(DeathCause::Unreadable);
        Ok(next_due_at)
    }

    /// Gives the delivery back as if it had not been claimed.
    async fn release(&self, leased: &Leased, entry: &Entry, account: &Account) -> Result<Ended, StoreError> {
        self.release_until(leased, entry, account, self.clock.now()).await
    }

    /// The same, and it is not to be claimed before a time.
    async fn release_until(
        &self,
        leased: &Leased,
        entry: &Entry,
        account: &Account,
        due_at: Timestamp,
    ) -> Result<Ended, StoreError> {
        self.store.release(vec![(leased.lease.clone(), due_at)]).await?;
        Ok(Ended { outcome: None, scheduled: Some(head(&leased.lease, entry, account, due_at)) })
    }

    fn count(&self, leased: &Leased, settlement: Settlement, took: Option<Duration>) {
        self.counters.settled(&leased.delivery, &settlement, took, self.clock.now());
        match settlement.next {
            // A replay begins with its own delivery, and not when its event was accepted.
            State::Delivered { at } => self.metrics.delivered(at.since(leased.delivery.id.made_at())),
            State::Dead { cause, .. } => self.metrics.dead(cause),
            State::Scheduled { .. } | State::InFlight { .. } | State::Cancelled { .. } => {}
        }
    }
}

/// How an attempt ended, for the dispatcher.
pub(crate) struct Ended {
    outcome: Option<Outcome>,
    scheduled: Option<Head>,
}

fn took(record: &AttemptRecord) -> Duration {
    Duration::from_micros(record.exchange.timing.total_us)
}

fn head(lease: &Lease, entry: &Entry, account: &Account, due_at: Timestamp) -> Head {
    let subscription = &entry.subscription;
    let rules = LaneRules::of(subscription, account);
    Head { handle: lease.handle.clone(), lane: subscription.id, rules, due_at }
}

fn asks_by_handshake(entry: &Entry) -> bool {
    let verification = entry.subscription.verification.as_ref();
    verification.is_some_and(|verification| verification.method == Method::CloudEvents)
}

/// Whether whoever reads the mails of a subscription still wants this one.
fn is_wanted_still(leased: &Leased, entry: &Entry) -> bool {
    let Delivery { event_type, endpoint_override, .. } = &leased.delivery;
    let place = Place::of(endpoint_override.as_ref(), &entry.subscription.endpoint_url);
    entry.subscription.recipient.as_ref().is_none_or(|recipient| {
        recipient.may_be_sent(event_type, place)
            && (event_type.as_str() != CONFIRMATION
                || recipient.is_asked_by(&leased.event.payload.to_value()))
    })
}

/// The request, signed at the moment of sending.
fn signed(leased: &Leased, entry: &Entry, now: Timestamp) -> Request {
    let Leased { delivery, event, .. } = leased;
    let subscription = &entry.subscription;
    let (format, attempt) = (subscription.payload_format, delivery.next_attempt());
    let body = format.body(event, attempt);
    let to_sign = ToSign { event_id: event.id, event_type: &event.event_type, attempt, at: now, body: &body };
    let signatures = subscription.signing_profile.headers(&entry.keys, &to_sign);
    let about_body = format.headers(event, attempt);
    let count = 1 + about_body.len() + signatures.len() + subscription.headers.iter().len();
    let mut headers = Vec::with_capacity(count);
    headers.push(("content-type".to_owned(), format.content_type().to_owned()));
    headers.extend(about_body.into_iter().chain(signatures).map(|(name, value)| (name.to_owned(), value)));
    headers.extend(subscription.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let url = address(leased, entry).clone();
    Request { url, headers, body }
}

/// A panic on the way is our fault: it counts as a failed attempt, so that a delivery that always
/// panics ends in the dead letters and not in a loop.
fn panicked(entry: &Entry) -> Exchange {
    let endpoint = entry.subscription.endpoint_url.without_query();
    Exchange::failed(Failure::InternalError, endpoint, "the attempt could not be made; this is our fault")
}
