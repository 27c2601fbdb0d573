//! Rulebooks in memory: what is decided upon, for handles that have one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use angarium_domain::chain::Rulebook;
use angarium_domain::handle::Handle;
use angarium_store::directory::Snapshot;
use angarium_store::{Store, StoreError};

/// Rulebooks kept in memory, a quarter of a megabyte each at most; beyond that one makes room, and is
/// read again when it is asked for.
const RULEBOOKS_MAX: usize = 256;

/// Shared, because every decision reads it and only changes write it.
#[derive(Clone)]
pub(super) struct Rulebooks {
    store: Arc<dyn Store>,
    known: Arc<RwLock<HashMap<Handle, Arc<Rulebook>>>>,
}

impl Rulebooks {
    pub(super) fn new(store: Arc<dyn Store>) -> Rulebooks {
        Rulebooks { store, known: Arc::default() }
    }

    /// The rulebook that belongs to a snapshot, or a newer one: whoever writes upon the snapshot is told
    /// by the store if it is old. Empty, without a look anywhere, if there never was one.
    pub(super) async fn of(&self, handle: &Handle, snapshot: &Snapshot) -> Result<Arc<Rulebook>, StoreError> {
        if snapshot.rulebook_version == 0 {
            return Ok(Arc::default());
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(handle).cloned();
        match known {
            Some(rulebook) if rulebook.version >= snapshot.rulebook_version => Ok(rulebook),
            _ => self.read(handle).await,
        }
    }

    async fn read(&self, handle: &Handle) -> Result<Arc<Rulebook>, StoreError> {
        let fresh = Arc::new(self.store.rulebook(handle).await?);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= RULEBOOKS_MAX && !known.contains_key(handle) {
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
