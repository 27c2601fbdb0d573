//! Since when subscriptions do nothing but fail, for those that may be switched off for it.
//!
//! In memory, because every attempt of such a subscription asks; the store has it too, for the next
//! process. A note that a crash or a failing store swallows costs no more than time: nobody is
//! switched off whose owner was not told half of the time before.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use angarium_domain::auto_disable::{Outage, Turn};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::outcome::Outcome;
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_store::{Store, StoreError};

/// Shared, because every attempt reads it. Bounded by the subscriptions that there are.
#[derive(Clone)]
pub(crate) struct Outages {
    store: Arc<dyn Store>,
    known: Arc<RwLock<HashMap<SubscriptionId, Outage>>>,
}

impl Outages {
    /// What was noted before.
    pub(crate) async fn load(store: Arc<dyn Store>) -> Result<Outages, StoreError> {
        let noted = store.outages().await?;
        let known = noted.into_iter().map(|(_, id, outage)| (id, outage)).collect();
        Ok(Outages { store, known: Arc::new(RwLock::new(known)) })
    }

    /// The outage that a subscription is in.
    pub(crate) fn of(&self, id: SubscriptionId) -> Option<Outage> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    /// Judges an attempt and remembers its turn. Only one of many attempts makes each turn.
    pub(crate) fn observe(&self, subscription: &Subscription, outcome: Outcome, now: Timestamp) -> Turn {
        let Some(wish) = subscription.auto_disable else { return Turn::Unchanged };
        let id = subscription.id;
        if wish.observe(self.of(id), outcome, now) == Turn::Unchanged {
            return Turn::Unchanged;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let turn = wish.observe(known.get(&id).copied(), outcome, now);
        match turn {
            Turn::Began(outage) | Turn::Warned(outage) => drop(known.insert(id, outage)),
            Turn::Ended => drop(known.remove(&id)),
            Turn::Unchanged | Turn::Expired(_) => {}
        }
        turn
    }

    /// Notes a turn for the next process, once its attempt is settled.
    pub(crate) async fn keep(&self, handle: &Handle, id: SubscriptionId, turn: Turn) {
        match turn {
            Turn::Began(outage) | Turn::Warned(outage) => self.note(handle, id, Some(outage)).await,
            Turn::Ended => self.note(handle, id, None).await,
            Turn::Unchanged | Turn::Expired(_) => {}
        }
    }

    /// Takes a turn back whose attempt could not be settled: nobody was told.
    pub(crate) fn undo(&self, id: SubscriptionId, turn: Turn) {
        if let Turn::Warned(outage) = turn {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.entry(id).and_modify(|known| {
                if *known == outage {
                    known.warned_at = None;
                }
            });
        }
    }

    /// Begins without a judgement: its owner has done something about it.
    pub(crate) async fn forget(&self, handle: &Handle, id: SubscriptionId) {
        let known = self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if known.is_some() {
            self.note(handle, id, None).await;
        }
    }

    async fn note(&self, handle: &Handle, id: SubscriptionId, outage: Option<Outage>) {
        if let Err(error) = self.store.note_outage(handle, id, outage).await {
            tracing::warn!(%error, subscription = %id, "an outage could not be noted; a restart would count it otherwise");
        }
    }
}
