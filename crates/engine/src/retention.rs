//! Chores: forgetting what is old, taking back leases whose holder is gone, looking at the queue.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::retention::Retention;
use angarium_store::delivery_queue::Held;
use angarium_store::{Store, StoreError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::dispatcher::inbox::DispatcherHandle;
use crate::inbox::live::InboxLive;
use crate::metrics::Metrics;

const FORGET_INTERVAL: Duration = Duration::from_mins(1);
/// Deliveries counted at most when the backlog is looked at: a few milliseconds of reading.
const BACKLOG_MAX: u32 = 100_000;
/// Open reports counted at most.
const REPORTS_MAX: u32 = 100_000;
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Rows of one kind forgotten in one transaction: bounds the time that it holds the writer.
const FORGET_BATCH: u32 = 500;
/// A lease ends by itself only if its holder hangs or lost its way; the holder's own release comes
/// first, so we look a while after the end.
const LEASE_GRACE: Duration = Duration::from_secs(30);

/// What the chores are done with.
pub(crate) struct Chores {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) dispatcher: DispatcherHandle,
    pub(crate) inbox: InboxLive,
}

pub(crate) async fn run(chores: Chores, retention: Retention, stopped: CancellationToken) {
    let Chores { store, clock, metrics, dispatcher, inbox } = chores;
    let mut forget = tokio::time::interval(FORGET_INTERVAL);
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let done = tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            _ = look.tick() => look_around(&*store, &*clock, &metrics, &dispatcher).await,
            _ = forget.tick() => match forget_some(&*store, &*clock, retention, &inbox).await {
                // There may be more: at once, but not before somebody has looked around.
                Ok(true) => {
                    forget.reset_immediately();
                    Ok(())
                }
                forgotten => forgotten.map(drop),
            },
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a chore was not done; it comes round again");
        }
    }
}

/// Forgets one batch, and says whether there was anything to forget.
async fn forget_some(
    store: &dyn Store,
    clock: &dyn Clock,
    retention: Retention,
    inbox: &InboxLive,
) -> Result<bool, StoreError> {
    let forgotten = store.forget(retention.cutoffs(clock.now()), FORGET_BATCH).await?;
    if forgotten.items > 0 {
        inbox.look_everywhere();
    }
    if forgotten.total() > 0 {
        tracing::debug!(?forgotten, "forgot what is older than its retention");
    }
    Ok(forgotten.total() > 0)
}

async fn look_around(
    store: &dyn Store,
    clock: &dyn Clock,
    metrics: &Metrics,
    dispatcher: &DispatcherHandle,
) -> Result<(), StoreError> {
    let now = clock.now();
    metrics.backlog(store.backlog(BACKLOG_MAX).await?);
    metrics.oldest_due(store.oldest_due().await?.map(|due| now.since(due)));
    metrics.sessions(store.sessions_held().await?);
    metrics.reports_open(&store.open_reports(REPORTS_MAX).await?);
    let lost = store.take_back(Held::Until(now.saturating_sub(LEASE_GRACE)), now).await?;
    if lost > 0 {
        tracing::warn!(lost, "took back deliveries whose lease had ended");
        dispatcher.look_again().await;
    }
    Ok(())
}
