//! Handles as they are now, in memory: what fan-out and authentication read.
//!
//! A snapshot may be old by the time it is used. Whoever writes upon it names
//! its version, and the store refuses an old one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::subscription::ChannelKind;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::{Store, StoreError};

/// Handles kept in memory; beyond that one makes room, and is read again when it is asked for.
const HANDLES_MAX: usize = 10_000;

/// Shared, because every publisher and every attempt reads it and only changes write it.
#[derive(Clone)]
pub(crate) struct Snapshots {
    store: Arc<dyn Store>,
    known: Arc<RwLock<HashMap<Handle, Arc<Snapshot>>>>,
}

impl Snapshots {
    pub(crate) fn new(store: Arc<dyn Store>) -> Snapshots {
        Snapshots { store, known: Arc::default() }
    }

    /// A handle as it was a moment ago.
    pub(crate) async fn get(&self, handle: &Handle) -> Result<Arc<Snapshot>, StoreError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(handle).cloned();
        match known {
            Some(snapshot) => Ok(snapshot),
            None => self.refresh(handle).await,
        }
    }

    /// Sees to it that nobody reads the version before a change that was just made.
    pub(crate) async fn renew(&self, handle: &Handle) {
        if let Err(error) = self.refresh(handle).await {
            tracing::warn!(%error, %handle, "a handle could not be read after a change; it is read when it is needed");
            self.known.write().unwrap_or_else(PoisonError::into_inner).remove(handle);
        }
    }

    /// A handle as it is in the store. To be called after every conflict.
    pub(crate) async fn refresh(&self, handle: &Handle) -> Result<Arc<Snapshot>, StoreError> {
        let fresh = Arc::new(self.store.snapshot(handle).await?);
        if fresh.version == 0 {
            // Nothing is known of this handle. Strangers may ask for as many such as they like, and
            // must not push out those that are used.
            return Ok(fresh);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= HANDLES_MAX && !known.contains_key(handle) {
            let any = known.keys().next().cloned().expect("it is full");
            known.remove(&any);
        }
        // Two readers may come back in the wrong order: the newer version stays.
        let kept = known.entry(handle.clone()).or_insert_with(|| fresh.clone());
        if kept.version < fresh.version {
            *kept = fresh;
        }
        Ok(kept.clone())
    }
}

/// The subscription with an id.
pub(crate) fn find(snapshot: &Snapshot, id: SubscriptionId) -> Option<&Arc<Entry>> {
    let at = snapshot.subscriptions.binary_search_by_key(&id, |entry| entry.subscription.id).ok()?;
    snapshot.subscriptions.get(at)
}

/// The webhook with an id: a subscription on another channel is none.
pub(crate) fn find_webhook(snapshot: &Snapshot, id: SubscriptionId) -> Option<&Arc<Entry>> {
    find(snapshot, id).filter(|entry| is_webhook(entry))
}

/// A handle's webhooks, oldest first.
pub(crate) fn webhooks(snapshot: &Snapshot) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
    snapshot.subscriptions.iter().filter(|entry| is_webhook(entry))
}

fn is_webhook(entry: &Entry) -> bool {
    entry.subscription.channel() == ChannelKind::Webhook
}
