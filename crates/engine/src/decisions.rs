//! Deciding upon what is known of a handle, and again while others win the race.

use std::sync::Arc;

use angarium_domain::handle::Handle;
use angarium_store::StoreError;
use angarium_store::directory::Snapshot;

use crate::Desk;
use crate::snapshots::Snapshots;

/// A write that was decided upon an old snapshot is decided again; this often, before the caller
/// is told that the store is too busy. Every loss of the race means that somebody else won it.
pub(crate) const DECISIONS_MAX: usize = 50;

/// The snapshots to decide upon, one after the other.
///
/// A write says which version it was decided upon, and is refused with [`StoreError::Conflict`] if there is a
/// newer one: ask for the next snapshot and decide again.
pub(crate) struct Decisions<'a> {
    snapshots: &'a Snapshots,
    handle: &'a Handle,
    made: usize,
}

impl Desk {
    /// Begins to decide upon a handle.
    pub(crate) fn decisions<'a>(&'a self, handle: &'a Handle) -> Decisions<'a> {
        Decisions { snapshots: &self.snapshots, handle, made: 0 }
    }
}

impl Decisions<'_> {
    /// At first what is known, and after a lost race what the store holds. None after [`DECISIONS_MAX`]
    /// lost races.
    pub(crate) async fn next(&mut self) -> Result<Option<Arc<Snapshot>>, StoreError> {
        self.made += 1;
        match self.made {
            1 => self.snapshots.get(self.handle).await.map(Some),
            2..=DECISIONS_MAX => self.snapshots.refresh(self.handle).await.map(Some),
            _ => Ok(None),
        }
    }
}
