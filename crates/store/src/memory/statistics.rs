//! Statistics of subscriptions, in memory.

use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::retention::Cutoffs;
use angarium_domain::statistics::{Grain, Tally};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::event_log::Lane;
use crate::statistics::{Backlog, Counted, Statistics};

/// A span of a subscription.
pub(super) type Span = (Handle, SubscriptionId, Grain, Timestamp);

#[async_trait]
impl Statistics for MemoryStore {
    async fn count(&self, counted: Vec<Counted>) -> Result<(), StoreError> {
        let mut contents = self.lock();
        for Counted { handle, subscription_id, at, tally } in counted {
            if contents.has_subscription(&handle, subscription_id) {
                for grain in Grain::ALL {
                    let span = (handle.clone(), subscription_id, grain, grain.begin(at));
                    contents.tallies.entry(span).or_default().add(&tally);
                }
            }
        }
        Ok(())
    }

    async fn tally(&self, of: &Lane, grain: Grain, since: Timestamp) -> Result<Tally, StoreError> {
        let contents = self.lock();
        let span = |at| (of.handle.clone(), of.subscription_id, grain, at);
        let mut sum = Tally::default();
        for (_, tally) in contents.tallies.range(span(since)..=span(Timestamp::MAX)) {
            sum.add(tally);
        }
        Ok(sum)
    }

    async fn waiting(&self, of: &Lane, limit: u32) -> Result<Backlog, StoreError> {
        let contents = self.lock();
        let lane = (of.handle.clone(), of.subscription_id);
        let first: Vec<_> = contents.deliveries.scheduled(&lane).take(limit as usize).collect();
        let behind = contents.deliveries.waiting(&lane).take(limit as usize - first.len()).count();
        Ok(Backlog {
            scheduled: (first.len() + behind) as u32,
            oldest_made_at: first.iter().map(|(_, id)| *id).min().map(|id| id.made_at()),
            next_due_at: first.first().map(|(due_at, _)| *due_at),
        })
    }
}

impl Contents {
    pub(super) fn forget_tallies(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let is_old = |span: &&Span| span.3 < cutoffs.tallies_before(span.2);
        let old: Vec<Span> = self.tallies.keys().filter(is_old).take(limit as usize).cloned().collect();
        for span in &old {
            self.tallies.remove(span);
        }
        old.len() as u64
    }

    /// A subscription is gone, and what was counted for it.
    pub(super) fn remove_tallies(&mut self, handle: &Handle, id: SubscriptionId) {
        self.tallies.retain(|(of, subscription_id, ..), _| of != handle || *subscription_id != id);
    }
}
