//! Telling the dispatcher how a lane is, after its subscription changed.

use std::sync::Arc;

use angarium_domain::dispatch::{Input, LaneRules};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::subscription::Subscription;
use angarium_store::directory::Entry;

use crate::dispatcher::inbox::DispatcherHandle;
use crate::endings::Removals;
use crate::snapshots::{Snapshots, find};

/// The way from changes to lanes.
#[derive(Clone)]
pub(crate) struct Lanes {
    snapshots: Snapshots,
    dispatcher: DispatcherHandle,
    /// Held while the dispatcher is told of a change: of two changes that overtake each other, the
    /// last one told has read both.
    telling: Arc<tokio::sync::Mutex<()>>,
    removals: Removals,
}

impl Lanes {
    pub(crate) fn new(snapshots: Snapshots, dispatcher: DispatcherHandle, removals: Removals) -> Lanes {
        Lanes { snapshots, dispatcher, telling: Arc::default(), removals }
    }

    /// A subscription is another one now: its lane goes by its new rules. `rules` are those of the
    /// change, for a store that cannot be read.
    pub(crate) async fn changed(&self, handle: &Handle, id: SubscriptionId, rules: LaneRules) {
        let _in_turn = self.telling.lock().await;
        self.snapshots.renew(handle).await;
        let now = self.snapshots.get(handle).await.ok();
        let of_now = now
            .as_ref()
            .and_then(|snapshot| Some(LaneRules::of(&find(snapshot, id)?.subscription, &snapshot.account)));
        let rules = of_now.unwrap_or(rules);
        self.dispatcher.tell(vec![Input::Changed { handle: handle.clone(), lane: id, rules }]).await;
    }

    /// A subscription is there no more.
    pub(crate) async fn removed(&self, handle: &Handle, id: SubscriptionId) {
        self.removals.notify_one();
        let _in_turn = self.telling.lock().await;
        self.snapshots.renew(handle).await;
        self.dispatcher.tell(vec![Input::Removed(id)]).await;
    }

    /// A handle may act otherwise now, or is there no more: all of its lanes go by that.
    pub(crate) async fn all_changed(&self, handle: &Handle) {
        let _in_turn = self.telling.lock().await;
        self.snapshots.renew(handle).await;
        let snapshot = match self.snapshots.get(handle).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(%error, %handle, "the lanes of a handle were not told of a change; each attempt looks");
                return;
            }
        };
        let input = |entry: &Arc<Entry>| {
            let Subscription { id, .. } = entry.subscription;
            if snapshot.account.is_removed() {
                return Input::Removed(id);
            }
            let rules = LaneRules::of(&entry.subscription, &snapshot.account);
            Input::Changed { handle: handle.clone(), lane: id, rules }
        };
        self.dispatcher.tell(snapshot.subscriptions.iter().map(input).collect()).await;
    }

    /// A handle changed, and no lane with it.
    pub(crate) async fn unchanged(&self, handle: &Handle) {
        self.snapshots.renew(handle).await;
    }

    /// Returns when the dispatcher has acted upon what it was told.
    pub(crate) async fn caught_up(&self) {
        self.dispatcher.caught_up().await;
    }
}
