//! Catalogues of event types in memory: what publishing looks into, where a handle has one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use angarium_domain::catalog::Catalog;
use angarium_domain::handle::Handle;
use angarium_store::directory::Snapshot;
use angarium_store::{Store, StoreError};

/// Catalogues kept in memory, with their compiled schemas; beyond that one makes room, and is read
/// again when it is asked for.
const CATALOGS_MAX: usize = 256;

/// Shared, because every publisher reads it and only changes write it.
#[derive(Clone)]
pub(crate) struct Catalogs {
    store: Arc<dyn Store>,
    known: Arc<RwLock<HashMap<Handle, Arc<Catalog>>>>,
}

impl Catalogs {
    pub(crate) fn new(store: Arc<dyn Store>) -> Catalogs {
        Catalogs { store, known: Arc::default() }
    }

    /// The catalogue that belongs to a snapshot, or a newer one: whoever writes upon the snapshot is
    /// told by the store if it is old. None, without a look anywhere, if there never was one.
    pub(crate) async fn of(
        &self,
        handle: &Handle,
        snapshot: &Snapshot,
    ) -> Result<Option<Arc<Catalog>>, StoreError> {
        if snapshot.catalog_version == 0 {
            return Ok(None);
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(handle).cloned();
        match known {
            Some(catalog) if catalog.version >= snapshot.catalog_version => Ok(Some(catalog)),
            _ => self.read(handle).await.map(Some),
        }
    }

    async fn read(&self, handle: &Handle) -> Result<Arc<Catalog>, StoreError> {
        let mut fresh = self.store.catalog(handle).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CATALOGS_MAX && !known.contains_key(handle) {
            let any = known.keys().next().cloned().expect("it is full");
            known.remove(&any);
        }
        // Two readers may come back in the wrong order: the newer version stays.
        match known.get(handle) {
            Some(kept) if kept.version >= fresh.version => return Ok(kept.clone()),
            Some(earlier) => fresh.keep_what_is_equal_in(earlier),
            None => {}
        }
        let fresh = Arc::new(fresh);
        known.insert(handle.clone(), fresh.clone());
        Ok(fresh)
    }
}
