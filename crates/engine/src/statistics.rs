//! What came of each subscription's attempts, and how its lane is doing now.
//!
//! Counted in memory, where each settlement costs a few additions, and written every few seconds
//! and at the end of a drain. A crash takes the last seconds of statistics, and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use angarium_domain::account::Account;
use angarium_domain::delivery::{Delivery, Settlement};
use angarium_domain::dispatch::{Condition, LaneReport, LaneRules};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::statistics::{Grain, Tally, Window};
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_store::event_log::Lane;
use angarium_store::page::{Page, PageRequest};
use angarium_store::statistics::{Backlog, Counted};
use angarium_store::{Store, StoreError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::Desk;
use crate::dispatcher::inbox::DispatcherHandle;
use crate::snapshots::{find_webhook, webhooks};

/// What was counted is written this often.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);
/// Subscriptions in one write: bounds the time that it holds the writer.
const WRITE_MAX: usize = 100;
/// Spans that may wait to be written while the store refuses; what comes beyond is not counted.
const WAITING_MAX: usize = 50_000;
/// Scheduled deliveries of a lane are counted up to this number.
const BACKLOG_MAX: u32 = 10_000;

/// A subscription, and the beginning of a fine span.
type Span = (SubscriptionId, Timestamp);

/// What was counted and not written yet.
pub(crate) struct Counters {
    store: Arc<dyn Store>,
    /// Shared, because attempts end on every thread; held for a few additions at a time.
    waiting: Mutex<BTreeMap<Span, (Handle, Tally)>>,
    /// Held while something is on its way to the store, so that a reader misses nothing.
    writing: tokio::sync::Mutex<()>,
}

impl Counters {
    pub(crate) fn new(store: Arc<dyn Store>) -> Counters {
        Counters { store, waiting: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    /// Counts a settlement; `took` is the duration of its attempt, if one was made.
    pub(crate) fn settled(
        &self,
        delivery: &Delivery,
        settlement: &Settlement,
        took: Option<Duration>,
        now: Timestamp,
    ) {
        let span = (delivery.subscription_id, Grain::Fine.begin(now));
        let waited = now.since(delivery.id.made_at());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX && !waiting.contains_key(&span) {
            return;
        }
        let (_, tally) = waiting.entry(span).or_insert_with(|| (delivery.handle.clone(), Tally::default()));
        tally.count(settlement, took, waited);
    }

    /// Writes what waits, now and then, until the drain begins.
    pub(crate) async fn run(self: Arc<Counters>, stopped: CancellationToken) {
        let mut ticks = tokio::time::interval(WRITE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                _ = ticks.tick() => self.write().await,
            }
        }
    }

    /// Writes what waits. What could not be written waits on.
    pub(crate) async fn write(&self) {
        let _writing = self.writing.lock().await;
        let taken = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut counted = taken.into_iter().map(|((subscription_id, at), (handle, tally))| Counted {
            handle,
            subscription_id,
            at,
            tally,
        });
        loop {
            let some: Vec<Counted> = counted.by_ref().take(WRITE_MAX).collect();
            if some.is_empty() {
                return;
            }
            if let Err(error) = self.store.count(some.clone()).await {
                tracing::warn!(%error, "statistics could not be written; they are written later");
                return self.put_back(some.into_iter().chain(counted));
            }
        }
    }

    fn put_back(&self, counted: impl Iterator<Item = Counted>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for Counted { handle, subscription_id, at, tally } in counted {
            let (_, sum) = waiting.entry((subscription_id, at)).or_insert_with(|| (handle, Tally::default()));
            sum.add(&tally);
        }
    }

    /// Everything that was counted in a window, written or not.
    async fn tally(&self, of: &Lane, window: Window, since: Timestamp) -> Result<Tally, StoreError> {
        let _writing = self.writing.lock().await;
        let mut sum = self.store.tally(of, window.grain(), since).await?;
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = (of.subscription_id, since)..=(of.subscription_id, Timestamp::MAX);
        waiting.range(newest).for_each(|(_, (_, tally))| sum.add(tally));
        Ok(sum)
    }
}

/// A subscription in figures.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Which subscription.
    pub subscription_id: SubscriptionId,
    /// When the window began, with a whole span.
    pub since: Timestamp,
    /// When they were read.
    pub until: Timestamp,
    /// What came of attempts since then.
    pub tally: Tally,
    /// What the lane is doing.
    pub condition: Condition,
    /// The lane in the dispatcher's eyes; none if it has done nothing since the service started.
    pub lane: Option<LaneReport>,
    /// What waits, counted up to ten thousand.
    pub backlog: Backlog,
}

impl Figures {
    /// Whether more waits than was counted.
    pub fn is_backlog_longer(&self) -> bool {
        self.backlog.scheduled > BACKLOG_MAX
    }
}

/// The statistics of all subscriptions.
#[derive(Clone)]
pub struct SubscriptionStatistics {
    desk: Desk,
    counters: Arc<Counters>,
    dispatcher: DispatcherHandle,
}

impl SubscriptionStatistics {
    pub(crate) fn new(desk: Desk, counters: Arc<Counters>, dispatcher: DispatcherHandle) -> Self {
        SubscriptionStatistics { desk, counters, dispatcher }
    }

    /// One subscription of a handle.
    pub async fn get(
        &self,
        handle: &Handle,
        id: SubscriptionId,
        window: Window,
    ) -> Result<Option<Figures>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        match find_webhook(&snapshot, id) {
            Some(entry) => self.figures(&snapshot.account, &entry.subscription, window).await.map(Some),
            None => Ok(None),
        }
    }

    /// A handle's subscriptions, newest first.
    pub async fn list(
        &self,
        handle: &Handle,
        window: Window,
        page: PageRequest,
    ) -> Result<Page<Figures>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let subscriptions = webhooks(&snapshot).rev().map(|entry| &entry.subscription);
        let older = subscriptions.filter(|s| page.before.is_none_or(|before| *s.id.as_bytes() < before));
        let asked: Vec<&Subscription> = older.take(page.limit as usize + 1).collect();
        let Page { items, next } = Page::cut(asked, page.limit, |subscription| *subscription.id.as_bytes());
        let mut figures = Vec::with_capacity(items.len());
        for subscription in items {
            figures.push(self.figures(&snapshot.account, subscription, window).await?);
        }
        Ok(Page { items: figures, next })
    }

    async fn figures(
        &self,
        account: &Account,
        of: &Subscription,
        window: Window,
    ) -> Result<Figures, StoreError> {
        let until = self.desk.clock.now();
        let since = window.since(until);
        let lane = Lane { handle: of.handle.clone(), subscription_id: of.id };
        let report = self.dispatcher.report(of.id).await;
        let unheard_of = if LaneRules::of(of, account).paused { Condition::Paused } else { Condition::Idle };
        Ok(Figures {
            subscription_id: of.id,
            since,
            until,
            tally: self.counters.tally(&lane, window, since).await?,
            condition: report.map_or(unheard_of, |report| report.condition),
            lane: report,
            // One more than is counted says whether there are more.
            backlog: self.desk.store.waiting(&lane, BACKLOG_MAX + 1).await?,
        })
    }
}
